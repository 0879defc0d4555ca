# SPDX-License-Identifier: Apache-2.0
"""observation_node: makes the policy's observation of what a robot measures."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence

import numpy as np
from std_msgs.msg import Float64MultiArray

from humanoid_mujoco_ros.policy.config import ObservationConfig
from humanoid_mujoco_ros.policy.observer import Observer
from humanoid_mujoco_ros.policy.watchdog import Watchdog, timeout_of
from humanoid_mujoco_ros.robot.posed_model import PosedModel
from humanoid_mujoco_ros.robot.vectors import VectorError, checked_vector
from humanoid_mujoco_ros.ros import conversions, diagnostics, parameters, runtime, topics
from humanoid_mujoco_ros.ros.foot_listener import FootListener
from humanoid_mujoco_ros.ros.guard import GuardedNode
from humanoid_mujoco_ros.ros.observation_publisher import (
    LockstepObservationPublisher,
    ObservationPublisher,
)
from humanoid_mujoco_ros.ros.pairing import Freshness
from humanoid_mujoco_ros.ros.robot_listener import RobotListener
from humanoid_mujoco_ros.ros.shared_config import PairingConfig
from humanoid_mujoco_ros.ros.silences import SilenceReporter

_RATE_TOLERANCE = 0.1


class ObservationNode(GuardedNode):
    """Makes one observation of each pair of joint_states and odom, or imu/data (`base_from`).

    What is not measured is absent from it. Derived values (inertias, velocities about the centre of
    mass) come from a MuJoCo model in the same pose. Efforts are those measured, or else commanded.

    Publishes: observation, /diagnostics.

    Subscribes: joint_states; odom or imu/data; effort_controller/commands or
    position_controller/commands, to know what was answered; with `use_foot_wrenches`
    left_foot/wrench and right_foot/wrench.

    Parameters: the fields of ObservationConfig, of PairingConfig, of ModelConfig, `joints`, and
    `joint_map`.
    """

    def __init__(self) -> None:
        """Loads the model.

        Raises:
            ValueError: A parameter cannot be used; the message says why.
        """
        super().__init__("observation_node")
        self._robot = parameters.declare_robot(self)
        config = parameters.declare(self, ObservationConfig)
        self._joint_map = parameters.declare_joint_map(self, self._robot)
        joints = parameters.declare_joints(self, self._joint_map.driven_joints)
        self._order = self._joint_map.command_order(joints)
        self._observer = Observer(self._robot, config.base_from)
        self._layout = conversions.to_layout(self._observer.layout)
        self._rejections = diagnostics.Rejections(self)
        self._count = 0
        is_lockstep = config.mode == "lockstep"
        period_s = self._robot.control_period_s
        timeout_s = 0.0 if is_lockstep else timeout_of(config.input_timeout_s, period_s)
        self._watchdog = Watchdog(timeout_s)
        self._silences = SilenceReporter(self, self._watchdog, "new state")
        max_delay_s = timeout_s or math.inf
        topic = topics.COMMANDS[self._robot.actuation]
        self._publisher = (
            LockstepObservationPublisher(self, topic) if is_lockstep else ObservationPublisher(self)
        )
        self.create_subscription(Float64MultiArray, topic, self.on_commands, 1)
        self._feet = (
            FootListener(self, self._robot, max_delay_s, self._rejections.add)
            if config.use_foot_wrenches
            else None
        )
        self._posed = PosedModel(self._robot)
        self._robot_listener = RobotListener(
            self,
            self._posed,
            self._joint_map,
            self.on_state,
            self._rejections.add,
            parameters.declare(self, PairingConfig),
            None if is_lockstep else Freshness(max_delay_s),
            config.base_from,
        )
        self._diagnostics = diagnostics.DiagnosticsPublisher(
            self, "observation", self._robot.name, self._health
        )
        if timeout_s > 0:
            self.create_steady_timer(timeout_s / 4, self._check_age)

    def on_commands(self, message: Float64MultiArray) -> None:
        """Keeps the efforts commanded, for a robot that measures none."""
        kind = self._robot.actuation
        try:
            values = checked_vector(message.data, len(self._order), f"{kind} command")
        except VectorError as error:
            self._rejections.add(error)
            return
        if kind == "effort":
            efforts = np.zeros(len(self._robot.joints))
            efforts[self._order] = values
            self._robot_listener.commanded = self._joint_map.signed(efforts)
        self._publisher.on_answer()

    def on_state(self, stamp_ns: int) -> None:
        """Publishes the observation of a new state."""
        self._watchdog.feed(time.monotonic())
        wrenches = None if self._feet is None else self._feet.wrenches_at(stamp_ns)
        values = self._observer.observe(self._posed.data(wrenches))
        if not np.isfinite(values).all():
            self._rejections.add("the observation of a finite state is not finite")
            return
        self._count += 1
        self._publisher.ask(conversions.to_observation(values, self._layout))

    def _check_age(self) -> None:
        self._watchdog.check(time.monotonic())

    def _health(self) -> diagnostics.Health:
        health, listener = diagnostics.Health(), self._robot_listener
        count, self._count = self._count, 0
        age_s = self._watchdog.age_s(time.monotonic())
        wanted_hz = self._robot.control_rate_hz
        is_watched = self._watchdog.timeout_s > 0 and not self._watchdog.is_silent
        self._silences.report_to(health, listener.silence())
        if age_s is None:
            health.report(diagnostics.WARN, f"no state yet: {listener.silence()}")
        elif is_watched and abs(count - wanted_hz) > _RATE_TOLERANCE * wanted_hz:
            health.report(
                diagnostics.WARN, f"{count} observations/s, the policy expects {wanted_hz:.4g}"
            )
        if self._feet is not None and self._feet.missing:
            missing = " and ".join(self._feet.missing)
            health.report(diagnostics.WARN, f"no current {missing}: observed as without contact")
        health.values = {
            "observations": count,
            "stale_states": listener.stale,
            "age_s": np.nan if age_s is None else age_s,
            "efforts": "measured" if listener.measures_efforts else "commanded",
            "foot_wrenches": self._feet is not None,
        }
        self._rejections.report_to(health)
        return health


def main(args: Sequence[str] | None = None) -> int:
    """Runs the node; the exit status is 2 when it could not start."""
    return runtime.run(ObservationNode, args)


if __name__ == "__main__":
    sys.exit(main())
