# SPDX-License-Identifier: Apache-2.0
"""Serialised messages are what rclpy makes of the same values.

The bytes that align values may be any, so the messages are compared.
"""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy")

from geometry_msgs.msg import WrenchStamped
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Float64MultiArray, Header

from humanoid_mujoco_ros.policy.state_vector import observation_layout
from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.link_tree import LinkTree
from humanoid_mujoco_ros.robot.model import ModelConfig, RobotModel
from humanoid_mujoco_ros.ros import conversions
from humanoid_mujoco_ros.ros.serialized import ArrayReader, PatchedMessage
from humanoid_mujoco_ros.ros.state_encoder import StateEncoder
from humanoid_mujoco_ros.simulation.simulation import Simulation


class States:
    """Random states of a robot, and what rclpy makes of them."""

    prefix = "r2/"

    def __init__(self, name):
        self.robot = RobotModel(ModelConfig(robot=name))
        self.tree = LinkTree(self.robot)
        self.simulation = Simulation(self.robot)
        self.encoder = StateEncoder(self.robot, self.tree, self.prefix, self.simulation.state())

    def __iter__(self):
        random, robot = np.random.default_rng(0), self.robot
        for _ in range(5):
            qpos = robot.start_qpos + random.normal(size=robot.mj.nq) * 0.3
            if robot.base.is_free:
                qpos[3:7] = rotation.normalized(random.normal(size=4))
            self.simulation.set_state(qpos, random.normal(size=robot.mj.nv))
            yield self.simulation.step(random.normal(size=len(robot.joints)))

    def expected(self, topic, state):
        stamp = conversions.to_time(state.time_ns)
        if topic == "joint_states":
            return conversions.to_joint_state(state, self.robot.joints, stamp)
        if topic == "odometry":
            return conversions.to_odometry(state, self.prefix, stamp)
        if topic == "imu":
            return conversions.to_imu(state.imu, self.prefix, stamp)
        if topic == "clock":
            return conversions.to_clock(stamp)
        if topic == "transforms":
            transforms = conversions.Transforms(
                self.tree, self.prefix, has_footprint=self.robot.base.is_free
            )
            return transforms.message(transforms.numbers(state), stamp)
        layout = conversions.to_layout(observation_layout(self.robot))
        return conversions.to_observation(state.observation, layout)


@pytest.fixture(scope="module", params=["humanoid", "hopper"])
def states(request):
    return States(request.param)


@pytest.mark.parametrize(
    "topic", ["joint_states", "odometry", "imu", "clock", "transforms", "observation"]
)
def test_a_topic_carries_what_rclpy_would_send(states, topic):
    for state in states:
        encoded, expected = getattr(states.encoder, topic)(state), states.expected(topic, state)
        assert len(encoded) == len(serialize_message(expected))
        assert deserialize_message(encoded, type(expected)) == expected


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_foot_wrench_is_what_rclpy_would_send(side):
    states = States("humanoid")
    for state in states:
        stamp, wrench = conversions.to_time(state.time_ns), state.foot_wrenches[side]
        message = conversions.to_wrench(wrench, f"r2/{side}_foot", stamp)
        assert (
            deserialize_message(states.encoder.foot_wrench(state, side), WrenchStamped) == message
        )


def test_a_message_that_computes_is_refused():
    with pytest.raises(ValueError, match="does not hold the numbers as they are"):
        PatchedMessage(lambda numbers, stamp: Float64MultiArray(data=numbers * 2), 3)


def test_a_message_whose_text_changes_is_refused():
    def build(numbers, stamp):
        return Header(stamp=stamp, frame_id=f"at_{stamp.sec}")

    with pytest.raises(ValueError, match="more that changes"):
        PatchedMessage(build, 0)


def test_arrays_are_read_with_and_without_a_layout():
    reader, random = ArrayReader(), np.random.default_rng(0)
    layout = conversions.to_layout(observation_layout(RobotModel()))
    for size in (376, 376, 17, 17, 0, 5, 376):
        numbers = random.normal(size=size)
        message = Float64MultiArray(data=numbers)
        if size == 376:
            message = conversions.to_observation(numbers, layout)
        for _ in range(2):
            np.testing.assert_array_equal(reader.read(serialize_message(message)), numbers)


def test_numbers_that_are_none_are_read_as_they_are():
    numbers = np.array([np.nan, np.inf, -0.0])
    reader = ArrayReader()
    for _ in range(2):
        read = reader.read(serialize_message(Float64MultiArray(data=numbers)))
        np.testing.assert_array_equal(read, numbers)


@pytest.mark.parametrize("keep", [0, 3, 8, 20, -1, -8])
def test_a_torn_message_after_a_whole_one_is_not_taken_for_one(keep):
    reader = ArrayReader()
    whole = serialize_message(Float64MultiArray(data=[1.0, 2.0, 3.0]))
    reader.read(whole)
    with pytest.raises(Exception, match=r"deserialize|buffer|bytes"):  # rclpy's own
        reader.read(whole[:keep])
