# SPDX-License-Identifier: Apache-2.0
"""The robot model against the file it is made from."""

import mujoco
import numpy as np
import pytest

from humanoid_mujoco_ros.robot.model import (
    ModelConfig,
    ModelError,
    RobotModel,
    gymnasium_humanoid_path,
)

PENDULUM = """
<mujoco>
  <worldbody>
    <body name="base" pos="0 0 1">
      <freejoint/>
      <geom size=".1"/>
      {bodies}
    </body>
  </worldbody>
  <actuator>{actuators}</actuator>
</mujoco>
"""
LEG = '<body name="leg"><joint name="hip" axis="0 1 0"/><geom size=".05" pos="0 0 -.3"/></body>'
MOTOR = '<motor joint="hip" gear="50" ctrlrange="-1 1" ctrllimited="true"/>'


@pytest.fixture(scope="module")
def robot():
    return RobotModel()


def write_model(tmp_path, bodies=LEG, actuators=MOTOR):
    path = tmp_path / "pendulum.xml"
    path.write_text(PENDULUM.format(bodies=bodies, actuators=actuators))
    return ModelConfig(path=str(path), left_foot="", right_foot="")


def test_the_default_is_gymnasiums_humanoid_at_100_hz(robot):
    assert robot.name == "humanoid"
    assert robot.path == gymnasium_humanoid_path()
    assert robot.control_rate_hz == pytest.approx(100.0)
    assert len(robot.joints) == 17


def test_joint_and_actuator_orders_are_those_of_the_file(robot):
    plain = mujoco.MjModel.from_xml_path(str(gymnasium_humanoid_path()))
    assert robot.joints == tuple(plain.joint(j).name for j in range(1, plain.njnt))
    assert robot.action_joints == tuple(plain.actuator(a).name for a in range(plain.nu))
    assert robot.joints[:3] == ("abdomen_z", "abdomen_y", "abdomen_x")
    assert robot.action_joints[:3] == ("abdomen_y", "abdomen_z", "abdomen_x")


def test_effort_limits_are_gear_times_control_range(robot):
    limits = dict(zip(robot.joints, robot.effort_limits, strict=True))
    assert limits["abdomen_x"] == pytest.approx(40)
    assert limits["right_hip_y"] == pytest.approx(120)
    assert limits["left_knee"] == pytest.approx(80)
    assert limits["left_elbow"] == pytest.approx(10)


def test_sensors_leave_the_dynamics_as_they_are(robot):
    plain = mujoco.MjModel.from_xml_path(str(gymnasium_humanoid_path()))
    np.testing.assert_array_equal(robot.mj.body_mass, plain.body_mass)
    np.testing.assert_array_equal(robot.mj.body_inertia, plain.body_inertia)
    assert (robot.mj.nq, robot.mj.nv, robot.mj.nbody) == (plain.nq, plain.nv, plain.nbody)


def test_joint_order_permutes_any_order_of_all_names(robot):
    names = list(robot.joints)
    np.random.default_rng(0).shuffle(names)
    values = dict(zip(robot.joints, np.arange(17.0), strict=True))
    np.testing.assert_array_equal(
        np.arange(17.0)[robot.joint_order(names)], [values[name] for name in names]
    )


@pytest.mark.parametrize(
    ("names", "match"),
    [
        (
            lambda names: [*names[:-1], "knee"],
            "joint 'knee' is not in the model; its joints are abd",
        ),
        (lambda names: names[1:], "lacks abdomen_z"),
        (lambda names: [*names, names[0]], "abdomen_z more than once"),
    ],
)
def test_joint_order_says_what_is_wrong(robot, names, match):
    with pytest.raises(ModelError, match=match):
        robot.joint_order(names(list(robot.joints)))


def test_unknown_link_is_answered_with_the_links_there_are(robot):
    assert robot.body_of_link("base_link") == robot.body_of_link("torso") == 1
    with pytest.raises(
        ModelError, match=r"'hand' is not in the model; its links are base_link, torso"
    ):
        robot.body_of_link("hand")


def test_another_torque_driven_robot_loads(tmp_path):
    robot = RobotModel(write_model(tmp_path))
    assert robot.name == "pendulum"
    assert robot.joints == ("hip",)
    np.testing.assert_allclose(robot.effort_limits, [50])
    assert np.isinf(robot.position_limits).all()


@pytest.mark.parametrize(
    ("bodies", "actuators", "match"),
    [
        (LEG, "", "joint 'hip' is not a hinge driven by a motor"),
        (LEG, '<position joint="hip" ctrlrange="-1 1"/>', "not the one torque motor"),
        (LEG, '<motor joint="hip"/>', "not the one torque motor"),
        (LEG, MOTOR + MOTOR, "not the one torque motor"),
        ("", "", "has no joints"),
        ("<nonsense/>", "", "MuJoCo cannot load"),
    ],
)
def test_a_robot_that_cannot_be_driven_by_torque_is_refused(tmp_path, bodies, actuators, match):
    with pytest.raises(ModelError, match=match):
        RobotModel(write_model(tmp_path, bodies, actuators))


def test_a_robot_without_a_floating_base_is_refused(tmp_path):
    config = write_model(tmp_path)
    path = tmp_path / "pendulum.xml"
    path.write_text(path.read_text().replace("<freejoint/>", ""))
    with pytest.raises(ModelError, match="no floating base"):
        RobotModel(config)


@pytest.mark.parametrize(
    ("config", "match"),
    [
        (ModelConfig(path="missing.xml"), r"missing\.xml does not exist"),
        (ModelConfig(timestep_s=-0.01), "timestep_s must be positive, not -0.01"),
        (ModelConfig(steps_per_control=0), "at least 1, not 0"),
        (ModelConfig(integrator="heun"), "integrator 'heun' is unknown; MuJoCo has euler, rk4"),
        (ModelConfig(left_foot="paw"), r"left_foot 'paw' is not in .*its bodies are torso"),
    ],
)
def test_a_wrong_config_is_explained(config, match):
    with pytest.raises(ModelError, match=match):
        RobotModel(config)
