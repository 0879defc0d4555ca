# SPDX-License-Identifier: Apache-2.0
"""What answers observations: a policy of whatever kind, with what it remembers."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from humanoid_mujoco_ros.policy import fit, policy_file
from humanoid_mujoco_ros.policy.checkpoint import Checkpoint, CheckpointError
from humanoid_mujoco_ros.policy.controller import Controller, Network
from humanoid_mujoco_ros.policy.inference import Policy
from humanoid_mujoco_ros.policy.measurement import BASE_SOURCES, from_blocks
from humanoid_mujoco_ros.policy.policy_file import TermPolicy
from humanoid_mujoco_ros.policy.state_vector import has_humanoid_v4, observation_layout
from humanoid_mujoco_ros.policy.turned_view import TurnedView
from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.robot.vectors import Float64Array


class Brain(Protocol):
    """What answers observations, in the model's joints and signs."""

    task: str
    normalization: str
    takes_commands: bool

    @property
    def clipped(self) -> bool:
        """Whether the last velocity command was beyond what the policy was trained for."""

    def reset(self, heading_rad: float = 0.0) -> None:
        """Forgets what happened.

        Args:
            heading_rad: Where a policy is to go that knows one direction alone; others, and those
                that do not read Humanoid-v4's observation, do not care.
        """

    def answer(self, observation: Float64Array, velocity: Float64Array) -> Float64Array:
        """(n,) efforts [N·m] or positions [rad] by joint of the model."""


def brain_of(
    loaded: Checkpoint | TermPolicy, robot: RobotModel, *, sample: bool, seed: int
) -> Brain:
    """What runs a policy on `robot`.

    Raises:
        CheckpointError: It does not fit.
    """
    if isinstance(loaded, Checkpoint):
        return _Whole(Policy(loaded, robot, sample=sample, seed=seed), robot)
    fit.check_fits(loaded, robot)
    network = loaded.network
    if sample:
        if loaded.log_std is None:
            raise CheckpointError("its file has no standard deviations to sample actions with")
        network = _sampled(network, np.exp(loaded.log_std), seed)
    return _OfTerms(Controller(loaded.card, network), robot)


def _sampled(network: Network, std: policy_file.Float32Array, seed: int) -> Network:
    """The network with Gaussian noise on its actions."""
    random = np.random.default_rng(seed)

    def sampled(values: policy_file.Float32Array) -> policy_file.Float32Array:
        noise = random.standard_normal(std.shape, dtype=np.float32)
        return (network(values) + std * noise).astype(np.float32)

    return sampled


class _Whole:
    """A policy that reads the whole observation and knows no commands."""

    takes_commands = clipped = False

    def __init__(self, policy: Policy, robot: RobotModel) -> None:
        self._policy = policy
        self._view = TurnedView(robot) if has_humanoid_v4(robot) else None
        self._heading_rad = 0.0
        self.task = policy.checkpoint.task
        self.normalization: str = policy.checkpoint.normalization

    def reset(self, heading_rad: float = 0.0) -> None:
        """It remembers nothing but the statistics of what it saw, which go on."""
        self._heading_rad = heading_rad

    def answer(self, observation: Float64Array, velocity: Float64Array) -> Float64Array:
        if self._heading_rad and self._view is not None:
            observation = self._view.turn(observation, self._heading_rad)
        return self._policy.efforts(observation)


class _OfTerms:
    """A policy that reads input terms."""

    normalization = ""

    def __init__(self, controller: Controller, robot: RobotModel) -> None:
        card = controller.card
        self.takes_commands = card.takes_commands
        self.task = card.task
        self._controller = controller
        self._joint_count = len(card.joints)
        self._blocks = {
            observation_layout(robot, base)[-1].slice.stop: fit.blocks_by_joint(
                robot, card.joints, base
            )
            for base in BASE_SOURCES
        }
        self._order = robot.joint_order(card.joints)
        self._gear = robot.gear[self._order]
        self._is_effort = card.action.kind == "effort"
        self._has_drives = robot.actuation == "position"
        self._resting = np.zeros(len(robot.joints))

    @property
    def clipped(self) -> bool:
        return self._controller.clipped

    def reset(self, heading_rad: float = 0.0) -> None:
        self._controller.reset()

    def answer(self, observation: Float64Array, velocity: Float64Array) -> Float64Array:
        blocks = self._blocks[observation.size]
        measurement = from_blocks(observation, blocks, self._joint_count)
        if self._is_effort:
            commands = self._gear * self._controller.controls(measurement, velocity)
        elif self._has_drives:
            commands = self._controller.targets(measurement, velocity)
        else:
            commands = self._controller.efforts(measurement, velocity)
        by_joint = self._resting.copy()
        by_joint[self._order] = commands
        return by_joint
