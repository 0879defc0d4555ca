# SPDX-License-Identifier: Apache-2.0
"""A node's health in plain values, without ROS."""

from __future__ import annotations

from dataclasses import dataclass, field

OK = b"\x00"
WARN = b"\x01"
ERROR = b"\x02"
"""Levels of diagnostic_msgs/DiagnosticStatus."""

MAX_TEXT = 300
"""Longest text of a log line or a diagnostics value: a message from elsewhere may hold 100,000
names."""


def shortened(text: object, longest: int = MAX_TEXT) -> str:
    """The text, cut to at most `longest` characters, on one line, without control characters."""
    printable = (c if c.isprintable() else " " for c in str(text)[: 2 * longest])
    line = " ".join("".join(printable).split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


@dataclass
class Health:
    """One status: a level, what is wrong in plain words, and figures."""

    level: bytes = OK
    message: str = "ok"
    values: dict[str, object] = field(default_factory=dict)

    def report(self, level: bytes, message: str) -> None:
        """Adds a finding; the worst one gives the level and leads the message."""
        message = shortened(message)
        if self.level == OK:
            self.level, self.message = level, message
        elif level > self.level:
            self.level, self.message = level, f"{message}; {self.message}"
        else:
            self.message = f"{self.message}; {message}"
