# SPDX-License-Identifier: Apache-2.0
"""A mouse drags a point of the robot."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanoid_mujoco_ros.interaction.drag import Drag
from humanoid_mujoco_ros.interaction.spring import Pull
from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.model import BASE_LINK
from humanoid_mujoco_ros.robot.posed_model import PosedModel
from humanoid_mujoco_ros.viewer.shapes import snap_to_surface

Float64Array = NDArray[np.float64]


class MouseDrag:
    """The spring between a point that was grabbed and the mouse.

    The mouse is a point of the scene, which follows the robot: so a mouse held still pulls a
    walking robot along a steady line instead of tying it to the ground. Times are steady [s].
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
    def client(self) -> str:
        """Which browser holds the robot; empty when none does."""
        return self._drag.client

    @property
    def link(self) -> str:
        """The link that is held; empty when none is."""
        return self._drag.link

    @property
    def target(self) -> Float64Array | None:
        """(3,) [m] in odom, where the mouse is; None when nothing is held."""
        return self._to_odom(self._mouse) if self._drag.link else None

    def start(
        self, client: str, geom: int, point: ArrayLike, mouse: ArrayLike, now_s: float
    ) -> None:
        """Grabs the robot.

        Args:
            client: Which browser.
            geom: MuJoCo's id of the geom under the mouse.
            point: (3,) [m] of the scene, on the geom.
            mouse: (3,) [m] of the scene.
            now_s: Time.
        """
        robot = self._posed.robot
        matrix, center = self._posed.geom_xmat[geom], self._posed.geom_xpos[geom]
        in_geom = matrix.T @ (self._to_odom(point) - center)
        on_geom = center + matrix @ snap_to_surface(robot.mj, geom, in_geom)
        body = int(robot.mj.geom_bodyid[geom])
        link = BASE_LINK if body == 1 else robot.bodies[body - 1]
        position, quaternion = self._posed.link_pose(link)
        in_link = rotation.rotate(rotation.conjugate(quaternion), on_geom - position)
        self._mouse = np.array(mouse, dtype=np.float64)
        self._heard_s = now_s
        target = self._to_odom(self._mouse)
        self._drag.grab(client, link, in_link, target, rotation.IDENTITY, now_s)

    def move(self, client: str, mouse: ArrayLike, now_s: float) -> None:
        """Takes where the mouse is, a point (3,) [m] of the scene."""
        if client == self._drag.client:
            self._mouse = np.array(mouse, dtype=np.float64)
            self._heard_s = now_s

    def hear(self, client: str, now_s: float) -> None:
        """Notes that the browser is alive, its mouse still."""
        if client == self._drag.client:
            self._heard_s = now_s

    def end(self, client: str) -> None:
        """Lets go, if it is this browser that holds."""
        self._drag.release(client)

    def release(self) -> None:
        """Lets go, whoever holds."""
        self._drag.release()

    def pull(self, now_s: float) -> Pull | None:
        """What acts on the robot; None when nothing is held or the browser is lost."""
        target = self.target
        if target is None:
            return None
        self._drag.move(self._drag.client, target, rotation.IDENTITY, self._heard_s)
        if self._drag.is_client_lost(now_s):
            self.release()
            return None
        return self._drag.pull()
