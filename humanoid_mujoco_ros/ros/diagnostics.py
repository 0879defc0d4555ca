# SPDX-License-Identifier: Apache-2.0
"""Publishes a node's health on /diagnostics once a second."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from humanoid_mujoco_ros.ros.bounded_log import BoundedLog
from humanoid_mujoco_ros.ros.guard import GuardedNode
from humanoid_mujoco_ros.ros.health import ERROR as ERROR
from humanoid_mujoco_ros.ros.health import OK as OK
from humanoid_mujoco_ros.ros.health import WARN as WARN
from humanoid_mujoco_ros.ros.health import Health as Health
from humanoid_mujoco_ros.ros.health import shortened

PERIOD_S = 1.0

_LONGEST_VALUE = 2000
"""Longest message or value of a status; the recorder's list of topics may be long."""


class Rejections:
    """Counts the messages that a node refused, and keeps the last reason."""

    def __init__(self, node: Node) -> None:
        """Starts at zero; `node` logs the reasons, each kind once a minute."""
        self._log = BoundedLog(node.get_logger)
        self._reported = 0
        self.count = 0
        self.last = ""

    def add(self, reason: object) -> None:
        """Notes a refused message."""
        self.count += 1
        self.last = shortened(reason)
        self._log.error(f"refused: {self.last}")

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
        if isinstance(self._node, GuardedNode):
            health = self._guarded_health(self._node)
        else:
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

    def _guarded_health(self, node: GuardedNode) -> Health:
        """The node's health, with what its callbacks raised; its own failure is told as well."""
        try:
            health = self._collect()
        except Exception as error:
            node.callback_errors.add("diagnostics", error)
            health = Health()
        fault = node.callback_errors.take()
        if fault is not None:
            health.report(ERROR, fault)
        health.values["callback_errors"] = node.callback_errors.count
        return health


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
