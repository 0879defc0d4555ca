# SPDX-License-Identifier: Apache-2.0
"""Keeps a posed model of the robot up to date from joint_states, and odom or imu/data."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from nav_msgs.msg import Odometry
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Imu, JointState

from humanoid_mujoco_ros.policy.measurement import BaseSource
from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.joint_map import JointMap
from humanoid_mujoco_ros.robot.posed_model import PosedModel
from humanoid_mujoco_ros.ros import conversions, peers
from humanoid_mujoco_ros.ros.conversions import BaseReadings, ImuReadings, JointReadings
from humanoid_mujoco_ros.ros.pairing import DEPTH, Freshness, StampPairing
from humanoid_mujoco_ros.ros.shared_config import PairingConfig
from humanoid_mujoco_ros.ros.topics import BASE_TOPICS

_BEST_EFFORT = QoSProfile(depth=DEPTH, reliability=ReliabilityPolicy.BEST_EFFORT)
_CHECK_PERIOD_S = 0.2
"""How often to look whether the robot is a simulation while what comes is not new."""
_UNIT_TOLERANCE = 0.01
"""How far a quaternion's length may be from one."""


_Base = BaseReadings | ImuReadings
_AT_REST = BaseReadings(np.zeros(3), rotation.IDENTITY, np.zeros(3), np.zeros(3))


