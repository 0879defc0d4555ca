# SPDX-License-Identifier: Apache-2.0
"""World cards: the shipped ones, a user's own, and what they must not be."""

from pathlib import Path

import pytest

from humanoid_mujoco_ros.simulation.robot_spec import parse_robots
from humanoid_mujoco_ros.simulation.world_card import (
    FLAT,
    WorldCard,
    WorldCardError,
    load_world,
    world_names,
)

WORLDS = Path(__file__).parents[2] / "config" / "worlds"


def test_the_flat_world_is_empty_and_sumo_takes_two():
    assert {FLAT, "sumo"} <= set(world_names(WORLDS))
    assert load_world(FLAT, WORLDS) == WorldCard()
    sumo = load_world("sumo", WORLDS)
    assert [spec.name for spec in parse_robots(sumo.robots)] == ["red", "blue"]
    assert sumo.nodes == ("sumo_node",)


def test_a_world_of_ones_own_is_a_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("robots: a=ant b=ant@3,0,0\nsimulation: {on_fall: stay}\n")
    world = load_world(str(path), WORLDS)
    assert world == WorldCard("a=ant b=ant@3,0,0", (), {"on_fall": "stay"})


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("robot: a", "unknown|robots"),
        ("robots: 3", "robots"),
        ("nodes: sumo_node", "nodes"),
        ("simulation: [1]", r"simulation is '\[1\]'"),
        ("- 1", "expected"),
        ("{", "mine.yaml"),
    ],
)
def test_a_file_that_is_no_world_is_one_clear_line(tmp_path, content, reason):
    path = tmp_path / "mine.yaml"
    path.write_text(content)
    with pytest.raises(WorldCardError, match=reason) as error:
        load_world(str(path), WORLDS)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("world", ["mars", "/no/where.yaml", "~nobody_here/x.yaml", "x" * 5000])
def test_a_world_that_is_not_there_says_what_is(world):
    with pytest.raises(WorldCardError, match="world") as error:
        load_world(world, WORLDS)
    assert len(str(error.value)) < 400
