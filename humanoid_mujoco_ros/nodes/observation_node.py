# SPDX-License-Identifier: Apache-2.0
"""observation_node: makes the policy's observation of what a robot measures."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from geometry_msgs.msg import WrenchStamped
from rclpy.clock import Clock, ClockType
from std_msgs.msg import Float64MultiArray

from humanoid_mujoco_ros.policy import observation
from humanoid_mujoco_ros.robot.model import ModelConfig, RobotModel
from humanoid_mujoco_ros.robot.posed_model import PosedModel
from humanoid_mujoco_ros.robot.state import Wrench
from humanoid_mujoco_ros.robot.vectors import VectorError, checked_vector
from humanoid_mujoco_ros.ros import conversions, diagnostics, parameters, peers, runtime, topics
from humanoid_mujoco_ros.ros.guard import GuardedNode
from humanoid_mujoco_ros.ros.robot_listener import RobotListener

_RATE_TOLERANCE = 0.1
_RETRY_PERIOD_S = 0.02


@dataclass(frozen=True)
class ObservationConfig:
    """How messages become an observation."""

    input_timeout_s: float = 0.05
    """Silence of the robot, on the steady clock, that counts as an error; 0: none (lockstep).
    Unless it is a simulation, a state does not count whose stamp repeats the last one's, or that
    comes so much later than others; nor does a foot wrench so much older than the state."""
    pairing_tolerance_s: float = 0.0
    """How far the stamps of the joint_states and odom of one observation may differ."""
    use_foot_wrenches: bool = False
    """Observe left_foot/wrench and right_foot/wrench; otherwise no contact forces."""

    def __post_init__(self) -> None:
        """Checks the ranges.

        Raises:
            ValueError: A time is negative.
        """
        for name in ("input_timeout_s", "pairing_tolerance_s"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, not {getattr(self, name)}")


class ObservationNode(GuardedNode):
    """Makes one observation of each pair of joint_states and odom.

    Derived values (inertias, velocities about the centre of mass) come from a MuJoCo model in the
    same pose. Efforts are those measured, or else those last commanded.

    Publishes: observation, /diagnostics.

    Subscribes: joint_states, odom, effort_controller/commands; with `use_foot_wrenches`
    left_foot/wrench and right_foot/wrench.

    Parameters: the fields of ObservationConfig, of ModelConfig (its path as `model`), `joints`, and
    `joint_map`.
    """

    def __init__(self) -> None:
        """Loads the model.

        Raises:
            ValueError: A parameter cannot be used; the message says why.
        """
        super().__init__("observation_node")
        self._robot = RobotModel(parameters.declare(self, ModelConfig, path="model"))
        self._config = parameters.declare(self, ObservationConfig)
        self._joint_map = parameters.declare_joint_map(self, self._robot)
        self._joints = parameters.declare_joints(self, self._joint_map.robot_joints)
        self._to_model_order = np.argsort(self._joint_map.command_order(self._joints))
        self._foot_wrenches: dict[str, tuple[int, Wrench]] = {}
        self._missing_feet: list[str] = []
        self._layout = conversions.to_layout(observation.layout(self._robot.mj))
        self._rejections = diagnostics.Rejections(self)
        self._is_silent = False
        self._count = 0
        self._unanswered: Float64MultiArray | None = None
        self._asked: frozenset[bytes] = frozenset()
        self._listeners = 0

        self._publisher = self.create_publisher(Float64MultiArray, topics.OBSERVATION, 1)
        self.create_subscription(Float64MultiArray, topics.COMMANDS, self.on_commands, 1)
        if self._config.use_foot_wrenches:
            for side, _, _ in self._robot.foot_sensors:
                self.create_subscription(
                    WrenchStamped,
                    f"{side}_foot/wrench",
                    partial(self.on_foot_wrench, side),
                    10,
                )
        self._posed = PosedModel(self._robot)
        self._robot_listener = RobotListener(
            self,
            self._posed,
            self._joint_map,
            self.on_state,
            self._rejections.add,
            self._config.pairing_tolerance_s,
            self._config.input_timeout_s,
        )
        self._diagnostics = diagnostics.DiagnosticsPublisher(
            self, "observation", self._robot.name, self._health
        )
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        if self._config.input_timeout_s > 0:
            period_s = self._config.input_timeout_s / 4
            self.create_timer(period_s, self._check_age, clock=steady)
        else:
            self.create_timer(_RETRY_PERIOD_S, self._ask_newcomers, clock=steady)

    def on_commands(self, message: Float64MultiArray) -> None:
        """Keeps the efforts commanded, for a robot that measures none."""
        try:
            efforts = checked_vector(message.data, len(self._joints), "effort command")
        except VectorError as error:
            self._rejections.add(error)
            return
        self._robot_listener.commanded = self._joint_map.signed(efforts[self._to_model_order])
        self._unanswered = None

    def on_foot_wrench(self, side: str, message: WrenchStamped) -> None:
        """Keeps what acts on a foot."""
        wrench = conversions.from_wrench(message)
        try:
            checked_vector([*wrench.force, *wrench.torque], 6, f"{side} foot wrench")
        except VectorError as error:
            self._rejections.add(error)
            return
        self._foot_wrenches[side] = conversions.from_time(message.header.stamp), wrench

    def on_state(self, stamp_ns: int) -> None:
        """Publishes the observation of a new state."""
        if self._is_silent:
            self._is_silent = False
            self.get_logger().info("the robot's state comes again")
        values = self._posed.observation(self._wrenches_at(stamp_ns))
        if not np.isfinite(values).all():
            self._rejections.add("the observation of a finite state is not finite")
            return
        self._count += 1
        self._unanswered = conversions.to_observation(values, self._layout)
        if self._config.input_timeout_s > 0:
            self._publisher.publish(self._unanswered)
            return
        listeners = self._publisher.get_subscription_count()
        if listeners != self._listeners:
            self._listeners, self._asked = listeners, peers.policies(self)
        if self._asked:
            self._publisher.publish(self._unanswered)

    def _wrenches_at(self, stamp_ns: int) -> dict[str, Wrench] | None:
        """What acts on the feet in a state, as far as it is known; None if it is not to be used."""
        if not self._config.use_foot_wrenches:
            return None
        limit_ns = self._config.input_timeout_s * 1e9 or math.inf
        wrenches = {
            side: wrench
            for side, (wrench_ns, wrench) in self._foot_wrenches.items()
            if abs(stamp_ns - wrench_ns) <= limit_ns
        }
        self._missing_feet = [
            side for side, _, _ in self._robot.foot_sensors if side not in wrenches
        ]
        return wrenches

    def _ask_newcomers(self) -> None:
        """Lockstep: a policy that appears while an observation is unanswered is asked too."""
        if self._unanswered is None:
            return
        policies = peers.policies(self)
        newcomers, self._asked = policies - self._asked, policies
        if newcomers:
            self._publisher.publish(self._unanswered)

    def _check_age(self) -> None:
        age_s = self._robot_listener.age_s
        if age_s is None or self._is_silent or age_s <= self._config.input_timeout_s:
            return
        self._is_silent = True
        why = self._robot_listener.fault or "the robot is silent"
        self.get_logger().error(f"no observation for {age_s * 1e3:.0f} ms: {why}")

    def _health(self) -> diagnostics.Health:
        health = diagnostics.Health()
        count, self._count = self._count, 0
        age_s = self._robot_listener.age_s
        wanted_hz = self._robot.control_rate_hz
        if age_s is None:
            health.report(diagnostics.WARN, f"no state yet: {self._robot_listener.silence()}")
        elif self._is_silent:
            silence = self._robot_listener.silence()
            health.report(diagnostics.ERROR, f"stale for {age_s:.1f} s: {silence}")
        elif self._config.input_timeout_s and abs(count - wanted_hz) > _RATE_TOLERANCE * wanted_hz:
            health.report(
                diagnostics.WARN, f"{count} observations/s, the policy expects {wanted_hz:.4g}"
            )
        if self._missing_feet:
            topics = " and ".join(f"{side}_foot/wrench" for side in self._missing_feet)
            health.report(
                diagnostics.WARN, f"no current {topics}: observed as a foot without contact"
            )
        health.values = {
            "observations": count,
            "stale_states": self._robot_listener.stale,
            "age_s": np.nan if age_s is None else age_s,
            "efforts": "measured" if self._robot_listener.measures_efforts else "commanded",
            "foot_wrenches": self._config.use_foot_wrenches,
        }
        self._rejections.report_to(health)
        return health


def main(args: Sequence[str] | None = None) -> int:
    """Runs the node; the exit status is 2 when it could not start."""
    return runtime.run(ObservationNode, args)


if __name__ == "__main__":
    sys.exit(main())
