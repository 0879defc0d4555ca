# SPDX-License-Identifier: Apache-2.0
"""Reads the nodes' parameter files, to find mistakes before a process is started."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from humanoid_mujoco_ros.interaction.spring import SpringConfig
from humanoid_mujoco_ros.nodes.force_marker_node import MarkerConfig
from humanoid_mujoco_ros.nodes.observation_node import ObservationConfig
from humanoid_mujoco_ros.nodes.policy_node import PolicyConfig
from humanoid_mujoco_ros.nodes.simulation_node import InterfaceConfig
from humanoid_mujoco_ros.robot.model import ModelConfig
from humanoid_mujoco_ros.ros.parameters import from_parameters, named_fields
from humanoid_mujoco_ros.share import share_directory
from humanoid_mujoco_ros.simulation.physics_loop import LoopConfig
from humanoid_mujoco_ros.simulation.simulation import SimulationConfig
from humanoid_mujoco_ros.viewer.view import ViewerConfig

RECORD_QOS = "record_qos"
"""The one file in config/ that holds no parameters but QoS overrides for `ros2 bag record`."""


RENAMED = {"path": "model"}
"""Field → parameter, where the field's name would be unclear."""
NODE_CONFIGS: dict[str, tuple[type, ...]] = {
    "simulation_node": (ModelConfig, SimulationConfig, LoopConfig, InterfaceConfig),
    "policy_node": (ModelConfig, PolicyConfig),
    "observation_node": (ModelConfig, ObservationConfig),
    "force_marker_node": (ModelConfig, MarkerConfig, SpringConfig),
    "viewer_node": (ModelConfig, ViewerConfig, SpringConfig),
}
"""Node → the configurations that its parameters make."""
NODE_PARAMETERS = {
    "simulation_node": ("joints",),
    "policy_node": ("policy", "joint_map", "joints"),
    "observation_node": ("joint_map", "joints"),
    "force_marker_node": ("joint_map",),
    "viewer_node": ("joint_map",),
}
"""Node → its other parameters."""


class ConfigError(ValueError):
    """A configuration file cannot be used; the message says why."""


def config_file(config: str) -> Path:
    """The parameter file of a name (sim, humanoid_v4) or a path.

    Raises:
        ConfigError: There is no such file.
    """
    directory = share_directory("config")
    if config in _configs(directory):
        return directory / f"{config}.yaml"
    path = Path(config).expanduser()
    if path.is_file():
        return path
    names = ", ".join(sorted(_configs(directory)))
    raise ConfigError(f"config '{config}' is neither a file nor one of {names}")


def _configs(directory: Path) -> list[str]:
    return [path.stem for path in directory.glob("*.yaml") if path.stem != RECORD_QOS]


def read_parameters(path: Path, node: str, shared: bool = True) -> dict[str, Any]:
    """The ROS parameters that a file sets for `node` in any namespace.

    Args:
        path: The file.
        node: Name of the node.
        shared: Include those that the file sets for all nodes.

    Raises:
        ConfigError: The file is not a ROS parameter file.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} is not a ROS parameter file: expected node names at its top")
    parameters: dict[str, Any] = {}
    for name, section in content.items():
        if not isinstance(section, dict) or not isinstance(section.get("ros__parameters"), dict):
            raise ConfigError(f"{path}: '{name}' has no ros__parameters")
        if (shared and name == "/**") or str(name).rsplit("/", 1)[-1] == node:
            parameters.update(section["ros__parameters"])
    return parameters


def check_parameters(
    path: Path, nodes: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Finds the mistakes in a parameter file that would stop a node, or that it would not notice.

    Args:
        path: The file.
        nodes: Node → what is set on top of the file, for each node that will run.

    Returns:
        Node → all parameters that are set for it.

    Raises:
        ValueError: A parameter does not exist, or its value is of another type or out of range.
    """
    everything = {}
    for node, parameters in nodes.items():
        own = read_parameters(path, node, shared=False)
        known = {*NODE_PARAMETERS[node], "use_sim_time"}
        for config_type in NODE_CONFIGS[node]:
            known |= {parameter for parameter, _ in named_fields(config_type, **RENAMED)}
        for name in own:
            if name not in known:
                raise ConfigError(
                    f"{path}: {node} has no parameter '{name}'; it has {', '.join(sorted(known))}"
                )
        everything[node] = {**read_parameters(path, node), **parameters}
        for config_type in NODE_CONFIGS[node]:
            try:
                from_parameters(config_type, everything[node], **RENAMED)
            except ValueError as error:
                raise ConfigError(f"{node}: {error}") from error
    return everything


def write_parameters(path: Path, parameters: dict[str, dict[str, Any]]) -> None:
    """Writes a ROS parameter file that sets parameters by node, in any namespace."""
    content = {
        f"/**/{node}": {"ros__parameters": values} for node, values in parameters.items() if values
    }
    # An empty file is not a parameter file.
    path.write_text(yaml.safe_dump(content or {"/**": {"ros__parameters": {}}}))


def node_arguments(
    config: str, namespace: str, nodes: dict[str, dict[str, Any]], directory: Path
) -> list[str]:
    """Command line of every node of a graph: the config file, what `nodes` set on top, namespace.

    The latter goes to a file in `directory`, since -p would lose against a section of the config
    that names the node.
    """
    overrides = directory / "overrides.yaml"
    write_parameters(overrides, nodes)
    arguments = ["--ros-args", "--params-file", str(config_file(config))]
    arguments += ["--params-file", str(overrides)]
    if namespace:
        arguments += ["-r", f"__ns:=/{namespace.strip('/')}"]
    return arguments
