"""The simulated humanoid, its policy and, if asked for, RViz, the browser view and a recording."""

import tempfile
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    LogInfo,
    OpaqueFunction,
    SetEnvironmentVariable,
    Shutdown,
)
from launch.launch_context import LaunchContext
from launch_ros.actions import Node

from humanoid_mujoco_ros.bringup.config import (
    RECORD_QOS,
    config_file,
    share_directory,
    write_parameters,
)
from humanoid_mujoco_ros.bringup.sim import SimOptions, check
from launch import LaunchDescription, LaunchDescriptionEntity

PACKAGE = "humanoid_mujoco_ros"
RVIZ_TOPICS = (
    "/robot_description",
    "/odom",
    "/left_foot/wrench",
    "/right_foot/wrench",
    "/force_marker/arrow",
    "/force_marker/update",
    "/force_marker/feedback",
    "/force_marker/get_interactive_markers",
)
"""The topics and services of rviz/humanoid.rviz that are a robot's own."""


def generate_launch_description() -> LaunchDescription:
    text = {
        "policy": "walk, balance, a checkpoint file or hf://owner/repo; empty: the config's",
        "config": "sim (100 Hz), humanoid_v4 (66.67 Hz) or a ROS parameter file",
        "mode": "realtime or lockstep; empty: the config's",
        "real_time_factor": "simulated seconds per second; empty: the config's",
        "seed": "seed of the initial states and of sampled actions; empty: the config's",
        "observation": "simulation, or from_topics to rebuild it from joint_states and odom",
        "namespace": "namespace of every node and topic, for a second robot",
        "network": "true lets other machines see the graph",
        "duration": "simulated seconds after which all ends; 0: never",
        "viewer": "true starts the browser view",
        "force_marker": "true starts the interactive marker that pulls the robot",
        "rviz": "true starts RViz",
        "record": "true records everything to an MCAP bag with ros2 bag",
        "use_sim_time": "true lets the views and the recording follow /clock",
    }
    default = {
        "config": "sim",
        "observation": "simulation",
        "network": "false",
        "duration": "0.0",
        "viewer": "true",
        "force_marker": "true",
        "rviz": "false",
        "record": "false",
        "use_sim_time": "true",
    }
    choices = {
        "mode": ["", "realtime", "lockstep"],
        "observation": ["simulation", "from_topics"],
        **{
            name: ["true", "false"]
            for name in ("network", "viewer", "force_marker", "rviz", "record", "use_sim_time")
        },
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

    def is_true(name: str) -> bool:
        return value(name) == "true"

    options = SimOptions(
        policy=value("policy"),
        config=value("config"),
        mode=value("mode") or None,
        real_time_factor=float(value("real_time_factor")) if value("real_time_factor") else None,
        seed=int(value("seed")) if value("seed") else None,
        observation=value("observation"),
        namespace=value("namespace"),
        network=is_true("network"),
        duration=float(value("duration")),
        viewer=is_true("viewer"),
        force_marker=is_true("force_marker"),
    )
    try:
        nodes = check(options)
    except ValueError as error:
        raise RuntimeError(f"{PACKAGE}: {error}") from error
    overrides = Path(tempfile.mkdtemp(prefix="humanoid_")) / "overrides.yaml"
    write_parameters(overrides, nodes)
    range_ = "SUBNET" if is_true("network") else "LOCALHOST"
    follows_clock = {"use_sim_time": is_true("use_sim_time")}
    actions: list[LaunchDescriptionEntity] = [
        SetEnvironmentVariable("ROS_AUTOMATIC_DISCOVERY_RANGE", range_)
    ]
    for name in nodes:
        is_simulation = name == "simulation_node"
        is_view = name in ("viewer_node", "force_marker_node")
        actions.append(
            Node(
                package=PACKAGE,
                executable=name,
                name=name,
                namespace=options.namespace,
                parameters=[
                    str(config_file(options.config)),
                    str(overrides),
                    *([follows_clock] if is_view else []),
                ],
                output="screen",
                # The simulation ends by itself after `duration`, and the rest with it.
                on_exit=Shutdown(reason="the simulation ended") if is_simulation else None,
                respawn=not is_simulation,
                respawn_delay=1.0,
            )
        )
    if is_true("rviz"):
        actions.append(_rviz(options.namespace.strip("/"), follows_clock))
    if is_true("record"):
        actions.append(_record(is_true("use_sim_time")))
    return actions


def _rviz(namespace: str, parameters: dict[str, bool]) -> LaunchDescriptionEntity:
    if _is_missing("rviz2"):
        return LogInfo(msg="RViz is not installed (apt install ros-$ROS_DISTRO-rviz2); going on")
    arguments = ["-d", str(share_directory("rviz") / "humanoid.rviz")]
    remappings = []
    if namespace:
        # The file names the topics of a robot without a namespace.
        arguments += ["-f", f"{namespace}/odom"]
        remappings = [(topic, f"/{namespace}{topic}") for topic in RVIZ_TOPICS]
    return Node(
        package="rviz2",
        executable="rviz2",
        namespace=namespace,
        arguments=arguments,
        parameters=[parameters],
        remappings=remappings,
        output="log",
    )


def _record(use_sim_time: bool) -> LaunchDescriptionEntity:
    if _is_missing("ros2bag"):
        return LogInfo(
            msg="ros2 bag is not installed (apt install ros-$ROS_DISTRO-ros2bag); going on"
        )
    qos = share_directory("config") / f"{RECORD_QOS}.yaml"
    command = ["ros2", "bag", "record", "-a", "-s", "mcap"]
    command += ["--qos-profile-overrides-path", str(qos)]
    return ExecuteProcess(
        cmd=[*command, *(["--use-sim-time"] if use_sim_time else [])], output="screen"
    )


def _is_missing(package: str) -> bool:
    try:
        get_package_prefix(package)
    except PackageNotFoundError:
        return True
    return False
