# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import mujoco
import numpy as np
import pytest
from following import follow

from humanoid_mujoco_ros.policy.observation import layout, observe_data
from humanoid_mujoco_ros.robot.model import ModelConfig, ModelError, RobotModel
from humanoid_mujoco_ros.robot.posed_model import PosedModel
from humanoid_mujoco_ros.robot.state import RobotState, Wrench
from humanoid_mujoco_ros.simulation.simulation import Simulation


@pytest.fixture(scope="module")
def robot() -> RobotModel:
    return RobotModel()


def states(robot: RobotModel, count: int):
    """A humanoid that flails and falls."""
    simulation = Simulation(robot)
    random = np.random.default_rng(2)
    for _ in range(count):
        yield simulation.step(robot.effort_limits * random.uniform(-1, 1, len(robot.joints)))


def forward(robot: RobotModel, state: RobotState) -> mujoco.MjData:
    """MuJoCo's own complete evaluation of a state."""
    data = mujoco.MjData(robot.mj)
    data.qpos[:], data.qvel[:] = state.qpos, state.qvel
    data.ctrl[robot.actuator_indices] = state.joint_efforts / robot.gear
    mujoco.mj_forward(robot.mj, data)
    mujoco.mj_rnePostConstraint(robot.mj, data)
    return data


def test_observation_is_that_of_mj_forward(robot):
    posed = PosedModel(robot)
    for state in states(robot, 30):
        follow(posed, state)
        expected = observe_data(forward(robot, state), mask_cfrc_ext=True)
        np.testing.assert_allclose(observe_data(posed.data()), expected, rtol=0, atol=1e-9)


def test_observation_is_the_simulations_within_what_it_lags(robot):
    # The simulation's cinert and cvel are those of RK4's last stage, as Humanoid-v4 has them; full
    # effort in random directions makes the difference as large as it gets.
    tolerance = {"cinert": 1e-3, "cvel": 1.0, "cfrc_ext": np.inf}
    posed = PosedModel(robot)
    worst = dict.fromkeys(tolerance, 0.0)
    for state in states(robot, 200):
        follow(posed, state)
        difference = np.abs(observe_data(posed.data()) - state.observation)
        for block in layout(robot.mj):
            worst[block.name] = max(worst.get(block.name, 0.0), difference[block.slice].max())
    for name, value in worst.items():
        assert value <= tolerance.get(name, 1e-9), f"{name} is off by {value}"


def test_foot_wrenches_fill_the_feets_contact_forces(robot):
    simulation = Simulation(robot)
    posed = PosedModel(robot)
    block = next(block for block in layout(robot.mj) if block.name == "cfrc_ext")
    feet = [robot.mj.body(foot).id for _, foot, _ in robot.foot_sensors]
    contacts = 0
    for _ in range(100):
        state = simulation.step(np.zeros(len(robot.joints)))
        follow(posed, state)
        data = forward(robot, state)
        wrenches = {}
        for (side, _, sensor), body in zip(robot.foot_sensors, feet, strict=True):
            # As Simulation reads them, at this very state.
            force, torque, point = data.sensor(sensor).data.reshape(3, 3)
            axes = data.xmat[body].reshape(3, 3)
            moment = torque + np.cross(point - data.xpos[body], force)
            wrenches[side] = Wrench(-axes.T @ force, -axes.T @ moment)
            contacts += bool(np.linalg.norm(force) > 1.0)
        mapped = observe_data(posed.data(wrenches))[block.slice].reshape(-1, 6)
        np.testing.assert_allclose(mapped[feet], data.cfrc_ext[feet], atol=1e-6)
        assert not np.delete(mapped, feet, axis=0).any()
    assert contacts > 20


def test_links_are_where_mujoco_has_them(robot):
    posed = PosedModel(robot)
    for state in states(robot, 10):
        posed.set_pose(state.base_position, state.base_quaternion_wxyz, state.joint_positions)
        data = forward(robot, state)
        np.testing.assert_allclose(posed.body_positions, data.xpos, atol=1e-12)
        np.testing.assert_allclose(posed.geom_xpos, data.geom_xpos, atol=1e-12)
        np.testing.assert_allclose(posed.geom_xmat, data.geom_xmat.reshape(-1, 3, 3), atol=1e-12)
        for link in ("base_link", *robot.bodies):
            body = 1 if link == "base_link" else robot.mj.body(link).id
            position, quaternion = posed.link_pose(link)
            np.testing.assert_allclose(position, data.xpos[body], atol=1e-12)
            np.testing.assert_allclose(quaternion, data.xquat[body], atol=1e-12)


