# SPDX-License-Identifier: Apache-2.0
"""A mouse drags a point of the robot."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanoid_mujoco_ros.interaction.drag import Drag
from humanoid_mujoco_ros.interaction.spring import Pull
from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.model import BASE_LINK
from humanoid_mujoco_ros.robot.posed_model import PosedModel
from humanoid_mujoco_ros.robot.vectors import checked_vector
from humanoid_mujoco_ros.viewer.shapes import snap_to_surface

Float64Array = NDArray[np.float64]


class MouseDrag:
    """The spring between a point that was grabbed and the mouse.

    The mouse is a point of the scene, which follows the robot: so a mouse held still pulls a
    walking robot along a steady line instead of tying it to the ground. Times are those of the
    steady clock [s].
    """

    def __init__(
        self, posed: PosedModel, drag: Drag, to_odom: Callable[[ArrayLike], Float64Array]
    ) -> None:
        """Holds nothing yet.

        Args:
            posed: The robot.
            drag: Grabs and pulls.
            to_odom: Turns a point of the scene into one in odom.
        """
        self._posed = posed
        self._drag = drag
        self._to_odom = to_odom
        self._mouse: Float64Array = np.zeros(3)
        self._heard_s = 0.0

    @property
    def client(self) -> str | None:
        """The browser that holds the robot."""
        return self._drag.client

    @property
    def link(self) -> str | None:
        """The link that is held."""
        return self._drag.link

    @property
    def target(self) -> Float64Array | None:
        """(3,) [m] in odom, where the mouse is; None when nothing is held."""
        return None if self._drag.link is None else self._to_odom(self._mouse)

    def start(
        self, client: str, geom: int, point: Sequence[float], mouse: Sequence[float], now_s: float
    ) -> None:
        """Grabs the robot.

        Args:
            client: Name of the browser.
            geom: MuJoCo's id of the geom under the mouse.
            point: (3,) [m] of the scene, on the geom.
            mouse: (3,) [m] of the scene.
            now_s: Time.

        Raises:
            VectorError: A point is not finite, or the mouse is too far away.
        """
        in_scene = checked_vector(point, 3, "grab point")
        mouse_point = checked_vector(mouse, 3, "mouse position")
        robot = self._posed.robot
        matrix, center = self._posed.geom_xmat[geom], self._posed.geom_xpos[geom]
        in_geom = matrix.T @ (self._to_odom(in_scene) - center)
        on_geom = center + matrix @ snap_to_surface(robot.mj, geom, in_geom)
        body = int(robot.mj.geom_bodyid[geom])
        link = BASE_LINK if body == 1 else robot.bodies[body - 1]
        position, quaternion = self._posed.link_pose(link)
        in_link = rotation.rotate(rotation.conjugate(quaternion), on_geom - position)
        target = self._to_odom(mouse_point)
        self._drag.grab(client, link, in_link, target, rotation.IDENTITY, now_s)
        self._mouse = mouse_point
        self._heard_s = now_s

    def move(self, client: str, mouse: Sequence[float], now_s: float) -> None:
        """Takes where the mouse is, a point (3,) [m] of the scene.

        Raises:
            VectorError: The point is not finite, or too far away; the robot is pulled as before.
        """
        if client == self._drag.client:
            mouse_point = checked_vector(mouse, 3, "mouse position")
            self._drag.move(client, self._to_odom(mouse_point), rotation.IDENTITY, now_s)
            self._mouse = mouse_point
            self._heard_s = now_s

    def hear(self, client: str, now_s: float) -> None:
        """Notes that the browser is alive while its mouse stands still."""
        if client == self._drag.client:
            self._heard_s = now_s

    def end(self, client: str) -> None:
        """Lets go if this browser holds the robot."""
        self._drag.release(client)

    def release(self) -> None:
        """Lets go in any case."""
        self._drag.release()

    def pull(self, now_s: float) -> Pull | None:
        """What acts on the robot; None when nothing is held or the browser is lost."""
        client, target = self._drag.client, self.target
        if client is None or target is None:
            return None
        self._drag.move(client, target, rotation.IDENTITY, self._heard_s)
        if self._drag.is_client_lost(now_s):
            self.release()
            return None
        return self._drag.pull()
