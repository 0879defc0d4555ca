# SPDX-License-Identifier: Apache-2.0
"""The status line of a running graph, from its /diagnostics."""

from __future__ import annotations

import math
from collections.abc import Sequence

from diagnostic_msgs.msg import DiagnosticArray
from rich.table import Table
from rich.text import Text

from humanoid_mujoco_ros.ros.diagnostics_board import DiagnosticsBoard
from humanoid_mujoco_ros.ros.guard import GuardedNode


class StatusListener(GuardedNode):
    """Keeps the latest diagnostics of the nodes of a namespace, and of robots within it.

    Attributes:
        board: The nodes in the namespace itself.
        robots: For each robot by name the nodes in its own namespace.
    """

    def __init__(self, namespace: str, robots: Sequence[str] = ()) -> None:
        """Subscribes to /diagnostics."""
        super().__init__("bringup", namespace=namespace, start_parameter_services=False)
        self.board = DiagnosticsBoard(namespace)
        self.robots = {name: DiagnosticsBoard(f"{namespace}/{name}") for name in robots}
        self.create_subscription(DiagnosticArray, "/diagnostics", self.on_diagnostics, 10)

    def on_diagnostics(self, array: DiagnosticArray) -> None:
        """Keeps each status where it belongs."""
        for board in (self.board, *self.robots.values()):
            board.on_diagnostics(array)

    @property
    def is_there(self) -> bool:
        """Whether a simulation has told of itself."""
        boards = self.robots.values() or [self.board]
        return any(board.text("simulation_node", "sim_time_s") for board in boards)

    def problems(self) -> list[str]:
        """What a person should know, a line each."""
        found = [problem.text for problem in self.board.problems()]
        for name, board in self.robots.items():
            found += [f"{name}: {problem.text}" for problem in board.problems()]
        return found

    def line(self) -> str:
        """The status as plain text, for logs."""
        problems = self.problems()
        return f"{self.summary()}  [{'; '.join(problems)}]" if problems else self.summary()

    def summary(self) -> str:
        """The figures alone, for the end of a run: then the silence of its nodes is no problem."""
        rows = [f"{name}: {_text(board)}" for name, board in self.robots.items()]
        return "\n".join(rows or [_text(self.board)])

    def panel(self) -> Table:
        """The status for a terminal."""
        table = Table.grid(padding=(0, 2))
        boards = self.robots or {"": self.board}
        names = [] if not self.robots else [Text("robot", style="dim")]
        labels = [Text(label, style="dim") for label, _ in figures(self.board)]
        table.add_row(*names, *labels)
        for name, board in boards.items():
            first = [Text(name, style="bold")] if name else []
            table.add_row(*first, *(Text(value, style="bold") for _, value in figures(board)))
        grid = Table.grid()
        grid.add_row(table)
        for problem in self.problems():
            grid.add_row(Text(problem, style="yellow"))
        return grid


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


def _text(board: DiagnosticsBoard) -> str:
    return "  ".join(f"{label} {value}" for label, value in figures(board))
