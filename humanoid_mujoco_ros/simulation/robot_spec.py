# SPDX-License-Identifier: Apache-2.0
"""Which robots share a world, as people write it: NAME=ROBOT[:POLICY][@x,y,yaw]."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

from humanoid_mujoco_ros.simulation.placement import Placement
from humanoid_mujoco_ros.simulation.start import WORLD_LIMIT_M

MAX_ROBOTS = 8
"""More would leave no machine that is known to us time to breathe."""
_ROW_M = 2.0
"""Distance of robots in a row, for which no place is given."""
_FORM = "NAME=ROBOT[:POLICY][@x,y,yaw]"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")


@dataclass(frozen=True)
class RobotSpec:
    """A robot that is to be in a world."""

    name: str
    """Its name, which is its namespace as well."""
    robot: str = ""
    """The robot: the name of a card, or a file; empty: the one that is chosen for all."""
    policy: str = ""
    """What drives it, as policy_node takes it; empty: as the config or the robot's card says."""
    placement: Placement = field(default_factory=Placement)
    """Where its odom frame lies in the world."""


@dataclass(frozen=True)
class WorldConfig:
    """What is in the world."""

    robots: str = ""
    """Several robots in one world: NAME=ROBOT[:POLICY][@x,y,yaw] for each, separated by spaces (x
    and y in m, yaw in degrees), or the number of robots to put in a row. Each has its namespace.
    Empty: one robot, in the node's own."""


def parse_robots(text: str) -> tuple[RobotSpec, ...]:
    """The robots that a text such as "first=humanoid:walk second=g1@2,0,90" or "3" asks for.

    Raises:
        ValueError: It is neither robots nor a number of them; the message says what is wrong.
    """
    words = text.split()
    if len(words) == 1 and re.fullmatch(r"[-+]?\d+", words[0]):
        _check_count(int(words[0]))
        words = [f"robot{number + 1}=" for number in range(int(words[0]))]
    elif words:
        _check_count(len(words))
    specs = tuple(_parse(word, number) for number, word in enumerate(words))
    names = [spec.name for spec in specs]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"robots: {names.count(name)} robots are called {name}")
    return specs


def _check_count(count: int) -> None:
    if not 1 <= count <= MAX_ROBOTS:
        raise ValueError(f"robots: {count} robots in one world, expected 1 to {MAX_ROBOTS}")


def _parse(word: str, number: int) -> RobotSpec:
    name, equals, rest = word.partition("=")
    if not equals:
        raise ValueError(f"robots: '{word}' is neither {_FORM} nor the number of robots")
    if not _NAME.match(name):
        raise ValueError(
            f"robots: '{name}' cannot be a robot's name: expected letters, digits and _, beginning "
            "with a letter"
        )
    placement = Placement(0.0, _ROW_M * number)
    before, at, pose = rest.rpartition("@")
    if at and not pose.rpartition("/")[1] and "," in pose:  # else it belongs to hf://…@revision
        rest, placement = before, _placement(pose, word)
    robot, _, policy = rest.partition(":")
    return RobotSpec(name, robot, policy, placement)


def _placement(pose: str, word: str) -> Placement:
    try:
        x, y, yaw = ([float(value) for value in pose.split(",")] + [0.0])[:3]
    except ValueError:
        x = y = yaw = math.nan
    if pose.count(",") > 2 or not math.isfinite(x + y + yaw) or max(abs(x), abs(y)) > WORLD_LIMIT_M:
        raise ValueError(
            f"robots: '@{pose}' in '{word}' is no place: expected @x,y or @x,y,yaw in m and "
            f"degrees, x and y within {WORLD_LIMIT_M:g} m"
        )
    return Placement(x, y, math.radians(yaw))
