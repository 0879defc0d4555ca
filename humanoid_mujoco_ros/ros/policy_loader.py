# SPDX-License-Identifier: Apache-2.0
"""Loads the policy that the parameter `policy` names: at first, when it is set, on a new file."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from rcl_interfaces.msg import SetParametersResult
from rclpy.parameter import Parameter

from humanoid_mujoco_ros.policy.command_gate import CommandGate
from humanoid_mujoco_ros.policy.config import NO_POLICY, PolicyConfig, policy_of, recovery_of
from humanoid_mujoco_ros.policy.driver import Driver, LoadedPolicy, PolicyError
from humanoid_mujoco_ros.policy.file_watch import FileWatch
from humanoid_mujoco_ros.policy.recovery import LEAD_IN_M_S
from humanoid_mujoco_ros.robot.card import RobotCard
from humanoid_mujoco_ros.ros.guard import GuardedNode
from humanoid_mujoco_ros.ros.health import WARN, Health, shortened

_WATCH_PERIOD_S = 0.5


class PolicyLoader:
    """Keeps a driver's policy to the parameter `policy`.

    What cannot be used is refused, and the policy before goes on.
    """

    def __init__(
        self,
        node: GuardedNode,
        card: RobotCard,
        driver: Driver,
        config: PolicyConfig,
        gate: CommandGate,
        on_switch: Callable[[], None],
    ) -> None:
        """Loads nothing yet.

        Args:
            node: Has declared the parameters of `config`.
            card: That of the robot, which names a policy where the parameter does not.
            driver: Gets the policies.
            config: How they are run, and whether their file is followed.
            gate: Lets the policies' commands through.
            on_switch: Called when another policy commands.
        """
        self._node = node
        self._card = card
        self._driver = driver
        self._config = config
        self._gate = gate
        self._on_switch = on_switch
        self._prepared: LoadedPolicy | None = None
        self._watch: FileWatch | None = None
        self._file_error: str | None = None
        self._recovery_error: str | None = None
        node.add_on_set_parameters_callback(self.check)
        node.add_post_set_parameters_callback(self.take)
        if config.follow:
            node.create_steady_timer(_WATCH_PERIOD_S, self.look)

    @property
    def name(self) -> str:
        """The policy that is wanted; NO_POLICY: none."""
        return policy_of(self._card, self._node.get_parameter("policy").value)

    def load(self) -> str:
        """Loads the policy that is wanted; returns what is loaded, for the log.

        Raises:
            PolicyError: It cannot be used, or none is named.
        """
        if self.name == NO_POLICY:
            raise PolicyError("no policy is named: set the parameter policy")
        self._use(self._prepare(self.name, download=True))
        return f"policy '{self.name}' loaded from {self._driver.file}"

    def unload(self) -> None:
        """Forgets the policy, its file and what was wrong with it."""
        self._driver.unload()
        self._watch = self._file_error = self._recovery_error = None

    def check(self, changes: Sequence[Parameter]) -> SetParametersResult:
        """Loads the policy that the parameter is to name, and refuses it if that cannot be done."""
        self._prepared = None
        for change in changes:
            if change.name != "policy":
                continue
            name = policy_of(self._card, change.value)
            is_loaded = self._driver.kind is not None
            if name == NO_POLICY and is_loaded:
                reason = f"'{NO_POLICY}' is no policy to switch to: deactivate and clean up instead"
                return SetParametersResult(successful=False, reason=reason)
            if name != NO_POLICY:
                try:
                    self._prepared = self._prepare(name, download=not self._gate.is_started)
                except PolicyError as error:
                    return SetParametersResult(successful=False, reason=shortened(error))
        return SetParametersResult(successful=True)

    def take(self, changes: Sequence[Parameter]) -> None:
        """Drives with the policy that was checked, if one drives already."""
        prepared, self._prepared = self._prepared, None
        if prepared is not None and self._driver.kind is not None:
            self._switch(prepared)

    def look(self) -> None:
        """Takes a new file of the policy over."""
        if self._driver.kind is None or self._watch is None or not self._watch.has_changed():
            return
        try:
            self._switch(self._prepare(self._driver.name, download=False))
        except PolicyError as error:
            self._file_error = shortened(f"the old policy goes on: {error}")
            self._node.get_logger().error(self._file_error)

    def report_to(self, health: Health) -> None:
        """Adds why the newest file or the recovery is not used, and whether the robot gets up."""
        if self._driver.is_getting_up:
            health.report(WARN, "the robot is getting up")
        for error in (self._file_error, self._recovery_error):
            if error is not None:
                health.report(WARN, error)

    def _prepare(self, name: str, *, download: bool) -> LoadedPolicy:
        sample, seed = self._config.samples, self._config.seed
        try:
            return self._driver.prepare(name, sample=sample, seed=seed, download=download)
        finally:
            self._gate.watchdog.excuse(time.monotonic())

    def _use(self, policy: LoadedPolicy) -> None:
        recovery = lead_in = None
        name = recovery_of(self._card, self._config)
        self._recovery_error = None
        if name not in (NO_POLICY, policy.name):
            recovery = self._beside(name, "the robot will not get up")
        if recovery is not None and self._card.lead_in and policy.brain.task in LEAD_IN_M_S:
            lead_in = self._beside(self._card.lead_in, "the robot may fall once it is up")
        self._driver.use(policy, recovery, lead_in)
        self._watch = policy.watch
        self._file_error = None

    def _beside(self, name: str, without: str) -> LoadedPolicy | None:
        """A policy that helps; None where it cannot be used, and then `without` it is said."""
        try:
            return self._prepare(name, download=not self._gate.is_started)
        except PolicyError as error:
            self._recovery_error = shortened(f"{without}: {error}")
            self._node.get_logger().warning(self._recovery_error)
            return None

    def _switch(self, policy: LoadedPolicy) -> None:
        self._use(policy)
        self._node.get_logger().info(f"policy '{policy.name}' loaded from {policy.watch.path}")
        if self._gate.is_started:
            self._gate.switch()
            self._on_switch()
