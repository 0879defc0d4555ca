# SPDX-License-Identifier: Apache-2.0
"""What policies reach of the velocity that they are asked for."""

import importlib.util

import pytest

from humanoid_mujoco_ros.robot.model import ModelConfig, RobotModel
from humanoid_mujoco_ros.training import command_battery
from humanoid_mujoco_ros.training.evaluate import main

NEEDED = ("mjlab", "holosoma_inference", "onnxruntime")
missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
needs_g1 = pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


@needs_g1
@pytest.mark.parametrize(("policy", "fastest"), [("g1_fastsac", 0.6), ("g1_ppo", 0.5)])
def test_the_g1_walks_and_turns_at_half_a_metre_and_half_a_radian_per_second(
    policy, fastest, monkeypatch
):
    monkeypatch.setattr(
        command_battery, "COMMANDS", ((0.0, 0.0, 0.0), (0.8, 0.0, 0.0), (0.0, 0.0, 0.8))
    )
    rows = command_battery.evaluate(policy, RobotModel(ModelConfig(robot="g1")), 1)
    assert [row["falls"] for row in rows] == [0, 0, 0]
    standing, walking, turning = (row["reached"] for row in rows)
    assert max(map(abs, standing)) < 0.05
    assert walking[0] >= fastest
    assert turning[2] >= 0.5


@needs_g1
def test_a_battery_of_other_policies_is_refused_for_it(capsys):
    assert main(["g1_ppo", "--battery", "steer"]) == 2
    assert "the battery of g1_ppo is commands, not steer" in capsys.readouterr().err
