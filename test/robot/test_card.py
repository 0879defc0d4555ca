# SPDX-License-Identifier: Apache-2.0
"""Robot cards: what they say, and how they say what is wrong."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.card import (
    FallRule,
    RobotCard,
    RobotCardError,
    card_names,
    load_card,
    read_card,
)
from humanoid_mujoco_ros.robot.model import ModelConfig, ModelError, RobotModel

CARDS = Path(__file__).parents[2] / "config" / "robots"
SHIPPED = ("ant", "g1", "go1", "half_cheetah", "hopper", "humanoid", "humanoid_v4", "walker2d")


def card(tmp_path: Path, text: str, name: str = "robo") -> RobotCard:
    path = tmp_path / f"{name}.yaml"
    path.write_text(text)
    return read_card(path)


def test_the_shipped_cards_are_these():
    assert card_names(CARDS) == SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_card_is_readable_without_its_model(name):
    robot = load_card(name, CARDS)
    assert robot.name == name
    assert robot.actuation in ("effort", "position")


def test_the_humanoids_card_says_what_the_default_configuration_does():
    by_card, by_default = RobotModel(load_card("humanoid", CARDS)), RobotModel()
    assert by_card.joints == by_default.joints
    assert by_card.foot_sensors == by_default.foot_sensors
    assert by_card.mj.opt.timestep == by_default.mj.opt.timestep
    assert by_card.mj.opt.integrator == by_default.mj.opt.integrator
    assert by_card.control_period_s == by_default.control_period_s
    np.testing.assert_array_equal(by_card.mj.sensor_adr, by_default.mj.sensor_adr)
    assert by_card.fall_rule == by_default.fall_rule


def test_humanoid_v4_runs_at_gymnasiums_rate():
    assert load_card("humanoid_v4", CARDS).control_rate_hz == pytest.approx(66.67, abs=0.01)
    assert RobotModel(load_card("humanoid_v4", CARDS)).name == "humanoid"


def test_every_key_is_read(tmp_path):
    robot = card(
        tmp_path,
        """
