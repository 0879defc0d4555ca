# SPDX-License-Identifier: Apache-2.0
"""Writes docs/parameters.md: the parameters of every node, from the classes that declare them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from humanoid_mujoco_ros.bringup.config import NODE_PARAMETERS, NODES, node_configs
from humanoid_mujoco_ros.robot.ranges import FINITE
from humanoid_mujoco_ros.ros import parameters

PAGE = Path(__file__).resolve().parents[1] / "docs" / "parameters.md"
INTRODUCTION = """\
# Parameters

`make docs` writes this page from the code. Every parameter is set in a parameter file
([config/sim.yaml](../config/sim.yaml), [config/hardware.yaml](../config/hardware.yaml)) or by
`--ros-args -p NAME:=VALUE`. Times are in seconds. `ros2 param describe NODE NAME` tells the same at
run time. A value of another type or out of its range stops the node at its start, with one line
that says what was expected.
"""


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    for node in NODES:
        table = "\n".join(f"| {' | '.join(row)} |" for row in _rows(node))
        parts.append(f"## {node}\n\n{table}\n")
    return "\n".join(parts)


def _rows(node: str) -> Iterator[tuple[str, ...]]:
    yield ("parameter", "type", "default", "range", "meaning")
    yield ("---",) * 5
    for config_type in node_configs(node):
        docs = parameters.field_docs(config_type)
        choices = parameters.choices(config_type)
        for name, field in parameters.named_fields(config_type):
            kind = type(field.default).__name__
            default = _shown(field.default)
            span = ", ".join(f"`{choice}`" for choice in choices.get(field.name, ())) or _range(
                field
            )
            yield (f"`{name}`", kind, default, span, _cell(docs[field.name]))
    for name in NODE_PARAMETERS[node]:
        kind, default, text = parameters.OTHERS[name]
        yield (f"`{name}`", kind, default, "", _cell(text))


def _shown(value: Any) -> str:
    return f"`{str(value).lower() if isinstance(value, bool) else value}`" if value != "" else ""


def _range(field: dataclasses.Field[Any]) -> str:
    if "minimum" not in field.metadata:
        return ""
    low, high = field.metadata["minimum"], field.metadata["maximum"]
    return f"at least {low:g}" if high >= FINITE else f"{low:g} to {high:g}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
