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

from humanoid_mujoco_ros.policy.config import VelocityConfig, VelocityMessageConfig
from humanoid_mujoco_ros.robot.vectors import VectorError, checked_vector
from humanoid_mujoco_ros.ros import conversions, parameters
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
        on_refused: Callable[[object], None],
        period_s: float | None,
    ) -> None:
        """Does not listen yet.

        Args:
            node: Subscribes, and declares the parameters of VelocityMessageConfig and
                VelocityConfig.
            on_refused: Takes the reason why a message was refused.
            period_s: Simulated time [s] from one call of `next` to the following one, by which
                the age of a command counts (lockstep); None: it counts on the steady clock.
        """
        self._node = node
        message = parameters.declare(node, VelocityMessageConfig)
        self._type = TwistStamped if message.stamped_cmd_vel else Twist
        self._timeout_s = parameters.declare(node, VelocityConfig).cmd_vel_timeout_s
        self._on_refused = on_refused
        self._period_s = period_s
        self._log = BoundedLog(node.get_logger)
        self._subscription: Subscription | None = None
        self._asked = 0
        self._heard_s = -math.inf
        self._velocity: Float64Array = np.zeros(3)
        self._is_clipped = False

    def listen(self, *, wanted: bool) -> None:
        """Listens from now on, or no more; at first it wants to stand until a command comes."""
        if wanted == (self._subscription is not None):
            return
        self._heard_s = -math.inf
        self._is_clipped = False
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None
        else:
            self._subscription = self._node.create_subscription(
                self._type, CMD_VEL, self.on_cmd_vel, _NEWEST
            )

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
        is_fresh = self._now_s() - self._heard_s <= self._timeout_s
        return self._velocity if is_fresh else np.zeros(3)

    def _now_s(self) -> float:
        return time.monotonic() if self._period_s is None else self._asked * self._period_s
