# SPDX-License-Identifier: Apache-2.0
"""The velocity that people or other nodes want of the robot."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
from geometry_msgs.msg import Twist, TwistStamped
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription

from humanoid_mujoco_ros.policy.config import VelocityConfig
from humanoid_mujoco_ros.robot.vectors import VectorError, checked_vector
from humanoid_mujoco_ros.ros import conversions
from humanoid_mujoco_ros.ros.bounded_log import BoundedLog
from humanoid_mujoco_ros.ros.topics import CMD_VEL

Float64Array = NDArray[np.float64]

_NEWEST = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
"""Hears every publisher; a lost message is made up for by the next, or by the timeout."""


class VelocityListener:
    """Keeps the last velocity on cmd_vel until it is too old."""

    def __init__(
        self,
        node: Node,
        config: VelocityConfig,
        on_refused: Callable[[object], None],
        period_s: float | None,
    ) -> None:
        """Does not listen yet.

        Args:
            node: Subscribes.
            config: Type of the message, and its timeout.
            on_refused: Takes the reason why a message was refused.
            period_s: Simulated time [s] from one call of `next` to the following one, by which
                the age of a command counts (lockstep); None: it counts on the steady clock.
        """
        self._node = node
        self._config = config
        self._on_refused = on_refused
        self._period_s = period_s
        self._log = BoundedLog(node.get_logger)
        self._subscription: Subscription | None = None
        self._asked = 0
        self._heard_s = -math.inf
        self._velocity: Float64Array = np.zeros(3)
        self._is_clipped = False

    def start(self) -> None:
        """Listens, and wants to stand until a command comes."""
        self._heard_s = -math.inf
        self._is_clipped = False
        kind = TwistStamped if self._config.stamped_cmd_vel else Twist
        self._subscription = self._node.create_subscription(kind, CMD_VEL, self.on_cmd_vel, _NEWEST)

    def stop(self) -> None:
        """Listens no more."""
        self._heard_s = -math.inf
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

    def on_cmd_vel(self, message: Twist | TwistStamped) -> None:
        """Takes a command, unless it is not finite."""
        twist = message.twist if isinstance(message, TwistStamped) else message
        try:
            velocity = conversions.from_twist(twist).tolist()
            self._velocity = checked_vector(velocity, 3, "velocity command (vx, vy, yaw rate)")
        except VectorError as error:
            self._on_refused(error)
            return
        self._heard_s = self._now_s()

    def next(self) -> Float64Array:
        """(3,) vx, vy [m/s], yaw rate [rad/s] that count now; to be called once per observation."""
        self._asked += 1
        return self._current()

    def note_clipped(self, *, clipped: bool) -> None:
        """Takes whether the policy clipped what it was given, and says so once."""
        if clipped and not self._is_clipped:
            self._log.info(
                f"{CMD_VEL} is beyond what the policy was trained for and is clipped to its ranges"
            )
        self._is_clipped = clipped

    def figures(self) -> dict[str, object]:
        """For the diagnostics."""
        return {
            "takes_commands": self._subscription is not None,
            "command": " ".join(f"{value:g}" for value in self._current()),
            "command_clipped": self._is_clipped,
        }

    def _current(self) -> Float64Array:
        is_fresh = self._now_s() - self._heard_s <= self._config.cmd_vel_timeout_s
        return self._velocity if is_fresh else np.zeros(3)

    def _now_s(self) -> float:
        return time.monotonic() if self._period_s is None else self._asked * self._period_s
