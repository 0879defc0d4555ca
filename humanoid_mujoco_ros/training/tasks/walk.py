# SPDX-License-Identifier: Apache-2.0
"""The task `walk`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.training.manners import Manners
from humanoid_mujoco_ros.training.task import Array, BatchState, Task, humanoid_v4_reward

LONGEST_STRIDE_S = 0.4
"""A foot that stays up longer earns nothing more."""


@dataclass
class Walk(Task):
    """Walk along world +x: Humanoid-v4's reward with its speed capped, long steps, manners."""

    name = "walk"

    speed_m_s: float = 1.75
    """Faster than this earns nothing."""

    def prepare(self, robot: RobotModel, n: int, random: np.random.Generator) -> None:
        """See `Task`."""
        super().prepare(robot, n, random)
        self._manners = Manners(robot)

    def reward(self, state: BatchState) -> Array:
        """See the class."""
        forward, lateral = state.com_velocity.T
        reward: Array = (
            humanoid_v4_reward(np.minimum(forward, self.speed_m_s), state.action)
            - np.maximum(state.mean_velocity[:, 0] - self.speed_m_s, 0.0)
            - np.abs(state.mean_velocity[:, 1])
            - 0.5 * np.square(lateral)
            + 3.0 * np.minimum(state.stride_s(), LONGEST_STRIDE_S)
            - self._manners.cost(state)
        )
        return reward
