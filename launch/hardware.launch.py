"""policy_node and observation_node for a robot: no simulator, no simulated clock."""

import tempfile
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction, SetEnvironmentVariable
from launch.launch_context import LaunchContext
from launch_ros.actions import Node

from humanoid_mujoco_ros.bringup.config import config_file, read_parameters, write_parameters
from humanoid_mujoco_ros.bringup.hardware import HardwareOptions, check
from humanoid_mujoco_ros.core.model import ModelConfig, RobotModel
from humanoid_mujoco_ros.core.urdf import urdf
from humanoid_mujoco_ros.nodes.parameters import from_parameters
from launch import LaunchDescription, LaunchDescriptionEntity

PACKAGE = "humanoid_mujoco_ros"


def generate_launch_description() -> LaunchDescription:
    text = {
        "policy": "walk, balance, a checkpoint file or hf://owner/repo; empty: the config's",
        "config": "hardware, or a ROS parameter file made from config/hardware.yaml",
        "namespace": "namespace of the robot's topics",
        "network": "true lets other machines see the graph",
        "force_marker": "true starts the interactive marker for RViz",
        "robot_state_publisher": "true publishes the links' TF, for a robot that does not",
    }
    default = {
        "config": "hardware",
        "network": "false",
        "force_marker": "false",
        "robot_state_publisher": "false",
    }
    switches = ("network", "force_marker", "robot_state_publisher")
    arguments = [
        DeclareLaunchArgument(
            name,
            default_value=default.get(name, ""),
            description=description,
            choices=["true", "false"] if name in switches else None,
        )
        for name, description in text.items()
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=start)])


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    def value(name: str) -> str:
        return context.launch_configurations[name]

    options = HardwareOptions(
        policy=value("policy"),
        config=value("config"),
        namespace=value("namespace"),
        force_marker=value("force_marker") == "true",
    )
    try:
        nodes = check(options)
    except ValueError as error:
        raise RuntimeError(f"{PACKAGE}: {error}") from error
    overrides = Path(tempfile.mkdtemp(prefix="humanoid_")) / "overrides.yaml"
    write_parameters(overrides, nodes)
    range_ = "SUBNET" if value("network") == "true" else "LOCALHOST"
    actions: list[LaunchDescriptionEntity] = [
        SetEnvironmentVariable("ROS_AUTOMATIC_DISCOVERY_RANGE", range_)
    ]
    actions += [
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
    if value("robot_state_publisher") == "true":
        actions.append(_robot_state_publisher(options))
    return actions


def _robot_state_publisher(options: HardwareOptions) -> LaunchDescriptionEntity:
    parameters = read_parameters(config_file(options.config), "observation_node")
    if parameters.get("joint_map"):
        return LogInfo(
            msg="the model's URDF does not fit a robot with a joint_map: "
            "start robot_state_publisher with the robot's own URDF; going on"
        )
    try:
        get_package_prefix("robot_state_publisher")
    except PackageNotFoundError:
        return LogInfo(
            msg="robot_state_publisher is not installed "
            "(apt install ros-$ROS_DISTRO-robot-state-publisher); going on"
        )
    robot = RobotModel(from_parameters(ModelConfig, parameters, path="model"))
    prefix = f"{options.namespace.strip('/')}/" if options.namespace else ""
    return Node(
        package="robot_state_publisher",
        executable="robot_state_publisher",
        namespace=options.namespace,
        parameters=[{"robot_description": urdf(robot), "frame_prefix": prefix}],
        output="screen",
    )
