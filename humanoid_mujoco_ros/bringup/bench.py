# SPDX-License-Identifier: Apache-2.0
"""`humanoid bench`: the speed of the loop, part by part and as a whole."""

from __future__ import annotations

import os
import random
import sys
import time
import timeit
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rich.console import Console
from rich.table import Table

from humanoid_mujoco_ros.bringup import sim
from humanoid_mujoco_ros.bringup.run_directory import run_directory
from humanoid_mujoco_ros.bringup.status import StatusListener
from humanoid_mujoco_ros.bringup.supervisor import Supervisor
from humanoid_mujoco_ros.policy import checkpoint
from humanoid_mujoco_ros.policy import locate as policy_source
from humanoid_mujoco_ros.policy.inference import Policy
from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.ros.network import stay_local
from humanoid_mujoco_ros.simulation.simulation import Simulation

_START_TIMEOUT_S = 30.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class BenchOptions:
    """Measure the speed of the loop on this machine; nothing else should be running."""

    policy: str = "walk"
    """Policy to run."""
    seconds: float = 10.0
    """How long the nodes are watched in real time."""
    lockstep_seconds: float = 60.0
    """Simulated seconds of the lockstep run."""


@dataclass(frozen=True)
class Figure:
    """A measured figure and what it should reach."""

    name: str
    value: float
    unit: str
    bar: float
    more_is_better: bool = False

    @property
    def is_reached(self) -> bool:
        """Whether the figure is as good as it should be."""
        return self.value >= self.bar if self.more_is_better else self.value <= self.bar


def core_figures(policy_name: str) -> list[Figure]:
    """Times of one observation and one inference [µs], medians of many."""
    robot = RobotModel()
    simulation = Simulation(robot)
    policy = Policy(checkpoint.load(policy_source.resolve(policy_name), robot), robot)
    observation = simulation.state().observation
    return [
        Figure("observation", _median_us(simulation.observe), "µs", 20.0),
        Figure("policy inference", _median_us(lambda: policy.efforts(observation)), "µs", 20.0),
    ]


def _median_us(function: Callable[[], object], repeats: int = 101, number: int = 100) -> float:
    times = sorted(timeit.repeat(function, number=number, repeat=repeats))
    return times[repeats // 2] / number * 1e6


def graph_figures(options: BenchOptions) -> list[Figure]:
    """Real time: latency, CPU and memory of the two nodes."""
    figures: list[Figure] = []

    def watch(supervisor: Supervisor, listener: StatusListener, spin: Callable[[], None]) -> None:
        pids = supervisor.process_ids()
        p50_ms, p99_ms = [], []
        cpu_before_s, start_s = _cpu_time_s(pids["simulation_node"]), time.monotonic()
        seen = ""
        while time.monotonic() - start_s < options.seconds:
            spin()
            values = listener.board.values("simulation_node")
            if values and values["sim_time_s"] != seen:
                seen = values["sim_time_s"]
                p50_ms.append(float(values["command_latency_p50_ms"]))
                p99_ms.append(float(values["command_latency_p99_ms"]))
        cpu = (_cpu_time_s(pids["simulation_node"]) - cpu_before_s) / (time.monotonic() - start_s)
        memory_mb = sum(map(_resident_mb, pids.values()))
        figures.extend(
            [
                Figure("observation → command, p50", _median(p50_ms), "ms", 1.0),
                Figure("observation → command, p99", _median(p99_ms), "ms", 3.0),
                Figure("simulation node, CPU", 100 * cpu, "% of a core", 35.0),
                Figure("simulation + policy, memory", memory_mb, "MB", 250.0),
            ]
        )

    _run(sim.SimOptions(policy=options.policy, viewer=False), watch)
    return figures


def lockstep_figure(options: BenchOptions) -> Figure:
    """Lockstep: control steps per second over real topics."""
    rates: list[float] = []

    def watch(supervisor: Supervisor, listener: StatusListener, spin: Callable[[], None]) -> None:
        start_s, start_ticks = (
            time.monotonic(),
            int(listener.board.values("simulation_node")["ticks"]),
        )
        end_s, end_ticks = start_s, start_ticks
        while "simulation_node" not in supervisor.ended:
            spin()
            supervisor.poll()
            ticks = int(listener.board.values("simulation_node").get("ticks", end_ticks))
            if ticks > end_ticks:
                end_s, end_ticks = time.monotonic(), ticks
        rates.append((end_ticks - start_ticks) / (end_s - start_s))

    _run(
        sim.SimOptions(
            policy=options.policy,
            viewer=False,
            mode="lockstep",
            duration=options.lockstep_seconds,
        ),
        watch,
    )
    return Figure("lockstep", rates[0], "steps/s", 1000.0, more_is_better=True)


def _run(
    options: sim.SimOptions,
    watch: Callable[[Supervisor, StatusListener, Callable[[], None]], None],
) -> None:
    """Starts the graph, waits until the policy commands it, and calls `watch`."""
    lines: list[str] = []
    listener = StatusListener("")
    executor = SingleThreadedExecutor()
    executor.add_node(listener)
    with run_directory() as directory:
        nodes = sim.processes(options, sim.check(options), directory)
        # A node that dies would spoil the figures; it must not be restarted.
        supervisor = Supervisor([replace(node, restart=False) for node in nodes], lines.append)
        supervisor.start()
        try:
            deadline_s = time.monotonic() + _START_TIMEOUT_S
            while listener.board.values("simulation_node").get("watchdog") != "ok":
                executor.spin_once(timeout_sec=0.1)
                supervisor.poll()
                if supervisor.ended or time.monotonic() > deadline_s:
                    raise RuntimeError("the graph did not start:\n" + "\n".join(lines))
            watch(supervisor, listener, lambda: executor.spin_once(timeout_sec=0.1))
        finally:
            supervisor.stop()
            executor.shutdown()
            listener.destroy_node()


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def _cpu_time_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def _resident_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError(f"process {pid} reports no resident memory")


def run(options: BenchOptions) -> int:
    """Runs `humanoid bench`; the status is 1 when a figure falls short."""
    console = Console()
    stay_local(network=False)
    # A domain of its own, so that a graph that runs beside it is not measured.
    os.environ["ROS_DOMAIN_ID"] = str(random.randint(1, 101))
    rclpy.init(args=[])
    try:
        with console.status("observation and policy"):
            figures = core_figures(options.policy)
        with console.status(f"the graph in real time, {options.seconds:g} s"):
            figures += graph_figures(options)
        with console.status(f"the graph in lockstep, {options.lockstep_seconds:g} simulated s"):
            figures.append(lockstep_figure(options))
    except (ValueError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    finally:
        rclpy.try_shutdown()
    table = Table("figure", "measured", "wanted", "")
    for figure in figures:
        sign = "≥" if figure.more_is_better else "≤"
        table.add_row(
            figure.name,
            f"{figure.value:.4g} {figure.unit}",
            f"{sign} {figure.bar:g} {figure.unit}",
            "ok" if figure.is_reached else "short",
        )
    console.print(table)
    return 0 if all(figure.is_reached for figure in figures) else 1
