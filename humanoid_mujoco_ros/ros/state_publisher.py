# SPDX-License-Identifier: Apache-2.0
"""Publishes a simulated robot's states as a physical robot would, in a thread of its own."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass

from geometry_msgs.msg import WrenchStamped
from nav_msgs.msg import Odometry
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Imu, JointState
from std_msgs.msg import Float64MultiArray, String
from tf2_msgs.msg import TFMessage

from humanoid_mujoco_ros.policy.state_vector import observation_layout
from humanoid_mujoco_ros.robot.state import RobotState
from humanoid_mujoco_ros.robot.urdf import urdf
from humanoid_mujoco_ros.ros import conversions, topics
from humanoid_mujoco_ros.ros.stream_qos import stream
from humanoid_mujoco_ros.simulation.simulation import Simulation

_DEPTH = 100
"""States that wait to be published, and messages for listeners; a second at 100 Hz."""
_LAST_WORDS = Duration(seconds=1)
"""How long listeners may take to hear the last states of a run."""
_POLL_S = 0.1
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@dataclass(frozen=True)
class InterfaceConfig:
    """How the robot appears on the graph."""

    publish_clock: bool = True
    """Whether to publish /clock; a second simulation leaves that to the first, or time would jump
    back and forth."""
    publish_observation: bool = True
    """Whether to publish observation; otherwise observation_node makes it of joint_states and odom,
    as on a robot."""


class StatePublisher:
    """Publishes states from an outbox, so that the physics never waits for DDS.

    Attributes:
        last_state: The state that was published last.
        dropped: States that were never published, because the outbox was full (realtime).
    """

    def __init__(
        self,
        node: Node,
        simulation: Simulation,
        config: InterfaceConfig,
        frame_prefix: str,
        *,
        is_lockstep: bool,
    ) -> None:
        """Creates the publishers and publishes what is latched.

        Args:
            node: Owns the publishers.
            simulation: Gives the robot and its links; its state is `last_state` until one is
                published.
            config: Which topics.
            frame_prefix: Goes before the name of every frame.
            is_lockstep: The physics waits for answers: the observation goes out first, and no state
                is dropped.
        """
        robot, tree = simulation.robot, simulation.tree
        self.last_state = simulation.state()
        self.dropped = 0
        self._joints = robot.joints
        self._prefix = frame_prefix
        self._is_lockstep = is_lockstep
        self._transforms = conversions.TransformEncoder(
            tree, self._prefix, has_footprint=robot.base.is_free
        )
        self._layout = conversions.to_layout(observation_layout(robot))
        qos = stream(_DEPTH, is_lockstep=is_lockstep)
        newest = stream(1, is_lockstep=is_lockstep)
        self._joint_states = node.create_publisher(JointState, "joint_states", qos)
        self._odom = node.create_publisher(Odometry, "odom", qos)
        self._imu = node.create_publisher(Imu, "imu/data", qos)
        self._feet = {
            side: (
                self._prefix + foot,
                node.create_publisher(WrenchStamped, f"{side}_foot/wrench", qos),
            )
            for side, foot, _ in robot.foot_sensors
        }
        self._tf = node.create_publisher(TFMessage, "/tf", qos)
        self._clock: Publisher | None = None
        if config.publish_clock:
            self._clock = node.create_publisher(Clock, topics.CLOCK, newest)
        self._observation: Publisher | None = None
        if config.publish_observation:
            # Older ones, kept for a policy that was killed, would keep the next policy waiting.
            self._observation = node.create_publisher(Float64MultiArray, topics.OBSERVATION, 1)
        self._description = node.create_publisher(String, "robot_description", LATCHED)
        self._description.publish(String(data=urdf(robot, tree)))
        self._tf_static = node.create_publisher(TFMessage, "/tf_static", LATCHED)
        self._tf_static.publish(conversions.to_static_transforms(tree, self._prefix))
        self._outbox: queue.Queue[tuple[RobotState, bool]] = queue.Queue(_DEPTH)
        self._closing = threading.Event()
        self._published_time_ns = 0
        self._listeners = 0
        self._thread: threading.Thread | None = None

    @property
    def publishes_observation(self) -> bool:
        """Whether the policy is asked here; otherwise by observation_node."""
        return self._observation is not None

    def start(self, is_over: Callable[[], bool], on_end: Callable[[], None]) -> None:
        """Starts the thread.

        Args:
            is_over: Whether no state will follow.
            on_end: Called in the thread after the last state, unless `close` was called.
        """
        self._thread = threading.Thread(
            target=self._run, args=(is_over, on_end), name="publisher", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Lets nothing wait for the outbox any more; call it before the physics is stopped."""
        self._closing.set()

    def join(self) -> None:
        """Waits for the thread, which ends once the physics has."""
        if self._thread is not None:
            self._thread.join()

    def put(self, state: RobotState, *, ask: bool) -> None:
        """Takes a state from the physics thread, which must not wait for its publication.

        In lockstep it waits for the answer anyway, so the observation goes out at once.
        """
        if ask and self._is_lockstep and self._observation is not None:
            self._publish_observation(self._observation, state)
            ask = False
        while self._is_lockstep and not self._closing.is_set():  # there physics has time
            try:
                return self._outbox.put((state, ask), timeout=_POLL_S)
            except queue.Full:
                continue
        try:
            self._outbox.put_nowait((state, ask))
        except queue.Full:
            # The newest state matters most. Only this thread puts, so that there is room now.
            self.dropped += 1
            with contextlib.suppress(queue.Empty):
                self._outbox.get_nowait()
            self._outbox.put_nowait((state, ask))

    def flush(self) -> None:
        """Waits until the listeners have heard the last states."""
        for publisher in (self._joint_states, self._odom, self._imu, self._tf):
            if not publisher.wait_for_all_acked(_LAST_WORDS):
                return

    def _run(self, is_over: Callable[[], bool], on_end: Callable[[], None]) -> None:
        while not is_over():
            try:
                state, ask = self._outbox.get(timeout=_POLL_S)
            except queue.Empty:
                continue
            self._publish(state, ask=ask)
        while not self._outbox.empty():
            state, ask = self._outbox.get()
            self._publish(state, ask=ask)
        if not self._closing.is_set():
            on_end()

    def _publish_observation(self, publisher: Publisher, state: RobotState) -> None:
        publisher.publish(conversions.to_observation(state.observation, self._layout))

    def _publish(self, state: RobotState, *, ask: bool) -> None:
        if self._observation is None:
            if not ask and self._is_lockstep:
                # observation_node would take it for a question.
                self.last_state = state
                return
        elif ask:
            # First, since a policy is waiting for it.
            self._publish_observation(self._observation, state)
        stamp = conversions.to_time(state.time_ns)
        prefix = self._prefix
        self._joint_states.publish(conversions.to_joint_state(state, self._joints, stamp))
        self._odom.publish(conversions.to_odometry(state, prefix, stamp))
        self._imu.publish(conversions.to_imu(state.imu, prefix, stamp))
        for side, (frame, publisher) in self._feet.items():
            publisher.publish(conversions.to_wrench(state.foot_wrenches[side], frame, stamp))
        listeners = self._tf.get_subscription_count()
        if self._clock is not None:
            listeners += self._clock.get_subscription_count()
        if state.time_ns != self._published_time_ns or listeners > self._listeners:
            # While time stands still, repeating these would only make tf2 warn, but for newcomers.
            self._tf.publish(self._transforms.encode(state, stamp))
            if self._clock is not None:
                self._clock.publish(conversions.to_clock(stamp))
        self._published_time_ns, self._listeners = state.time_ns, listeners
        self.last_state = state
