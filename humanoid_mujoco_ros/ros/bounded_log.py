# SPDX-License-Identifier: Apache-2.0
"""Log lines whose length and number are bounded, whatever comes in from outside."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from humanoid_mujoco_ros.ros.health import shortened

PERIOD_S = 60.0
MAX_LINES = 4
"""How many lines a log writes within PERIOD_S."""
_NUMBER = re.compile(r"\d+([.,:]\d+)*")


class Logger(Protocol):
    """What is used of rclpy's logger."""

    def info(self, message: str) -> object:
        """Writes a message."""

    def error(self, message: str) -> object:
        """Writes an error."""


def kind(text: str) -> str:
    """What texts have in common that differ in their numbers only."""
    return _NUMBER.sub("#", text)


class BoundedLog:
    """Writes each kind of line once a minute, and no more than four lines of all kinds."""

    def __init__(
        self, get_logger: Callable[[], Logger], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Writes nothing yet.

        Args:
            get_logger: Asked at each line.
            clock: Steady time [s].
        """
        self._get_logger = get_logger
        self._clock = clock
        self._written: deque[tuple[float, str]] = deque(maxlen=MAX_LINES)
        self._left_out = 0

    def error(self, text: object) -> bool:
        """Writes an error, unless it is one too many; whether it did."""
        line = self._line(text)
        if line is None:
            return False
        self._get_logger().error(line)
        return True

    def info(self, text: object) -> bool:
        """Writes a message, unless it is one too many; whether it did."""
        line = self._line(text)
        if line is None:
            return False
        self._get_logger().info(line)
        return True

    def _line(self, text: object) -> str | None:
        now_s = self._clock()
        line = shortened(text)
        recent = [kind for time_s, kind in self._written if now_s - time_s < PERIOD_S]
        if len(recent) == MAX_LINES or kind(line) in recent:
            self._left_out += 1
            return None
        self._written.append((now_s, kind(line)))
        left_out, self._left_out = self._left_out, 0
        return f"{line} ({left_out} more lines were left out)" if left_out else line


class FaultLog:
    """Writes one line when a fault begins and one when it has ended.

    To be told the present fault again and again, so that what a flickering fault leaves out of the
    log is made up for.
    """

    def __init__(
        self,
        get_logger: Callable[[], Logger],
        recovered: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Knows of no fault; `recovered` is the line at the end of one."""
        self._log = BoundedLog(get_logger, clock)
        self._recovered = recovered
        self._said: str | None = None

    def tell(self, fault: str | None) -> None:
        """Takes the present fault; None: nothing is wrong."""
        now = None if fault is None else kind(shortened(fault))
        if now == self._said:
            return
        if self._log.info(self._recovered) if fault is None else self._log.error(fault):
            self._said = now
