# SPDX-License-Identifier: Apache-2.0
"""Finds what would stop the nodes of a graph because of its robot, before one is started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from humanoid_mujoco_ros.policy.config import (
    NO_POLICY,
    ObservationConfig,
    PolicyConfig,
    policy_of,
)
from humanoid_mujoco_ros.policy.driver import Driver
from humanoid_mujoco_ros.policy.measurement import BASE_SOURCES, BaseSource
from humanoid_mujoco_ros.robot.joint_map import JointMap
from humanoid_mujoco_ros.robot.model import ModelConfig, RobotModel
from humanoid_mujoco_ros.ros.parameters import from_parameters, parse_joint_map


@dataclass(frozen=True)
class CheckedRobot:
    """What is known of the robot and the policy of a graph that was found good."""

    robot: RobotModel
    """That of policy_node."""
    needed_base: BaseSource | None
    """What has to measure its base for the policy; None: there is no policy."""


def check_robots(everything: Mapping[str, Mapping[str, Any]]) -> CheckedRobot:
    """Loads the robot as each node will, and the policy as policy_node will.

    Args:
        everything: Node → its parameters; policy_node is one of them.

    Raises:
        ValueError: The robot, its joints or the policy cannot be used, or observation_node is told
            to go without what the policy needs; the message says why.
    """
    robots: dict[ModelConfig, RobotModel] = {}
    for parameters in everything.values():
        model = from_parameters(ModelConfig, parameters)
        robot = robots[model] = robots.get(model) or RobotModel(model)
        joint_map = parse_joint_map(parameters.get("joint_map", ""), robot)
        joint_map.command_order(parameters.get("joints", joint_map.driven_joints))
    driver = everything["policy_node"]
    robot = robots[from_parameters(ModelConfig, driver)]
    config = from_parameters(PolicyConfig, driver)
    name = policy_of(robot.card, config.policy)
    if name == NO_POLICY:
        return CheckedRobot(robot, None)
    joint_map = JointMap(robot)
    loaded = Driver(robot, joint_map, joint_map.driven_joints)
    policy = loaded.prepare(name, sample=config.samples, seed=config.seed)
    observer = everything.get("observation_node", {})
    source = from_parameters(ObservationConfig, observer).base_from
    if "base_from" in observer and BASE_SOURCES.index(source) < BASE_SOURCES.index(policy.base):
        raise ValueError(
            f"policy '{name}' reads {policy.reads}, which needs base_from: {policy.base}; "
            f"observation_node has base_from: {source}"
        )
    return CheckedRobot(robot, policy.base)


def stands_by_itself(robot: RobotModel, parameters: Mapping[str, Any]) -> bool:
    """Whether a robot is to hold its pose in its drives, since no policy is to drive it.

    Args:
        robot: The robot.
        parameters: Those of policy_node.
    """
    wanted = from_parameters(PolicyConfig, parameters).policy
    return robot.actuation == "position" and policy_of(robot.card, wanted) == NO_POLICY
