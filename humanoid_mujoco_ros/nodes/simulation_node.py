# SPDX-License-Identifier: Apache-2.0
"""simulation_node: MuJoCo on the ROS graph, in the place of a robot."""

from __future__ import annotations

import math
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
from geometry_msgs.msg import WrenchStamped
from nav_msgs.msg import Odometry
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock as RosClock
from rclpy.clock import ClockType
from rclpy.duration import Duration
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Imu, JointState
from std_msgs.msg import Float64MultiArray, String
from std_srvs.srv import SetBool, Trigger
from tf2_msgs.msg import TFMessage

from humanoid_mujoco_ros.policy import observation
from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.link_tree import LinkTree
from humanoid_mujoco_ros.robot.model import ModelConfig, ModelError, RobotModel
from humanoid_mujoco_ros.robot.state import RobotState
from humanoid_mujoco_ros.robot.urdf import urdf
from humanoid_mujoco_ros.robot.vectors import VectorError, checked_vector
from humanoid_mujoco_ros.ros import (
    conflicts,
    conversions,
    diagnostics,
    parameters,
    peers,
    runtime,
    topics,
)
from humanoid_mujoco_ros.ros.guard import GuardedNode
from humanoid_mujoco_ros.simulation.physics_loop import LoopConfig, PhysicsLoop
from humanoid_mujoco_ros.simulation.simulation import Simulation, SimulationConfig

_DEPTH = 100
"""States that wait to be published, and messages for listeners; a second at 100 Hz."""
_LAST_WORDS = Duration(seconds=1)
"""How long listeners may take to hear the last states of a run."""
_REQUEST_TIMEOUT_S = 2.0
_SHORTEST_REPORT_S = 0.5
"""The last report of a run may follow sooner on the one before: it repeats its rates."""
_AFTER_CONFLICT_S = 1.0
"""Until then every policy has noticed that it is the only one again (lockstep)."""
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@dataclass(frozen=True)
class InterfaceConfig:
    """How the robot appears on the graph."""

    frame_prefix: str = ""
    """Goes before every frame's name, such as "robot2/" for a second robot."""
    publish_clock: bool = True
    """Whether to publish /clock; a second simulation leaves that to the first, or time would jump
    back and forth."""
    publish_observation: bool = True
    """Whether to publish observation; otherwise observation_node makes it of joint_states and odom,
    as on a robot."""


