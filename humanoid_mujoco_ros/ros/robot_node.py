# SPDX-License-Identifier: Apache-2.0
"""The nodes of the robots that share a world: one for each, in the robot's own namespace."""

from __future__ import annotations

from collections.abc import Sequence

from rclpy.parameter import Parameter

from humanoid_mujoco_ros.robot.model import ModelConfig
from humanoid_mujoco_ros.ros import parameters
from humanoid_mujoco_ros.ros.guard import GuardedNode
from humanoid_mujoco_ros.ros.shared_config import FramesConfig
from humanoid_mujoco_ros.ros.state_publisher import InterfaceConfig
from humanoid_mujoco_ros.simulation.robot_spec import RobotSpec
from humanoid_mujoco_ros.simulation.simulation import SimulationConfig


def robot_nodes(owner: GuardedNode, specs: Sequence[RobotSpec]) -> list[GuardedNode]:
    """Creates a node of the owner's name for each robot; they live and end with the owner.

    A robot's node takes what the parameter files say of it. Beyond that the i-th robot's seed is
    that of the owner plus i, its frames have the robot's name in front, and the first one publishes
    /clock.

    Args:
        owner: Declares what holds for all robots.
        specs: The robots.

    Raises:
        ValueError: A parameter of the owner cannot be used.
    """
    robot = parameters.declare(owner, ModelConfig).robot
    seed = parameters.declare(owner, SimulationConfig).seed
    has_clock = parameters.declare(owner, InterfaceConfig).publish_clock
    prefix = parameters.declare(owner, FramesConfig).frame_prefix
    for number, spec in enumerate(specs):
        values = {
            "robot": spec.robot or robot,
            "seed": seed + number,
            "publish_clock": has_clock and number == 0,
            "frame_prefix": f"{prefix}{spec.name}/",
        }
        name, namespace = owner.get_name(), f"{owner.get_namespace().rstrip('/')}/{spec.name}"
        node = GuardedNode(
            name,
            context=owner.context,
            # The process's own arguments may name the owner, and the node's go before them.
            cli_args=[
                "--ros-args",
                "-r",
                f"__ns:={namespace}",
                "-r",
                f"__node:={owner.get_name()}",
            ],
            parameter_overrides=[Parameter(key, value=value) for key, value in values.items()],
        )
        owner.subnodes.append(node)
    return owner.subnodes
