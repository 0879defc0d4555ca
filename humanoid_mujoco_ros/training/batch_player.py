# SPDX-License-Identifier: Apache-2.0
"""A policy at work in a batch of simulations."""

from __future__ import annotations

import numpy as np

from humanoid_mujoco_ros.policy.controller import Controller
from humanoid_mujoco_ros.policy.measurement import from_state
from humanoid_mujoco_ros.policy.policy_file import TermPolicy
from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.training.batch import BatchSimulation
from humanoid_mujoco_ros.training.task import Array


class BatchPlayer:
    """A policy that drives N robots of a batch."""

    def __init__(self, robot: RobotModel, policy: TermPolicy, n: int) -> None:
        """Starts without a memory.

        Args:
            robot: Each of the robots.
            policy: What drives them.
            n: How many they are.
        """
        card = policy.card
        self._controller = Controller(card, policy.network, (n,))
        self._is_effort = card.action.kind == "effort"
        self._order = robot.joint_order(card.joints)
        self._by_actuator = [card.joints.index(name) for name in robot.action_joints]
        self._gear = robot.gear[robot.joint_order(robot.action_joints)]
        self._lowest, self._highest = robot.mj.actuator_ctrlrange.T

    def controls(self, simulation: BatchSimulation, command: Array) -> Array:
        """(N, nu) control signals under commands (N, 3)."""
        measurement = from_state(simulation.qpos, simulation.qvel, self._order)
        if self._is_effort:
            controls = self._controller.controls(measurement, command)[:, self._by_actuator]
        else:
            efforts = self._controller.efforts(measurement, command)
            controls = efforts[:, self._by_actuator] / self._gear
        return np.asarray(np.clip(controls, self._lowest, self._highest))