class SimulationNode(GuardedNode):
    """Steps the simulation and publishes what a robot would.

    Publishes (every control tick): joint_states, odom, imu/data, left_foot/wrench,
    right_foot/wrench, /tf, /clock, observation. Latched: robot_description, /tf_static. Every
    second: /diagnostics.

    Subscribes: effort_controller/commands [N·m, in the order of the parameter `joints`],
    external_wrench.

    Services: simulation/reset, simulation/pause, simulation/step.

    Parameters: the fields of ModelConfig (its path as `model`), SimulationConfig, LoopConfig and
    InterfaceConfig, and `joints`. `real_time_factor` may be set at any time (realtime).
    """

    def __init__(self) -> None:
        """Loads the model and starts the physics.

        Raises:
            ValueError: A parameter cannot be used; the message says why.
        """
        super().__init__("simulation_node")
        self.exit_status = 0
        self.is_done = False
        self._is_closing = False
        self._robot = RobotModel(parameters.declare(self, ModelConfig, path="model"))
        config = parameters.declare(self, SimulationConfig)
        loop_config = parameters.declare(self, LoopConfig, changeable=("real_time_factor",))
        interface = parameters.declare(self, InterfaceConfig)
        self._prefix = interface.frame_prefix
        self._joints = parameters.declare_joints(self, self._robot.joints)
        # Commands come in the order of `joints`; the simulation wants the model's.
        self._to_model_order = np.argsort(self._robot.joint_order(self._joints))
        self._simulation = Simulation(self._robot, config)
        self._mode = loop_config.mode
        self._loop = PhysicsLoop(
            self._simulation, loop_config, self.on_state, self._answering_policies
        )
        self._rejections = diagnostics.Rejections(self)
        self._meter = _Meter()
        self._tree = LinkTree(self._robot)
        self._transforms = conversions.TransformEncoder(self._tree, self._prefix)
        self._layout = conversions.to_layout(observation.layout(self._robot.mj))

        self._joint_states = self.create_publisher(JointState, "joint_states", _DEPTH)
        self._odom = self.create_publisher(Odometry, "odom", _DEPTH)
        self._imu = self.create_publisher(Imu, "imu/data", _DEPTH)
        self._feet = {
            side: (
                self._prefix + foot,
                self.create_publisher(WrenchStamped, f"{side}_foot/wrench", _DEPTH),
            )
            for side, foot, _ in self._robot.foot_sensors
        }
        self._tf = self.create_publisher(TFMessage, "/tf", _DEPTH)
        self._clock_publisher = (
            self.create_publisher(Clock, "/clock", 1) if interface.publish_clock else None
        )
        self._observation = (
            self.create_publisher(Float64MultiArray, "observation", 1)
            if interface.publish_observation
            else None
        )
        self._publish_latched()

        self._sources = conflicts.CommandSources(self)
        self._conflict = ""
        self._conflict_end_s = -math.inf
        self._clocks = conflicts.ClockSources(self) if interface.publish_clock else None
        self._clock_conflict = ""
        self.create_subscription(Float64MultiArray, topics.COMMANDS, self.on_commands, 1)
        steady = RosClock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(conflicts.CHECK_PERIOD_S, self._check_sources, clock=steady)
        self.create_subscription(WrenchStamped, "external_wrench", self.on_external_wrench, 10)
        self.create_service(Trigger, "simulation/reset", self.on_reset)
        self.create_service(SetBool, topics.PAUSE, self.on_pause)
        self.create_service(Trigger, "simulation/step", self.on_step)
        self._diagnostics = diagnostics.DiagnosticsPublisher(
            self, "control loop", self._robot.name, self._health
        )

        self._outbox: deque[tuple[RobotState, bool]] = deque(maxlen=_DEPTH)
        self._outbox_ready = threading.Event()
        self._dropped = 0
        self._published_time_ns = 0
        self._listeners = 0
        self._last_state = self._simulation.state()
        self._publisher_thread = threading.Thread(
            target=self._publish, name="publisher", daemon=True
        )
        self._loop.start()
        self._publisher_thread.start()
        self.add_on_set_parameters_callback(self.on_parameters)

    def destroy_node(self) -> None:
        """Stops the physics, then the node."""
        self._is_closing = True
        self._loop.stop()
        self._outbox_ready.set()
        self._publisher_thread.join()
        super().destroy_node()

    def on_state(self, state: RobotState, ask: bool) -> None:
        """Takes a state from the physics thread, which must not wait for its publication.

        In lockstep it waits for the answer anyway, so the observation goes out at once.
        """
        if ask and self._mode == "lockstep" and self._observation is not None:
            self._publish_observation(self._observation, state)
            ask = False
        while len(self._outbox) == _DEPTH and self._mode == "lockstep" and not self._is_closing:
            time.sleep(0.001)  # there physics has time
        if len(self._outbox) == _DEPTH:
            self._dropped += 1
        self._outbox.append((state, ask))
        self._outbox_ready.set()

    def on_commands(self, message: Float64MultiArray) -> None:
        """Takes a command, unless it is of the wrong size or not finite."""
        if self._conflict:
            return
        try:
            efforts = checked_vector(message.data, len(self._joints), "effort command")
        except VectorError as error:
            self._rejections.add(error)
            return
        self._loop.command(efforts[self._to_model_order])

    def on_external_wrench(self, message: WrenchStamped) -> None:
        """Takes a push on a link."""
        wrench = conversions.from_wrench(message)
        try:
            checked_vector([*wrench.force, *wrench.torque], 6, "external wrench")
            self._loop.push(message.header.frame_id.removeprefix(self._prefix), wrench)
        except (VectorError, ModelError) as error:
            self._rejections.add(error)

    def on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Starts a new episode."""
        return self._serve(
            self._loop.reset(), response, "the robot is back in an initial state", ""
        )

    def on_pause(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        """Stops or resumes time."""
        now = "paused" if request.data else "running"
        already = f"the simulation was {now} already"
        response = self._serve(self._loop.pause(request.data), response, now, already)
        response.success |= response.message == already
        return response

    def on_step(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Advances one control tick while paused."""
        return self._serve(
            self._loop.step(),
            response,
            "advanced one control period",
            "the simulation is running; pause it first (simulation/pause)",
        )

    def on_parameters(self, changes: Sequence[Parameter]) -> SetParametersResult:
        """Takes over another real_time_factor; every other parameter is read-only."""
        for change in changes:
            if change.name == "real_time_factor":
                if self._mode == "lockstep":
                    reason = "in lockstep time runs as fast as commands come"
                    return SetParametersResult(successful=False, reason=reason)
                try:
                    self._loop.set_real_time_factor(change.value)
                except ValueError as error:
                    return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _serve(
        self, future: Future[bool], response: Trigger.Response, done: str, refused: str
    ) -> Trigger.Response:
        """Waits for the physics thread, which answers between two ticks."""
        try:
            response.success = future.result(_REQUEST_TIMEOUT_S)
        except (RuntimeError, TimeoutError) as error:
            response.success = False
            response.message = str(error) or "the physics thread did not answer"
        else:
            response.message = done if response.success else refused
        return response

    def _check_sources(self) -> None:
        """Refuses commands while several nodes send them, and tells of a second clock."""
        conflict = self._sources.conflict() or ""
        if conflict and not self._conflict:
            self.get_logger().error(f"{conflict}: all commands are refused")
        elif self._conflict and not conflict:
            self.get_logger().info("one node commands the joints again")
            self._conflict_end_s = time.monotonic()
        self._conflict = conflict
        conflict = (self._clocks.conflict() if self._clocks is not None else None) or ""
        if conflict:
            conflict += (
                ": time jumps back and forth; set publish_clock to false (humanoid sim --no-clock, "
                "clock:=false) on all simulations but one"
            )
            if not self._clock_conflict:
                self.get_logger().error(conflict)
        self._clock_conflict = conflict

    def _answering_policies(self) -> frozenset[object]:
        """Whoever would answer the next state, by its subscriptions' ids."""
        if self._conflict or time.monotonic() - self._conflict_end_s < _AFTER_CONFLICT_S:
            # Whoever is left counts as a newcomer and is asked anew.
            return frozenset()
        if self._observation is None:
            # It is observation_node that asks the policy.
            return peers.observers(self)
        return peers.policies(self)

    def _publish(self) -> None:
        while not self._loop.finished:
            self._outbox_ready.wait(0.1)
            self._outbox_ready.clear()
            while self._outbox:
                self._publish_state(*self._outbox.popleft())
        while self._outbox:
            self._publish_state(*self._outbox.popleft())
        if not self._is_closing:
            # The loop ended by itself: its duration is over, or nobody answered.
            error = self._loop.take_status().error
            if error:
                self.get_logger().fatal(error)
                self.exit_status = 1
            else:
                self._say_result()
            self._diagnostics.publish()
            states = (self._joint_states, self._odom, self._imu, self._tf)
            any(not publisher.wait_for_all_acked(_LAST_WORDS) for publisher in states)
            self.is_done = True

    def _say_result(self) -> None:
        """For runs too short for anyone to have heard the diagnostics."""
        state = self._last_state
        self.get_logger().info(
            f"done at {state.time_ns * 1e-9:.2f} s: {state.episode_steps} steps since the last "
            f"reset, body height {state.base_position[2]:.2f} m"
        )

    def _publish_observation(self, publisher: Publisher, state: RobotState) -> None:
        publisher.publish(conversions.to_observation(state.observation, self._layout))

    def _publish_state(self, state: RobotState, ask: bool) -> None:
        if self._observation is None:
            if not ask and self._mode == "lockstep":
                # observation_node would take it for a question.
                self._last_state = state
                return
        elif ask:
            # First, since a policy is waiting for it.
            self._publish_observation(self._observation, state)
        stamp = conversions.to_time(state.time_ns)
        prefix = self._prefix
        self._joint_states.publish(conversions.to_joint_state(state, self._robot.joints, stamp))
        self._odom.publish(conversions.to_odometry(state, prefix, stamp))
        self._imu.publish(conversions.to_imu(state.imu, prefix, stamp))
        for side, (frame, publisher) in self._feet.items():
            publisher.publish(conversions.to_wrench(state.foot_wrenches[side], frame, stamp))
        publishers = [self._tf, *([self._clock_publisher] if self._clock_publisher else [])]
        listeners = sum(publisher.get_subscription_count() for publisher in publishers)
        if state.time_ns != self._published_time_ns or listeners > self._listeners:
            # While time stands still, repeating these would only make tf2 warn, but for newcomers.
            self._tf.publish(self._transforms.encode(state, stamp))
            if self._clock_publisher is not None:
                self._clock_publisher.publish(conversions.to_clock(stamp))
        self._published_time_ns, self._listeners = state.time_ns, listeners
        self._last_state = state

    def _publish_latched(self) -> None:
        self._description = self.create_publisher(String, "robot_description", LATCHED)
        self._description.publish(String(data=urdf(self._robot)))
        self._tf_static = self.create_publisher(TFMessage, "/tf_static", LATCHED)
        self._tf_static.publish(conversions.to_static_transforms(self._tree, self._prefix))

    def _health(self) -> diagnostics.Health:
        status = self._loop.take_status()
        state = self._last_state
        rate_hz, real_time_factor = self._meter.rates(status.ticks, state.time_ns)
        is_realtime = self._mode == "realtime"
        health = diagnostics.Health()
        if self._conflict:
            health.report(diagnostics.ERROR, f"{self._conflict}: all commands are refused")
        if self._clock_conflict:
            health.report(diagnostics.ERROR, self._clock_conflict)
        if status.error:
            health.report(diagnostics.ERROR, status.error)
        elif status.watchdog == "timeout" and not status.paused:
            health.report(diagnostics.ERROR, "no effort command: the joints are without effort")
        elif status.watchdog == "waiting":
            health.report(diagnostics.WARN, "waiting for the first effort command")
        if status.paused:
            health.report(diagnostics.OK, "paused")
        if state.fallen:
            health.report(diagnostics.WARN, "the robot has fallen")
        if status.overruns > self._meter.overruns:
            late = status.overruns - self._meter.overruns
            health.report(diagnostics.WARN, f"{late} control ticks came more than a period late")
        if status.divergences > self._meter.divergences:
            health.report(diagnostics.ERROR, status.last_divergence)
        if self._dropped > self._meter.dropped:
            health.report(
                diagnostics.WARN, f"{self._dropped - self._meter.dropped} states are lost"
            )
        self._meter.overruns, self._meter.divergences = status.overruns, status.divergences
        self._meter.dropped = self._dropped
        latencies_ms = np.array(status.latencies_s or (np.nan,)) * 1e3
        health.values = {
            "mode": self._mode,
            "paused": status.paused,
            "watchdog": status.watchdog,
            "sim_time_s": state.time_ns * 1e-9,
            "real_time_factor": real_time_factor,
            "real_time_factor_target": self._loop.real_time_factor if is_realtime else math.nan,
            "control_rate_hz": rate_hz,
            "ticks": status.ticks,
            "overruns": status.overruns,
            "divergences": status.divergences,
            "unpublished_states": self._dropped,
            "command_latency_p50_ms": float(np.percentile(latencies_ms, 50)),
            "command_latency_p99_ms": float(np.percentile(latencies_ms, 99)),
            "body_height_m": float(state.base_position[2]),
            "forward_speed_m_s": rotation.forward_speed(state.base_quaternion_wxyz, state.qvel[:2]),
            "fallen": state.fallen,
            "episode": state.episode,
            "step_count": state.episode_steps,
            "episode_return": state.episode_return,
        }
        self._rejections.report_to(health)
        return health


class _Meter:
    """Rates between two reports, and the counts of the last one."""

    def __init__(self) -> None:
        self.overruns = 0
        self.divergences = 0
        self.dropped = 0
        self._rates = (math.nan, math.nan)
        self._time_s = time.monotonic()
        self._ticks = 0
        self._sim_time_ns = 0

    def rates(self, ticks: int, sim_time_ns: int) -> tuple[float, float]:
        """Control ticks per second [Hz] and simulated seconds per second since the last call."""
        now_s = time.monotonic()
        elapsed_s = now_s - self._time_s
        if elapsed_s > _SHORTEST_REPORT_S or math.isnan(self._rates[0]):
            factor = (sim_time_ns - self._sim_time_ns) * 1e-9 / elapsed_s
            self._rates = (ticks - self._ticks) / elapsed_s, factor
            self._time_s, self._ticks, self._sim_time_ns = now_s, ticks, sim_time_ns
        return self._rates


def main(args: Sequence[str] | None = None) -> int:
    """Runs the node; the exit status is 2 when it could not start, 1 when nobody answered."""
    return runtime.run(SimulationNode, args)


if __name__ == "__main__":
    sys.exit(main())
