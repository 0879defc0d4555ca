# SPDX-License-Identifier: Apache-2.0
"""viewer_node: the robot in a browser."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Sequence
from functools import partial

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import WrenchStamped
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.clock import Clock, ClockType

from humanoid_mujoco_ros.interaction.spring import SpringConfig
from humanoid_mujoco_ros.policy import observation
from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.model import ModelConfig, RobotModel
from humanoid_mujoco_ros.robot.posed_model import PosedModel
from humanoid_mujoco_ros.robot.state import Wrench
from humanoid_mujoco_ros.ros import conversions, diagnostics, parameters, runtime
from humanoid_mujoco_ros.ros.guard import GuardedNode
from humanoid_mujoco_ros.ros.remote_control import (
    Caller,
    Dialogue,
    PolicyClient,
    RemoteError,
    SimulationClient,
)
from humanoid_mujoco_ros.ros.robot_listener import RobotListener
from humanoid_mujoco_ros.ros.shared_config import FramesConfig, PairingConfig
from humanoid_mujoco_ros.viewer.panel import Figures
from humanoid_mujoco_ros.viewer.push import PushPlan
from humanoid_mujoco_ros.viewer.status import NodeStatus, Problem, StatusBoard, robot_silence
from humanoid_mujoco_ros.viewer.view import View, ViewerConfig

_NICENESS = 10
"""A picture may come late; a command may not."""
_SPECTATORS = ("force_marker_node", "recorder", "rosbag2_recorder")
"""They hear pushes, but no push moves them."""
_TIMEOUT_S = 3.0
"""For simulation_node to take a parameter."""


class ViewerNode(GuardedNode):
    """Serves a page that shows the robot, and lets people push it, stop it and load a policy.

    Subscribes: joint_states, odom, left_foot/wrench, right_foot/wrench, /diagnostics.

    Publishes: external_wrench, once per state of the robot while it is pushed; /diagnostics.

    Calls: simulation/pause, simulation/step, simulation/reset; simulation_node's set_parameters;
    policy_node's get_state, change_state and set_parameters.

    Parameters: the fields of ViewerConfig, of FramesConfig, of PairingConfig, of SpringConfig, of
    ModelConfig (its path as `model`), and `joint_map`.
    """

    def __init__(self) -> None:
        """Loads the model and serves the page.

        Raises:
            ValueError: A parameter cannot be used or the port is taken; the message says why.
        """
        super().__init__("viewer_node")
        self._robot = RobotModel(parameters.declare(self, ModelConfig, path="model"))
        self._config = parameters.declare(self, ViewerConfig)
        spring = parameters.declare(self, SpringConfig)
        joint_map = parameters.declare_joint_map(self, self._robot)
        self._posed = PosedModel(self._robot)
        self._effort_block = next(
            block.slice
            for block in observation.layout(self._robot.mj)
            if block.name == "qfrc_actuator"
        )
        self._prefix = parameters.declare(self, FramesConfig).frame_prefix
        self._board = StatusBoard()
        self._namespace = self.get_namespace().strip("/")
        self._rejections = diagnostics.Rejections(self)
        self._started_s = time.monotonic()
        self._stamp_ns: int | None = None
        self._pushed_links: set[str] = set()
        self._is_pushable = False
        self._frames_reported = 0

        self._caller = Caller()
        self._simulation = SimulationClient(self, self._caller)
        self._simulation_parameters = self.create_client(
            SetParameters, "simulation_node/set_parameters"
        )
        self._policy = PolicyClient(self, self._caller)
        self._view = View(self._config, spring, self._posed, self)
        self._listener = RobotListener(
            self,
            self._posed,
            joint_map,
            self.on_state,
            self._rejections.add,
            parameters.declare(self, PairingConfig),
        )
        for side, _, _ in self._robot.foot_sensors:
            self.create_subscription(
                WrenchStamped, f"{side}_foot/wrench", partial(self.on_foot_wrench, side), 1
            )
        self.create_subscription(DiagnosticArray, "/diagnostics", self.on_diagnostics, 10)
        self._wrenches = self.create_publisher(WrenchStamped, "external_wrench", 10)
        self._diagnostics = diagnostics.DiagnosticsPublisher(
            self, "browser view", self._robot.name, self._health
        )
        # Pictures keep wall time, whatever the simulation's time does.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0 / self._config.frame_rate_hz, self.draw, clock=steady)
        self.get_logger().info(f"browser view: {self._view.url}")

    def destroy_node(self) -> None:
        """Lets go of the robot, ends the page, then the node."""
        if self.context.ok():
            self._publish_wrenches({})
        self._view.close()
        super().destroy_node()

    def on_state(self, stamp_ns: int) -> None:
        """Takes a new state and answers with what acts on the robot from now."""
        self._stamp_ns = stamp_ns
        self._publish_wrenches(self._view.on_state(stamp_ns))

    def on_foot_wrench(self, side: str, message: WrenchStamped) -> None:
        """Takes the ground's force on a foot."""
        self._view.on_foot_wrench(side, conversions.from_wrench(message))

    def on_diagnostics(self, array: DiagnosticArray) -> None:
        """Takes what the nodes of this namespace say."""
        for status in array.status:
            namespace, _, node = status.name.split(":")[0].rpartition("/")
            if namespace != self._namespace or node == self.get_name():
                continue
            level = int.from_bytes(status.level, "little")
            values = {pair.key: pair.value for pair in status.values}
            self._board.update(node, NodeStatus(level, status.message, values, time.monotonic()))

    def draw(self) -> None:
        """Draws the next frame."""
        self._caller.check_timeouts()
        if self._silence() is not None:
            self._view.robot_lost()
        self._view.draw(self._figures, self._efforts)

    # What the panel asks for.

    def load_policy(self, name: str) -> None:
        """Loads a policy and starts it."""
        self._view.panel.show_policy_note(f"loading '{name}' …")
        self._policy.load(name, self._view.panel.show_policy_note)

    def start_policy(self) -> None:
        """Lets the policy command the robot."""
        self._policy.start(self._view.panel.show_policy_note)

    def stop_policy(self) -> None:
        """Takes the joints' effort away."""
        self._policy.stop(self._view.panel.show_policy_note)

    def pause(self, paused: bool) -> None:
        """Stops or resumes simulated time."""
        self._simulation.pause(paused, self._on_simulation_answer)

    def step(self) -> None:
        """Advances one control period."""
        self._simulation.step(self._on_simulation_answer)

    def reset(self) -> None:
        """Starts a new episode."""
        self._simulation.reset(self._on_simulation_answer)

    def set_speed(self, factor: float) -> None:
        """Sets the real-time factor that the simulation aims at."""
        self._caller.run(self._speed_set(factor), self._on_simulation_answer)

    def push(self, plan: PushPlan) -> None:
        """Pushes the robot."""
        self._view.push(plan)

    def _speed_set(self, factor: float) -> Dialogue:
        value = ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=factor)
        request = SetParameters.Request(
            parameters=[Parameter(name="real_time_factor", value=value)]
        )
        response = yield self._simulation_parameters, request, _TIMEOUT_S
        if not response.results[0].successful:
            raise RemoteError(response.results[0].reason)
        return f"speed {factor:g}"

    def _on_simulation_answer(self, text: str, is_error: bool) -> None:
        self._view.panel.show_simulation_note(text if is_error else "")

    def _publish_wrenches(self, wrenches: dict[str, Wrench]) -> None:
        """Sends the wrenches, and one of zero to each link that is no longer pushed."""
        stamp = conversions.to_time(self._stamp_ns or 0)
        for link in self._pushed_links - wrenches.keys():
            message = WrenchStamped()
            message.header.stamp = stamp
            message.header.frame_id = self._prefix + link
            self._wrenches.publish(message)
        for link, wrench in wrenches.items():
            frame = self._prefix + link
            self._wrenches.publish(conversions.to_wrench(wrench, frame, stamp))
        self._pushed_links = set(wrenches)

    def _figures(self) -> tuple[Figures, list[Problem]]:
        now_s = time.monotonic()
        board = self._board
        problems = board.problems(now_s)
        silence = self._silence()
        if silence:
            problems.insert(0, silence)
        is_seen = self._listener.age_s is not None
        quaternion = self._posed.body_quaternions_wxyz[1]
        base = self._posed.body_positions[1]
        velocity = self._posed.point_velocity(self._robot.bodies[0], base)
        forward = rotation.forward_speed(quaternion, velocity)
        simulation = partial(board.number, "simulation_node", now_s=now_s)
        figures = Figures(
            body_height_m=float(base[2]) if is_seen else math.nan,
            forward_speed_m_s=forward if is_seen else math.nan,
            step_count=simulation("step_count"),
            episode_return=simulation("episode_return"),
            control_rate_hz=simulation("control_rate_hz"),
            latency_ms=simulation("command_latency_p50_ms"),
            real_time_factor=simulation("real_time_factor"),
            real_time_factor_target=simulation("real_time_factor_target"),
            time_s=math.nan if self._stamp_ns is None else self._stamp_ns * 1e-9,
            policy=board.text("policy_node", "policy", now_s),
            is_policy_active=board.flag("policy_node", "active", now_s),
            is_paused=board.flag("simulation_node", "paused", now_s),
            is_pushable=self._is_pushable,
        )
        return figures, problems

    def _silence(self) -> Problem | None:
        """What to say of a robot that is not seen; in lockstep a paused one is silent."""
        now_s = time.monotonic()
        if self._board.flag("simulation_node", "paused", now_s):
            return None
        listener = self._listener
        return robot_silence(listener.age_s, self._started_s, now_s, listener.silence())

    def _efforts(self) -> np.ndarray:
        """(n,) [N·m] by joint; NaN where the robot does not measure them."""
        if not self._listener.measures_efforts:
            return np.full(len(self._robot.joints), np.nan)
        by_dof = self._posed.observation()[self._effort_block]
        efforts: np.ndarray = by_dof[self._robot.dof_indices]
        return efforts

    def _health(self) -> diagnostics.Health:
        health = diagnostics.Health()
        silence = self._silence()
        if silence:
            health.report(diagnostics.WARN, silence.text)
        subscribers = self.get_subscriptions_info_by_topic(self._wrenches.topic_name)
        self._is_pushable = any(info.node_name not in _SPECTATORS for info in subscribers)
        frames, self._frames_reported = self._view.frames - self._frames_reported, self._view.frames
        health.values = {
            "url": self._view.url,
            "browsers": self._view.client_count,
            "frames": frames,
            "pushed_links": ", ".join(sorted(self._pushed_links)),
        }
        self._rejections.report_to(health)
        return health


def main(args: Sequence[str] | None = None) -> int:
    """Runs the node; the exit status is 2 when it could not start."""
    os.nice(_NICENESS)
    return runtime.run(ViewerNode, args)


if __name__ == "__main__":
    sys.exit(main())
