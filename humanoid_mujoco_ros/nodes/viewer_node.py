# SPDX-License-Identifier: Apache-2.0
"""viewer_node: the robot in a browser."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from diagnostic_msgs.msg import DiagnosticArray

from humanoid_mujoco_ros.ros import diagnostics, parameters, runtime
from humanoid_mujoco_ros.ros.diagnostics_board import DiagnosticsBoard
from humanoid_mujoco_ros.ros.guard import GuardedNode
from humanoid_mujoco_ros.ros.remote_control import Caller
from humanoid_mujoco_ros.ros.robot_node import robot_nodes
from humanoid_mujoco_ros.ros.viewed_robot import ViewedRobot
from humanoid_mujoco_ros.simulation.robot_spec import RobotSpec, WorldConfig, parse_robots
from humanoid_mujoco_ros.viewer.config import ViewerConfig
from humanoid_mujoco_ros.viewer.page import Page

_NICENESS = 10
"""A picture may come late; a command may not."""


class ViewerNode(GuardedNode):
    """Serves a page that shows the robot, and lets people push it, stop it and load a policy.

    Subscribes: joint_states, odom, left_foot/wrench, right_foot/wrench, /diagnostics.

    Publishes: external_wrench, once per state of the robot while it is pushed; cmd_vel while a
    button of the pad is held, and a zero at its release; /diagnostics.

    Calls: simulation/pause, simulation/step, simulation/reset; simulation_node's set_parameters;
    policy_node's get_state, change_state and set_parameters.

    With the parameter `robots` it shows several robots of one world. Each then has a node of this
    name, with all of this but the page, in its own namespace.

    Parameters: the fields of ViewerConfig, WorldConfig, SpringConfig, FramesConfig, PairingConfig
    and ModelConfig, and `joint_map`.
    """

    def __init__(self) -> None:
        """Loads the model and serves the page.

        Raises:
            ValueError: A parameter cannot be used or the port is taken; the message says why.
        """
        super().__init__("viewer_node")
        config = parameters.declare(self, ViewerConfig)
        specs = parse_robots(parameters.declare(self, WorldConfig).robots)
        owners = robot_nodes(self, specs) if specs else [self]
        self._rejections = diagnostics.Rejections(self)
        self._frames_reported = 0
        self._caller = Caller()
        self._robots = [
            ViewedRobot(owner, self, spec, self._caller, self._rejections)
            for owner, spec in zip(owners, specs or [RobotSpec("")], strict=True)
        ]
        self._page = Page(config, [robot.source for robot in self._robots])
        self._board = DiagnosticsBoard(self.get_namespace(), ignore=self.get_name())
        self.create_subscription(DiagnosticArray, "/diagnostics", self._board.on_diagnostics, 10)
        for robot, view in zip(self._robots, self._page.robots, strict=True):
            robot.connect(view)
        names = ", ".join(robot.name for robot in self._robots)
        self._diagnostics = diagnostics.DiagnosticsPublisher(
            self, "browser view", names, self._health
        )
        # Pictures keep wall time, whatever the simulation's time does.
        self.create_steady_timer(1.0 / config.frame_rate_hz, self.draw)
        if self._page.secret_links:
            # Not to the log: /rosout carries it to the machines that need the token.
            sys.stdout.write(f"browser view: {' or '.join(self._page.secret_links)}\n")
            sys.stdout.flush()
        else:
            self.get_logger().info(f"browser view: {self._page.url}")

    def destroy_node(self) -> None:
        """Lets go of the robots, ends the page, then the node."""
        if self.context.ok():
            for robot in self._robots:
                robot.let_go()
        self._page.close()
        super().destroy_node()

    def draw(self) -> None:
        """Draws the next frame."""
        self._caller.check_timeouts()
        self._page.show_score(self._board.text("sumo_node", "score"))
        self._page.draw()
        for robot in self._robots:
            robot.update()

    def _health(self) -> diagnostics.Health:
        health = diagnostics.Health()
        for robot in self._robots:
            if robot.problem is not None:
                health.report(diagnostics.WARN, robot.problem)
        faults, last = self._page.faults.take()
        if faults:
            self._rejections.add(f"{last} ({faults} times)" if faults > 1 else last)
        frames, self._frames_reported = self._page.frames - self._frames_reported, self._page.frames
        health.values = {
            "url": self._page.url,
            "browsers": self._page.client_count,
            "frames": frames,
            "pushed_links": ", ".join(
                link for robot in self._robots for link in robot.pushed_links
            ),
        }
        self._rejections.report_to(health)
        return health


def main(args: Sequence[str] | None = None) -> int:
    """Runs the node; the exit status is 2 when it could not start."""
    os.nice(_NICENESS)
    return runtime.run(ViewerNode, args)


if __name__ == "__main__":
    sys.exit(main())
