# SPDX-License-Identifier: Apache-2.0
"""Publishes a node's health on /diagnostics once a second."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from humanoid_mujoco_ros.ros.health import ERROR as ERROR
from humanoid_mujoco_ros.ros.health import OK as OK
from humanoid_mujoco_ros.ros.health import WARN as WARN
from humanoid_mujoco_ros.ros.health import Health as Health
from humanoid_mujoco_ros.ros.health import shortened

PERIOD_S = 1.0

_LOG_PERIOD_S = 5.0
_LONGEST_VALUE = 2000
"""Longest message or value of a status; the recorder's list of topics may be long."""


class Rejections:
    """Counts the messages that a node refused, and keeps the last reason."""

    def __init__(self, node: Node) -> None:
        """Starts at zero; `node` logs the reasons, not more often than every 5 s."""
        self._logger = node.get_logger()
        self._next_log_s = -math.inf
        self._logged = 0
        self._reported = 0
        self.count = 0
        self.last = ""

    def add(self, reason: object) -> None:
        """Notes a refused message."""
        self.count += 1
        self.last = shortened(reason)
        now_s = time.monotonic()
        if now_s < self._next_log_s:
            return
        others = self.count - self._logged - 1
        self._logger.error(f"refused: {self.last}" + (f" ({others} more before)" * (others > 0)))
        self._logged = self.count
        self._next_log_s = now_s + _LOG_PERIOD_S

    def report_to(self, health: Health) -> None:
        """Adds the count, and an ERROR when it grew since the last report."""
        health.values["rejected_messages"] = self.count
        health.values["last_rejection"] = self.last
        if self.count > self._reported:
            health.report(ERROR, f"{self.count - self._reported} messages refused: {self.last}")
        self._reported = self.count


class DiagnosticsPublisher:
    """Asks `collect` for the node's health every second of the steady clock."""

    def __init__(
        self, node: Node, task: str, hardware_id: str, collect: Callable[[], Health]
    ) -> None:
        """Starts publishing.

        Args:
            node: Publisher.
            task: What the status is about; its name becomes "<node>: <task>".
            hardware_id: The robot's name.
            collect: Returns the health of the last second.
        """
        self._node = node
        self._collect = collect
        self._name = f"{node.get_fully_qualified_name().lstrip('/')}: {task}"
        self._hardware_id = hardware_id
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(PERIOD_S, self.publish, clock=steady)

    def publish(self) -> None:
        """Publishes the health now."""
        health = self._collect()
        message = DiagnosticArray()
        message.header.stamp = self._node.get_clock().now().to_msg()
        message.status.append(
            DiagnosticStatus(
                level=health.level,
                name=self._name,
                message=shortened(health.message, _LONGEST_VALUE),
                hardware_id=self._hardware_id,
                values=to_key_values(health.values),
            )
        )
        self._publisher.publish(message)


def to_key_values(values: Mapping[str, object]) -> list[KeyValue]:
    """Figures as message; floats with six significant digits, long texts cut."""
    return [
        KeyValue(
            key=key,
            value=f"{value:.6g}" if isinstance(value, float) else _text(value),
        )
        for key, value in values.items()
    ]


def _text(value: object) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST_VALUE else shortened(text, _LONGEST_VALUE)
