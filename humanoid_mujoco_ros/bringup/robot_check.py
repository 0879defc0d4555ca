# SPDX-License-Identifier: Apache-2.0
"""Finds what would stop the nodes of a graph because of its robot, before one is started."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from humanoid_mujoco_ros.policy.config import NO_POLICY, PolicyConfig
from humanoid_mujoco_ros.policy.driver import Driver
from humanoid_mujoco_ros.robot.joint_map import JointMap
from humanoid_mujoco_ros.robot.model import ModelConfig, RobotModel
from humanoid_mujoco_ros.ros.parameters import from_parameters, parse_joint_map


def check_robot(everything: Mapping[str, Mapping[str, Any]], *, driver: str) -> None:
    """Loads the robot as each node will, and the policy.

    Args:
        everything: Node → its parameters.
        driver: The node that runs the policy.

    Raises:
        ValueError: The robot, its joints or the policy cannot be used; the message says why.
    """
    robots: dict[ModelConfig, RobotModel] = {}
    for node, parameters in everything.items():
        config = from_parameters(ModelConfig, parameters)
        if config not in robots:
            robots[config] = RobotModel(config)
        robot = robots[config]
        joint_map = parse_joint_map(parameters.get("joint_map", ""), robot)
        joints = parameters.get("joints", joint_map.driven_joints)
        joint_map.command_order(joints)
        if node == driver:
            _check_policy(robot, joint_map, joints, from_parameters(PolicyConfig, parameters))


def _check_policy(
    robot: RobotModel, joint_map: JointMap, joints: list[str], config: PolicyConfig
) -> None:
    name = config.policy or robot.card.policy or NO_POLICY
    if name != NO_POLICY:
        Driver(robot, joint_map, joints).load(name, sample=config.action == "sample", seed=0)
