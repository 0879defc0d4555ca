# SPDX-License-Identifier: Apache-2.0
"""Tells people of the silences that a watchdog noticed."""

from __future__ import annotations

import time

from rclpy.node import Node

from humanoid_mujoco_ros.policy.watchdog import Watchdog
from humanoid_mujoco_ros.ros import diagnostics
from humanoid_mujoco_ros.ros.bounded_log import FaultLog


class SilenceReporter:
    """Puts silences into the diagnostics, and one line each at their begin and end into the log.

    What may be the end of a run is a warning and no line, until something comes after it or it
    lasts for a second.
    """

    def __init__(self, node: Node, watchdog: Watchdog, what: str) -> None:
        """Reports for `node` that `what` does not come."""
        self._watchdog = watchdog
        self._what = what
        self._log = FaultLog(node.get_logger, f"{what}s come again")

    def report_to(self, health: diagnostics.Health, remark: str) -> None:
        """Adds the silences since the last call, with a remark about their cause or effect."""
        silence = self._watchdog.report(time.monotonic())
        if silence is None:
            self._log.tell(None)
            return
        text = f"{silence.describe(self._what)}: {remark}"
        if silence.is_fault:
            self._log.tell(text)
        health.report(diagnostics.ERROR if silence.is_fault else diagnostics.WARN, text)
