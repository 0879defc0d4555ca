# SPDX-License-Identifier: Apache-2.0
"""policy_node and observation_node for a robot: no simulator, no simulated clock."""

import tempfile
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction
from launch.launch_context import LaunchContext
from launch_ros.actions import Node

from humanoid_mujoco_ros.bringup.config import config_file, read_parameters, write_parameters
from humanoid_mujoco_ros.bringup.hardware import HardwareOptions, check
from humanoid_mujoco_ros.robot.model import ModelConfig, RobotModel
from humanoid_mujoco_ros.robot.urdf import urdf
from humanoid_mujoco_ros.ros.network import stay_local
from humanoid_mujoco_ros.ros.parameters import from_parameters

PACKAGE = "humanoid_mujoco_ros"


def generate_launch_description() -> LaunchDescription:
    text = {
        "policy": "walk, balance, a checkpoint file or hf://owner/repo; empty: the config's",
        "config": "hardware, or a ROS parameter file made from config/hardware.yaml",
        "namespace": "namespace of the robot's topics",
        "network": "true lets other machines see the graph",
        "viewer": "true starts the browser view",
        "viewer_port": "port of the browser view; empty: the config's, or 8080",
        "force_marker": "true starts the interactive marker for RViz",
        "robot_state_publisher": "who publishes the links' TF and robot_description: auto starts "
        "robot_state_publisher if it is installed and the robot has no joint_map; true insists on "
        "it; false leaves it to the robot",
    }
    default = {
        "config": "hardware",
        "network": "false",
        "viewer": "false",
        "force_marker": "false",
        "robot_state_publisher": "auto",
    }
    switches = [name for name, value in default.items() if value == "false"]
    choices = {
        "robot_state_publisher": ["auto", "true", "false"],
        **{name: ["true", "false"] for name in switches},
    }
    arguments = [
        DeclareLaunchArgument(
            name,
            default_value=default.get(name, ""),
            description=description,
            choices=choices.get(name),
        )
        for name, description in text.items()
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=start)])


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    def value(name: str) -> str:
        return context.launch_configurations[name]

    try:
        options = HardwareOptions(
            policy=value("policy"),
            config=value("config"),
            namespace=value("namespace").strip("/"),
            network=value("network") == "true",
            viewer=value("viewer") == "true",
            viewer_port=_port(value("viewer_port")),
            force_marker=value("force_marker") == "true",
        )
        nodes = check(options)
        tf = _robot_state_publisher(options, value("robot_state_publisher"))
    except ValueError as error:
        raise RuntimeError(f"{PACKAGE}: {error}") from error
    stay_local(options.network)
    overrides = Path(tempfile.mkdtemp(prefix="humanoid_")) / "overrides.yaml"
    write_parameters(overrides, nodes)
    drivers = [
        Node(
            package=PACKAGE,
            executable=name,
            name=name,
            namespace=options.namespace,
            parameters=[str(config_file(options.config)), str(overrides)],
            output="screen",
            respawn=True,
            respawn_delay=1.0,
        )
        for name in nodes
    ]
    return [*drivers, *tf]


def _port(text: str) -> int | None:
    try:
        return int(text) if text else None
    except ValueError:
        raise ValueError(f"viewer_port is '{text}', expected a whole number") from None


def _robot_state_publisher(options: HardwareOptions, wanted: str) -> list[LaunchDescriptionEntity]:
    if wanted == "false":
        return []
    parameters = read_parameters(config_file(options.config), "observation_node")
    obstacle = ""
    if parameters.get("joint_map"):
        obstacle = (
            "the model's URDF does not fit a robot with a joint_map: "
            "start robot_state_publisher with the robot's own URDF"
        )
    elif _is_missing("robot_state_publisher"):
        obstacle = (
            "robot_state_publisher is not installed "
            "(apt install ros-$ROS_DISTRO-robot-state-publisher)"
        )
    if obstacle and wanted == "true":
        raise ValueError(f"robot_state_publisher:=true: {obstacle}")
    if obstacle:
        return [LogInfo(msg=f"the links have no TF from here: {obstacle}; going on")]
    robot = RobotModel(from_parameters(ModelConfig, parameters, path="model"))
    frame_prefix = f"{options.namespace}/" if options.namespace else ""
    return [
        Node(
            package="robot_state_publisher",
            executable="robot_state_publisher",
            namespace=options.namespace,
            parameters=[{"robot_description": urdf(robot), "frame_prefix": frame_prefix}],
            output="screen",
        )
    ]


def _is_missing(package: str) -> bool:
    try:
        get_package_prefix(package)
    except PackageNotFoundError:
        return True
    return False
