# SPDX-License-Identifier: Apache-2.0
"""policy_node: turns observations into commands to the joints."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from rclpy.subscription import Subscription
from std_msgs.msg import Float64MultiArray

from humanoid_mujoco_ros.policy.command_gate import CommandGate, Observation
from humanoid_mujoco_ros.policy.config import NO_POLICY, PolicyConfig
from humanoid_mujoco_ros.policy.driver import Driver
from humanoid_mujoco_ros.robot.vectors import Float64Array
from humanoid_mujoco_ros.ros import conflicts, diagnostics, parameters, runtime
from humanoid_mujoco_ros.ros.command_publisher import CommandPublisher
from humanoid_mujoco_ros.ros.managed_node import ManagedNode
from humanoid_mujoco_ros.ros.policy_loader import PolicyLoader
from humanoid_mujoco_ros.ros.serialized import ArrayReader
from humanoid_mujoco_ros.ros.silences import SilenceReporter
from humanoid_mujoco_ros.ros.topics import OBSERVATION
from humanoid_mujoco_ros.ros.velocity_listener import VelocityListener

_TICK_S = 0.02


class PolicyNode(ManagedNode):
    """Runs a policy as a managed node.

    configure loads and checks the policy, activate starts commanding with a ramp, deactivate stops:
    it sends zero efforts once, and no positions any more. Setting the parameter `policy` switches
    to another one, with the ramp, also while it is active.

    Subscribes: observation; cmd_vel while a policy is active that follows it. Publishes, once per
    observation: effort_controller/commands [N·m] or, to a robot with drives,
    position_controller/commands [rad], in the order of the parameter `joints`; /diagnostics.

    Parameters: the fields of PolicyConfig, VelocityMessageConfig, VelocityConfig and ModelConfig,
    `joints`, and `joint_map`.
    """

    def __init__(self, cli_args: Sequence[str] | None = None) -> None:
        """Loads the model and, with `autostart`, the policy; `cli_args` as of rclpy's Node.

        Raises:
            ValueError: A parameter or the policy cannot be used; the message says why.
        """
        super().__init__("policy_node", cli_args=cli_args)
        robot = self._robot = parameters.declare_robot(self)
        self._config = parameters.declare(self, PolicyConfig, changeable=("policy",))
        joint_map = parameters.declare_joint_map(self, robot)
        joints = parameters.declare_joints(self, joint_map.driven_joints)
        self._driver = Driver(robot, joint_map, joints)
        self._commands = CommandPublisher(self, robot.actuation, self._config.mode)
        self._subscription: Subscription | None = None
        self._reader = ArrayReader()
        self._rejections = diagnostics.Rejections(self)
        refuse, period_s = self._rejections.add, robot.control_period_s
        is_lockstep = self._config.mode == "lockstep"
        self._velocity = VelocityListener(self, refuse, period_s if is_lockstep else None)
        ramp, is_heard = self._driver.ramp(), self._commands.is_heard
        self._gate = CommandGate(ramp, self._config, period_s, self._answer, is_heard, refuse)
        self._loader = PolicyLoader(
            self, robot.card, self._driver, self._config, self._gate, self._on_switch
        )
        self._silences = SilenceReporter(self, self._gate.watchdog, "observation")
        self._diagnostics = diagnostics.DiagnosticsPublisher(
            self, "policy", robot.name, self._health
        )
        self._conflict_guard = conflicts.ConflictGuard(
            self,
            conflicts.CommandSources(self, self._commands.topic),
            "commanding no longer",
            "no other node commands the joints any more",
            self._on_conflict,
        )
        tick_s = min(self._gate.watchdog.timeout_s / 4 or _TICK_S, _TICK_S)
        self.create_steady_timer(tick_s, self._on_tick)
        has_policy = self._loader.name != NO_POLICY
        if has_policy:
            self._commands.open()
        self.begin(self._config.run_directory, autostart=self._config.autostart and has_policy)

    def destroy_node(self) -> None:
        """Lets the joints rest if the policy was commanding, then ends the node."""
        if self.context.ok():
            self._commands.send(self._gate.stop())
        super().destroy_node()

    def load(self) -> str:
        """Loads the policy that the parameter `policy` or the robot's card names."""
        loaded = self._loader.load()
        self._commands.open()
        return loaded

    def start(self) -> None:
        """Starts to answer observations."""
        self._gate.start()
        self._velocity.listen(wanted=self._driver.takes_commands)
        self._subscription = self.create_subscription(
            Float64MultiArray, OBSERVATION, self.on_observation, 1, raw=True
        )

    def stop(self) -> None:
        """Lets the joints rest and the policy forget what happened, and stops."""
        self._commands.send(self._gate.stop())
        self._driver.reset()
        self._velocity.listen(wanted=False)
        if self._subscription is not None:
            self.destroy_subscription(self._subscription)
            self._subscription = None

    def unload(self) -> None:
        """Forgets the policy."""
        self._loader.unload()

    def on_observation(self, message: bytes) -> None:
        """Answers an observation, serialised, with a command."""
        self._commands.send(self._gate.on_observation(self._reader.read(message), time.monotonic()))

    def _on_switch(self) -> None:
        self._velocity.listen(wanted=self._driver.takes_commands)

    def _answer(self, observation: Observation) -> Float64Array:
        commands = self._driver.answer(observation, self._velocity.next())
        self._velocity.note_clipped(clipped=self._driver.clipped)
        if self._driver.has_handed_over:
            self._gate.switch()
        return commands

    def _on_tick(self) -> None:
        self._commands.send(self._gate.on_tick(time.monotonic()))

    def _on_conflict(self) -> None:
        self._commands.send(self._gate.on_conflict(self._conflict_guard.conflict))

    def _health(self) -> diagnostics.Health:
        health, gate = diagnostics.Health(), self._gate
        self._silences.report_to(health, f"no {self._robot.actuation} commanded")
        if gate.conflict is not None:
            health.report(diagnostics.ERROR, gate.conflict)
        self.report_to(health)
        self._loader.report_to(health)
        if gate.is_started and gate.watchdog.age_s(time.monotonic()) is None:
            health.report(diagnostics.WARN, "no observation yet")
        health.values = {"active": gate.is_started, "stopped_by": self.stopped_by or ""}
        health.values |= self._driver.figures() | self._velocity.figures()
        self._rejections.report_to(health)
        return health


def main(args: Sequence[str] | None = None) -> int:
    """Runs the node; the exit status is 2 when it could not start."""
    return runtime.run(PolicyNode, args)


if __name__ == "__main__":
    sys.exit(main())
