# SPDX-License-Identifier: Apache-2.0
"""What policies reach of the velocity that they are asked for."""

import importlib.util

import pytest

from humanoid_mujoco_ros.bringup import export
from humanoid_mujoco_ros.bringup.export import ExportOptions
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


def test_a_policy_of_terms_without_commands_is_told_that_nothing_measures_it(capsys, tmp_path):
    for package in ("onnx", "onnxruntime"):
        pytest.importorskip(package, reason=f"{package} is not installed: make robots")
    path = tmp_path / "walk.onnx"
    assert export.run(ExportOptions("walk", path)) == 0
    capsys.readouterr()
    assert main([str(path)]) == 2
    said = capsys.readouterr().err
    assert "no battery measures it; if it was exported, evaluate the checkpoint" in said
    assert said.count("\n") == 1


@needs_g1
def test_a_battery_of_other_policies_is_refused_for_it(capsys):
    assert main(["g1_ppo", "--battery", "steer"]) == 2
    assert "the battery of g1_ppo is commands, not steer" in capsys.readouterr().err
