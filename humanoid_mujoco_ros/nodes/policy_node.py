# SPDX-License-Identifier: Apache-2.0
"""policy_node: turns observations into effort commands."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from rclpy.subscription import Subscription
from std_msgs.msg import Float64MultiArray

from humanoid_mujoco_ros.policy.config import PolicyConfig
from humanoid_mujoco_ros.policy.driver import Driver
from humanoid_mujoco_ros.policy.effort_gate import EffortGate
from humanoid_mujoco_ros.robot.model import ModelConfig, RobotModel
from humanoid_mujoco_ros.robot.vectors import Float64Array
from humanoid_mujoco_ros.ros import conflicts, conversions, diagnostics, parameters, peers, runtime
from humanoid_mujoco_ros.ros.managed_node import ManagedNode
from humanoid_mujoco_ros.ros.silences import SilenceReporter
from humanoid_mujoco_ros.ros.topics import COMMANDS, OBSERVATION

_TICK_S = 0.02


class PolicyNode(ManagedNode):
    """Runs a checkpoint as a managed node.

    configure loads and checks the checkpoint, activate starts commanding with a ramp, deactivate
    sends one zero command and stops.

    Subscribes: observation. Publishes: effort_controller/commands [N·m, in the order of the
    parameter `joints`], once per observation; /diagnostics.

    Parameters: the fields of PolicyConfig, of ModelConfig (its path as `model`), `joints`, and
    `joint_map`.
    """

    def __init__(self) -> None:
        """Loads the model and, with `autostart`, the policy.

        Raises:
            ValueError: A parameter or the policy cannot be used; the message says why.
        """
        super().__init__("policy_node")
        robot = RobotModel(parameters.declare(self, ModelConfig, path="model"))
        self._config = parameters.declare(self, PolicyConfig, changeable=("policy",))
        joint_map = parameters.declare_joint_map(self, robot)
        joints = parameters.declare_joints(self, joint_map.robot_joints)
        self._driver = Driver(robot, joint_map, joints)
        self._subscription: Subscription | None = None
        self._rejections = diagnostics.Rejections(self)
        # A plain publisher: the zero command of a deactivation must still go out.
        self._commands = self.create_publisher(Float64MultiArray, COMMANDS, 1)
        self._gate = EffortGate(
            self._driver.limits,
            self._config,
            robot.control_period_s,
            self._driver.efforts,
            self._is_robot_listening,
            self._rejections.add,
        )
        self._silences = SilenceReporter(self, self._gate.watchdog, "observation")
        self._diagnostics = diagnostics.DiagnosticsPublisher(
            self, "policy", robot.name, self._health
        )
        self._conflict_guard = conflicts.ConflictGuard(
            self,
            conflicts.CommandSources(self),
            "commanding no longer",
            "no other node commands the joints any more",
            self._on_conflict,
        )
        tick_s = min(self._gate.watchdog.timeout_s / 4 or _TICK_S, _TICK_S)
        self.create_steady_timer(tick_s, self._on_tick)
        self.begin(self._config.run_directory, autostart=self._config.autostart)

    def destroy_node(self) -> None:
        """Sends one zero command if the policy was commanding, then ends the node."""
        if self.context.ok():
            self._send(self._gate.stop())
        super().destroy_node()

    def load(self) -> str:
        """Loads the checkpoint that the parameter `policy` names.

        Raises:
            PolicyError: It cannot be used.
        """
        name = self.get_parameter("policy").value
        self._driver.load(name, sample=self._config.action == "sample", seed=self._config.seed)
        return f"policy '{name}' loaded from {self._driver.file}"

    def start(self) -> None:
        """Starts to answer observations."""
        self._gate.start()
        self._subscription = self.create_subscription(
            Float64MultiArray, OBSERVATION, self.on_observation, 1
        )

    def stop(self) -> None:
        """Sends one zero command and stops."""
        self._send(self._gate.stop())
        if self._subscription is not None:
            self.destroy_subscription(self._subscription)
            self._subscription = None

    def unload(self) -> None:
        """Forgets the policy."""
        self._driver.unload()

    def on_observation(self, message: Float64MultiArray) -> None:
        """Answers an observation with a command."""
        self._send(self._gate.on_observation(message.data, time.monotonic()))

    def _on_tick(self) -> None:
        self._send(self._gate.on_tick(time.monotonic()))

    def _on_conflict(self) -> None:
        self._send(self._gate.on_conflict(self._conflict_guard.conflict))

    def _send(self, efforts: Float64Array | None) -> None:
        if efforts is not None:
            self._commands.publish(conversions.to_efforts(efforts))

    def _is_robot_listening(self) -> bool:
        if self._config.mode == "realtime":
            return self._commands.get_subscription_count() > 0
        # In lockstep a recorder, say, that listens earlier must not be taken for the simulation.
        return bool(peers.robots(self))

    def _health(self) -> diagnostics.Health:
        health, gate = diagnostics.Health(), self._gate
        self._silences.report_to(health, "zero effort")
        if self.error is not None:
            health.report(diagnostics.ERROR, self.error)
        if gate.conflict is not None:
            health.report(diagnostics.ERROR, gate.conflict)
        if self.inactivity is not None:
            health.report(diagnostics.WARN, self.inactivity)
        elif gate.watchdog.age_s(time.monotonic()) is None:
            health.report(diagnostics.WARN, "no observation yet")
        health.values = self._driver.figures() | {
            "active": gate.is_started,
            "stopped_by": self.stopped_by or "",
            "action": self._config.action,
        }
        self._rejections.report_to(health)
        return health


def main(args: Sequence[str] | None = None) -> int:
    """Runs the node; the exit status is 2 when it could not start."""
    return runtime.run(PolicyNode, args)


if __name__ == "__main__":
    sys.exit(main())
