# SPDX-License-Identifier: Apache-2.0
"""The point that the camera follows."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float64Array = NDArray[np.float64]

JUMP_M = 0.5
"""A base that moves farther between two frames was reset or replaced."""


class FollowPoint:
    """A point on the ground that follows the robot smoothly, in place of its swaying base.

    The view draws everything relative to it. So the robot stays in the picture while a person
    turns the camera, and single-precision drawing stays exact far from the origin.
    """

    _LONGEST_STEP_S = 0.05
    _MOST_STEPS = 100

    def __init__(self, time_constant_s: float = 0.8) -> None:
        """Starts at the origin; a larger time constant follows more softly."""
        self.is_on = True
        self.position: Float64Array = np.zeros(3)
        """(3,) [m] in the world, on the ground."""
        self._time_constant_s = time_constant_s
        self._velocity: Float64Array = np.zeros(3)
        self._target: Float64Array = np.zeros(3)

    def update(self, base_position: ArrayLike, period_s: float) -> bool:
        """Follows the base for the time since the last call.

        Args:
            base_position: (3,) [m] in the world.
            period_s: Time since the last call.

        Returns:
            Whether the base jumped.
        """
        target = np.array([*np.asarray(base_position, dtype=np.float64)[:2], 0.0])
        has_jumped = bool(np.linalg.norm(target - self._target) > JUMP_M)
        self._target = target
        if has_jumped or not self.is_on:
            self._velocity = np.zeros(3)
        if self.is_on and has_jumped:
            self.position = target.copy()
        elif self.is_on:
            # A critically damped spring with a velocity of its own keeps up with a steady walk
            # without a lag.
            rate = 2.0 / self._time_constant_s
            steps = max(1, math.ceil(period_s / self._LONGEST_STEP_S))
            for _ in range(min(steps, self._MOST_STEPS)):
                error = target - self.position
                step_s = period_s / steps
                self._velocity = self._velocity + rate * rate * error * step_s
                self.position = self.position + (self._velocity + 2.0 * rate * error) * step_s
        return has_jumped
