# SPDX-License-Identifier: Apache-2.0
"""What moves with the robot: the point that the camera follows, and its trail."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float64Array = NDArray[np.float64]

JUMP_M = 0.5
"""A base that moves farther between two frames did not walk there: it was reset or replaced."""


class FollowPoint:
    """A point on the ground that follows the robot smoothly, in place of its swaying base.

    The view draws everything relative to it. So the camera keeps company with the robot, and the
    person is free to turn it at the same time; and far from the origin nothing gets imprecise.
    """

    _LONGEST_STEP_S = 0.05
    _MOST_STEPS = 100

    def __init__(self, time_constant_s: float = 0.8) -> None:
        """Starts at the origin; a larger time constant follows more softly."""
        self.is_on = True
        self.position: Float64Array = np.zeros(3)
        """(3,) [m] in odom, on the ground."""
        self._time_constant_s = time_constant_s
        self._velocity: Float64Array = np.zeros(3)
        self._target: Float64Array = np.zeros(3)

    def update(self, base_position: ArrayLike, period_s: float) -> bool:
        """Follows the base for the time since the last call; whether the base jumped."""
        target = np.array([*np.asarray(base_position, dtype=np.float64)[:2], 0.0])
        has_jumped = bool(np.linalg.norm(target - self._target) > JUMP_M)
        self._target = target
        if has_jumped or not self.is_on:
            self._velocity = np.zeros(3)
        if self.is_on and has_jumped:
            self.position = target.copy()
        elif self.is_on:
            # A critically damped spring that is also told how fast it goes keeps up with a steady
            # walk without lagging behind.
            rate = 2.0 / self._time_constant_s
            steps = max(1, math.ceil(period_s / self._LONGEST_STEP_S))
            for _ in range(min(steps, self._MOST_STEPS)):
                error = target - self.position
                step_s = period_s / steps
                self._velocity = self._velocity + rate * rate * error * step_s
                self.position = self.position + (self._velocity + 2.0 * rate * error) * step_s
        return has_jumped


class Trail:
    """Where the base went, as a line on the ground."""

    def __init__(self, spacing_m: float = 0.05, length: int = 300) -> None:
        """Starts empty; the line has at most `length` pieces of `spacing_m`."""
        self._spacing_m = spacing_m
        self._length = length
        self._points: list[Float64Array] = []

    def clear(self) -> None:
        """Forgets the line."""
        self._points.clear()

    def add(self, base_position: ArrayLike) -> bool:
        """Adds where the base is, if that is far enough from the last point; whether it was."""
        point = np.array([*np.asarray(base_position, dtype=np.float64)[:2], 0.0])
        if self._points and np.linalg.norm(point - self._points[-1]) < self._spacing_m:
            return False
        self._points.append(point)
        del self._points[: -(self._length + 1)]
        return True

    @property
    def is_empty(self) -> bool:
        """Whether there is no piece yet."""
        return len(self._points) < 2

    def points(self) -> Float64Array:
        """(n, 3) [m] the ends of the pieces in odom, the oldest first; a copy."""
        return np.array(self._points).reshape(-1, 3)

    def segments(self) -> Float64Array:
        """(n, 2, 3) [m] start and end of each piece in odom, the oldest first; a copy."""
        points = self.points()
        return np.stack((points[:-1], points[1:]), axis=1)
