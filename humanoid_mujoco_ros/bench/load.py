# SPDX-License-Identifier: Apache-2.0
"""What a busy machine and a slow policy do to the loop."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from rich import box
from rich.table import Table

from humanoid_mujoco_ros.bench.graph import SETTLE_S, GraphFigures, running
from humanoid_mujoco_ros.bench.quiet_page import free_port, quiet_page
from humanoid_mujoco_ros.bringup.sim import SimOptions
from humanoid_mujoco_ros.bringup.supervisor import NodeProcess

SLOW_MS = (5.0, 12.0, 30.0)
"""How much longer the policy computes."""


def measure(
    policy: str, busy: Sequence[int], duration_s: float, say: Callable[[str], None]
) -> dict[str, GraphFigures | str]:
    """Name of each condition → what the loop did in it, or what ended it.

    Args:
        policy: Who controls the robot.
        busy: Numbers of busy processes beside the nodes.
        duration_s: Time of each condition [s].
        say: Takes the name of each condition as it begins.
    """
    results: dict[str, GraphFigures | str] = {}

    def run(name: str, count: int, *, views: bool, slow_ms: float = 0.0) -> None:
        say(name)
        try:
            results[name] = _measure(policy, count, duration_s, views=views, slow_ms=slow_ms)
        except RuntimeError as error:
            results[name] = str(error)

    for count in busy:
        run(f"{count} busy processes", count, views=False)
        run(f"{count}, with recorder, marker and page", count, views=True)
    for slow_ms in SLOW_MS:
        run(f"policy {slow_ms:g} ms slower", 0, views=False, slow_ms=slow_ms)
    return results


def _measure(
    policy: str, busy: int, duration_s: float, *, views: bool, slow_ms: float
) -> GraphFigures:
    with contextlib.ExitStack() as stack:
        options = SimOptions(policy=policy, viewer=False)
        if views:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            port = free_port()
            options = SimOptions(
                policy=policy,
                viewer=True,
                viewer_port=port,
                force_marker=True,
                record=folder / "run",
            )
        hogs = [NodeProcess(f"busy {i}", ("-c", "while True: pass")) for i in range(busy)]
        graph = stack.enter_context(running(options, slow_ms=slow_ms, more=hogs))
        if views:
            stack.enter_context(quiet_page(port))
        graph.spin(SETTLE_S)
        return graph.watch(duration_s)


def table(results: dict[str, GraphFigures | str]) -> Table:
    """The results for people; as Markdown, since the docs show them."""
    shown = Table(
        "", "falls", "real-time factor (worst second)", "latency p50 [ms]", "p99 [ms]",
        "late ticks", "waits for a command", box=box.MARKDOWN,
    )  # fmt: skip
    for name, found in results.items():
        if isinstance(found, str):
            shown.add_row(name, found.splitlines()[0])
            continue
        shown.add_row(
            name,
            str(found.falls),
            f"{found.factor:.2f} ({min(found.factors, default=float('nan')):.2f})",
            f"{found.latencies.percentile_ms(50):.2f}",
            f"{found.latencies.percentile_ms(99):.2f}",
            str(found.late_ticks),
            str(found.waits),
        )
    return shown


def to_json(results: dict[str, GraphFigures | str]) -> list[dict[str, object]]:
    """The results for programs."""
    return [
        {"condition": name, "error": found}
        if isinstance(found, str)
        else {
            "condition": name,
            "falls": found.falls,
            "real_time_factor": found.factor,
            "worst_second": min(found.factors, default=None),
            "latency_p50_ms": found.latencies.percentile_ms(50),
            "latency_p99_ms": found.latencies.percentile_ms(99),
            "late_ticks": found.late_ticks,
            "command_waits": found.waits,
            "reason": found.reason,
        }
        for name, found in results.items()
    ]
