# SPDX-License-Identifier: Apache-2.0
"""Messages against the library's values."""

import mujoco
import numpy as np
import pytest

pytest.importorskip("rclpy")

from humanoid_mujoco_ros.policy import observation
from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.link_tree import LinkTree
from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.ros import conversions
from humanoid_mujoco_ros.simulation.simulation import Simulation

STAMP = conversions.to_time(12_345_678_901)


@pytest.fixture(scope="module")
def robot():
    return RobotModel()


@pytest.fixture(scope="module")
def state(robot):
    simulation = Simulation(robot)
    random = np.random.default_rng(0)
    qpos = simulation.state().qpos
    qpos[:3] += random.normal(size=3)
    qpos[3:7] = rotation.normalized(random.normal(size=4))
    qpos[7:] += random.normal(size=17)
    simulation.set_state(qpos, random.normal(size=23))
    return simulation.step(random.normal(size=17))


def test_stamps_round_trip():
    assert (STAMP.sec, STAMP.nanosec) == (12, 345_678_901)
    assert conversions.from_time(STAMP) == 12_345_678_901


def test_quaternions_round_trip_and_change_order():
    wxyz = rotation.normalized([0.1, 0.2, -0.3, 0.4])
    message = conversions.to_quaternion(wxyz)
    assert [message.x, message.y, message.z, message.w] == [*wxyz[1:], wxyz[0]]
    np.testing.assert_array_equal(conversions.from_quaternion(message), wxyz)


def test_joint_states_carry_every_joint_by_name(robot, state):
    message = conversions.to_joint_state(state, robot.joints, STAMP)
    assert tuple(message.name) == robot.joints
    np.testing.assert_array_equal(message.position, state.joint_positions)
    np.testing.assert_array_equal(message.velocity, state.joint_velocities)
    np.testing.assert_array_equal(message.effort, state.joint_efforts)


def test_odometry_is_the_pose_of_base_link_and_its_twist(state):
    message = conversions.to_odometry(state, "r2/", STAMP)
    assert message.header.frame_id == "r2/odom"
    assert message.child_frame_id == "r2/base_link"
    pose = message.pose.pose
    assert [pose.position.x, pose.position.y, pose.position.z] == list(state.qpos[:3])
    np.testing.assert_allclose(
        conversions.from_quaternion(pose.orientation), state.qpos[3:7], atol=1e-12
    )
    linear = conversions.from_vector3(message.twist.twist.linear)
    np.testing.assert_allclose(
        rotation.rotate(state.base_quaternion_wxyz, linear), state.qvel[:3], atol=1e-12
    )
    np.testing.assert_array_equal(
        conversions.from_vector3(message.twist.twist.angular), state.qvel[3:6]
    )


def test_wrenches_round_trip(state):
    wrench = state.foot_wrenches["left"]
    message = conversions.to_wrench(wrench, "left_foot", STAMP)
    back = conversions.from_wrench(message)
    np.testing.assert_array_equal(back.force, wrench.force)
    np.testing.assert_array_equal(back.torque, wrench.torque)
    assert message.header.frame_id == "left_foot"


def test_the_observations_layout_names_its_blocks(robot, state):
    layout = conversions.to_layout(observation.layout(robot.mj))
    message = conversions.to_observation(state.observation, layout)
    np.testing.assert_array_equal(message.data, state.observation)
    assert [dim.label for dim in message.layout.dim][:3] == [
        "height",
        "orientation",
        "joint_positions",
    ]
    assert sum(dim.size for dim in message.layout.dim) == len(message.data) == 376


