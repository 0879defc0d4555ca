# SPDX-License-Identifier: Apache-2.0
"""Reads small YAML files that people write: plain values, within limits, in one clear error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from humanoid_mujoco_ros.robot.errors import CardError

MAX_BYTES = 64 * 1024
"""No card is longer; a file that is, is no card."""


class _Loader(yaml.SafeLoader):
    """Plain YAML: no aliases, which can make a small file huge, and no key twice."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.constructor.ConstructorError(
                None, None, "aliases (*) are not allowed", self.peek_event().start_mark
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen = set()
        for key, _ in node.value:
            if isinstance(key.value, str) and key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"'{key.value[:40]}' is there twice", key.start_mark
                )
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def read_yaml(path: Path, what: str) -> Any:
    """The content of a YAML file.

    Args:
        path: The file.
        what: What it is, for the error.

    Raises:
        CardError: It is no readable, small YAML file.
    """
    try:
        if not path.is_file():
            raise CardError(f"{what}: {path} is not a file")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise CardError(f"{what} is longer than {MAX_BYTES // 1024} KiB: it is no card")
        return yaml.load(data.decode(), Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise CardError(f"{what} is not YAML: {line}{error.problem}") from error
    except RecursionError:
        raise CardError(f"{what} is nested too deeply") from None
    except (OSError, yaml.YAMLError, ValueError, OverflowError) as error:
        if isinstance(error, CardError):
            raise
        raise CardError(f"{what} cannot be read: {' '.join(str(error).split())}") from error
