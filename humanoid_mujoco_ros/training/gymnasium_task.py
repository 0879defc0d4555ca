# SPDX-License-Identifier: Apache-2.0
"""What the tasks of Gymnasium's other robots have in common."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.policy.state_vector import StateVector
from humanoid_mujoco_ros.policy.terms import VECTORS
from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.training.mirror import RobotMirror
from humanoid_mujoco_ros.training.task import Array, BatchState, Bools, Task

if TYPE_CHECKING:
    from humanoid_mujoco_ros.training.environment import EnvironmentConfig

EPISODE_STEPS = 1000
"""Control periods after which Gymnasium ends an episode."""


@dataclass
class GymnasiumTask(Task):
    """Gymnasium's reward for going forward; its start, its end, no pushes, no late commands."""

    start_noise: ClassVar[float]
    """Episodes start at the model's pose ± this, uniformly."""
    has_gaussian_speeds: ClassVar[bool]
    """Whether the speeds at the start are Gaussian rather than uniform."""

    healthy_reward: float = 1.0
    """Reward of a control period without a fall."""
    control_cost: float = 0.001
    """Cost of the squared control signals."""

    def prepare(self, robot: RobotModel, n: int, random: np.random.Generator) -> None:
        """See `Task`."""
        super().prepare(robot, n, random)
        self._vector = StateVector(robot)
        self._x_m = np.zeros(n)

    def conditions(self, config: EnvironmentConfig, period_s: float) -> EnvironmentConfig:
        """See `Task`: nothing is done to the robot, whatever the options say."""
        return replace(
            config,
            episode_s=EPISODE_STEPS * period_s,
            unpushed_fraction=1.0,
            delayed_fraction=0.0,
            ramp_fraction=0.0,
        )

    def mirror(self, robot: RobotModel) -> RobotMirror | None:
        """See `Task`: none of these robots is taken for symmetric."""
        return None

    def start(self, ids: NDArray[np.intp]) -> tuple[Array, Array]:
        """See `Task`."""
        m, noise, k = self.robot.mj, self.start_noise, ids.size
        qpos = m.qpos0 + self.random.uniform(-noise, noise, (k, m.nq))
        if self.has_gaussian_speeds:
            qvel = noise * self.random.standard_normal((k, m.nv))
        else:
            qvel = self.random.uniform(-noise, noise, (k, m.nv))
        self._x_m[ids] = qpos[:, 0]
        return qpos, qvel

    def observe(self, state: BatchState) -> Array:
        """(N, observations) what Gymnasium's environment observes."""
        whole = self._vector.of(state.qpos, state.qvel, state.qfrc_actuator)
        return VECTORS[self.input_name](whole, len(self.robot.joints))

    def reward(self, state: BatchState) -> Array:
        """See the class."""
        x_m = state.qpos[:, 0].copy()
        velocity = (x_m - self._x_m) / self.robot.control_period_s
        self._x_m = x_m
        cost = self.control_cost * np.square(state.action).sum(axis=1)
        reward: Array = self.healthy_reward + velocity - cost
        return reward

    def failed(self, state: BatchState) -> Bools:
        """See `Task`: by the fall rule of the robot's card."""
        if self.robot.base.is_free:
            return self._fall_rule.is_fallen(state.qpos[:, 2], state.qpos[:, 3:7])
        half = 0.5 * state.qpos[:, 2]
        zero = np.zeros_like(half)
        quaternions = np.column_stack((np.cos(half), zero, np.sin(half), zero))
        return self._fall_rule.is_fallen(state.qpos[:, 1], quaternions)
