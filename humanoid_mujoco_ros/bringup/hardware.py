# SPDX-License-Identifier: Apache-2.0
"""`humanoid hardware`: a policy drives a robot, without `ros2 launch`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from rich.console import Console

from humanoid_mujoco_ros.bringup.config import NodeGroup, check_parameters, node_arguments
from humanoid_mujoco_ros.bringup.options import GraphOptions
from humanoid_mujoco_ros.bringup.robot_check import check_robots
from humanoid_mujoco_ros.bringup.run_directory import run_directory
from humanoid_mujoco_ros.bringup.supervisor import NodeProcess, node_process
from humanoid_mujoco_ros.bringup.terminal import supervise
from humanoid_mujoco_ros.ros.network import stay_local

DRIVERS = ("policy_node", "observation_node")
"""The nodes that drive the robot."""


@dataclass(frozen=True)
class HardwareOptions(GraphOptions):
    """Drive a robot that publishes joint_states and odom or imu/data; Ctrl-C ends the drive."""

    config_names: ClassVar[tuple[str, ...]] = ("hardware",)
    config: str = "hardware"
    """hardware, or a ROS parameter file made from config/hardware.yaml."""


def check(options: HardwareOptions) -> dict[str, dict[str, Any]]:
    """Finds what is wrong with the options before anything starts.

    Returns:
        Node → the parameters to set on top of the config file, for each node to start.

    Raises:
        ValueError: The message says what cannot be used.
    """
    options.check()
    nodes: dict[str, dict[str, Any]] = {node: {} for node in DRIVERS}
    if options.policy:
        nodes["policy_node"]["policy"] = options.policy
    nodes |= options.views()
    for parameters in nodes.values():
        parameters |= options.chosen_robot()
    everything = check_parameters(options.config_path, nodes, options.namespace)
    needed = check_robots(everything).needed_base
    if needed is not None and "base_from" not in everything["observation_node"]:
        nodes["observation_node"]["base_from"] = needed
    return nodes


def processes(
    options: HardwareOptions, nodes: dict[str, dict[str, Any]], directory: Path
) -> list[NodeProcess]:
    """The processes that drive the robot; `directory` keeps a file of their parameters."""
    group = NodeGroup(options.namespace, nodes)
    arguments = node_arguments(options.config_path, group, directory)
    return [node_process(node, arguments, restart=True) for node in nodes]


def run(options: HardwareOptions) -> int:
    """Runs `humanoid hardware`."""
    try:
        nodes = check(options)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    stay_local(network=options.network)
    with run_directory() as directory:
        drivers = processes(options, nodes, directory)
        return supervise(drivers, options.namespace, "", Console())
