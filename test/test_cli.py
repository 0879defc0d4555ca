# SPDX-License-Identifier: Apache-2.0
"""The small commands of `humanoid`."""

import importlib.util

import pytest

pytest.importorskip("rclpy")

from humanoid_mujoco_ros import cli
from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.robot.urdf import urdf


def test_every_command_has_a_module():
    for name, (module, text) in cli.COMMANDS.items():
        assert importlib.util.find_spec(f"{cli.PACKAGE}.{module}"), name
        assert text


def test_urdf_prints_the_robot_description(capsys):
    assert cli.main(["urdf"]) == 0
    assert capsys.readouterr().out == urdf(RobotModel())


def test_urdf_of_a_missing_model_is_one_clear_line(capsys):
    assert cli.main(["urdf", "--model", "nowhere.xml"]) == 2
    assert capsys.readouterr().err == "error: model file nowhere.xml does not exist\n"


def test_commands_are_named_when_one_is_unknown(capsys):
    assert cli.main(["fly"]) == 2
    error = capsys.readouterr().err
    assert "unknown command 'fly'" in error
    assert all(name in error for name in cli.COMMANDS)
