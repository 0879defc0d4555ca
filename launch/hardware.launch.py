# SPDX-License-Identifier: Apache-2.0
"""policy_node and observation_node for a robot: no simulator, no simulated clock."""

from typing import Any

from launch import LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction
from launch.launch_context import LaunchContext
from launch_ros.actions import Node

from humanoid_mujoco_ros.bringup import launch_files
from humanoid_mujoco_ros.bringup.config import PACKAGE, NodeGroup, read_parameters, write_overrides
from humanoid_mujoco_ros.bringup.hardware import HardwareOptions, check
from humanoid_mujoco_ros.robot.model import ModelConfig, RobotModel
from humanoid_mujoco_ros.robot.urdf import urdf
from humanoid_mujoco_ros.ros.network import stay_local
from humanoid_mujoco_ros.ros.parameters import from_parameters


def generate_launch_description() -> LaunchDescription:
    links = DeclareLaunchArgument(
        "robot_state_publisher",
        default_value="auto",
        description="who publishes the links' TF and robot_description: auto starts "
        "robot_state_publisher if it is installed and the robot has no joint_map; true insists on "
        "it; false leaves it to the robot",
        choices=["auto", *launch_files.SWITCH],
    )
    arguments = launch_files.option_arguments(HardwareOptions)
    return LaunchDescription([*arguments, links, OpaqueFunction(function=start)])


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    values = context.launch_configurations
    try:
        options = launch_files.options_of(HardwareOptions, values)
        nodes = check(options)
        wanted = values["robot_state_publisher"].lower()
        tf = _robot_state_publisher(options, nodes["observation_node"], wanted)
    except ValueError as error:
        raise RuntimeError(f"{PACKAGE}: {error}") from error
    stay_local(network=options.network)
    group = NodeGroup(options.namespace, nodes)
    overrides = write_overrides(launch_files.new_run_directory(), group)
    drivers = [
        launch_files.node_action(
            name, options, group.namespace, overrides, respawn=True, respawn_delay=1.0
        )
        for name in nodes
    ]
    return [*drivers, *tf]


def _robot_state_publisher(
    options: HardwareOptions, overrides: dict[str, Any], wanted: str
) -> list[LaunchDescriptionEntity]:
    if wanted == "false":
        return []
    parameters = read_parameters(options.config_path, "observation_node", options.namespace)
    parameters |= overrides
    obstacle = None
    if parameters.get("joint_map"):
        obstacle = (
            "the model's URDF does not fit a robot with a joint_map: "
            "start robot_state_publisher with the robot's own URDF"
        )
    elif launch_files.is_missing("robot_state_publisher"):
        obstacle = (
            "robot_state_publisher is not installed "
            "(apt install ros-$ROS_DISTRO-robot-state-publisher)"
        )
    if obstacle and wanted == "true":
        raise ValueError(f"robot_state_publisher:=true: {obstacle}")
    if obstacle:
        return [LogInfo(msg=f"the links have no TF from here: {obstacle}; going on")]
    robot = RobotModel(from_parameters(ModelConfig, parameters))
    return [
        Node(
            package="robot_state_publisher",
            executable="robot_state_publisher",
            namespace=options.namespace,
            parameters=[
                {
                    "robot_description": urdf(robot),
                    "frame_prefix": f"{options.namespace}/" if options.namespace else "",
                    "publish_frequency": 1.0 / robot.control_period_s,
                }
            ],
            output="screen",
        )
    ]
