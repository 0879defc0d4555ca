# SPDX-License-Identifier: Apache-2.0
"""A simulated robot on the graph: what it publishes, what it obeys, and how it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from geometry_msgs.msg import WrenchStamped
from std_msgs.msg import Float64MultiArray

from humanoid_mujoco_ros.robot.model import ModelError
from humanoid_mujoco_ros.robot.vectors import VectorError, checked_vector
from humanoid_mujoco_ros.ros import conflicts, conversions, diagnostics, parameters, peers, topics
from humanoid_mujoco_ros.ros.guard import GuardedNode
from humanoid_mujoco_ros.ros.loop_control import LoopControl
from humanoid_mujoco_ros.ros.loop_health import LoopReport, LoopReporter, summary
from humanoid_mujoco_ros.ros.robot_node import robot_nodes
from humanoid_mujoco_ros.ros.serialized import ArrayReader
from humanoid_mujoco_ros.ros.shared_config import FramesConfig
from humanoid_mujoco_ros.ros.start_parameters import StartParameters
from humanoid_mujoco_ros.ros.state_publisher import InterfaceConfig, StatePublisher
from humanoid_mujoco_ros.simulation.physics_loop import LoopConfig, PhysicsLoop
from humanoid_mujoco_ros.simulation.robot_port import Listener, Peers, RobotPort
from humanoid_mujoco_ros.simulation.robot_spec import RobotSpec
from humanoid_mujoco_ros.simulation.simulation import Simulation, SimulationConfig

if TYPE_CHECKING:
    from humanoid_mujoco_ros.ros.simulation_services import SimulationServices


def simulated_robot_nodes(owner: GuardedNode, specs: Sequence[RobotSpec]) -> list[GuardedNode]:
    """The nodes of the robots of a world, see `robot_nodes`.

    The i-th robot's seed is that of the owner plus i; the first one publishes /clock.
    """
    seed = parameters.declare(owner, SimulationConfig).seed
    has_clock = parameters.declare(owner, InterfaceConfig).publish_clock
    return robot_nodes(
        owner,
        specs,
        [
            {"seed": seed + number, "publish_clock": has_clock and number == 0}
            for number in range(len(specs))
        ],
    )


class SimulatedRobot:
    """Everything that a robot has on the graph, in the namespace of its node.

    Attributes:
        simulation: The robot's simulation.
        listener: Publishes its states.
    """

    def __init__(self, node: GuardedNode, config: LoopConfig) -> None:
        """Declares the robot's parameters, loads it and creates its publishers.

        Args:
            node: The robot's node.
            config: Of the loop that will step it.

        Raises:
            ValueError: A parameter cannot be used; the message says why.
        """
        self._node = node
        robot = self._robot = parameters.declare_robot(node)
        self.simulation = Simulation(robot, parameters.declare(node, SimulationConfig))
        self._start = StartParameters(node, self.simulation)
        interface = parameters.declare(node, InterfaceConfig)
        self._prefix = parameters.declare(node, FramesConfig).frame_prefix
        # Commands come in the order of `joints`; the simulation wants the model's.
        self._order = robot.joint_order(parameters.declare_joints(node, robot.driven_joints))
        self._commands = np.zeros(len(robot.joints))
        self._reader = ArrayReader()
        self._topic = topics.COMMANDS[robot.actuation]
        self._rejections = diagnostics.Rejections(node)
        self._mode = config.mode
        self._states = StatePublisher(
            node, self.simulation, interface, self._prefix, is_lockstep=config.mode == "lockstep"
        )
        self.listener = Listener(self._states.put, self._answering_policies)
        sources = conflicts.CommandSources(node, self._topic)
        self._commanders = conflicts.ConflictGuard(
            node, sources, "all commands are refused", "one node commands the joints again"
        )
        self._clocks = conflicts.guard_clock(node) if interface.publish_clock else None

    def connect(self, loop: PhysicsLoop, port: RobotPort) -> None:
        """Lets the graph command the robot.

        Args:
            loop: Steps the robot.
            port: The robot in it.
        """
        node = self._node
        self._loop, self._port = loop, port
        self._reporter = LoopReporter(self._mode, self._report())
        node.create_subscription(Float64MultiArray, self._topic, self.on_commands, 1, raw=True)
        node.create_subscription(WrenchStamped, "external_wrench", self.on_external_wrench, 10)
        self._start.serve(port)
        self._control = LoopControl(node, loop, port.reset)
        self._standard = _standard_services(node, loop, port)
        self._diagnostics = diagnostics.DiagnosticsPublisher(
            node, "control loop", self._robot.name, self._health
        )

    def start(self, on_end: Callable[[str | None], None]) -> None:
        """Starts publishing states.

        Args:
            on_end: Called in the publisher's thread after the last state, when the loop has ended
                by itself; takes its error.
        """
        self._states.start(lambda: self._loop.finished, lambda: self._on_end(on_end))

    def close(self) -> None:
        """Lets the loop wait for nothing here; call it before the loop is stopped."""
        self._states.close()

    def join(self) -> None:
        """Ends the threads; call it once the loop has stopped."""
        if self._standard is not None:
            self._standard.close()
        self._states.join()

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
        self._port.command(self._commands.copy())

    def on_external_wrench(self, message: WrenchStamped) -> None:
        """Takes a push on a link, unless it is not finite or too large."""
        link = message.header.frame_id.removeprefix(self._prefix)
        try:
            self._port.push(link, conversions.from_wrench(message))
        except (VectorError, ModelError) as error:
            self._rejections.add(error)

    def _answering_policies(self) -> Peers:
        """Identifies the policies that would answer the next state, by their subscriptions."""
        if self._commanders.clear_for_s < conflicts.SETTLE_S:
            # Whoever is left counts as a newcomer and is asked again.
            return frozenset()
        if self._states.publishes_observation:
            return peers.policies(self._node, self._topic)
        return peers.observers(self._node)  # observation_node asks the policy

    def _on_end(self, on_end: Callable[[str | None], None]) -> None:
        """The loop ended by itself: its duration is over, or nobody answered."""
        error = self._loop.status.error
        if error is not None:
            self._node.get_logger().fatal(error)
        else:
            self._node.get_logger().info(summary(self._states.last_state))
        self._diagnostics.publish()
        self._states.flush()
        on_end(error)

    def _report(self) -> LoopReport:
        states, now_s, kind = self._states, time.monotonic(), self._robot.actuation
        return LoopReport(self._port.take_status(), states.last_state, states.dropped, now_s, kind)

    def _health(self) -> diagnostics.Health:
        found = [guard.conflict for guard in (self._commanders, self._clocks) if guard]
        health = self._reporter.health(self._report(), self._loop.real_time_factor, found)
        self._rejections.report_to(health)
        return health


def _standard_services(
    node: GuardedNode, loop: PhysicsLoop, port: RobotPort
) -> SimulationServices | None:
    try:
        from humanoid_mujoco_ros.ros.simulation_services import SimulationServices
    except ImportError as error:
        if not (error.name or "").startswith("simulation_interfaces"):
            raise
        node.get_logger().info(
            "the services of simulation_interfaces are not served: it is not installed "
            "(with ROS from the distribution, without ROS by make interfaces)"
        )
        return None
    return SimulationServices(node, loop, port)