def test_point_velocity_agrees_with_finite_differences(robot):
    posed = PosedModel(robot)
    *_, state = states(robot, 20)
    follow(posed, state)
    point_in_link = np.array([0.1, -0.2, 0.3])
    dt = 1e-6
    before, after = mujoco.MjData(robot.mj), mujoco.MjData(robot.mj)
    for data, time in ((before, -dt), (after, dt)):
        data.qpos[:] = state.qpos
        mujoco.mj_integratePos(robot.mj, data.qpos, state.qvel, time)
        mujoco.mj_kinematics(robot.mj, data)
    for link in robot.bodies:
        body = robot.mj.body(link).id
        points = [
            d.xpos[body] + d.xmat[body].reshape(3, 3) @ point_in_link for d in (before, after)
        ]
        velocity = posed.point_velocity(link, (points[0] + points[1]) / 2)
        np.testing.assert_allclose(velocity, (points[1] - points[0]) / (2 * dt), atol=1e-6)


def test_a_pose_alone_is_at_rest(robot):
    posed = PosedModel(robot)
    *_, state = states(robot, 5)
    follow(posed, state)
    posed.set_pose(state.base_position, state.base_quaternion_wxyz, state.joint_positions)
    assert not posed.point_velocity("torso", state.base_position).any()


def test_what_is_handed_out_does_not_change_later(robot):
    posed = PosedModel(robot)
    shown = [posed.body_positions, posed.geom_xmat, posed.link_pose("torso")[0]]
    kept = [array.copy() for array in shown]
    *_, state = states(robot, 3)
    follow(posed, state)
    for array, copy in zip(shown, kept, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_an_unknown_link_is_named(robot):
    with pytest.raises(
        ModelError, match="link 'tail' is not in the model; its links are base_link"
    ):
        PosedModel(robot).link_pose("tail")


def test_a_robot_without_feet_sensors_can_be_posed():
    robot = RobotModel(replace(ModelConfig().card(), left_foot="", right_foot=""))
    assert observe_data(PosedModel(robot).data()).shape == (376,)


IMU_ON_THE_HEAD = """<mujoco><worldbody><body name="trunk" pos="0 0 1"><freejoint/><geom size=".1"/>
  <body pos="0 0 .2"><joint name="pan" axis="0 .6 .8"/><geom size=".05"/>
    <body name="head" euler="10 20 30"><geom size=".05"/>
      <joint name="nod" axis="1 0 0" pos=".1 0 0"/>
      <site name="imu_link" euler="90 40 0" pos=".1 .2 .3"/></body></body></body></worldbody>
<actuator><motor joint="pan" ctrlrange="-1 1"/><motor joint="nod" ctrlrange="-1 1"/></actuator>
<sensor><framequat name="turn" objtype="site" objname="imu_link"/></sensor></mujoco>"""


def test_the_turning_of_the_base_follows_from_an_imu_on_any_link(tmp_path):
    path = tmp_path / "looker.xml"
    path.write_text(IMU_ON_THE_HEAD)
    robot = RobotModel(ModelConfig(model=str(path)))
    posed, data = PosedModel(robot), mujoco.MjData(robot.mj)
    random = np.random.default_rng(1)
    for _ in range(20):
        data.qpos[:] = random.normal(size=robot.mj.nq)
        data.qpos[3:7] /= np.linalg.norm(data.qpos[3:7])
        data.qvel[:] = random.normal(size=robot.mj.nv)
        mujoco.mj_forward(robot.mj, data)
        quaternion, turning = posed.base_of_imu(
            data.sensor("turn").data,
            data.sensor(robot.gyro).data,
            data.qpos[robot.qpos_indices],
            data.qvel[robot.dof_indices],
        )
        same = quaternion * np.sign(quaternion @ data.qpos[3:7])
        np.testing.assert_allclose(same, data.qpos[3:7], atol=1e-12)
        np.testing.assert_allclose(turning, data.qvel[3:6], atol=1e-12)
