# SPDX-License-Identifier: Apache-2.0
"""Measures what the browser view costs: the CPU of viewer_node, and whether the loop notices it.

    make measure

Prints the table of docs/browser.md. A page that does not draw shows what the node costs; one that
does, in software, at the lowest priority and in a small window, also shows what drawing takes.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from browser_stage import Stage, nodes, page, stage, wait_for_page

from humanoid_mujoco_ros.bench.quiet_page import free_port, quiet_page

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class MeasureOptions:
    """Measure the browser view."""

    duration: float = 20.0
    """Time of each measurement [s]."""
    policy: str = "balance"
    """Who controls the robot."""
    domain_id: int = 46
    """ROS domain to do it in."""


def cpu_s(pid: int) -> float:
    """CPU time of a process with all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def measure(the_stage: Stage, name: str, viewer_pid: int | None, duration_s: float) -> None:
    """Prints one row of the table."""
    the_stage.spin(3.0)
    the_stage.diagnostics.clear()
    start_s = time.monotonic()
    start_cpu_s = cpu_s(viewer_pid) if viewer_pid else 0.0
    the_stage.spin(duration_s)
    elapsed_s = time.monotonic() - start_s
    cpu = f"{100 * (cpu_s(viewer_pid) - start_cpu_s) / elapsed_s:.0f} %" if viewer_pid else "–"
    reports = [values for node, values in the_stage.diagnostics if node == "simulation_node"]
    frames = [
        float(values["frames"]) for node, values in the_stage.diagnostics if node == "viewer_node"
    ]
    rate_hz, p50_ms, p99_ms = (
        np.array([float(report[key]) for report in reports])
        for key in ("control_rate_hz", "command_latency_p50_ms", "command_latency_p99_ms")
    )
    overruns = int(reports[-1]["overruns"]) - int(reports[0]["overruns"])
    frame_rate = f"{np.median(frames):.0f}" if frames else "–"
    print(
        f"| {name} | {cpu} | {frame_rate} | {np.median(rate_hz):.1f} ({rate_hz.min():.1f}) | "
        f"{np.median(p50_ms):.2f} | {np.median(p99_ms):.2f} ({p99_ms.max():.2f}) | {overruns} |",
        flush=True,
    )


@contextlib.contextmanager
def robot(options: MeasureOptions) -> Iterator[None]:
    """A simulation and its policy."""
    with nodes(simulation_node={"on_fall": "reset"}, policy_node={"policy": options.policy}):
        yield


def main() -> None:
    """Measures without the view, with it, and with a browser attached; then without it again."""
    options = tyro.cli(MeasureOptions)
    print(
        "| | viewer_node, of one core | frames/s | control rate, median (worst second) [Hz] | "
        "latency p50 [ms] | latency p99, median (worst second) [ms] | late ticks |\n"
        "|---|---|---|---|---|---|---|"
    )
    with stage(options.domain_id) as the_stage, robot(options):
        the_stage.until(lambda: the_stage.sim_time_s > 1.0)
        measure(the_stage, "without viewer_node", None, options.duration)
        port = free_port()
        with nodes(viewer_node={"port": port}) as supervisor:
            wait_for_page(the_stage)
            pid = supervisor.process_ids()["viewer_node"]
            measure(the_stage, "with it, no page", pid, options.duration)
            with quiet_page(port):
                measure(the_stage, "one page that does not draw", pid, options.duration)
            url = f"http://127.0.0.1:{port}"
            with page(url, width=640, height=200, nice=19):
                measure(the_stage, "one page that draws on the same cores", pid, options.duration)
        measure(the_stage, "without it again", None, options.duration)


if __name__ == "__main__":
    main()
