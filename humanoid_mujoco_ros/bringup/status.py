# SPDX-License-Identifier: Apache-2.0
"""The status line of a running graph, from its /diagnostics."""

from __future__ import annotations

import math
import time

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from rich.markup import escape
from rich.table import Table
from rich.text import Text

_STALE_S = 3.0


class StatusListener(Node):
    """Keeps the latest diagnostics of the nodes in one namespace."""

    def __init__(self, namespace: str) -> None:
        """Subscribes to /diagnostics."""
        super().__init__("bringup", namespace=namespace, start_parameter_services=False)
        self._prefix = self.get_namespace().strip("/")
        self._status: dict[str, DiagnosticStatus] = {}
        self._time_s: dict[str, float] = {}
        self.create_subscription(DiagnosticArray, "/diagnostics", self.on_diagnostics, 10)

    def on_diagnostics(self, array: DiagnosticArray) -> None:
        """Takes the status of this namespace's nodes."""
        for status in array.status:
            namespace, _, node = status.name.split(":")[0].rpartition("/")
            if namespace == self._prefix:
                self._status[node] = status
                self._time_s[node] = time.monotonic()

    def values(self, node: str) -> dict[str, str]:
        """The node's latest figures; empty when it said nothing for some seconds."""
        if time.monotonic() - self._time_s.get(node, 0.0) > _STALE_S:
            return {}
        return {pair.key: pair.value for pair in self._status[node].values}

    @property
    def has_news(self) -> bool:
        """Whether any node said something in the last seconds."""
        return any(map(self.values, self._status))

    def problems(self) -> list[str]:
        """What is wrong, in plain words."""
        return [
            f"{node}: {status.message}"
            for node, status in self._status.items()
            if status.level != DiagnosticStatus.OK
            and time.monotonic() - self._time_s[node] <= _STALE_S
        ]


def _number(values: dict[str, str], key: str, template: str) -> str:
    value = float(values.get(key, "nan"))
    return "–" if math.isnan(value) else template.format(value)


def figures(listener: StatusListener) -> list[tuple[str, str]]:
    """Label and text of each figure of the status line."""
    simulation = listener.values("simulation_node")
    policy = listener.values("policy_node")
    return [
        ("time", _number(simulation, "sim_time_s", "{:.1f} s")),
        ("real-time factor", _number(simulation, "real_time_factor", "{:.2f}")),
        ("height", _number(simulation, "body_height_m", "{:.2f} m")),
        ("steps", simulation.get("step_count", "–")),
        ("control", _number(simulation, "control_rate_hz", "{:.1f} Hz")),
        ("latency", _number(simulation, "command_latency_p50_ms", "{:.1f} ms")),
        ("policy", policy.get("policy") or "–"),
        ("watchdog", simulation.get("watchdog", "–")),
    ]


def line(listener: StatusListener) -> str:
    """The status as plain text, for logs."""
    text = "  ".join(f"{label} {value}" for label, value in figures(listener))
    problems = listener.problems()
    return f"{text}  [{'; '.join(problems)}]" if problems else text


def panel(listener: StatusListener) -> Table:
    """The status for a terminal."""
    table = Table.grid(padding=(0, 2))
    columns = figures(listener)
    table.add_row(*(Text(label, style="dim") for label, _ in columns))
    table.add_row(*(Text(value, style="bold") for _, value in columns))
    grid = Table.grid()
    grid.add_row(table)
    for problem in listener.problems():
        grid.add_row(Text.from_markup(f"[yellow]{escape(problem)}[/yellow]"))
    return grid
