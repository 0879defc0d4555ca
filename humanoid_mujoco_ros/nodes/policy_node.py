# SPDX-License-Identifier: Apache-2.0
"""policy_node: turns observations into effort commands."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.subscription import Subscription
from std_msgs.msg import Float64MultiArray

from humanoid_mujoco_ros.policy import checkpoint
from humanoid_mujoco_ros.policy import locate as policy_source
from humanoid_mujoco_ros.policy.checkpoint import CheckpointError
from humanoid_mujoco_ros.policy.effort_ramp import EffortRamp
from humanoid_mujoco_ros.policy.inference import Policy
from humanoid_mujoco_ros.robot.model import ModelConfig, ModelError, RobotModel
from humanoid_mujoco_ros.robot.vectors import VectorError, checked_vector
from humanoid_mujoco_ros.ros import conflicts, conversions, diagnostics, parameters, peers, runtime

DEFAULT_POLICY = "walk"
_MATCH_TIMEOUT_S = 1.0
_LOCKSTEP_MATCH_TIMEOUT_S = 5.0
"""In lockstep nothing else goes on meanwhile, and a lost answer would end the run."""


@dataclass(frozen=True)
class PolicyConfig:
    """How policy_node runs its policy."""

    autostart: bool = True
    """Configure and activate at the start."""
    action: Literal["mean", "sample"] = "mean"
    """mean: the most likely action; sample: drawn from the Gaussian, as CleanRL evaluates."""
    seed: int = 0
    """Seed of sampled actions."""
    ramp_s: float = 0.1
    """Time in which efforts fade in after activation and after an interruption."""
    observation_timeout_s: float = 0.05
    """Zero effort when no observation came for so long on the steady clock; 0: never (lockstep)."""

    def __post_init__(self) -> None:
        """Checks the ranges.

        Raises:
            ValueError: A time is negative.
        """
        for name in ("ramp_s", "observation_timeout_s"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, not {getattr(self, name)}")


class PolicyNode(LifecycleNode):
    """Runs a checkpoint as a managed node.

    configure loads and checks the checkpoint, activate starts commanding with a ramp, deactivate
    sends one zero command and stops.

    Subscribes: observation. Publishes: effort_controller/commands [N·m, in the order of the
    parameter `joints`], once per observation; /diagnostics.

    Parameters: `policy` (read at configure), the fields of PolicyConfig, of ModelConfig (its path
    as `model`), `joints`, and `joint_map`.
    """

    def __init__(self) -> None:
        """Loads the model and, with `autostart`, the policy.

        Raises:
            ValueError: A parameter or the policy cannot be used; the message says why.
        """
        super().__init__("policy_node")
        self._robot = RobotModel(parameters.declare(self, ModelConfig, path="model"))
        self._config = parameters.declare(self, PolicyConfig)
        self._joint_map = parameters.declare_joint_map(self, self._robot)
        self._joints = parameters.declare_joints(self, self._joint_map.robot_joints)
        self._to_command_order = self._joint_map.command_order(self._joints)
        self.declare_parameter(
            "policy",
            DEFAULT_POLICY,
            ParameterDescriptor(
                description="A shipped policy's name, a checkpoint file, or "
                "hf://owner/repo[@revision][/file]. Read when the node is configured."
            ),
        )
        self._policy: Policy | None = None
        self._policy_name = ""
        self._error = ""
        self._subscription: Subscription | None = None
        self._is_matched = False
        self._last_observation_s: float | None = None
        self._is_interrupted = False
        self._durations_s: list[float] = []
        self._ramp = EffortRamp(
            self._joint_map.effort_limits, self._config.ramp_s, self._robot.control_period_s
        )
        self._zero = np.zeros(len(self._joints))
        self._rejections = diagnostics.Rejections(self)
        # A plain publisher: the zero command of a deactivation must still go out.
        self._commands = self.create_publisher(Float64MultiArray, "effort_controller/commands", 1)
        self._diagnostics = diagnostics.DiagnosticsPublisher(
            self, "policy", self._robot.name, self._health
        )
        if self._config.observation_timeout_s > 0:
            steady = Clock(clock_type=ClockType.STEADY_TIME)
            self.create_timer(
                self._config.observation_timeout_s / 4, self._check_observation_age, clock=steady
            )
        self._sources = conflicts.CommandSources(self)
        self._conflict = ""
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(conflicts.CHECK_PERIOD_S, self._check_sources, clock=steady)
        if self._config.autostart:
            if self.trigger_configure() != TransitionCallbackReturn.SUCCESS:
                raise ValueError(self._error)
            self.trigger_activate()

    def destroy_node(self) -> None:
        """Sends one zero command if the policy was commanding, then ends the node."""
        if self._subscription is not None and self.context.ok():
            self._send(self._zero)
        super().destroy_node()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Loads the checkpoint that the parameter `policy` names."""
        name = self.get_parameter("policy").value
        try:
            path = policy_source.resolve(name)
            self._policy = Policy(
                checkpoint.load(path, self._robot),
                self._robot,
                sample=self._config.action == "sample",
                seed=self._config.seed,
            )
        except Exception as error:  # whatever a file from elsewhere provokes must show here
            known = isinstance(error, CheckpointError | ModelError)
            reason = str(error) if known else f"{type(error).__name__}: {error}"
            self._error = f"policy '{name}': {reason}"
            self.get_logger().error(self._error)
            return TransitionCallbackReturn.FAILURE
        self._error = ""
        self._policy_name = name
        self.get_logger().info(f"policy '{name}' loaded from {path.name}")
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Starts to answer observations."""
        self._ramp.restart()
        self._last_observation_s = None
        self._is_interrupted = False
        self._is_matched = False
        self._subscription = self.create_subscription(
            Float64MultiArray, "observation", self.on_observation, 1
        )
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Sends one zero command and stops."""
        self._stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Forgets the policy."""
        self._policy = None
        self._policy_name = ""
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stops if it was commanding."""
        self._stop()
        return TransitionCallbackReturn.SUCCESS

    def on_observation(self, message: Float64MultiArray) -> None:
        """Answers an observation with a command; with zero effort if it cannot be used."""
        if self._policy is None or self._subscription is None:
            return
        self._last_observation_s = time.monotonic()
        if self._conflict:
            return
        if not self._is_matched:
            self._wait_for_listener()
        start_s = self._last_observation_s = time.monotonic()
        try:
            observation = checked_vector(
                message.data, self._policy.checkpoint.observation_size, "observation"
            )
            # Finite weights may still overflow, and no clip would stop NaN.
            efforts = checked_vector(
                self._policy.efforts(observation).tolist(), len(self._joints), "the policy's effort"
            )
        except VectorError as error:
            self._rejections.add(error)
            self._ramp.restart()
            self._send(self._zero)
            return
        self._is_interrupted = False
        efforts = self._ramp.apply(efforts)
        self._send(self._joint_map.signed(efforts)[self._to_command_order])
        self._durations_s.append(time.monotonic() - start_s)

    def _send(self, efforts: np.ndarray) -> None:
        self._commands.publish(conversions.to_efforts(efforts))

    def _stop(self) -> None:
        if self._subscription is not None:
            self._send(self._zero)
            self.destroy_subscription(self._subscription)
            self._subscription = None

    def _wait_for_listener(self) -> None:
        """Lets discovery finish, so that the answer to the first observation is not lost."""
        is_lockstep = self._config.observation_timeout_s == 0
        timeout_s = _LOCKSTEP_MATCH_TIMEOUT_S if is_lockstep else _MATCH_TIMEOUT_S
        deadline_s = time.monotonic() + timeout_s
        while not self._is_robot_listening() and time.monotonic() < deadline_s:
            time.sleep(0.001)
        self._is_matched = True

    def _is_robot_listening(self) -> bool:
        if self._config.observation_timeout_s > 0:
            return self._commands.get_subscription_count() > 0
        # In lockstep a recorder, say, that listens earlier must not be taken for the simulation.
        return bool(peers.robots(self))

    def _check_sources(self) -> None:
        """Stops while another node commands the joints too."""
        conflict = self._sources.conflict() or ""
        if conflict and not self._conflict and self._subscription is not None:
            self._send(self._zero)
            self.get_logger().error(f"{conflict}: commanding no longer")
        elif self._conflict and not conflict:
            self.get_logger().info("no other node commands the joints any more")
            self._ramp.restart()
        self._conflict = conflict

    def _check_observation_age(self) -> None:
        last_s = self._last_observation_s
        if self._subscription is None or last_s is None or self._is_interrupted:
            return
        age_s = time.monotonic() - last_s
        if age_s > self._config.observation_timeout_s:
            self._is_interrupted = True
            self._ramp.restart()
            self._send(self._zero)
            self.get_logger().error(f"no observation for {age_s * 1e3:.0f} ms: zero effort")

    def _health(self) -> diagnostics.Health:
        health = diagnostics.Health()
        durations_ms = np.array(self._durations_s or (np.nan,)) * 1e3
        answered, self._durations_s = len(self._durations_s), []
        if self._error:
            health.report(diagnostics.ERROR, self._error)
        if self._conflict:
            health.report(diagnostics.ERROR, f"{self._conflict}: commanding no longer")
        if self._subscription is None:
            health.report(diagnostics.WARN, "not active")
        elif self._last_observation_s is None:
            health.report(diagnostics.WARN, "no observation yet")
        elif self._is_interrupted:
            age_s = time.monotonic() - self._last_observation_s
            health.report(diagnostics.ERROR, f"no observation for {age_s:.1f} s: zero effort")
        health.values = {
            "policy": self._policy_name,
            "active": self._subscription is not None,
            "task": self._policy.checkpoint.task if self._policy else "",
            "normalization": self._policy.checkpoint.normalization if self._policy else "",
            "action": self._config.action,
            "answered_observations": answered,
            "inference_p50_ms": float(np.percentile(durations_ms, 50)),
            "inference_p99_ms": float(np.percentile(durations_ms, 99)),
        }
        self._rejections.report_to(health)
        return health


def main(args: Sequence[str] | None = None) -> int:
    """Runs the node; the exit status is 2 when it could not start."""
    return runtime.run(PolicyNode, args)


if __name__ == "__main__":
    sys.exit(main())
