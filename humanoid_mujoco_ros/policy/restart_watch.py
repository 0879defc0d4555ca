# SPDX-License-Identifier: Apache-2.0
"""Notices that a robot was put into another pose, as a reset of the simulation does."""

from __future__ import annotations

import numpy as np

from humanoid_mujoco_ros.robot.vectors import Float64Array

STILL_RAD_S = 0.1
"""A robot that was put somewhere moves no joint faster."""
JUMP_RAD = 0.02
"""A joint moved by more than this beyond what its speed explains did not move by itself."""


class RestartWatch:
    """Tells from one observation to the next whether the robot starts anew.

    A robot does when it stands still in a pose to which its joints could not move since the
    observation before. Messages that were lost let a moving robot jump too, but it goes on moving.
    """

    def __init__(self, period_s: float) -> None:
        """Takes the time between two observations."""
        self._period_s = period_s
        self._positions: Float64Array | None = None
        self._velocities: Float64Array | None = None

    def update(self, positions: Float64Array, velocities: Float64Array) -> bool:
        """Whether the robot was put into the pose of this observation.

        Args:
            positions: (n,) [rad] of its joints.
            velocities: (n,) [rad/s] of its joints.
        """
        old_positions, old_velocities = self._positions, self._velocities
        self._positions, self._velocities = positions, velocities
        if old_positions is None or old_velocities is None:
            return False
        if not positions.size or np.abs(velocities).max() > STILL_RAD_S:
            return False
        moved = np.abs(positions - old_positions)
        explained = np.maximum(np.abs(old_velocities), np.abs(velocities)) * self._period_s
        return bool((moved > explained + JUMP_RAD).any())