model: robo.xml
install: pip install robo
floor: true
base: trunk
feet: {right: foot}
imu_site: imu
start: {keyframe: crouch, height: 0.5, joints: {"*_hip": 1e-1}}
timestep: 2e-3
steps_per_control: 10
integrator: implicitfast
actuation: position
drives: {"*": {kp: 20, kd: 0.5, effort_limit: 9, armature: 0.01}}
without_command: hold
fallen: {min_height: 0.2, max_height: 2, max_tilt: 1}
policy: trot
""",
    )
    assert robot.model == str(tmp_path / "robo.xml")
    assert (robot.left_foot, robot.right_foot) == ("", "foot")
    assert robot.start.joints == {"*_hip": 0.1}
    assert robot.control_period_s == pytest.approx(0.02)
    assert robot.drives["*"].effort_limit == 9
    assert robot.without_command == "hold"
    assert robot.fallen == FallRule(0.2, 2.0, 1.0)
    assert robot.policy == "trot"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("modl: a.xml", r"has no key 'modl'; it has model, install, floor, base, feet"),
        ("policy: walk", "robot card robo.yaml names no model"),
        ("", "robot card robo.yaml is 'None', expected keys such as model"),
        ("- a", "expected keys such as model"),
        ("model: 3", "model is '3', expected a text"),
        ("model: a.xml\nfloor: 1", "floor is '1', expected true or false"),
        ("model: a.xml\nfeet: {middle: a}", "feet has no key 'middle'; it has left, right"),
        ("model: a.xml\nfeet: [a, b]", r"feet is '\['a', 'b'\]', expected keys such as left"),
        ("model: a.xml\ntimestep: fast", "timestep is 'fast', expected a number"),
        ("model: a.xml\ntimestep: .nan", "timestep is 'nan', expected a number"),
        ("model: a.xml\ntimestep: 0", "timestep is 0, expected 1e-06 to 0.1"),
        ("model: a.xml\ntimestep: true", "timestep is 'True', expected a number"),
        ("model: a.xml\nsteps_per_control: 1.5", "is '1.5', expected a whole number"),
        ("model: a.xml\nsteps_per_control: 0", "steps_per_control must be at least 1, not 0"),
        ("model: a.xml\nintegrator: heun", "integrator 'heun' is unknown; MuJoCo has Euler, RK4"),
        ("model: a.xml\nactuation: torque", "actuation is 'torque', expected effort or position"),
        ("model: a.xml\ndrives: 3", "drives is '3', expected joint patterns"),
        ("model: a.xml\ndrives: {'*': 3}", r"'\*' is '3', expected keys such as kp"),
        ("model: a.xml\ndrives: {'*': {kq: 3}}", "has no key 'kq'; it has kp, kd, effort_limit"),
        ("model: a.xml\ndrives: {'*': {kp: -1}}", r"kp of '\*' is -1, expected 0 to 1e\+06"),
        ("model: a.xml\nstart: {joints: {a: .inf}}", "joints: 'a' is inf, expected -100 to 100"),
        ("model: a.xml\nstart: {heigth: 1}", "start has no key 'heigth'; it has keyframe, height"),
        ("model: a.xml\nfallen: {max_tilt: 4}", "max_tilt is 4, expected 0 to 3.14"),
        (
            "model: a.xml\nfallen: {min_height: 2, max_height: 1}",
            "min_height is 2, expected less than",
        ),
        ("model: a.xml\nmodel: b.xml", "cannot be used: line 2: 'model' is there twice"),
        ("model: [", "cannot be used: line 1"),
        ("model: !!python/object:os.system a", "cannot be used: line 1: could not determine"),
        ("a: &a [x]\nmodel: *a", r"cannot be used: line 2: aliases \(\*\) are not allowed"),
        ("model: " + "[" * 9000, "is nested more than 20 levels deep"),
        ("model: " + "x" * 70000, "at most 65536 are read"),
        ("model: " + "9" * 9000, "robot card robo.yaml"),
    ],
)
def test_a_mistake_is_one_line_that_names_what_there_is(tmp_path, text, message):
    with pytest.raises(RobotCardError, match=message) as caught:
        card(tmp_path, text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_bomb_of_aliases_is_refused(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
    with pytest.raises(RobotCardError, match="aliases"):
        card(tmp_path, "\n".join(lines))


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/zero")
def test_what_is_no_file_or_text_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(RobotCardError, match="is not a regular file"):
        read_card(tmp_path / "pipe.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RobotCardError, match=r"robot card bytes\.yaml"):
        read_card(tmp_path / "bytes.yaml")


@pytest.mark.parametrize("name", ["gorilla", "gorilla.yaml", "a\0b.yaml", "x" * 5000 + ".xml"])
def test_an_unknown_robot_is_answered_with_those_there_are(name):
    with pytest.raises(RobotCardError, match=r"robot '.*") as caught:
        load_card(name, CARDS)
    assert "\n" not in str(caught.value)
    if name == "gorilla":
        assert "neither one of ant, g1, go1," in str(caught.value)


def test_a_missing_package_ends_in_the_command_that_installs_it(tmp_path):
    robot = card(tmp_path, "model: python:no_such_package/a.xml\ninstall: pip install thing==1")
    with pytest.raises(ModelError, match="no_such_package, which is not installed: pip install th"):
        RobotModel(robot)
    robot = card(tmp_path, "model: python:no_such_package/a.xml")
    with pytest.raises(ModelError, match=r"not installed: pip install no_such_package$"):
        RobotModel(robot)
    robot = card(tmp_path, "model: gymnasium:gorilla.xml")
    with pytest.raises(ModelError, match=r"gymnasium is installed, but has no .*/gorilla\.xml"):
        RobotModel(robot)
    robot = card(tmp_path, "model: python:os.path/a.xml")
    with pytest.raises(ModelError, match=r"is not of the form python:PACKAGE/path/in/it"):
        RobotModel(robot)


def test_a_packages_model_is_found_without_importing_it(tmp_path, monkeypatch):
    package = tmp_path / "robots_of_mine"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    (package / "arm.xml").write_text(ARM)
    monkeypatch.syspath_prepend(tmp_path)
    robot = RobotModel(card(tmp_path, "model: python:robots_of_mine/arm.xml"))
    assert robot.path == package / "arm.xml"
    assert "robots_of_mine" not in sys.modules


def test_a_bare_model_is_a_card_of_defaults(tmp_path):
    (tmp_path / "arm.xml").write_text(ARM)
    robot = RobotModel(load_card(str(tmp_path / "arm.xml"), CARDS))
    assert robot.name == robot.card.name == "arm"
    assert robot.control_rate_hz == RobotModel().control_rate_hz
    assert robot.card.policy is None


def test_later_patterns_override_earlier_ones_field_by_field(tmp_path):
    (tmp_path / "arm.xml").write_text(ARM)
    robot = RobotModel(
        card(
            tmp_path,
            """
