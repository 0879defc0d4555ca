# SPDX-License-Identifier: Apache-2.0
"""ROS parameter files, read as rcl reads them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from humanoid_mujoco_ros.robot.errors import YamlError
from humanoid_mujoco_ros.robot.yaml_file import compose, compose_one, read_text

_PARAMETERS = "ros__parameters"
_TRUE = {"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"}
_FALSE = {"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"}
_INTEGER = re.compile(r"[-+]?(0[xX][0-9a-fA-F]+|[0-9]+)")
_FLOAT = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.?(inf|Inf|INF|nan|NaN|NAN|infinity)")


def load_yaml(text: str) -> Any:
    """The value of one YAML document, with rcl's meaning of its scalars; None if it is empty.

    Raises:
        YamlError: The text cannot be used.
    """
    node = compose_one(text)
    return None if node is None else _value(node)


def _value(node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return {str(_value(key)): _value(value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [_value(item) for item in node.value]
    is_plain = isinstance(node, yaml.ScalarNode) and node.style is None
    return _scalar(node.value) if is_plain else node.value


def _scalar(text: str) -> bool | int | float | str | None:
    """The value that rcl gives to a scalar without quotes; None where nothing is written."""
    if not text:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INTEGER.fullmatch(text):
        digits = text.lstrip("+-")
        base = 16 if digits[:2] in ("0x", "0X") else 8 if digits[0] == "0" else 10
        try:
            integer = int(text, base)
        except ValueError:  # 09
            return float(text)
        return integer if -(2**63) <= integer < 2**63 else float(integer)
    if _NOT_FINITE.fullmatch(text):
        return float(text.replace(".", ""))
    if _FLOAT.fullmatch(text) and abs(float(text)) != float("inf"):
        return float(text)
    return text


@dataclass(frozen=True)
class NodeSection:
    """The parameters that a file sets for the nodes of one name."""

    name: str
    """Full name of the node, in which * stands for one part and ** for any number of them."""
    parameters: dict[str, Any]

    def is_for(self, node: str) -> bool:
        """Whether the node of this full name ("/first/policy_node") gets the parameters."""
        pattern = re.escape(self.name).replace(r"/\*\*", r"(/\w+)*").replace(r"/\*", r"/\w+")
        return re.fullmatch(pattern, node) is not None

    @property
    def is_shared(self) -> bool:
        """Whether it names no node, so that other kinds of nodes get the parameters too."""
        return self.name.endswith("*")


def sections(path: Path) -> list[NodeSection]:
    """The sections of a ROS parameter file, in their order: a later one wins.

    Raises:
        OSError: The file cannot be read.
        YamlError: It is not a ROS parameter file.
    """
    found: list[NodeSection] = []
    for document in compose(read_text(path)):
        if not isinstance(document, yaml.MappingNode):
            raise YamlError("it is not a ROS parameter file: expected node names at its top")
        found += _sections(document, ())
    return found


def _sections(node: yaml.MappingNode, parents: tuple[str, ...]) -> Iterator[NodeSection]:
    for key, value in node.value:
        name = str(key.value)
        if name == _PARAMETERS and parents:
            if not isinstance(value, yaml.MappingNode):
                raise YamlError(f"'{'/'.join(parents)}': {_PARAMETERS} holds no parameters")
            yield NodeSection(f"/{'/'.join(parents)}", dict(_flat(_value(value), "")))
        elif isinstance(value, yaml.MappingNode):
            yield from _sections(value, (*parents, name.strip("/")))
        else:
            raise YamlError(f"'{'/'.join((*parents, name))}' has no {_PARAMETERS}")


def _flat(values: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if value is None:
            raise YamlError(f"parameter '{prefix}{name}' has no value")
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
