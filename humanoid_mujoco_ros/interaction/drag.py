# SPDX-License-Identifier: Apache-2.0
"""A person drags a link of the robot, with a marker or a mouse."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanoid_mujoco_ros.interaction.spring import Pull, SpringConfig, pull, twist
from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.model import BASE_LINK
from humanoid_mujoco_ros.robot.posed_model import PosedModel
from humanoid_mujoco_ros.robot.state import Wrench
from humanoid_mujoco_ros.robot.vectors import VectorError, checked_vector

Float64Array = NDArray[np.float64]

FARTHEST_M = 1e6
"""A handle farther from the origin is a mistake."""
MIN_TURN_RAD = 0.01
"""A handle that is turned by less is only moved, and leaves the link free to turn."""


@dataclass(frozen=True, eq=False)
class _Hold:
    """What is held, and where to."""

    client: str
    link: str
    grab_point: Float64Array
    """(3,) [m] in the link's frame."""
    grab_quaternion: Float64Array
    """(4,) of the link when it was grabbed."""
    handle_quaternion: Float64Array
    """(4,) of the handle when the link was grabbed."""
    target: Float64Array
    """(3,) [m] where the handle is: in the world, or in the link's frame if that carries it."""
    target_quaternion: Float64Array
    """(4,) of the handle, in the same frame."""
    time_s: float
    """When the client was last heard."""


