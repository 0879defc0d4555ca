# SPDX-License-Identifier: Apache-2.0
"""Reads YAML that may come from anybody: small, of plain values, and any mistake in one line."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import yaml

from humanoid_mujoco_ros.robot.errors import YamlError

MAX_SIZE = 64 * 1024
"""Largest file or text [bytes]. Python parses about 250 kB of YAML in a second."""
_MAX_DEPTH = 20


class _Composer(yaml.SafeLoader):
    """Refuses what makes a small text large or the parser's stack deep."""

    _depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        line = self.peek_event().start_mark.line + 1
        if self.check_event(yaml.AliasEvent):
            raise YamlError(f"line {line}: aliases (*) are not allowed")
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise YamlError(f"line {line}: it is nested more than {_MAX_DEPTH} levels deep")
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _Constructor(yaml.SafeLoader):
    """Refuses a key that is there twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:  # noqa: FBT001, FBT002
        seen = set()
        for key, _ in node.value:
            if isinstance(key.value, str) and key.value in seen:
                line = key.start_mark.line + 1
                raise YamlError(f"line {line}: '{key.value[:40]}' is there twice")
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


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


def compose(text: str) -> list[yaml.Node]:
    """The nodes of a text's documents, without aliases and not too deep.

    Raises:
        YamlError: The text cannot be used.
    """
    if len(text) > MAX_SIZE:
        raise YamlError(f"it has {len(text)} characters; at most {MAX_SIZE} are read")
    try:
        return list(yaml.compose_all(text, Loader=_Composer))
    except yaml.YAMLError as error:
        raise YamlError(_in_one_line(error)) from error


def compose_one(text: str) -> yaml.Node | None:
    """The node of a text's only document; None if it is empty.

    Raises:
        YamlError: The text cannot be used.
    """
    documents = compose(text)
    if len(documents) > 1:
        raise YamlError(f"expected one document, not {len(documents)}")
    return documents[0] if documents else None


def read_yaml(path: Path, what: str) -> Any:
    """The plain values in a YAML file that a person wrote; None if it is empty.

    Args:
        path: The file.
        what: What it is, for the error.

    Raises:
        YamlError: It cannot be read, or has a key twice.
    """
    try:
        node = compose_one(read_text(path))
        return None if node is None else _Constructor("").construct_document(node)
    except YamlError as error:
        raise YamlError(f"{what} cannot be used: {error}") from None
    except yaml.YAMLError as error:
        raise YamlError(f"{what} cannot be used: {_in_one_line(error)}") from error
    except (OSError, ValueError, OverflowError) as error:
        raise YamlError(f"{what} cannot be read: {' '.join(str(error).split())}") from error


def _in_one_line(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return " ".join(str(error).split())
