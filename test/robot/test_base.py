# SPDX-License-Identifier: Apache-2.0
"""Bases of every kind against MuJoCo's own kinematics."""

import mujoco
import numpy as np
import pytest

from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.model import ModelConfig, ModelError, RobotModel

ARM = '<body name="arm"><joint name="j" axis="0 1 0"/><geom size=".1" pos=".3 0 0"/></body>'
MOTOR = '<motor joint="j" ctrlrange="-1 1" ctrllimited="true"/>'
BASES = {
    "free": "<freejoint/>",
    "fixed": "",
    "planar": """
        <joint name="x" type="slide" axis="1 0 0" pos="0 0 -1"/>
        <joint name="z" type="slide" axis="0 0 1" ref="1.2"/>
        <joint name="pitch" axis="0 1 0" pos=".1 .2 .3" ref="20"/>""",
    "hinge first": """
        <joint name="yaw" axis="0 0 1" pos="0 .1 0"/>
        <joint name="x" type="slide" axis="1 0 0"/>
        <joint name="y" type="slide" axis="0 1 0"/>""",
    "rail": '<joint name="rail" type="slide" axis="1 2 3"/>',
    "hinge": '<joint name="swing" axis="1 2 -1" pos=".2 .1 0"/>',
}


def model(tmp_path, joints, *, motor=MOTOR):
    path = tmp_path / "robot.xml"
    path.write_text(f"""
        <mujoco><worldbody>
          <body name="ball" pos="3 0 1"><freejoint/><geom size=".1"/></body>
          <body name="base" pos=".1 .2 1" euler="10 20 30">{joints}<geom size=".1"/>{ARM}</body>
        </worldbody><actuator>{motor}</actuator></mujoco>""")
    return RobotModel(ModelConfig(path=str(path), left_foot="", right_foot=""))


def random_state(robot, seed):
    data = mujoco.MjData(robot.mj)
    random = np.random.default_rng(seed)
    data.qpos[:] = random.uniform(-1, 1, robot.mj.nq)
    data.qvel[:] = random.uniform(-1, 1, robot.mj.nv)
    mujoco.mj_normalizeQuat(robot.mj, data.qpos)
    mujoco.mj_forward(robot.mj, data)
    return data


@pytest.mark.parametrize("kind", BASES)
def test_pose_and_twist_are_mujocos(tmp_path, kind):
    robot = model(tmp_path, BASES[kind])
    assert robot.joints == ("j",)
    assert robot.base.is_free == (kind == "free")
    body = robot.mj.body("base").id
    for seed in range(5):
        data = random_state(robot, seed)
        position, quaternion = robot.base.pose(data.qpos)
        np.testing.assert_allclose(position, data.xpos[body], atol=1e-12)
        np.testing.assert_allclose(
            rotation.to_matrix(quaternion), data.xmat[body].reshape(3, 3), atol=1e-12
        )
        linear, angular = robot.base.twist(data.qpos, data.qvel, quaternion)
        expected = np.empty(6)
        mujoco.mj_objectVelocity(
            robot.mj, data, mujoco.mjtObj.mjOBJ_XBODY, body, expected, flg_local=1
        )
        np.testing.assert_allclose(angular, expected[:3], atol=1e-12)
        np.testing.assert_allclose(linear, expected[3:], atol=1e-12)


@pytest.mark.parametrize("kind", BASES)
def test_a_pose_and_twist_that_the_base_can_have_lead_back_to_its_coordinates(tmp_path, kind):
    robot = model(tmp_path, BASES[kind])
    for seed in range(5):
        data = random_state(robot, seed)
        position, quaternion = robot.base.pose(data.qpos)
        linear, angular = robot.base.twist(data.qpos, data.qvel, quaternion)
        qpos, qvel = robot.mj.qpos0.copy(), np.zeros(robot.mj.nv)
        robot.base.set_pose(qpos, position, 2.0 * quaternion)
        robot.base.set_twist(qpos, qvel, linear, angular)
        for joint in robot.base.joints:
            q, v = robot.mj.joint(joint).qposadr, robot.mj.joint(joint).dofadr
            width = 7 if kind == "free" else 1
            np.testing.assert_allclose(qpos[q[0] : q[0] + width], data.qpos[q[0] : q[0] + width])
            width = 6 if kind == "free" else 1
            np.testing.assert_allclose(qvel[v[0] : v[0] + width], data.qvel[v[0] : v[0] + width])
        np.testing.assert_array_equal(qpos[:7], robot.mj.qpos0[:7] if kind != "free" else qpos[:7])


def test_where_a_motor_turns_the_first_body_the_base_is_the_world(tmp_path):
    robot = model(tmp_path, '<joint name="waist" axis="0 0 1"/>', motor=MOTOR + MOTOR.replace(
        '"j"', '"waist"'))  # fmt: skip
    assert robot.joints == ("waist", "j")
    assert robot.body_of_link("base_link") == 0
    position, quaternion = robot.base.pose(robot.start_qpos)
    np.testing.assert_array_equal(position, np.zeros(3))
    np.testing.assert_array_equal(quaternion, rotation.IDENTITY)


@pytest.mark.parametrize(
    ("joints", "motor", "message"),
    [
        (BASES["rail"], '<motor joint="rail"/>', "joint 'rail' moves the base and is driven"),
        ('<joint name="a"/><joint name="b" axis="1 0 0"/>', "", "has the joints a, b; expected a"),
        ('<joint name="a" type="ball"/>', "", "has the joints a; expected a free joint, or slides"),
    ],
)
def test_a_base_of_another_kind_is_refused_in_one_line(tmp_path, joints, motor, message):
    with pytest.raises(ModelError, match=message) as caught:
        model(tmp_path, joints, motor=MOTOR + motor)
    assert "\n" not in str(caught.value)
