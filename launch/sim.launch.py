# SPDX-License-Identifier: Apache-2.0
"""The simulated humanoid, its policy and, if asked for, RViz, the browser view and a recording."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from launch import Event, LaunchDescription, LaunchDescriptionEntity
from launch.actions import ExecuteProcess, LogInfo, OpaqueFunction, Shutdown
from launch.launch_context import LaunchContext
from launch_ros.actions import Node

from humanoid_mujoco_ros.bringup import launch_files
from humanoid_mujoco_ros.bringup.config import PACKAGE, RECORD_QOS, write_overrides
from humanoid_mujoco_ros.bringup.sim import SimOptions, check
from humanoid_mujoco_ros.ros.network import stay_local
from humanoid_mujoco_ros.share import share_directory

RVIZ_FRAMES = ("Fixed Frame", "Reference Frame", "Target Frame")
"""The properties of rviz/humanoid.rviz that name a frame."""


def generate_launch_description() -> LaunchDescription:
    arguments = launch_files.option_arguments(
        SimOptions, defaults={"force_marker": "true"}, without=["record"]
    )
    arguments += [
        launch_files.switch("rviz", "false", "true starts RViz"),
        launch_files.switch(
            "record", "false", "true records everything to an MCAP bag with ros2 bag"
        ),
        launch_files.switch("use_sim_time", "true", "true lets the views follow /clock"),
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=start)])


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    values = context.launch_configurations
    try:
        options = launch_files.options_of(SimOptions, values, without=["record"])
        groups = check(options)
    except ValueError as error:
        raise RuntimeError(f"{PACKAGE}: {error}") from error
    stay_local(network=options.network)
    directory = launch_files.new_run_directory()
    follows_clock = {"use_sim_time": launch_files.is_true(values["use_sim_time"])}
    # Robots that share a world have the groups after the world's.
    robots = [group.namespace for group in groups[1:]] or [options.namespace]
    actions: list[LaunchDescriptionEntity] = []
    for group in groups:
        overrides = write_overrides(directory, group)
        for name in group.programs:
            if name == "simulation_node":
                role: dict[str, Any] = {"on_exit": _end_with_simulation}
            else:
                role = {"respawn": True, "respawn_delay": 1.0}
            is_view = name in ("viewer_node", "force_marker_node")
            more = [follows_clock] if is_view else []
            actions.append(
                launch_files.node_action(name, options, group.namespace, overrides, more, **role)
            )
    if launch_files.is_true(values["rviz"]):
        actions += [_rviz(robot, directory, follows_clock) for robot in robots]
    if launch_files.is_true(values["record"]):
        actions.append(_record(robots, directory))
    return actions


def _end_with_simulation(_: Event, context: LaunchContext) -> LaunchDescriptionEntity | None:
    """The simulation ends by itself after `duration`, and the rest with it."""
    # A second shutdown would end in an exception of launch_ros.
    return None if context.is_shutdown else Shutdown(reason="the simulation ended")


def _rviz(namespace: str, directory: Path, parameters: dict[str, bool]) -> LaunchDescriptionEntity:
    if launch_files.is_missing("rviz2"):
        return LogInfo(msg="RViz is not installed (apt install ros-$ROS_DISTRO-rviz2); going on")
    file = share_directory("rviz") / "humanoid.rviz"
    if namespace:
        content = _in_namespace(yaml.safe_load(file.read_text()), namespace)
        file = directory / namespace / file.name
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


def _record(namespaces: Sequence[str], directory: Path) -> LaunchDescriptionEntity:
    if launch_files.is_missing("ros2bag"):
        return LogInfo(
            msg="ros2 bag is not installed (apt install ros-$ROS_DISTRO-ros2bag); going on"
        )
    file = share_directory("config") / f"{RECORD_QOS}.yaml"
    qos = yaml.safe_load(file.read_text())
    for namespace in filter(None, namespaces):
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
