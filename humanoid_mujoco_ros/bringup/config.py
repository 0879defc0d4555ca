# SPDX-License-Identifier: Apache-2.0
"""Reads the nodes' parameter files, to find mistakes before a process is started."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

from humanoid_mujoco_ros.robot.card import card_names
from humanoid_mujoco_ros.robot.errors import YamlError
from humanoid_mujoco_ros.ros.parameter_file import NodeSection, sections
from humanoid_mujoco_ros.ros.parameters import check_other, from_parameters, named_fields
from humanoid_mujoco_ros.share import PACKAGE as PACKAGE
from humanoid_mujoco_ros.share import share_directory

RECORD_QOS = "record_qos"
"""The one file in config/ that holds no parameters but QoS overrides for `ros2 bag record`."""
_NODE_CONFIGS = {
    "simulation_node": (
        "robot.model:ModelConfig",
        "simulation.simulation:SimulationConfig",
        "simulation.physics_loop:LoopConfig",
        "ros.state_publisher:InterfaceConfig",
        "ros.shared_config:FramesConfig",
    ),
    "policy_node": (
        "robot.model:ModelConfig",
        "policy.config:PolicyConfig",
        "policy.config:VelocityMessageConfig",
        "policy.config:VelocityConfig",
    ),
    "observation_node": (
        "robot.model:ModelConfig",
        "policy.config:ObservationConfig",
        "ros.shared_config:PairingConfig",
    ),
    "force_marker_node": (
        "robot.model:ModelConfig",
        "ros.force_marker:MarkerConfig",
        "ros.shared_config:FramesConfig",
        "ros.shared_config:PairingConfig",
        "interaction.spring:SpringConfig",
    ),
    "viewer_node": (
        "robot.model:ModelConfig",
        "viewer.config:ViewerConfig",
        "ros.shared_config:FramesConfig",
        "ros.shared_config:PairingConfig",
        "interaction.spring:SpringConfig",
        "policy.config:VelocityMessageConfig",
    ),
}
"""Node → the configurations that its parameters make. They are imported for the nodes that run
alone: a run without a view needs no viser."""
NODE_PARAMETERS = {
    "simulation_node": ("joints", "start_posture", "start_pose"),
    "policy_node": ("joint_map", "joints"),
    "observation_node": ("joint_map", "joints"),
    "force_marker_node": ("joint_map",),
    "viewer_node": ("joint_map",),
}
"""Node → its other parameters."""
NODES = tuple(_NODE_CONFIGS)


class ConfigError(ValueError):
    """A configuration file cannot be used; the message says why."""


def node_configs(node: str) -> list[type]:
    """The configurations that the parameters of a node make."""
    types = []
    for address in _NODE_CONFIGS[node]:
        module, _, name = address.partition(":")
        types.append(getattr(importlib.import_module(f"{PACKAGE}.{module}"), name))
    return types


def config_file(config: str, names: Collection[str]) -> Path:
    """The parameter file of a name or a path.

    Args:
        config: One of `names`, which ship, or a path.
        names: The configurations that fit the command.

    Raises:
        ConfigError: There is no such file.
    """
    if config in names:
        return share_directory("config") / f"{config}.yaml"
    try:
        path = Path(config).expanduser()
        if path.exists():
            return path
    except (OSError, RuntimeError) as error:  # too long a name, an unknown user's home
        raise ConfigError(f"config '{config}' is no usable path: {error}") from error
    if config in card_names(share_directory("config") / "robots"):
        raise ConfigError(
            f"'{config}' is a robot, not a config: --robot {config}, or robot:={config}"
        )
    raise ConfigError(f"config '{config}' is neither a file nor one of {', '.join(names)}")


def _sections(path: Path) -> list[NodeSection]:
    try:
        return sections(path)
    except (OSError, YamlError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"cannot use {path}: {reason}") from error


def read_parameters(path: Path, node: str, namespace: str = "") -> dict[str, Any]:
    """The parameters that a file sets for a node, as rcl gives them to it.

    Args:
        path: The file.
        node: Name of the node.
        namespace: Its namespace.

    Raises:
        ConfigError: The file is not a ROS parameter file.
    """
    parameters: dict[str, Any] = {}
    for section in _sections(path):
        if section.is_for(_full_name(node, namespace)):
            parameters.update(section.parameters)
    return parameters


def _full_name(node: str, namespace: str) -> str:
    return "/".join(("", *namespace.strip("/").split("/"), node)).replace("//", "/")


def check_parameters(
    path: Path, nodes: Mapping[str, Mapping[str, Any]], namespace: str = ""
) -> dict[str, dict[str, Any]]:
    """Finds the mistakes in a parameter file that would stop a node, or that it would not notice.

    Args:
        path: The file.
        nodes: Node → what is set on top of the file, for each node that will run.
        namespace: That of the nodes.

    Returns:
        Node → all parameters that are set for it.

    Raises:
        ValueError: A parameter does not exist, or its value is of another type or out of range.
    """
    everything = {}
    found = _sections(path)
    _check_names(path, found)
    for node, parameters in nodes.items():
        config_types, known = node_configs(node), _known_parameters(node)
        own = [section for section in found if section.is_for(_full_name(node, namespace))]
        for section in own:
            unknown = sorted(section.parameters.keys() - known)
            for name in unknown:
                if name.partition(".")[0] in known:
                    raise ConfigError(
                        f"{path}: {name.partition('.')[0]} has parameters below it, expected a "
                        "value; one that is YAML itself is a text: write '|' behind its name"
                    )
            if unknown and not section.is_shared:
                raise ConfigError(
                    f"{path}: {node} has no parameter '{unknown[0]}'; "
                    f"it has {', '.join(sorted(known))}"
                )
        values: dict[str, Any] = {}
        for section in own:
            values |= section.parameters
        everything[node] = values | dict(parameters)
        try:
            for config_type in config_types:
                from_parameters(config_type, everything[node])
            for name in everything[node].keys() & set(NODE_PARAMETERS[node]):
                check_other(name, everything[node][name])
        except ValueError as error:
            raise ConfigError(f"{node}: {error}") from error
    return everything


def _check_names(path: Path, found: Collection[NodeSection]) -> None:
    """Finds sections that are meant for a node of this package, and miss its name."""
    for section in found:
        name = section.name.rpartition("/")[2]
        meant = difflib.get_close_matches(name, NODES, n=1, cutoff=0.8)
        if not meant or name in NODES:
            continue
        # A file may hold the nodes of other packages too, some of a similar name.
        own = section.parameters.keys() - {"use_sim_time"}
        if own and own <= _known_parameters(meant[0]):
            raise ConfigError(f"{path}: there is no node '{name}'; did you mean {meant[0]}?")


def _known_parameters(node: str) -> set[str]:
    known = {*NODE_PARAMETERS[node], "use_sim_time"}
    for config_type in node_configs(node):
        known |= {parameter for parameter, _ in named_fields(config_type)}
    return known


def write_overrides(directory: Path, nodes: Mapping[str, Mapping[str, Any]]) -> Path:
    """The file, in the run's folder, of what is set on top of the config."""
    path = directory / "overrides.yaml"
    own = {node: dict(values) for node, values in nodes.items()}
    if "policy_node" in own:
        own["policy_node"]["run_directory"] = str(directory)
    write_parameters(path, own)
    return path


def write_parameters(path: Path, parameters: dict[str, dict[str, Any]]) -> None:
    """Writes a ROS parameter file that sets parameters by node, in any namespace."""
    content = {
        f"/**/{node}": {"ros__parameters": values} for node, values in parameters.items() if values
    }
    # An empty file is not a parameter file.
    path.write_text(yaml.safe_dump(content or {"/**": {"ros__parameters": {}}}))


def node_arguments(
    config: Path, namespace: str, nodes: dict[str, dict[str, Any]], directory: Path
) -> list[str]:
    """Command line of every node of a graph: the config file, what `nodes` set on top, namespace.

    The latter goes to a file in `directory`, since -p would lose against a section of the config
    that names the node.
    """
    overrides = write_overrides(directory, nodes)
    arguments = ["--ros-args", "--params-file", str(config)]
    arguments += ["--params-file", str(overrides)]
    if namespace:
        arguments += ["-r", f"__ns:=/{namespace.strip('/')}"]
    return arguments
