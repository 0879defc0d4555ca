# SPDX-License-Identifier: Apache-2.0
"""Runs the real graph, as `humanoid sim` does, and watches what it says of itself."""

from __future__ import annotations

import contextlib
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rclpy.executors import SingleThreadedExecutor
from std_msgs.msg import Float64MultiArray

from humanoid_mujoco_ros.bringup import sim
from humanoid_mujoco_ros.bringup.run_directory import run_directory
from humanoid_mujoco_ros.bringup.status import StatusListener
from humanoid_mujoco_ros.bringup.supervisor import NodeProcess, Supervisor
from humanoid_mujoco_ros.ros.latency_histogram import KEY, LatencyHistogram
from humanoid_mujoco_ros.ros.topics import COMMANDS
from humanoid_mujoco_ros.simulation.robot_spec import parse_robots

_START_TIMEOUT_S = 60.0
SETTLE_S = 3.0
"""After the first command: discovery and the first episode's ramp are no part of a figure."""
_POLL_S = 0.1
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_NODES = ("simulation_node", "policy_node")


@dataclass
class GraphFigures:
    """What a graph did while it was watched."""

    latencies: LatencyHistogram = field(default_factory=LatencyHistogram)
    """From each state to its command."""
    factors: list[float] = field(default_factory=list)
    """Simulated over wall time, of each second."""
    rate_hz: float = math.nan
    """Control ticks per second of wall time."""
    late_ticks: int = 0
    waits: int = 0
    """Ticks that waited for a late command."""
    falls: int = 0
    """Since the first command, so before the watching began too: each ends an episode."""
    memory_mb: float = math.nan
    """Resident, of simulation_node and policy_node; what both share counts twice."""
    proportional_mb: float = math.nan
    """The same, with what processes share divided among them."""
    cpu: float = math.nan
    """Of simulation_node and policy_node, in cores."""
    reason: str = ""
    """The last warning or error of the simulation; empty when there was none."""

    @property
    def factor(self) -> float:
        """Simulated over wall time."""
        return sum(self.factors) / len(self.factors) if self.factors else math.nan


class RunningGraph:
    """The nodes of `humanoid sim`."""

    def __init__(
        self, supervisor: Supervisor, listener: StatusListener, executor: SingleThreadedExecutor
    ) -> None:
        """Takes what runs and watches it; of several robots, the first."""
        self._supervisor, self._executor = supervisor, executor
        self._board = next(iter(listener.robots.values()), listener.board)

    def spin(self, duration_s: float) -> None:
        """Lets the graph run for a while.

        Raises:
            RuntimeError: A node ended.
        """
        end_s = time.monotonic() + duration_s
        while time.monotonic() < end_s:
            self._step()

    def watch(self, duration_s: float) -> GraphFigures:
        """Watches for a while, or until the simulation ends.

        Raises:
            RuntimeError: Another node ended.
        """
        figures = GraphFigures()
        ids = self._supervisor.process_ids()
        pids = [pid for name, pid in ids.items() if name.rpartition("/")[2] in _NODES]
        while not self._values():  # a busy machine may keep the diagnostics waiting
            self._step()
        first = last = self._values()
        start_s = last_s = time.monotonic()
        cpu_s = sum(map(_cpu_time_s, pids))
        while time.monotonic() - start_s < duration_s and self._step():
            values = self._values()
            if not values or values["ticks"] == last["ticks"]:
                continue
            last, last_s = values, time.monotonic()
            figures.latencies += LatencyHistogram.parse(values[KEY])
            figures.factors.append(float(values["real_time_factor"]))
            figures.reason = self._problem() or figures.reason
        figures.falls = falls_in(last)
        figures.rate_hz = (int(last["ticks"]) - int(first["ticks"])) / (last_s - start_s)
        figures.late_ticks = int(last["overruns"]) - int(first["overruns"])
        figures.waits = int(last["command_waits"]) - int(first["command_waits"])
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # the run is over
            figures.memory_mb = sum(_memory_mb(pid, "Rss") for pid in pids)
            figures.proportional_mb = sum(_memory_mb(pid, "Pss") for pid in pids)
            figures.cpu = (sum(map(_cpu_time_s, pids)) - cpu_s) / (time.monotonic() - start_s)
        return figures

    def await_command(self) -> None:
        """Waits for the first command.

        Raises:
            RuntimeError: It does not come.
        """
        deadline_s = time.monotonic() + _START_TIMEOUT_S
        while self._values().get("watchdog") != "ok":
            if not self._step():
                raise RuntimeError("the run was over before it could be watched: let it be longer")
            if time.monotonic() > deadline_s:
                raise RuntimeError("the policy does not command the robot")

    def _values(self) -> dict[str, str]:
        return dict(self._board.values("simulation_node"))

    def _problem(self) -> str | None:
        start = "simulation_node: "
        texts = [problem.text for problem in self._board.problems()]
        return next((text.removeprefix(start) for text in texts if text.startswith(start)), None)

    def _step(self) -> bool:
        """Goes on a little; False when the simulation has ended."""
        self._executor.spin_once(timeout_sec=_POLL_S)
        self._supervisor.poll()
        ended = self._supervisor.ended
        if any(ended.values()):
            raise RuntimeError(f"{', '.join(ended)} ended")
        return "simulation_node" not in ended


