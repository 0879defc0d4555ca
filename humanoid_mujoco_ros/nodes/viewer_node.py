# SPDX-License-Identifier: Apache-2.0
"""viewer_node: the robot in a browser."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import partial

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import WrenchStamped
from rclpy.clock import Clock, ClockType

from humanoid_mujoco_ros.interaction.spring import SpringConfig
from humanoid_mujoco_ros.policy import fit
from humanoid_mujoco_ros.policy.config import VelocityConfig
from humanoid_mujoco_ros.robot.posed_model import PosedModel
from humanoid_mujoco_ros.ros import conversions, diagnostics, parameters, runtime
from humanoid_mujoco_ros.ros.diagnostics_board import DiagnosticsBoard
from humanoid_mujoco_ros.ros.guard import GuardedNode
from humanoid_mujoco_ros.ros.remote_control import Caller, PolicyClient, SimulationClient
from humanoid_mujoco_ros.ros.robot_listener import RobotListener
from humanoid_mujoco_ros.ros.shared_config import FramesConfig, PairingConfig
from humanoid_mujoco_ros.ros.velocity_publisher import VelocityPublisher
from humanoid_mujoco_ros.ros.viewer_readings import ReadingsCollector
from humanoid_mujoco_ros.ros.wrench_publisher import WrenchPublisher
from humanoid_mujoco_ros.viewer.config import ViewerConfig
from humanoid_mujoco_ros.viewer.page import Page
from humanoid_mujoco_ros.viewer.readings import Readings

_NICENESS = 10
"""A picture may come late; a command may not."""


class ViewerNode(GuardedNode):
    """Serves a page that shows the robot, and lets people push it, stop it and load a policy.

    Subscribes: joint_states, odom, left_foot/wrench, right_foot/wrench, /diagnostics.

    Publishes: external_wrench, once per state of the robot while it is pushed; cmd_vel while a
    button of the pad is held, and a zero at its release; /diagnostics.

    Calls: simulation/pause, simulation/step, simulation/reset; simulation_node's set_parameters;
    policy_node's get_state, change_state and set_parameters.

    Parameters: the fields of ViewerConfig, SpringConfig, FramesConfig, PairingConfig and
    ModelConfig, and `joint_map`.
    """

    def __init__(self) -> None:
        """Loads the model and serves the page.

        Raises:
            ValueError: A parameter cannot be used or the port is taken; the message says why.
        """
        super().__init__("viewer_node")
        robot = parameters.declare_robot(self)
        config = parameters.declare(self, ViewerConfig)
        spring = parameters.declare(self, SpringConfig)
        stamped = parameters.declare(self, VelocityConfig).stamped_cmd_vel
        joint_map = parameters.declare_joint_map(self, robot)
        self._posed = PosedModel(robot)
        self._board = DiagnosticsBoard(self.get_namespace(), ignore=self.get_name())
        self._rejections = diagnostics.Rejections(self)
        self._stamp_ns: int | None = None
        self._frames_reported = 0
        self._caller = Caller()
        self._simulation = SimulationClient(self, self._caller)
        self._page = Page(
            config,
            spring,
            self._posed,
            fit.fitting_names(robot),
            self._simulation,
            PolicyClient(self, self._caller),
        )
        prefix = parameters.declare(self, FramesConfig).frame_prefix
        self._wrenches = WrenchPublisher(self, prefix)
        self._velocity = VelocityPublisher(self, is_stamped=stamped)
        self._listener = RobotListener(
            self,
            self._posed,
            joint_map,
            self.on_state,
            self._rejections.add,
            parameters.declare(self, PairingConfig),
        )
        self._readings = ReadingsCollector(self._board, self._listener)
        for side, _, _ in robot.foot_sensors:
            topic, callback = f"{side}_foot/wrench", partial(self.on_foot_wrench, side)
            self.create_subscription(WrenchStamped, topic, callback, 1)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._board.on_diagnostics, 10)
        self._diagnostics = diagnostics.DiagnosticsPublisher(
            self, "browser view", robot.name, self._health
        )
        # Pictures keep wall time, whatever the simulation's time does.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0 / config.frame_rate_hz, self.draw, clock=steady)
        if self._page.secret_links:
            # Not to the log: /rosout carries it to the machines that need the token.
            sys.stdout.write(f"browser view: {' or '.join(self._page.secret_links)}\n")
            sys.stdout.flush()
        else:
            self.get_logger().info(f"browser view: {self._page.url}")

    def destroy_node(self) -> None:
        """Lets go of the robot, ends the page, then the node."""
        if self.context.ok():
            self._wrenches.publish({}, self._stamp_ns or 0)
        self._page.close()
        super().destroy_node()

    def on_state(self, stamp_ns: int) -> None:
        """Takes a new state and answers with what acts on the robot from now."""
        self._stamp_ns = stamp_ns
        self._wrenches.publish(self._page.on_state(stamp_ns), stamp_ns)

    def on_foot_wrench(self, side: str, message: WrenchStamped) -> None:
        """Takes the ground's force on a foot."""
        self._page.on_foot_wrench(side, conversions.from_wrench(message))

    def draw(self) -> None:
        """Draws the next frame."""
        self._caller.check_timeouts()
        if self._readings.silence() is not None:
            self._page.robot_lost()
        self._page.draw(self._collect, self._readings.efforts)
        self._velocity.send(self._page.velocity())

    def _collect(self) -> Readings:
        return self._readings.readings(self._stamp_ns, is_pushable=self._simulation.is_there)

    def _health(self) -> diagnostics.Health:
        health = diagnostics.Health()
        silence = self._readings.silence()
        if silence is not None:
            health.report(diagnostics.WARN, silence)
        faults, last = self._page.faults.take()
        if faults:
            self._rejections.add(f"{last} ({faults} times)" if faults > 1 else last)
        frames, self._frames_reported = self._page.frames - self._frames_reported, self._page.frames
        health.values = {
            "url": self._page.url,
            "browsers": self._page.client_count,
            "frames": frames,
            "pushed_links": ", ".join(sorted(self._wrenches.links)),
        }
        self._rejections.report_to(health)
        return health


def main(args: Sequence[str] | None = None) -> int:
    """Runs the node; the exit status is 2 when it could not start."""
    os.nice(_NICENESS)
    return runtime.run(ViewerNode, args)


if __name__ == "__main__":
    sys.exit(main())
