# SPDX-License-Identifier: Apache-2.0
"""Manners that a robot keeps whatever it does."""

from __future__ import annotations

import numpy as np

from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.training.task import Array, BatchState, carries_a_foot

LEG_SPEED_COST = 0.002
"""Of a squared joint velocity [s²/rad²], for the joints that carry a foot."""
ARM_SPEED_COST = 0.004
"""The same for the others."""


class Manners:
    """Look along world +x, stand straight, keep the joints quiet."""

    def __init__(self, robot: RobotModel) -> None:
        """Finds the arms of `robot`."""
        self._speed_costs = np.where(carries_a_foot(robot), LEG_SPEED_COST, ARM_SPEED_COST)

    def cost(self, state: BatchState) -> Array:
        """(N,) what bad manners cost, 0 or more."""
        cost: Array = (
            3.0 * (1.0 - state.facing_x())
            + 1.0 * (1.0 - state.upright())
            + np.square(state.qvel[:, 6:]) @ self._speed_costs
        )
        return cost