@contextlib.contextmanager
def running(
    options: sim.SimOptions, slow_ms: float = 0.0, more: Sequence[NodeProcess] = ()
) -> Iterator[RunningGraph]:
    """The graph of `humanoid sim`, from its first command on.

    Args:
        options: Those of `humanoid sim`.
        slow_ms: How much longer the policy computes for each command [ms].
        more: Processes to run beside it.

    Raises:
        RuntimeError: It does not start.
        ValueError: The options are wrong.
    """
    lines: list[str] = []
    listener = StatusListener(
        options.namespace, [spec.name for spec in parse_robots(options.robots)]
    )
    executor = SingleThreadedExecutor()
    executor.add_node(listener)
    with run_directory() as directory:
        nodes = sim.processes(options, sim.check(options), directory)
        if slow_ms:
            nodes = [_slowed(node, slow_ms) for node in nodes]
        # A node that dies would spoil the figures; it must not be restarted.
        nodes = [replace(node, restart=False) for node in nodes]
        supervisor = Supervisor([*nodes, *more], lines.append)
        graph = RunningGraph(supervisor, listener, executor)
        supervisor.start()
        try:
            graph.await_command()
            yield graph
        except RuntimeError as error:
            raise RuntimeError("\n".join([str(error), *lines[-20:]])) from error
        finally:
            supervisor.stop()
            executor.shutdown()
            listener.destroy_node()


def watch(options: sim.SimOptions, duration_s: float) -> GraphFigures:
    """What a graph does in a time after its start; see `running`."""
    with running(options) as graph:
        graph.spin(SETTLE_S)
        return graph.watch(duration_s)


def start_time_s(policy: str) -> float:
    """Time from the command line `humanoid sim` to the first command [s].

    Raises:
        RuntimeError: None comes.
    """
    listener = StatusListener("")
    heard: list[bytes] = []
    listener.create_subscription(Float64MultiArray, COMMANDS["effort"], heard.append, 1, raw=True)
    executor = SingleThreadedExecutor()
    executor.add_node(listener)
    command = [sys.executable, "-m", "humanoid_mujoco_ros.cli", "sim", "--no-viewer"]
    start_s = time.monotonic()
    process = subprocess.Popen(
        [*command, "--policy", policy], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while not heard:
            executor.spin_once(timeout_sec=_POLL_S)
            if process.poll() is not None or time.monotonic() - start_s > _START_TIMEOUT_S:
                raise RuntimeError("humanoid sim did not start")
        return time.monotonic() - start_s
    finally:
        process.terminate()
        process.wait()
        executor.shutdown()
        listener.destroy_node()


def _slowed(node: NodeProcess, delay_ms: float) -> NodeProcess:
    if node.name != "policy_node":
        return node
    arguments = ("-m", "humanoid_mujoco_ros.bench.slow_policy", str(delay_ms), *node.arguments[2:])
    return replace(node, arguments=arguments)


def falls_in(values: Mapping[str, str]) -> int:
    """How often the robot fell in a run, from the simulation's status."""
    return int(values["episode"]) + (values["fallen"] == "True")


def _cpu_time_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def _memory_mb(pid: int, kind: str) -> float:
    """Memory of a process [MB]: Rss, or Pss, in which each page that is shared counts in part."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{kind}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError(f"process {pid} reports no memory")
