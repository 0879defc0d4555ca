# SPDX-License-Identifier: Apache-2.0
"""How people name the robots of a world."""

import math

import pytest

from humanoid_mujoco_ros.simulation.placement import Placement
from humanoid_mujoco_ros.simulation.robot_spec import RobotSpec, parse_robots


def test_a_robot_has_a_name_a_card_a_policy_and_a_place():
    assert parse_robots("first=humanoid_v4:walk second=g1@2,-1.5,90") == (
        RobotSpec("first", "humanoid_v4", "walk", Placement(0.0, 0.0)),
        RobotSpec("second", "g1", "", Placement(2.0, -1.5, math.pi / 2)),
    )


def test_a_number_puts_robots_of_the_chosen_kind_in_a_row():
    specs = parse_robots("3")
    assert [spec.name for spec in specs] == ["robot1", "robot2", "robot3"]
    assert {(spec.robot, spec.policy) for spec in specs} == {("", "")}
    assert [spec.placement.y for spec in specs] == [0.0, 2.0, 4.0]


def test_a_revision_of_a_downloaded_policy_is_no_place():
    (spec,) = parse_robots("a=humanoid:hf://owner/repo@main/file.safetensors")
    assert spec.policy == "hf://owner/repo@main/file.safetensors"
    (spec,) = parse_robots("a=humanoid:hf://owner/repo@v1@1,2")
    assert (spec.policy, spec.placement) == ("hf://owner/repo@v1", Placement(1.0, 2.0))


def test_nothing_is_no_robots():
    assert parse_robots("") == ()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("0", "0 robots in one world, expected 1 to 8"),
        ("-2", "-2 robots"),
        ("30", "30 robots"),
        (" ".join(f"r{i}=humanoid" for i in range(30)), "30 robots"),
        ("humanoid", r"'humanoid' is neither NAME=ROBOT\[:POLICY\]\[@x,y,yaw\] nor the number"),
        ("a=humanoid a=humanoid", "2 robots are called a"),
        ("1st=humanoid", "'1st' cannot be a robot's name"),
        ("=humanoid", "'' cannot be"),
        ("a/b=humanoid", "'a/b' cannot be"),
        ("a=humanoid@1,2,3,4", "'@1,2,3,4' in 'a=humanoid@1,2,3,4' is no place"),
        ("a=humanoid@1,there", "is no place"),
        ("a=humanoid@nan,0", "is no place"),
        ("a=humanoid@1e9,0", "within 1000 m"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(text, complaint):
    with pytest.raises(ValueError, match=complaint) as error:
        parse_robots(text)
    assert "\n" not in str(error.value)
