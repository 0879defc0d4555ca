# SPDX-License-Identifier: Apache-2.0
"""The task `walk`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.training.manners import Manners
from humanoid_mujoco_ros.training.postures import default_pose, has_soles, squats
from humanoid_mujoco_ros.training.task import Array, BatchState, Task, humanoid_v4_reward

STANCES = 1000
"""Poses in which other policies may leave the robot."""
LONGEST_STRIDE_S = 0.4
"""A foot that stays up longer earns nothing more."""


@dataclass
class Walk(Task):
    """Walk along world +x: Humanoid-v4's reward with its speed capped, long steps, manners."""

    name = "walk"

    speed_m_s: float = 1.75
    """Faster than this earns nothing."""
    takeover_fraction: float = 0.3
    """Share of the episodes that start where other policies stand, with knees bent and slow."""

    def prepare(self, robot: RobotModel, n: int, random: np.random.Generator) -> None:
        """See `Task`."""
        super().prepare(robot, n, random)
        self._manners = Manners(robot)
        self._stances: Array = np.zeros((0, robot.mj.nq))
        if has_soles(robot):
            self._stances = stances(robot, STANCES, random)

    def start(self, ids: NDArray[np.intp]) -> tuple[Array, Array]:
        """As of Humanoid-v4, or where another policy stands."""
        random = self.random
        qpos, qvel = super().start(ids)
        if len(self._stances):
            taken = np.flatnonzero(random.random(ids.size) < self.takeover_fraction)
            qpos[taken] = self._stances[random.integers(len(self._stances), size=taken.size)]
            qvel[taken] = random.uniform(-0.3, 0.3, (taken.size, qvel.shape[1]))
        return qpos, qvel

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


def stances(robot: RobotModel, n: int, random: np.random.Generator) -> Array:
    """(n, nq) poses near upright, with knees straight to well bent."""
    straight = default_pose(robot.action_joints, 0.0)
    return squats(robot, straight, n, random, bend_rad=(0.0, 0.35), pitch_rad=(-0.1, 0.15))
