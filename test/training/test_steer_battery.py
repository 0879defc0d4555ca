# SPDX-License-Identifier: Apache-2.0
"""The figures of the steer battery, from drives whose errors are known."""

from __future__ import annotations

import numpy as np
import pytest

from humanoid_mujoco_ros.policy import locate, policy_file
from humanoid_mujoco_ros.policy.policy_file import TermPolicy
from humanoid_mujoco_ros.robot.model import ModelConfig, RobotModel
from humanoid_mujoco_ros.training import curves
from humanoid_mujoco_ros.training.steer_battery import (
    COMMAND_S,
    HIGHEST,
    LOWEST,
    SETTLED_AFTER_S,
    Course,
    DrivenCourse,
    Row,
    drive,
    random_commands,
)

PERIOD_S = 0.01


def driven(commands, velocity, fell_at_s=None):
    n = len(commands)
    course = Course(commands, commands.shape[1] * COMMAND_S)
    fell = np.full(n, np.inf) if fell_at_s is None else np.array(fell_at_s)
    return DrivenCourse(course, PERIOD_S, fell, velocity, np.zeros((n, 2)), np.zeros(n))


def told(commands):
    """The velocity of robots that do at once what they are told."""
    return np.repeat(commands, round(COMMAND_S / PERIOD_S), axis=1)


def test_the_error_is_the_lasting_offset_not_the_sway_of_a_stride():
    commands = random_commands(5, seed=1)
    time = np.arange(told(commands).shape[1]) * PERIOD_S
    sway = 0.4 * np.sin(2 * np.pi * time / 0.8)
    velocity = told(commands) + np.array((0.1, -0.05, 0.2)) + sway[:, None]
    wanted, errors = driven(commands, velocity).errors()
    np.testing.assert_array_equal(wanted.reshape(6, 5, 3).swapaxes(0, 1), commands)
    np.testing.assert_allclose(errors, np.tile((0.1, 0.05, 0.2), (30, 1)), atol=1e-6)


def test_what_happens_before_it_has_settled_does_not_count():
    commands = random_commands(3, seed=2)
    velocity = told(commands)
    settled = (np.arange(velocity.shape[1]) * PERIOD_S) % COMMAND_S >= SETTLED_AFTER_S - 1e-9
    velocity[:, ~settled] += 5.0
    assert driven(commands, velocity).errors()[1].max() < 1e-9
    velocity[:, settled] += 0.3
    assert driven(commands, velocity).errors()[1].min() > 0.29


def test_commands_in_which_a_robot_lay_are_left_out():
    commands = random_commands(2, seed=3)
    drive = driven(commands, told(commands), fell_at_s=[np.inf, 12.0])
    wanted, _ = drive.errors()
    assert drive.falls == 1
    assert len(wanted) == 6 + 2


def test_commands_fill_their_range_and_a_share_is_zero():
    commands = random_commands(1000, seed=0).reshape(-1, 3)
    zero = ~commands.any(axis=1)
    assert abs(zero.mean() - 0.2) < 0.02
    assert np.all(commands >= LOWEST)
    assert np.all(commands <= HIGHEST)
    np.testing.assert_allclose(commands.min(axis=0), LOWEST, atol=0.02)
    np.testing.assert_allclose(commands.max(axis=0), HIGHEST, atol=0.02)


def test_a_figure_passes_on_the_right_side_of_its_bar():
    assert Row("falls", 1.0, 1.0, True).passes
    assert not Row("falls", 1.1, 1.0, True).passes
    assert Row("up", 99.0, 99.0, False).passes
    assert not Row("up", 98.0, 99.0, False).passes
    assert not Row("drift", np.nan, 0.15, True).passes


def test_the_picture_of_errors_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    commands = random_commands(5, seed=1)
    wanted, errors = driven(commands, told(commands)).errors()
    picture = tmp_path / "errors.png"
    steering = {"commands": wanted.tolist(), "rms_errors": errors.tolist()}
    assert curves.draw_steering(steering, picture, "steer")
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_shipped_policy_goes_where_it_is_told_and_stands_when_told_nothing():
    robot = RobotModel(ModelConfig(timestep_s=0.005, steps_per_control=2, integrator="Euler"))
    policy = policy_file.load(locate.find("steer"), robot)
    assert isinstance(policy, TermPolicy)
    wanted = np.array([[0.5, 0, 0], [-0.3, 0, 0], [0, 0, 0.6], [0, 0, 0]])
    driven = drive(robot, policy, Course(wanted[:, None], COMMAND_S), seed=0, threads=1)
    assert driven.falls == 0
    settled = driven.velocity[:, round(2.5 / PERIOD_S) :].mean(axis=1)
    np.testing.assert_allclose(settled, wanted, atol=0.15)
    assert np.linalg.norm(driven.displacement_m[3]) < 0.15
