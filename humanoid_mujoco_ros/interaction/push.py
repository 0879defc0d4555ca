# SPDX-License-Identifier: Apache-2.0
"""A measured push: a force for a time, and whether the robot withstood it."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.interaction.arrow import Arrow
from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.model import BASE_LINK
from humanoid_mujoco_ros.robot.posed_model import PosedModel
from humanoid_mujoco_ros.robot.state import Wrench

Float64Array = NDArray[np.float64]

DIRECTIONS = {
    "forward": (1.0, 0.0),
    "back": (-1.0, 0.0),
    "left": (0.0, 1.0),
    "right": (0.0, -1.0),
}
"""Seen by the robot: components ahead and to its left."""

SURVIVED_PUSH_S = 6.0
"""A robot that has not fallen this long after the end of a push has withstood it."""
FORCE_RANGE_N = (10.0, 600.0)
DURATION_RANGE_S = (0.05, 2.0)
_HISTORY = 6


class PushError(ValueError):
    """A push is refused; the message says why."""


@dataclass(frozen=True)
class PushPlan:
    """A force for a time."""

    direction: str
    """A key of DIRECTIONS."""
    force: float
    """[N], horizontal, at the centre of mass of `link`."""
    duration_s: float
    """In the robot's time, which a paused simulation stops."""
    link: str
    """base_link or a body's name."""

    def __post_init__(self) -> None:
        """Checks the ranges.

        Raises:
            PushError: The direction is unknown, or a number is out of its range.
        """
        if self.direction not in DIRECTIONS:
            raise PushError(
                f"there is no push direction '{self.direction}', only {', '.join(DIRECTIONS)}"
            )
        _check_range("push force", self.force, FORCE_RANGE_N, "N")
        _check_range("push time", self.duration_s, DURATION_RANGE_S, "s")

    def __str__(self) -> str:
        """As the panel shows it."""
        impulse = self.force * self.duration_s
        return f"{self.direction}, {self.force:g} N × {self.duration_s:g} s = {impulse:.3g} N·s"


@dataclass(frozen=True)
class AppliedPush:
    """What a push does at one moment."""

    link: str
    """base_link or a body's name."""
    wrench: Wrench
    """At the link's origin, in the link's frame."""
    arrow: Arrow
    """The same in the world, at the link's centre of mass."""


class MeasuredPush:
    """Carries out one push after another; the robot's stamps tell the time.

    Attributes:
        outcomes: What came of the last pushes, the latest last.
    """

    def __init__(self, posed: PosedModel) -> None:
        """Pushes nothing yet; the caller keeps the robot up to date."""
        self._posed = posed
        self._plan: PushPlan | None = None
        self._force_world: Float64Array = np.zeros(3)
        self._start_ns: int | None = None
        self._is_over = True
        self._is_judged = True
        self.outcomes: deque[str] = deque(maxlen=_HISTORY)

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
        self._plan, self._start_ns = plan, None
        self._is_over = self._is_judged = False
        self.outcomes.append(f"{plan}: …")

    def cancel(self) -> None:
        """Ends the push under way, as a reset of the robot does."""
        if not self._is_judged:
            self._judge("interrupted")
        self._plan, self._is_over = None, True

    def update(self, stamp_ns: int) -> AppliedPush | None:
        """Takes the robot's next state, which the posed model has already.

        Args:
            stamp_ns: Stamp of the state.

        Returns:
            What acts on the robot from now; None when nothing does.
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
        elif not self._is_judged and elapsed_s > plan.duration_s + SURVIVED_PUSH_S:
            self._judge("stayed up")
        if not self._is_over:
            return self._applied(plan.link)
        if self._is_judged:
            self._plan = None
        return None

    def _applied(self, link: str) -> AppliedPush:
        position, quaternion = self._posed.link_pose(link)
        center = self._posed.center_of_mass(link)
        force = rotation.rotate(rotation.conjugate(quaternion), self._force_world)
        point = position + rotation.rotate(quaternion, center)
        return AppliedPush(
            link, Wrench(force, np.cross(center, force)), Arrow(point, self._force_world)
        )

    def _judge(self, outcome: str) -> None:
        self._is_judged = True
        self.outcomes[-1] = f"{self._plan}: {outcome}"


def _check_range(what: str, value: float, limits: tuple[float, float], unit: str) -> None:
    low, high = limits
    if not (math.isfinite(value) and low <= value <= high):
        raise PushError(f"{what} must be within {low:g} and {high:g} {unit}, not {value:g}")
