# SPDX-License-Identifier: Apache-2.0
"""Keeps what a robot's feet feel."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from geometry_msgs.msg import WrenchStamped
from rclpy.node import Node

from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.robot.state import Wrench
from humanoid_mujoco_ros.robot.vectors import VectorError, checked_vector
from humanoid_mujoco_ros.ros import conversions


class FootListener:
    """Subscribes to the wrench of each foot.

    Attributes:
        missing: The topics that had no wrench of the last state.
    """

    def __init__(
        self,
        node: Node,
        robot: RobotModel,
        max_age_s: float,
        on_refused: Callable[[object], None],
    ) -> None:
        """Subscribes.

        Args:
            node: Subscribes.
            robot: Its feet.
            max_age_s: By how much a wrench may be older or newer than the state.
            on_refused: Takes the reason why a message was refused.
        """
        self._max_age_ns = max_age_s * 1e9
        self._on_refused = on_refused
        self._wrenches: dict[str, tuple[int, Wrench]] = {}
        self._topics = {side: f"{side}_foot/wrench" for side, _, _ in robot.foot_sensors}
        self.missing: list[str] = []
        for side, topic in self._topics.items():
            node.create_subscription(WrenchStamped, topic, partial(self.on_wrench, side), 10)

    def on_wrench(self, side: str, message: WrenchStamped) -> None:
        """Keeps what acts on a foot."""
        wrench = conversions.from_wrench(message)
        try:
            checked_vector([*wrench.force, *wrench.torque], 6, f"{side} foot wrench")
        except VectorError as error:
            self._on_refused(error)
            return
        self._wrenches[side] = conversions.from_time(message.header.stamp), wrench

    def wrenches_at(self, stamp_ns: int) -> dict[str, Wrench]:
        """What acts on the feet in the state of a stamp [ns], by side, as far as it is known."""
        wrenches = {
            side: wrench
            for side, (wrench_ns, wrench) in self._wrenches.items()
            if abs(stamp_ns - wrench_ns) <= self._max_age_ns
        }
        self.missing = [topic for side, topic in self._topics.items() if side not in wrenches]
        return wrenches
