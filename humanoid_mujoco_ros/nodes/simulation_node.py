# SPDX-License-Identifier: Apache-2.0
"""simulation_node: a MuJoCo simulation that behaves on the ROS graph as a robot does."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

import numpy as np
from geometry_msgs.msg import WrenchStamped
from std_msgs.msg import Float64MultiArray

from humanoid_mujoco_ros.robot.model import ModelError
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
from humanoid_mujoco_ros.ros.loop_control import LoopControl
from humanoid_mujoco_ros.ros.loop_health import LoopReport, LoopReporter, summary
from humanoid_mujoco_ros.ros.serialized import ArrayReader
from humanoid_mujoco_ros.ros.shared_config import FramesConfig
from humanoid_mujoco_ros.ros.state_publisher import InterfaceConfig as InterfaceConfig
from humanoid_mujoco_ros.ros.state_publisher import StatePublisher
from humanoid_mujoco_ros.simulation.lockstep_loop import LockstepLoop
from humanoid_mujoco_ros.simulation.physics_loop import LoopConfig, PhysicsLoop
from humanoid_mujoco_ros.simulation.realtime_loop import RealTimeLoop
from humanoid_mujoco_ros.simulation.simulation import Simulation, SimulationConfig


class SimulationNode(GuardedNode):
    """Steps the simulation and publishes what a robot would.

    Publishes (every control tick): joint_states, odom, imu/data, left_foot/wrench,
    right_foot/wrench, /tf, /clock, observation. Latched: robot_description, /tf_static. Every
    second: /diagnostics.

    Subscribes: effort_controller/commands [N·m] or, of a robot with drives,
    position_controller/commands [rad], in the order of the parameter `joints`; external_wrench.

    Services: simulation/reset, simulation/pause, simulation/step.

    Parameters: the fields of the configurations declared below, and
    `joints`. `real_time_factor` may be set at any time (realtime).
    """

    def __init__(self) -> None:
        """Loads the model and starts the physics.

        Raises:
            ValueError: A parameter cannot be used; the message says why.
        """
        super().__init__("simulation_node")
        self.exit_status = 0
        self.is_done = False
        robot = self._robot = parameters.declare_robot(self)
        self._topic = topics.COMMANDS[robot.actuation]
        simulation = Simulation(robot, parameters.declare(self, SimulationConfig))
        config = parameters.declare(self, LoopConfig, changeable=("real_time_factor",))
        interface = parameters.declare(self, InterfaceConfig)
        self._prefix = parameters.declare(self, FramesConfig).frame_prefix
        # Commands come in the order of `joints`; the simulation wants the model's.
        self._order = robot.joint_order(parameters.declare_joints(self, robot.driven_joints))
        self._commands = np.zeros(len(robot.joints))
        self._rejections = diagnostics.Rejections(self)
        self._states = StatePublisher(
            self, simulation, interface, self._prefix, is_lockstep=config.mode == "lockstep"
        )
        self._loop = self._create_loop(simulation, config)
        self._reporter = LoopReporter(config.mode, self._report())
        sources = conflicts.CommandSources(self, self._topic)
        self._commanders = conflicts.ConflictGuard(
            self, sources, "all commands are refused", "one node commands the joints again"
        )
        self._clocks = conflicts.guard_clock(self) if interface.publish_clock else None
        self._reader = ArrayReader()
        self.create_subscription(Float64MultiArray, self._topic, self.on_commands, 1, raw=True)
        self.create_subscription(WrenchStamped, "external_wrench", self.on_external_wrench, 10)
        self._control = LoopControl(self, self._loop)
        self._diagnostics = diagnostics.DiagnosticsPublisher(
            self, "control loop", robot.name, self._health
        )
        self._loop.start()
        self._states.start(lambda: self._loop.finished, self._on_end)

    def destroy_node(self) -> None:
        """Stops the physics, then the node."""
        self._states.close()
        self._control.close()
        self._states.join()
        super().destroy_node()

    def on_commands(self, message: bytes) -> None:
        """Takes a command, serialised, unless it is of the wrong size or not finite."""
        if self._commanders.conflict is not None:
            return
        try:
            values = checked_vector(self._reader.read(message), len(self._order), "command")
        except VectorError as error:
            self._rejections.add(error)
            return
        self._commands[self._order] = values
        self._loop.command(self._commands.copy())

    def on_external_wrench(self, message: WrenchStamped) -> None:
        """Takes a push on a link, unless it is not finite or too large."""
        link = message.header.frame_id.removeprefix(self._prefix)
        try:
            self._loop.push(link, conversions.from_wrench(message))
        except (VectorError, ModelError) as error:
            self._rejections.add(error)

    def _create_loop(self, simulation: Simulation, config: LoopConfig) -> PhysicsLoop:
        loop = LockstepLoop if config.mode == "lockstep" else RealTimeLoop
        return loop(simulation, config, self._states.put, self._answering_policies)

    def _answering_policies(self) -> frozenset[object]:
        """Identifies the policies that would answer the next state, by their subscriptions."""
        if self._commanders.clear_for_s < conflicts.SETTLE_S:
            # Whoever is left counts as a newcomer and is asked again.
            return frozenset()
        if self._states.publishes_observation:
            return peers.policies(self, self._topic)
        return peers.observers(self)  # observation_node asks the policy

    def _on_end(self) -> None:
        """The loop ended by itself: its duration is over, or nobody answered."""
        error = self._loop.take_status().error
        if error is not None:
            self.get_logger().fatal(error)
            self.exit_status = 1
        else:
            self.get_logger().info(summary(self._states.last_state))
        self._diagnostics.publish()
        self._states.flush()
        self.is_done = True

    def _report(self) -> LoopReport:
        states, now_s, kind = self._states, time.monotonic(), self._robot.actuation
        return LoopReport(self._loop.take_status(), states.last_state, states.dropped, now_s, kind)

    def _health(self) -> diagnostics.Health:
        found = [guard.conflict for guard in (self._commanders, self._clocks) if guard]
        health = self._reporter.health(self._report(), self._loop.real_time_factor, found)
        self._rejections.report_to(health)
        return health


def main(args: Sequence[str] | None = None) -> int:
    """Runs the node; the exit status is 2 when it could not start, 1 when nobody answered."""
    return runtime.run(SimulationNode, args)


if __name__ == "__main__":
    sys.exit(main())
