# SPDX-License-Identifier: Apache-2.0
"""The simulated humanoid, its policy and, if asked for, RViz, the browser view and a recording."""

import tempfile
from pathlib import Path
from typing import Any

import yaml
from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    LogInfo,
    OpaqueFunction,
    Shutdown,
)
from launch.launch_context import LaunchContext
from launch_ros.actions import Node

from humanoid_mujoco_ros.bringup.config import (
    RECORD_QOS,
    config_file,
    write_parameters,
)
from humanoid_mujoco_ros.bringup.sim import SimOptions, check
from humanoid_mujoco_ros.ros.network import stay_local
from humanoid_mujoco_ros.share import share_directory

PACKAGE = "humanoid_mujoco_ros"
RVIZ_FRAMES = ("Fixed Frame", "Reference Frame", "Target Frame")
"""The properties of rviz/humanoid.rviz that name a frame."""


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
        "clock": "true publishes /clock; a second robot leaves it to the first",
        "duration": "simulated seconds after which all ends; 0: never",
        "viewer": "true starts the browser view",
        "viewer_port": "port of the browser view; empty: the config's, or 8080",
        "force_marker": "true starts the interactive marker that pulls the robot",
        "rviz": "true starts RViz",
        "record": "true records everything to an MCAP bag with ros2 bag",
        "use_sim_time": "true lets the views follow /clock",
    }
    default = {
        "config": "sim",
        "observation": "simulation",
        "network": "false",
        "clock": "true",
        "duration": "0.0",
        "viewer": "true",
        "force_marker": "true",
        "rviz": "false",
        "record": "false",
        "use_sim_time": "true",
    }
    switches = [name for name, value in default.items() if value in ("true", "false")]
    choices = {
        "mode": ["", "realtime", "lockstep"],
        "observation": ["simulation", "from_topics"],
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

    def is_true(name: str) -> bool:
        return value(name) == "true"

    def number(name: str, kind: type) -> Any:
        try:
            return kind(value(name)) if value(name) else None
        except ValueError:
            wanted = "a whole number" if kind is int else "a number"
            raise ValueError(f"{name} is '{value(name)}', expected {wanted}") from None

    try:
        options = SimOptions(
            policy=value("policy"),
            config=value("config"),
            mode=value("mode") or None,
            real_time_factor=number("real_time_factor", float),
            seed=number("seed", int),
            observation=value("observation"),
            namespace=value("namespace").strip("/"),
            network=is_true("network"),
            clock=is_true("clock"),
            duration=number("duration", float) or 0.0,
            viewer=is_true("viewer"),
            viewer_port=number("viewer_port", int),
            force_marker=is_true("force_marker"),
        )
        nodes = check(options)
    except ValueError as error:
        raise RuntimeError(f"{PACKAGE}: {error}") from error
    stay_local(options.network)
    directory = Path(tempfile.mkdtemp(prefix="humanoid_"))
    overrides = directory / "overrides.yaml"
    write_parameters(overrides, nodes)
    follows_clock = {"use_sim_time": is_true("use_sim_time")}
    actions: list[LaunchDescriptionEntity] = []
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
        actions.append(_rviz(options.namespace, directory, follows_clock))
    if is_true("record"):
        actions.append(_record(options.namespace, directory))
    return actions


def _rviz(namespace: str, directory: Path, parameters: dict[str, bool]) -> LaunchDescriptionEntity:
    if _is_missing("rviz2"):
        return LogInfo(msg="RViz is not installed (apt install ros-$ROS_DISTRO-rviz2); going on")
    file = share_directory("rviz") / "humanoid.rviz"
    if namespace:
        content = _in_namespace(yaml.safe_load(file.read_text()), namespace)
        file = directory / file.name
        file.write_text(yaml.safe_dump(content, sort_keys=False))
    return Node(
        package="rviz2",
        executable="rviz2",
        namespace=namespace,
        arguments=["-d", str(file)],
        parameters=[parameters],
        output="log",
    )


def _in_namespace(content: Any, namespace: str) -> Any:
    """RViz's configuration for a robot in a namespace: its topics, frames and TF prefix."""
    if isinstance(content, list):
        return [_in_namespace(item, namespace) for item in content]
    if not isinstance(content, dict):
        return content
    changed = {}
    for name, value in content.items():
        if name in RVIZ_FRAMES:
            changed[name] = f"{namespace}/{value}"
        elif name == "TF Prefix":
            changed[name] = namespace  # RViz adds the slash
        elif isinstance(value, str) and value.startswith("/"):
            changed[name] = f"/{namespace}{value}"
        else:
            changed[name] = _in_namespace(value, namespace)
    return changed


def _record(namespace: str, directory: Path) -> LaunchDescriptionEntity:
    if _is_missing("ros2bag"):
        return LogInfo(
            msg="ros2 bag is not installed (apt install ros-$ROS_DISTRO-ros2bag); going on"
        )
    file = share_directory("config") / f"{RECORD_QOS}.yaml"
    qos = yaml.safe_load(file.read_text())
    if namespace:
        qos[f"/{namespace}/robot_description"] = dict(qos["/robot_description"])
    file = directory / file.name
    file.write_text(yaml.safe_dump(qos))
    # Stamped with the time of reception, as `humanoid sim --record` does, in any mode: the report
    # takes rates and latency from it. Simulated time is in the messages' headers anyway, and with
    # --use-sim-time all that comes before the first /clock would be lost.
    command = ["ros2", "bag", "record", "-a", "-s", "mcap"]
    return ExecuteProcess(
        cmd=[*command, "--qos-profile-overrides-path", str(file)], output="screen"
    )


def _is_missing(package: str) -> bool:
    try:
        get_package_prefix(package)
    except PackageNotFoundError:
        return True
    return False
