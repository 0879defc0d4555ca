# SPDX-License-Identifier: Apache-2.0
"""Two robots that are pushed towards each other until one falls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanoid_mujoco_ros.robot.ranges import bounded, check_ranges

Float64Array = NDArray[np.float64]

_NEAR_M = 1e-6
"""Robots closer than this stand in one place: there is no way from one to the other."""


@dataclass(frozen=True)
class BoutConfig:
    """How a bout goes; times are simulated."""

    ready_s: float = bounded(1.0, 0.0)
    """Time in which the robots find their feet before they are pushed."""
    shove_period_s: float = bounded(1.5, 0.01)
    """Time from one shove to the next. A steady push would only press the robots together."""
    shove_duration_s: float = bounded(0.3, 0.0)
    """How long a shove lasts."""
    shove_growth: float = bounded(40.0, 0.0)
    """Force of the first shove [N]; each is by as much stronger than the one before."""
    shove_limit: float = bounded(600.0, 0.0)
    """Force of the strongest [N]."""
    rest_s: float = bounded(2.0, 0.0)
    """Time between a fall and the next round."""

    def __post_init__(self) -> None:
        """Checks the ranges.

        Raises:
            ValueError: A value is out of its range.
        """
        check_ranges(self)


class Bout:
    """Rounds of a bout, one after another: the robot that falls first gives the other a point.

    Attributes:
        score: Points of each robot.
        round: Number of the round, from 1 on.
        force_n: Size of the push now [N].
    """

    def __init__(self, config: BoutConfig) -> None:
        """Starts with the first round."""
        self.score = [0, 0]
        self.round = 1
        self.force_n = 0.0
        self._config = config
        self._phase: Literal["ready", "push", "rest"] = "ready"
        self._since_s: float | None = None

    def update(
        self, time_s: float, positions: ArrayLike, fallen: Sequence[bool]
    ) -> tuple[Float64Array, bool]:
        """Takes the robots' next state.

        Args:
            time_s: Simulated time.
            positions: (2, 3) [m] of the robots in the world.
            fallen: Of each robot, whether it has fallen.

        Returns:
            Forces (2, 3) [N] in the world that push the robots now, and whether both are to be put
            back to their places.
        """
        if self._since_s is None or time_s < self._since_s:
            self._since_s = time_s
        elapsed_s = time_s - self._since_s
        self.force_n = 0.0
        match self._phase:
            case "ready" if elapsed_s >= self._config.ready_s:
                self._begin("push", time_s)
            case "push" if any(fallen):
                self._count(fallen)
                self._begin("rest", time_s)
            case "push":
                self.force_n = self._shove_n(elapsed_s)
            case "rest" if elapsed_s >= self._config.rest_s:
                self.round += 1
                self._begin("ready", time_s)
                return np.zeros((2, 3)), True
        return self.force_n * _towards_each_other(positions), False

    def _shove_n(self, elapsed_s: float) -> float:
        """Size of the push [N] at a time after the round's first shove began."""
        config = self._config
        before, since_s = divmod(elapsed_s, config.shove_period_s)
        if since_s >= config.shove_duration_s:
            return 0.0
        return min((before + 1.0) * config.shove_growth, config.shove_limit)

    def _begin(self, phase: Literal["ready", "push", "rest"], time_s: float) -> None:
        self._phase, self._since_s = phase, time_s

    def _count(self, fallen: Sequence[bool]) -> None:
        """One point for the robot that stands; none if both have fallen at once."""
        for number, other in ((0, 1), (1, 0)):
            if fallen[other] and not fallen[number]:
                self.score[number] += 1


def _towards_each_other(positions: ArrayLike) -> Float64Array:
    """(2, 3) horizontal unit vectors from each robot to the other."""
    first, second = np.asarray(positions, dtype=np.float64)
    way = (second - first) * (1.0, 1.0, 0.0)
    length = float(np.linalg.norm(way))
    way = way / length if length > _NEAR_M else np.zeros(3)
    return np.stack((way, -way))
