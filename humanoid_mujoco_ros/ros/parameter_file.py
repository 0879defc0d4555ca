# SPDX-License-Identifier: Apache-2.0
"""ROS parameter files, read as rcl reads them, and YAML that may come from anybody."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

MAX_SIZE = 64 * 1024
"""Largest file or text [bytes]. Python parses about 250 kB of YAML in a second."""
_MAX_DEPTH = 20
_PARAMETERS = "ros__parameters"
_TRUE = {"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"}
_FALSE = {"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"}
_INTEGER = re.compile(r"[-+]?(0[xX][0-9a-fA-F]+|[0-9]+)")
_FLOAT = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.?(inf|Inf|INF|nan|NaN|NAN|infinity)")


class YamlError(ValueError):
    """A text is not YAML of the kind that is expected; the message says why."""


class _Composer(yaml.SafeLoader):
    """Refuses what makes a small text large or the parser's stack deep."""

    _depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise YamlError(
                f"line {self.peek_event().start_mark.line + 1}: aliases are not allowed"
            )
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise YamlError(f"it is nested more than {_MAX_DEPTH} levels deep")
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


def read_text(path: Path) -> str:
    """The text of a small file.

    Raises:
        OSError: It cannot be read.
        YamlError: It is not a regular file, is larger than MAX_SIZE, or is not UTF-8.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise YamlError("it is not a regular file")
    if status.st_size > MAX_SIZE:
        raise YamlError(f"it has {status.st_size} bytes; at most {MAX_SIZE} are read")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise YamlError(f"it is not UTF-8: {error}") from error


def load_yaml(text: str) -> Any:
    """The value of one YAML document, with rcl's meaning of its scalars; None if it is empty.

    Raises:
        YamlError: The text cannot be used.
    """
    documents = _compose(text)
    if len(documents) > 1:
        raise YamlError(f"expected one document, not {len(documents)}")
    return _value(documents[0]) if documents else None


def _compose(text: str) -> list[yaml.Node]:
    if len(text) > MAX_SIZE:
        raise YamlError(f"it has {len(text)} characters; at most {MAX_SIZE} are read")
    try:
        return list(yaml.compose_all(text, Loader=_Composer))
    except yaml.YAMLError as error:
        raise YamlError(" ".join(str(error).split())) from error


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
class Section:
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


def sections(path: Path) -> list[Section]:
    """The sections of a ROS parameter file, in their order: a later one wins.

    Raises:
        OSError: The file cannot be read.
        YamlError: It is not a ROS parameter file.
    """
    found: list[Section] = []
    for document in _compose(read_text(path)):
        if not isinstance(document, yaml.MappingNode):
            raise YamlError("it is not a ROS parameter file: expected node names at its top")
        found += _sections(document, ())
    return found


def _sections(node: yaml.MappingNode, parents: tuple[str, ...]) -> Iterator[Section]:
    for key, value in node.value:
        name = str(key.value)
        if name == _PARAMETERS and parents:
            if not isinstance(value, yaml.MappingNode):
                raise YamlError(f"'{'/'.join(parents)}': {_PARAMETERS} holds no parameters")
            yield Section(f"/{'/'.join(parents)}", dict(_flat(_value(value), "")))
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