class Drag:
    """Pulls a link with a spring towards a handle, from the grab until the release.

    The handle stays where it was last put, while the link moves: in the world, as the end of a
    mouse's drag, or in the frame of the link that carries it, as a frame-locked marker of RViz. A
    carried handle goes where the robot goes: damping acts on the velocity relative to the base, not
    to the ground. A client that is not heard for `timeout_s` is lost. Times are those of the steady
    clock [s].
    """

    def __init__(
        self,
        posed: PosedModel,
        spring: SpringConfig,
        timeout_s: float,
        *,
        is_handle_carried: bool = False,
    ) -> None:
        """Holds nothing yet.

        Args:
            posed: Says where the links are.
            spring: Between the grab point and the handle.
            timeout_s: After so long without a word the client is lost.
            is_handle_carried: Handles are given in the frame of the link that is held, which
                carries them; otherwise in the world.
        """
        self._posed = posed
        self._spring = spring
        self._timeout_s = timeout_s
        self._is_handle_carried = is_handle_carried
        self._hold: _Hold | None = None

    @property
    def link(self) -> str | None:
        """The link that is held."""
        return self._hold.link if self._hold else None

    @property
    def client(self) -> str | None:
        """The client that holds it."""
        return self._hold.client if self._hold else None

    def grab(
        self,
        client: str,
        link: str,
        grab_point: ArrayLike,
        handle_position: ArrayLike,
        handle_quaternion_wxyz: ArrayLike,
        now_s: float,
    ) -> None:
        """Takes hold of a link, and lets go of what was held before.

        Args:
            client: Its name; the same name later moves the handle and releases it.
            link: base_link or a body's name.
            grab_point: (3,) [m] in the link's frame.
            handle_position: (3,) [m] in the world, or in the link's frame if carried.
            handle_quaternion_wxyz: (4,) in the same frame.
            now_s: Steady time [s].

        Raises:
            ModelError: There is no such link.
            VectorError: A vector is not finite, or the handle is too far away.
        """
        _, quaternion = self._posed.link_pose(link)
        target, handle = _checked_handle(handle_position, handle_quaternion_wxyz)
        self._hold = _Hold(
            client=client,
            link=link,
            grab_point=checked_vector(_listed(grab_point), 3, "grab point"),
            grab_quaternion=quaternion,
            handle_quaternion=handle,
            target=target,
            target_quaternion=handle,
            time_s=now_s,
        )

    def move(
        self, client: str, position: ArrayLike, quaternion_wxyz: ArrayLike, now_s: float
    ) -> None:
        """Puts the handle somewhere else, if something is held; `client` holds it from then on.

        Args:
            client: Its name.
            position: (3,) [m] in the world, or in the link's frame if carried.
            quaternion_wxyz: (4,) in the same frame.
            now_s: Steady time [s].

        Raises:
            VectorError: The pose is not finite, or too far away; the handle stays where it is.
        """
        target, handle = _checked_handle(position, quaternion_wxyz)
        if self._hold is not None:
            self._hold = replace(
                self._hold, client=client, target=target, target_quaternion=handle, time_s=now_s
            )

    def keep(self, client: str, now_s: float) -> None:
        """Hears from the client, whose handle stays where it is."""
        if self._hold is not None and self._hold.client == client:
            self._hold = replace(self._hold, time_s=now_s)

    def release(self, client: str | None = None) -> None:
        """Lets go; with a `client`, only if that one holds the link."""
        if self._hold is not None and client in (None, self._hold.client):
            self._hold = None

    def is_client_lost(self, now_s: float) -> bool:
        """Whether the client that holds the link is silent for too long: then let go."""
        return self._hold is not None and now_s - self._hold.time_s > self._timeout_s

    def pull(self) -> Pull | None:
        """What acts on the link where it is now; None when nothing is held."""
        hold = self._hold
        if hold is None:
            return None
        position, quaternion = self._posed.link_pose(hold.link)
        point = position + rotation.rotate(quaternion, hold.grab_point)
        velocity = self._posed.point_velocity(hold.link, point)
        target, turn, start = self._handle(hold, position, quaternion)
        if self._is_handle_carried:
            base_position, _ = self._posed.link_pose(BASE_LINK)
            velocity = velocity - self._posed.point_velocity(BASE_LINK, base_position)
        result = pull(
            self._spring,
            target_world=target,
            grab_point=hold.grab_point,
            link_position=position,
            link_quaternion_wxyz=quaternion,
            point_velocity=velocity,
        )
        if 2.0 * np.linalg.norm(turn[1:]) < MIN_TURN_RAD:
            return result
        torque_world = twist(
            self._spring,
            rotation.multiply(turn, start),
            quaternion,
            self._posed.angular_velocity(hold.link),
        )
        torque = rotation.rotate(rotation.conjugate(quaternion), torque_world)
        wrench = Wrench(result.wrench.force, result.wrench.torque + torque)
        return replace(result, wrench=wrench)

    def _handle(
        self, hold: _Hold, position: Float64Array, quaternion: Float64Array
    ) -> tuple[Float64Array, Float64Array, Float64Array]:
        """The handle while the link is at `position`, turned by `quaternion`.

        Returns:
            (3,) [m] where it is in the world; (4,) by how much it was turned, in the world;
            (4,) the orientation of the link from which it turns.
        """
        turn = rotation.multiply(hold.target_quaternion, rotation.conjugate(hold.handle_quaternion))
        if not self._is_handle_carried:
            return hold.target, turn, hold.grab_quaternion
        turn = rotation.multiply(
            rotation.multiply(quaternion, turn), rotation.conjugate(quaternion)
        )
        return position + rotation.rotate(quaternion, hold.target), turn, quaternion


def _checked_handle(
    position: ArrayLike, quaternion_wxyz: ArrayLike
) -> tuple[Float64Array, Float64Array]:
    """Position (3,) [m] and unit quaternion (4,) of a handle, copied.

    Raises:
        VectorError: A number is not finite, or the position is too far away.
    """
    target = checked_vector(_listed(position), 3, "handle position")
    if np.abs(target).max() > FARTHEST_M:
        raise VectorError(f"handle position is {target.tolist()} m, farther than {FARTHEST_M:g} m")
    handle = checked_vector(_listed(quaternion_wxyz), 4, "handle orientation")
    return target, rotation.normalized(handle)


def _listed(values: ArrayLike) -> list[float]:
    return list(np.asarray(values, dtype=np.float64))