def test_transforms_put_every_link_where_mujoco_does(robot, state):
    tree = LinkTree(robot)
    encoder = conversions.TransformEncoder(tree, "r2/", has_footprint=True)
    static = conversions.to_static_transforms(tree, "r2/")
    data = mujoco.MjData(robot.mj)
    data.qpos[:] = state.qpos
    mujoco.mj_kinematics(robot.mj, data)
    poses = {"r2/odom": (np.zeros(3), np.array([1.0, 0, 0, 0]))}
    pending = [*encoder.encode(state, STAMP).transforms, *static.transforms]
    while pending:
        ready = [t for t in pending if t.header.frame_id in poses]
        assert ready, "the frames do not form one tree"
        for transform in ready:
            position, quaternion = poses[transform.header.frame_id]
            shift = conversions.from_vector3(transform.transform.translation)
            poses[transform.child_frame_id] = (
                position + rotation.rotate(quaternion, shift),
                rotation.multiply(
                    quaternion, conversions.from_quaternion(transform.transform.rotation)
                ),
            )
        pending = [t for t in pending if t.child_frame_id not in poses]
    for name in robot.bodies:
        body = robot.mj.body(name).id
        position, quaternion = poses[f"r2/{name}"]
        np.testing.assert_allclose(position, data.xpos[body], atol=1e-9)
        np.testing.assert_allclose(
            rotation.to_matrix(quaternion), data.xmat[body].reshape(3, 3), atol=1e-9
        )
    assert {f"r2/{link}" for link in tree.links} <= set(poses)
    position, quaternion = poses["r2/base_footprint"]
    np.testing.assert_allclose(position, [*state.base_position[:2], 0.0], atol=1e-9)
    roll, pitch, yaw = rotation.to_rpy(quaternion)
    np.testing.assert_allclose(
        [roll, pitch, yaw], [0.0, 0.0, rotation.heading(state.base_quaternion_wxyz)], atol=1e-9
    )


def test_joint_states_round_trip_by_name_in_any_order(robot, state):
    message = conversions.to_joint_state(state, robot.joints, STAMP)
    names = [*reversed(robot.joints)]
    readings = conversions.from_joint_state(message, names)
    np.testing.assert_array_equal(readings.positions, state.joint_positions[::-1])
    np.testing.assert_array_equal(readings.velocities, state.joint_velocities[::-1])
    np.testing.assert_array_equal(readings.efforts, state.joint_efforts[::-1])


def test_missing_efforts_are_nan(robot, state):
    message = conversions.to_joint_state(state, robot.joints, STAMP)
    message.effort = []
    assert np.isnan(conversions.from_joint_state(message, robot.joints).efforts).all()


def test_a_joint_state_that_lacks_something_is_explained(robot, state):
    message = conversions.to_joint_state(state, robot.joints, STAMP)
    with pytest.raises(ValueError, match="lacks tail, horn; it has abdomen_z, abdomen_y"):
        conversions.from_joint_state(message, [*robot.joints, "tail", "horn"])
    message.velocity = message.velocity[:3]
    with pytest.raises(ValueError, match="has 3 values of velocity for 17 joints"):
        conversions.from_joint_state(message, robot.joints)


def test_odometry_round_trips(state):
    readings = conversions.from_odometry(conversions.to_odometry(state, "", STAMP))
    np.testing.assert_array_equal(readings.position, state.base_position)
    np.testing.assert_array_equal(readings.quaternion_wxyz, state.base_quaternion_wxyz)
    np.testing.assert_array_equal(readings.linear_velocity, state.base_linear_velocity)
    np.testing.assert_array_equal(readings.angular_velocity, state.base_angular_velocity)


def test_an_imu_round_trips_and_says_what_it_lacks(state):
    message = conversions.to_imu(state.imu, "", conversions.to_time(1))
    readings = conversions.from_imu(message)
    np.testing.assert_array_equal(readings.quaternion_wxyz, state.imu.quaternion_wxyz)
    np.testing.assert_array_equal(readings.angular_velocity, state.imu.angular_velocity)
    message.orientation_covariance[0] = -1.0
    with pytest.raises(ValueError, match="imu/data has no orientation: the first of its covarian"):
        conversions.from_imu(message)
