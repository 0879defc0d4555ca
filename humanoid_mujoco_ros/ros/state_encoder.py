# SPDX-License-Identifier: Apache-2.0
"""A simulated robot's state as serialised messages, one for each of its topics."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from builtin_interfaces.msg import Time
from nav_msgs.msg import Odometry
from numpy.typing import NDArray
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Imu, JointState
from std_msgs.msg import Float64MultiArray

from humanoid_mujoco_ros.policy.state_vector import observation_layout
from humanoid_mujoco_ros.robot.link_tree import LinkTree
from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.robot.state import ImuReading, RobotState, Wrench
from humanoid_mujoco_ros.ros import conversions
from humanoid_mujoco_ros.ros.serialized import PatchedMessage

Float64Array = NDArray[np.float64]


class StateEncoder:
    """Turns states of one robot into the bytes that its topics carry."""

    def __init__(self, robot: RobotModel, tree: LinkTree, prefix: str, like: RobotState) -> None:
        """Prepares the messages.

        Args:
            robot: The robot.
            tree: Its links.
            prefix: Goes before the name of every frame.
            like: Any state of it.
        """
        self._transforms = conversions.Transforms(tree, prefix, has_footprint=robot.base.is_free)
        layout = conversions.to_layout(observation_layout(robot))
        n = len(robot.joints)

        def joint_state(numbers: Float64Array, stamp: Time) -> JointState:
            positions, velocities, efforts = numbers.reshape(3, n)
            state = replace(
                like,
                joint_positions=positions,
                joint_velocities=velocities,
                joint_efforts=efforts,
            )
            return conversions.to_joint_state(state, robot.joints, stamp)

        def odometry(numbers: Float64Array, stamp: Time) -> Odometry:
            position, quaternion, linear, angular = np.split(numbers, (3, 7, 10))
            state = replace(
                like,
                base_position=position,
                base_quaternion_wxyz=quaternion,
                base_linear_velocity=linear,
                base_angular_velocity=angular,
            )
            return conversions.to_odometry(state, prefix, stamp)

        def imu(numbers: Float64Array, stamp: Time) -> Imu:
            return conversions.to_imu(ImuReading(*np.split(numbers, (4, 7))), prefix, stamp)

        def observation(numbers: Float64Array, stamp: Time) -> Float64MultiArray:
            return conversions.to_observation(numbers, layout)

        def clock(numbers: Float64Array, stamp: Time) -> Clock:
            return conversions.to_clock(stamp)

        self._joint_states = PatchedMessage(joint_state, 3 * n)
        self._odometry = PatchedMessage(odometry, 13)
        self._imu = PatchedMessage(imu, 10)
        self._observation = PatchedMessage(observation, like.observation.size)
        self._clock = PatchedMessage(clock, 0)
        self._tf = PatchedMessage(self._transforms.message, self._transforms.size)
        self._wrenches = {
            side: _wrench_message(prefix + foot) for side, foot, _ in robot.foot_sensors
        }

    def joint_states(self, state: RobotState) -> bytes:
        """sensor_msgs/JointState."""
        numbers = (state.joint_positions, state.joint_velocities, state.joint_efforts)
        return self._joint_states.serialize(np.concatenate(numbers), state.time_ns)

    def odometry(self, state: RobotState) -> bytes:
        """nav_msgs/Odometry."""
        numbers = (
            state.base_position,
            state.base_quaternion_wxyz,
            state.base_linear_velocity,
            state.base_angular_velocity,
        )
        return self._odometry.serialize(np.concatenate(numbers), state.time_ns)

    def imu(self, state: RobotState) -> bytes:
        """sensor_msgs/Imu."""
        imu = state.imu
        numbers = (imu.quaternion_wxyz, imu.angular_velocity, imu.linear_acceleration)
        return self._imu.serialize(np.concatenate(numbers), state.time_ns)

    def foot_wrench(self, state: RobotState, side: str) -> bytes:
        """geometry_msgs/WrenchStamped of the foot on one side."""
        wrench = state.foot_wrenches[side]
        numbers = np.concatenate((wrench.force, wrench.torque))
        return self._wrenches[side].serialize(numbers, state.time_ns)

    def observation(self, state: RobotState) -> bytes:
        """std_msgs/Float64MultiArray."""
        return self._observation.serialize(state.observation, state.time_ns)

    def clock(self, state: RobotState) -> bytes:
        """rosgraph_msgs/Clock."""
        return self._clock.serialize(np.empty(0), state.time_ns)

    def transforms(self, state: RobotState) -> bytes:
        """tf2_msgs/TFMessage: the base, the moving joints and base_footprint."""
        return self._tf.serialize(self._transforms.numbers(state), state.time_ns)


def _wrench_message(frame: str) -> PatchedMessage:
    return PatchedMessage(
        lambda numbers, stamp: conversions.to_wrench(Wrench(*np.split(numbers, 2)), frame, stamp), 6
    )
