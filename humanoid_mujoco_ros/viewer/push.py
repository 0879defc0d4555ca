# SPDX-License-Identifier: Apache-2.0
"""A measured push: so many newtons for so many seconds, and what came of it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.model import BASE_LINK
from humanoid_mujoco_ros.robot.posed_model import PosedModel
from humanoid_mujoco_ros.robot.state import Wrench
from humanoid_mujoco_ros.viewer.arrows import Arrow

Float64Array = NDArray[np.float64]

DIRECTIONS = {
    "forward": (1.0, 0.0),
    "back": (-1.0, 0.0),
    "left": (0.0, 1.0),
    "right": (0.0, -1.0),
}
"""Seen by the robot: components ahead and to its left."""

WATCH_S = 4.0
"""A robot that still stands so long after the push withstood it."""


@dataclass(frozen=True)
class PushPlan:
    """What to do to the robot."""

    direction: str
    """A key of DIRECTIONS."""
    force: float
    """[N], horizontal, at the centre of mass of `link`."""
    duration_s: float
    """In the robot's time, which a paused simulation stops."""
    link: str
    """base_link or a body's name."""

    def __str__(self) -> str:
        """As the panel shows it."""
        impulse = self.force * self.duration_s
        return f"{self.direction}, {self.force:g} N × {self.duration_s:g} s = {impulse:.3g} N·s"


class Push:
    """Carries out one push after another; the robot's stamps tell the time."""

    def __init__(self, posed: PosedModel, history: int = 6) -> None:
        """Pushes nothing yet; remembers the outcome of the last `history` pushes."""
        self._posed = posed
        self._plan: PushPlan | None = None
        self._link = ""
        self._force_world: Float64Array = np.zeros(3)
        self._start_ns: int | None = None
        self._is_over = True
        self._is_judged = True
        self.outcomes: deque[str] = deque(maxlen=history)
        """What came of each push, the latest last."""

    @property
    def is_pushing(self) -> bool:
        """Whether a push is under way or about to begin."""
        return not self._is_over

    @property
    def link(self) -> str:
        """What is pushed, or was pushed last."""
        return self._link

    def start(self, plan: PushPlan) -> None:
        """Begins with the robot's next state, along the heading that it has now.

        Raises:
            ModelError: There is no such link.
        """
        self._posed.robot.body_of_link(plan.link)
        ahead, left = DIRECTIONS[plan.direction]
        yaw = rotation.heading(self._posed.body_quaternions_wxyz[1])
        cos, sin = np.cos(yaw), np.sin(yaw)
        self._force_world = plan.force * np.array(
            [cos * ahead - sin * left, sin * ahead + cos * left, 0.0]
        )
        self.cancel()
        self._plan, self._link, self._start_ns = plan, plan.link, None
        self._is_over = self._is_judged = False
        self.outcomes.append(f"{plan}: …")

    def cancel(self) -> None:
        """Ends the push under way, for instance because the robot was reset."""
        if not self._is_judged:
            self._judge("interrupted")
        self._plan, self._is_over = None, True

    def update(self, stamp_ns: int) -> Arrow | None:
        """Takes the robot's next state, which the posed model has; what acts on it from now.

        Args:
            stamp_ns: Stamp of the state.
        """
        plan = self._plan
        if plan is None:
            return None
        position, quaternion = self._posed.link_pose(BASE_LINK)
        has_fallen = bool(self._posed.robot.fall_rule.is_fallen(position[2], quaternion))
        if self._start_ns is None:
            self._start_ns = stamp_ns
            if has_fallen:
                self._judge("it was down already")
        elapsed_s = (stamp_ns - self._start_ns) * 1e-9
        # Stamps are exact to a nanosecond; half a millisecond forgives the rounding of the span.
        self._is_over = elapsed_s > plan.duration_s - 5e-4
        if not self._is_judged and has_fallen:
            self._judge(f"fell after {elapsed_s:.1f} s")
        elif not self._is_judged and elapsed_s > plan.duration_s + WATCH_S:
            self._judge("stayed up")
        if not self._is_over:
            return Arrow(self._point(plan.link), self._force_world)
        if self._is_judged:
            self._plan = None
        return None

    def wrench(self) -> Wrench:
        """The push at the link's origin, in the link's frame."""
        _, quaternion = self._posed.link_pose(self.link)
        force = rotation.rotate(rotation.conjugate(quaternion), self._force_world)
        return Wrench(force, np.cross(self._posed.center_of_mass(self.link), force))

    def _point(self, link: str) -> Float64Array:
        position, quaternion = self._posed.link_pose(link)
        return position + rotation.rotate(quaternion, self._posed.center_of_mass(link))

    def _judge(self, outcome: str) -> None:
        self._is_judged = True
        self.outcomes[-1] = f"{self._plan}: {outcome}"
