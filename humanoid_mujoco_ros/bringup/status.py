# SPDX-License-Identifier: Apache-2.0
"""The status line of a running graph, from its /diagnostics."""

from __future__ import annotations

import math

from diagnostic_msgs.msg import DiagnosticArray
from rich.table import Table
from rich.text import Text

from humanoid_mujoco_ros.ros.diagnostics_board import DiagnosticsBoard
from humanoid_mujoco_ros.ros.guard import GuardedNode


class StatusListener(GuardedNode):
    """Keeps the latest diagnostics of the nodes in one namespace on `board`."""

    def __init__(self, namespace: str) -> None:
        """Subscribes to /diagnostics."""
        super().__init__("bringup", namespace=namespace, start_parameter_services=False)
        self.board = DiagnosticsBoard(namespace)
        self.create_subscription(DiagnosticArray, "/diagnostics", self.board.on_diagnostics, 10)


def figures(board: DiagnosticsBoard) -> list[tuple[str, str]]:
    """Label and text of each figure of the status line."""

    def number(key: str, template: str) -> str:
        value = board.number("simulation_node", key)
        return "–" if math.isnan(value) else template.format(value)

    return [
        ("time", number("sim_time_s", "{:.1f} s")),
        ("real-time factor", number("real_time_factor", "{:.2f}")),
        ("height", number("body_height_m", "{:.2f} m")),
        ("steps", number("step_count", "{:.0f}")),
        ("control", number("control_rate_hz", "{:.1f} Hz")),
        ("latency", number("command_latency_p50_ms", "{:.1f} ms")),
        ("policy", board.text("policy_node", "policy") or "–"),
        ("watchdog", board.text("simulation_node", "watchdog") or "–"),
    ]


def line(board: DiagnosticsBoard) -> str:
    """The status as plain text, for logs."""
    problems = [problem.text for problem in board.problems()]
    return f"{summary(board)}  [{'; '.join(problems)}]" if problems else summary(board)


def summary(board: DiagnosticsBoard) -> str:
    """The figures alone, for the end of a run: then the silence of its nodes is no problem."""
    return "  ".join(f"{label} {value}" for label, value in figures(board))


def panel(board: DiagnosticsBoard) -> Table:
    """The status for a terminal."""
    table = Table.grid(padding=(0, 2))
    columns = figures(board)
    table.add_row(*(Text(label, style="dim") for label, _ in columns))
    table.add_row(*(Text(value, style="bold") for _, value in columns))
    grid = Table.grid()
    grid.add_row(table)
    for problem in board.problems():
        grid.add_row(Text(problem.text, style="yellow"))
    return grid
