# SPDX-License-Identifier: Apache-2.0
"""World cards: what a world begins with, read from YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from humanoid_mujoco_ros.robot import plain_values
from humanoid_mujoco_ros.robot.errors import YamlError
from humanoid_mujoco_ros.robot.yaml_file import read_yaml

FLAT = "flat"
"""The world that has nothing in it but the robot."""


class WorldCardError(ValueError):
    """A world cannot be used; the message says why in one line."""


@dataclass(frozen=True)
class WorldCard:
    """A world: `config/worlds/NAME.yaml`, or a file of the user's."""

    robots: str = ""
    """The robots in it, see `parse_robots`; empty: one."""
    nodes: tuple[str, ...] = ()
    """Nodes of this package that run beside the robots'."""
    simulation: Mapping[str, Any] = field(default_factory=dict)
    """Parameters of simulation_node."""


def world_names(folder: Path) -> list[str]:
    """The names of the worlds in a folder."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def load_world(world: str, folder: Path) -> WorldCard:
    """The card of a world.

    Args:
        world: Name of a card in `folder`, or a YAML file.
        folder: Where the package's own cards are: config/worlds.

    Raises:
        WorldCardError: There is no such world, or its card cannot be used.
    """
    names = world_names(folder)
    try:
        path = folder / f"{world}.yaml" if world in names else Path(world).expanduser()
        if world not in names and not (path.suffix in (".yaml", ".yml") and path.is_file()):
            raise WorldCardError(
                f"world {plain_values.shown(world)} is neither one of {', '.join(names)} "
                "nor an existing file .yaml"
            )
        return _card(read_yaml(path, f"world {path}"), f"world {path}")
    except (YamlError, plain_values.PlainValueError) as error:
        raise WorldCardError(str(error)) from error
    except (OSError, RuntimeError) as error:  # too long a name, an unknown user's home
        reason = error.strerror if isinstance(error, OSError) else error
        raise WorldCardError(
            f"world {plain_values.shown(world)} is no usable path: {reason}"
        ) from error


def _card(content: object, where: str) -> WorldCard:
    known = ("robots", "nodes", "simulation")
    values = plain_values.section({} if content is None else content, where, known)
    simulation = values.get("simulation", {})
    if not isinstance(simulation, dict):
        raise plain_values.PlainValueError(
            f"{where}: simulation is {plain_values.shown(simulation)}, expected parameters"
        )
    return WorldCard(
        robots=plain_values.text(values["robots"], f"{where}: robots")
        if "robots" in values
        else "",
        nodes=plain_values.texts(values.get("nodes", []), f"{where}: nodes"),
        simulation=simulation,
    )
