# SPDX-License-Identifier: Apache-2.0
"""The task `balance`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.simulation.simulation import HEALTHY_REWARD
from humanoid_mujoco_ros.training.manners import Manners
from humanoid_mujoco_ros.training.task import Array, BatchState, Task, control_cost

CREEP_M_S = 0.15
"""Scale of the slow drift that a standing robot is to avoid."""


@dataclass
class Balance(Task):
    """Stay where you are and look along world +x."""

    name = "balance"

    def prepare(self, robot: RobotModel, n: int, random: np.random.Generator) -> None:
        """See `Task`."""
        super().prepare(robot, n, random)
        self._manners = Manners(robot)

    def reward(self, state: BatchState) -> Array:
        """See the class."""
        drift = np.linalg.norm(state.mean_velocity, axis=-1)
        reward: Array = (
            HEALTHY_REWARD
            + 2.0 * np.exp(-4.0 * np.square(state.com_velocity).sum(axis=-1))
            + 2.0 * np.exp(-drift / CREEP_M_S)
            - 2.0 * drift
            - control_cost(state.action)
            - self._manners.cost(state)
        )
        return reward