class RobotListener:
    """Subscribes to joint_states and odom; calls back once for each pair of them.

    Where the base is known from an IMU alone, imu/data takes odom's place, and the base stays at
    the origin, at rest but for its turning. Without either, every joint state counts by itself.

    Attributes:
        posed: The robot as of the last pair.
        commanded: (n,) [N·m] by joint; stands in for efforts that the robot does not measure.
        measures_efforts: Whether the robot measured every joint's effort.
        fault: Why the last pair was refused as not new; None: it was not.
        stale: How many pairs have been refused so far.
    """

    def __init__(
        self,
        node: Node,
        posed: PosedModel,
        joint_map: JointMap,
        on_state: Callable[[int], None],
        on_refused: Callable[[object], None],
        pairing: PairingConfig,
        freshness: Freshness | None = None,
        base_from: BaseSource = "odom",
    ) -> None:
        """Subscribes.

        Args:
            node: Subscribes.
            posed: Kept up to date.
            joint_map: What the robot calls its joints.
            on_state: Takes the stamp [ns] of a new state.
            on_refused: Takes the reason why a message was refused.
            pairing: How far the stamps of a pair may differ.
            freshness: Refuses pairs that are not new, unless the robot is simulated: that one may
                pause and run slowly. None: none are refused.
            base_from: What measures the base.
        """
        self.posed = posed
        self.commanded = np.zeros(len(joint_map.robot_joints))
        self.measures_efforts = False
        self.fault: str | None = None
        self.stale = 0
        self._node = node
        self._joint_map = joint_map
        self._on_state = on_state
        self._on_refused = on_refused
        self._pairing: StampPairing[tuple[int, JointReadings], tuple[int, _Base]] = StampPairing(
            round(pairing.pairing_tolerance_s * 1e9)
        )
        self._tolerance_s = pairing.pairing_tolerance_s
        self._freshness = freshness
        self._is_simulated = False
        self._simulation_check_s = -_CHECK_PERIOD_S
        self._stamps_ns: dict[str, int] = {}
        self._times_s: dict[str, float] = {}
        self._pair_time_s: float | None = None
        self._best_effort: set[str] = set()
        self._topics = ["joint_states"]
        self._subscribe(JointState, "joint_states", self.on_joint_states)
        if base_from != "none":
            topic = BASE_TOPICS[base_from]
            self._topics.append(topic)
            is_odom = base_from == "odom"
            self._subscribe(
                Odometry if is_odom else Imu, topic, self.on_odom if is_odom else self.on_imu
            )

    def on_joint_states(self, message: JointState) -> None:
        """Takes the joints, unless one is missing or not finite."""
        stamp_ns = conversions.from_time(message.header.stamp)
        try:
            readings = conversions.from_joint_state(message, self._joint_map.robot_joints)
            _check_finite("joint position", self._joint_map.robot_joints, readings.positions)
            _check_finite("joint velocity", self._joint_map.robot_joints, readings.velocities)
        except ValueError as error:
            self._on_refused(error)
            return
        self._heard("joint_states", stamp_ns)
        joints = stamp_ns, readings
        if len(self._topics) == 1:
            self._take((joints, (stamp_ns, _AT_REST)), stamp_ns)
        else:
            self._take(self._pairing.add_first(stamp_ns, joints), stamp_ns)

    def on_odom(self, message: Odometry) -> None:
        """Takes the base, unless it is not finite."""
        stamp_ns = conversions.from_time(message.header.stamp)
        readings = conversions.from_odometry(message)
        try:
            _check_finite("odom position", "xyz", readings.position)
            _check_finite("odom linear velocity", "xyz", readings.linear_velocity)
            _check_finite("odom angular velocity", "xyz", readings.angular_velocity)
            _check_unit("odom orientation", readings.quaternion_wxyz)
        except ValueError as error:
            self._on_refused(error)
            return
        self._heard("odom", stamp_ns)
        self._take(self._pairing.add_second(stamp_ns, (stamp_ns, readings)), stamp_ns)

    def on_imu(self, message: Imu) -> None:
        """Takes how the base turns, unless it is not finite or not said."""
        stamp_ns = conversions.from_time(message.header.stamp)
        try:
            readings = conversions.from_imu(message)
            _check_finite("imu angular velocity", "xyz", readings.angular_velocity)
            _check_unit("imu orientation", readings.quaternion_wxyz)
        except ValueError as error:
            self._on_refused(error)
            return
        self._heard("imu/data", stamp_ns)
        self._take(self._pairing.add_second(stamp_ns, (stamp_ns, readings)), stamp_ns)

    @property
    def age_s(self) -> float | None:
        """Time since the last new pair on the steady clock; None before the first."""
        return None if self._pair_time_s is None else time.monotonic() - self._pair_time_s

    def silence(self) -> str:
        """Why no pair comes, in plain words."""
        now_s = time.monotonic()
        silent = [
            f"{topic} ({now_s - self._times_s[topic]:.1f} s)" if topic in self._times_s else topic
            for topic in self._topics
            if now_s - self._times_s.get(topic, 0.0) > 0.5
        ]
        if silent:
            return f"nothing usable comes on {' and '.join(silent)}"
        if self.fault is not None:
            return self.fault
        first, last = self._topics[0], self._topics[-1]
        difference_s = abs(self._stamps_ns[first] - self._stamps_ns[last]) * 1e-9
        if difference_s <= self._tolerance_s:
            return "the robot is silent"
        return f"{first} and {last} do not pair: their stamps differ by {difference_s:g} s"

    def _subscribe(self, message_type: Any, topic: str, callback: Callable[[Any], None]) -> None:
        """Hears reliable publishers, or, once there is another, best-effort ones too."""

        def on_message(message: Any) -> None:
            if topic not in self._best_effort:
                callback(message)

        def on_incompatible(_: object) -> None:
            if topic not in self._best_effort:
                self._best_effort.add(topic)
                self._node.get_logger().info(f"{topic} comes best-effort and is heard so")
                self._node.create_subscription(message_type, topic, callback, _BEST_EFFORT)

        events = SubscriptionEventCallbacks(incompatible_qos=on_incompatible)
        self._node.create_subscription(
            message_type, topic, on_message, DEPTH, event_callbacks=events
        )

    def _heard(self, topic: str, stamp_ns: int) -> None:
        self._stamps_ns[topic] = stamp_ns
        self._times_s[topic] = time.monotonic()

    def _take(
        self,
        pair: tuple[tuple[int, JointReadings], tuple[int, _Base]] | None,
        stamp_ns: int,
    ) -> None:
        if pair is None:
            return
        (joints_ns, joints), (base_ns, base) = pair
        self.fault = self._find_fault(min(joints_ns, base_ns))
        if self.fault is not None:
            self.stale += 1
            return
        efforts = self._joint_map.signed(joints.efforts)
        measured = np.isfinite(efforts)
        self.measures_efforts = bool(measured.all())
        positions = self._joint_map.positions_of_robot(joints.positions)
        velocities = self._joint_map.signed(joints.velocities)
        if isinstance(base, ImuReadings):
            turn = self.posed.base_of_imu(
                base.quaternion_wxyz, base.angular_velocity, positions, velocities
            )
            base = BaseReadings(np.zeros(3), turn[0], np.zeros(3), turn[1])
        self.posed.set_state(
            base.position,
            base.quaternion_wxyz,
            base.linear_velocity,
            base.angular_velocity,
            positions,
            velocities,
            np.where(measured, efforts, self.commanded),
        )
        self._pair_time_s = time.monotonic()
        self._on_state(stamp_ns)

    def _find_fault(self, stamp_ns: int) -> str | None:
        """Why a pair, as old as its older half, is not new; None: it is."""
        if self._freshness is None:
            return None
        now_s = time.monotonic()
        fault = self._freshness.fault(stamp_ns, now_s)
        if fault is not None and now_s - self._simulation_check_s >= _CHECK_PERIOD_S:
            self._simulation_check_s = now_s
            self._is_simulated = peers.is_simulated(self._node)
        return None if self._is_simulated else fault


def _check_finite(what: str, names: tuple[str, ...] | str, values: np.ndarray) -> None:
    if not np.isfinite(values).all():
        index = int(np.flatnonzero(~np.isfinite(values))[0])
        raise ValueError(f"{what} is not finite: {names[index]} is {values[index]}")


def _check_unit(what: str, quaternion_wxyz: np.ndarray) -> None:
    length = float(np.linalg.norm(quaternion_wxyz))
    if not abs(length - 1.0) <= _UNIT_TOLERANCE:
        raise ValueError(f"{what} is no unit quaternion: its length is {length}")
