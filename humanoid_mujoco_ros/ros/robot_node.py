# SPDX-License-Identifier: Apache-2.0
"""The nodes of the robots that share a world: one for each, in the robot's own namespace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rclpy.parameter import Parameter

from humanoid_mujoco_ros.robot.model import ModelConfig
from humanoid_mujoco_ros.ros import parameters
from humanoid_mujoco_ros.ros.guard import GuardedNode
from humanoid_mujoco_ros.ros.shared_config import FramesConfig
from humanoid_mujoco_ros.simulation.robot_spec import RobotSpec


def robot_nodes(
    owner: GuardedNode, specs: Sequence[RobotSpec], more: Sequence[Mapping[str, Any]] = ()
) -> list[GuardedNode]:
    """Creates a node of the owner's name for each robot; they live and end with the owner.

    A robot's node takes what the parameter files say of it. Beyond that its frames have the robot's
    name in front, and its `robot` is that of the spec, or of the owner.

    Args:
        owner: Declares what holds for all robots.
        specs: The robots.
        more: For each robot what else to set for its node.

    Raises:
        ValueError: A parameter of the owner cannot be used.
    """
    robot = parameters.declare(owner, ModelConfig).robot
    prefix = parameters.declare(owner, FramesConfig).frame_prefix
    for number, spec in enumerate(specs):
        values = {
            "robot": spec.robot or robot,
            "frame_prefix": f"{prefix}{spec.name}/",
            **(more[number] if more else {}),
        }
        name, namespace = owner.get_name(), f"{owner.get_namespace().rstrip('/')}/{spec.name}"
        node = GuardedNode(
            name,
            context=owner.context,
            # The process's own arguments may name the owner, and the node's go before them.
            cli_args=["--ros-args", "-r", f"__ns:={namespace}", "-r", f"__node:={name}"],
            parameter_overrides=[Parameter(key, value=value) for key, value in values.items()],
        )
        owner.subnodes.append(node)
    return owner.subnodes