model: arm.xml
actuation: position
drives:
  "*": {kp: 20, kd: 1, effort_limit: 3, armature: 0.5}
  elbow: {kp: 5}
start: {joints: {"*": 0.1, elbow: 0.4}}
""",
        )
    )
    np.testing.assert_array_equal(robot.kp, [20, 5])
    np.testing.assert_array_equal(robot.kd, [1, 1])
    np.testing.assert_array_equal(robot.effort_limits, [2, 3])
    np.testing.assert_array_equal(robot.mj.dof_armature, [0.5, 0.5])
    np.testing.assert_array_equal(robot.start_joints, [0.1, 0.4])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("drives: {knee: {kp: 1}}", "drives: 'knee' is no joint of the robot; they are shoulder"),
        ("start: {joints: {knee: 1}}", "start: joints: 'knee' is no joint of the robot"),
        ("start: {keyframe: crouch}", "keyframe 'crouch' is not in .*; its keyframes are none"),
        ("start: {height: 2}", "cannot be at the start height of 2 m"),
        ("base: pelvis", "base 'pelvis' is no body in the world of .*; these are arm"),
        ("imu_site: imu", "imu_site 'imu' is not in .*; the robot's sites are none"),
        ("feet: {left: toe}", "left_foot 'toe' is not in .*; its bodies are arm, fore"),
        ("actuation: position", "joint 'shoulder' has no stiffness: give its drive a kp"),
    ],
)
def test_what_the_model_lacks_is_named(tmp_path, lines, message):
    (tmp_path / "arm.xml").write_text(ARM)
    with pytest.raises(ModelError, match=message) as caught:
        RobotModel(card(tmp_path, f"model: arm.xml\n{lines}"))
    assert "\n" not in str(caught.value)


def test_a_fall_is_a_matter_of_height_and_tilt():
    rule = FallRule(min_height=0.5, max_height=2.0, max_tilt=1.0)
    upright = rotation.IDENTITY
    assert not rule.is_fallen(1.0, upright)
    assert rule.is_fallen(0.5, upright)
    assert rule.is_fallen(2.0, upright)
    assert rule.is_fallen(np.nan, upright)
    for axis, angle, fallen in (
        ((1, 0, 0), 0.99, False),
        ((0, 1, 0), -1.01, True),
        ((0.6, 0.8, 0), 1.01, True),
        ((0, 0, 1), 3.0, False),
    ):
        assert rule.is_fallen(1.0, rotation.from_axis_angle(axis, angle)) == fallen


def test_a_config_overrides_its_card_and_keeps_the_rest():
    made = ModelConfig(robot="g1", model="a/b.xml", timestep_s=0.001).card()
    assert (made.name, made.model, made.timestep_s) == ("g1", "a/b.xml", 0.001)
    assert (made.steps_per_control, made.base) == (4, "pelvis")


def test_a_model_without_a_card_takes_nothing_of_the_default_robot():
    made = ModelConfig(model="a/b.xml", integrator="Euler").card()
    assert (made.name, made.model, made.integrator) == ("b", "a/b.xml", "Euler")
    assert (made.left_foot, made.policy) == (None, None)


ARM = """
<mujoco>
  <worldbody>
    <body name="arm" pos="0 0 1">
      <joint name="shoulder" axis="0 1 0"/><geom size=".05" pos=".2 0 0"/>
      <body name="fore" pos=".4 0 0">
        <joint name="elbow" axis="0 1 0"/><geom size=".05" pos=".2 0 0"/>
      </body>
    </body>
  </worldbody>
  <actuator>
    <motor joint="shoulder" ctrlrange="-2 2" ctrllimited="true"/>
    <motor joint="elbow" ctrlrange="-4 4" ctrllimited="true"/>
  </actuator>
</mujoco>
"""


def test_a_fall_is_judged_by_height_and_tilt_for_one_robot_and_for_many():
    rule = FallRule(min_height=1.0, max_height=2.0, max_tilt=0.5)
    upright, tilted = (1.0, 0.0, 0.0, 0.0), (np.cos(0.3), 0.0, np.sin(0.3), 0.0)
    assert not rule.is_fallen(1.5, upright)
    assert rule.is_fallen(1.5, tilted)
    heights = [1.5, 0.9, 2.1, np.nan, 1.0, 1.5, 1.5]
    quaternions = [upright] * 5 + [tilted, (np.nan,) * 4]
    expected = [False, True, True, True, True, True, True]
    np.testing.assert_array_equal(rule.is_fallen(heights, quaternions), expected)
