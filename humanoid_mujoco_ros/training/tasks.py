# SPDX-License-Identifier: Apache-2.0
"""Tasks: what a policy reads and is rewarded for, how an episode starts and when it has failed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.policy import observation
from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.simulation.simulation import healthy_height_m
from humanoid_mujoco_ros.training.mirror import RobotMirror, find_mirror

Array = NDArray[np.float64]

LONGEST_STRIDE_S = 0.4
"""A foot that stays up longer earns nothing more."""
CREEP_M_S = 0.15
"""Scale of the slow drift that a standing robot is to avoid."""
RESET_NOISE = 0.01
"""Humanoid-v4: an episode starts at the model's pose ± this, uniformly, in qpos and qvel."""


@dataclass(frozen=True)
class Transition:
    """One control period of N simulations, as a reward sees it."""

    qpos: Array
    """(N, nq) after the period."""
    qvel: Array
    """(N, nv) after the period."""
    action: Array
    """(N, nu) control signals that the policy asked for."""
    com_velocity: Array
    """(N, 2) of the centre of mass, mean over the period, world [m/s]."""
    mean_velocity: Array
    """(N, 2) the same, low-pass filtered over about half a second."""
    stride_s: Array
    """(N,) while exactly one foot stands: how long it has stood and the other has swung, the
    shorter of both; else 0."""

    def facing_x(self) -> Array:
        """(N,) x component of the root's forward axis: 1 looking along world +x."""
        _, _, y, z = self.qpos[:, 3:7].T
        facing: Array = 1.0 - 2.0 * (y * y + z * z)
        return facing

    def upright(self) -> Array:
        """(N,) z component of the root's up axis: 1 standing straight."""
        _, x, y, _ = self.qpos[:, 3:7].T
        upright: Array = 1.0 - 2.0 * (x * x + y * y)
        return upright


class Task(Protocol):
    """What a policy learns to do."""

    name: str
    input_name: str
    """What its policy reads, as a checkpoint records it (`Checkpoint.input`)."""

    def observe(
        self, qpos: Array, qvel: Array, cinert: Array, cvel: Array, qfrc_actuator: Array
    ) -> Array:
        """(N, observations) what the policy reads of N simulations' states; a new array."""

    def mirror(self, robot: RobotModel) -> RobotMirror | None:
        """How input and actions look in a mirror; None without a left-right symmetry."""

    def reward(self, step: Transition) -> Array:
        """(N,) reward of each simulation."""

    def failed(self, qpos: Array) -> NDArray[np.bool_]:
        """(N,) whether each simulation's episode ends here, as a failure."""

    def reset(self, robot: RobotModel, random: np.random.Generator, n: int) -> tuple[Array, Array]:
        """Start of n episodes: qpos (n, nq), qvel (n, nv)."""


def humanoid_v4_reward(forward_velocity: Array, action: Array) -> Array:
    """The reward of Gymnasium's Humanoid-v4 for a step that did not fail.

    Args:
        forward_velocity: (N,) of the centre of mass along world x [m/s].
        action: (N, nu) control signals.
    """
    reward: Array = 5.0 + 1.25 * forward_velocity - 0.1 * np.square(action).sum(axis=-1)
    return reward


def outside_height(qpos: Array, range_m: tuple[float, float]) -> NDArray[np.bool_]:
    """(N,) the failure of Humanoid-v4: the root's height is not within `range_m`."""
    low, high = range_m
    return ~((qpos[:, 2] > low) & (qpos[:, 2] < high))


def humanoid_v4_reset(
    robot: RobotModel, random: np.random.Generator, n: int
) -> tuple[Array, Array]:
    """The start of Humanoid-v4's episodes."""
    noise = RESET_NOISE
    qpos = robot.mj.qpos0 + random.uniform(-noise, noise, (n, robot.mj.nq))
    qvel = random.uniform(-noise, noise, (n, robot.mj.nv))
    return qpos, qvel


class HumanoidV4Task:
    """What the tasks here have in common: Humanoid-v4's observation, start and failure."""

    input_name = observation.INPUT_NAME

    def __init__(self, robot: RobotModel) -> None:
        """Finds how low `robot` may get."""
        self._healthy_height_m = healthy_height_m(robot)

    def observe(
        self, qpos: Array, qvel: Array, cinert: Array, cvel: Array, qfrc_actuator: Array
    ) -> Array:
        """Without contact forces, which a robot cannot measure."""
        return observation.observe(qpos, qvel, cinert, cvel, qfrc_actuator, None)

    def failed(self, qpos: Array) -> NDArray[np.bool_]:
        """See `outside_height`."""
        return outside_height(qpos, self._healthy_height_m)

    mirror = staticmethod(find_mirror)
    reset = staticmethod(humanoid_v4_reset)


class Walk(HumanoidV4Task):
    """Walk along world +x: Humanoid-v4's reward with its speed capped, long steps, manners."""

    name = "walk"

    def __init__(self, robot: RobotModel, speed_m_s: float) -> None:
        """Finds the arms of `robot`; walking faster than `speed_m_s` earns nothing."""
        super().__init__(robot)
        self.speed_m_s = speed_m_s
        self._velocity_costs = _joint_velocity_costs(robot, 0.002, 0.004)

    def reward(self, step: Transition) -> Array:
        """See the class."""
        forward, lateral = step.com_velocity.T
        reward: Array = (
            humanoid_v4_reward(np.minimum(forward, self.speed_m_s), step.action)
            - np.maximum(step.mean_velocity[:, 0] - self.speed_m_s, 0.0)
            - np.abs(step.mean_velocity[:, 1])
            - 0.5 * np.square(lateral)
            + 3.0 * np.minimum(step.stride_s, LONGEST_STRIDE_S)
            + _manners(step, self._velocity_costs)
        )
        return reward


class Balance(HumanoidV4Task):
    """Stay where you are and look along world +x."""

    name = "balance"

    def __init__(self, robot: RobotModel) -> None:
        """Finds the arms of `robot`."""
        super().__init__(robot)
        self._velocity_costs = _joint_velocity_costs(robot, 0.002, 0.004)

    def reward(self, step: Transition) -> Array:
        """See the class."""
        drift = np.linalg.norm(step.mean_velocity, axis=-1)
        reward: Array = (
            5.0
            + 2.0 * np.exp(-4.0 * np.square(step.com_velocity).sum(axis=-1))
            + 2.0 * np.exp(-drift / CREEP_M_S)
            - 2.0 * drift
            - 0.1 * np.square(step.action).sum(axis=-1)
            + _manners(step, self._velocity_costs)
        )
        return reward


def _manners(step: Transition, velocity_costs: Array) -> Array:
    """Look along world +x, stand straight, keep the joints quiet."""
    reward: Array = (
        3.0 * (step.facing_x() - 1.0)
        + 1.0 * (step.upright() - 1.0)
        - np.square(step.qvel[:, 6:]) @ velocity_costs
    )
    return reward


TASKS = ("walk", "balance")
"""Names that `make_task` knows."""


def make_task(name: str, robot: RobotModel, speed_m_s: float) -> Task:
    """The task called `name`.

    Raises:
        ValueError: There is no such task.
    """
    if name == "walk":
        return Walk(robot, speed_m_s)
    if name == "balance":
        return Balance(robot)
    raise ValueError(f"task '{name}' is unknown; the tasks are {', '.join(TASKS)}")


def _joint_velocity_costs(robot: RobotModel, legs: float, arms: float) -> Array:
    """(n,) cost of each joint's squared velocity."""
    is_arm = np.array(["shoulder" in name or "elbow" in name for name in robot.joints])
    return np.where(is_arm, arms, legs)
