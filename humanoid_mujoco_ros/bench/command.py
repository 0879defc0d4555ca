# SPDX-License-Identifier: Apache-2.0
"""`humanoid bench`: the speed of the loop, against references measured in the same run."""

from __future__ import annotations

import contextlib
import json
import os
import random
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated

import rclpy
import tyro
from rich.console import Console
from rich.status import Status

from humanoid_mujoco_ros.bench import core, graph, load, ping_pong
from humanoid_mujoco_ros.bench.graph import GraphFigures
from humanoid_mujoco_ros.bench.hold import save_hold
from humanoid_mujoco_ros.bench.quiet_page import free_port, quiet_page
from humanoid_mujoco_ros.bench.report import Figure, picture, table, to_json
from humanoid_mujoco_ros.bringup.config import write_parameters
from humanoid_mujoco_ros.bringup.sim import SimOptions
from humanoid_mujoco_ros.robot.model import ModelConfig, RobotModel
from humanoid_mujoco_ros.ros.latency_histogram import LatencyHistogram
from humanoid_mujoco_ros.ros.network import stay_local

_FAST_RATE_HZ = 1000.0
_FOREVER_S = 1e6


@dataclass(frozen=True)
class BenchOptions:
    """Measure the speed of the loop on this machine; nothing else should be running."""

    policy: str = "walk"
    """Policy to run."""
    seconds: float = 10.0
    """How long each graph is watched in real time."""
    lockstep_seconds: float = 120.0
    """Simulated seconds of the lockstep run."""
    load: bool = False
    """Measure instead what busy processes, views and a slow policy do to the loop."""
    load_seconds: float = 60.0
    """How long the loop is watched in each of these conditions."""
    busy: tuple[int, ...] = (0, 4, 12, 40)
    """Numbers of busy processes."""
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print JSON."""


class _Bench:
    """Measures one part after the other; each needs those before it as its references."""

    def __init__(self, options: BenchOptions, status: Status) -> None:
        self._options = options
        self._status = status
        self.figures: list[Figure] = []
        self.histograms: dict[str, LatencyHistogram] = {}

    def run(self) -> None:
        """Measures everything.

        Raises:
            RuntimeError: A graph did not start, or a node ended.
            ValueError: The policy cannot be used.
        """
        raw = self._measure_core()
        reference = ping_pong.PingPong()
        seconds = self._options.seconds
        self._say("a bare ping-pong of the same messages")
        ping_pong.play(reference, seconds)
        self._say(f"the graph in real time, {seconds:g} s")
        alone = graph.watch(SimOptions(policy=self._options.policy, viewer=False), seconds)
        self._say("the graph in one process")
        single = graph.watch(
            SimOptions(policy=self._options.policy, viewer=False, single_process=True), seconds
        )
        self._say("the ping-pong again")
        ping_pong.play(reference, seconds)
        bare_hz = median(reference.rates_hz)
        self.figures.append(Figure("bare ping-pong", bare_hz, "round trips/s"))
        self._add_real_time(reference, alone)
        self._add_single_process(reference, single)
        self._say("the graph with recorder and page")
        self._add_views(alone, self._watch_with_views())
        self._say(f"the graph in lockstep, {self._options.lockstep_seconds:g} simulated s")
        self._add_lockstep(raw, bare_hz)
        self._say("the graph at 1 kHz")
        self._add_fast_loop()
        self._say("four robots in one world")
        self._add_four_robots()
        self._say("a start")
        start_s = graph.start_time_s(self._options.policy)
        self.figures.append(Figure("humanoid sim → first command", start_s, "s"))

    def _say(self, text: str) -> None:
        self._status.update(text)

    def _measure_core(self) -> float:
        """Adds the figures of the core; returns the rate of raw mj_step."""
        self._say("physics and policy without ROS")
        found = core.measure(self._options.policy, rounds=7)
        self.figures += [
            Figure("observation", found.observation_us, "µs"),
            Figure("policy inference", found.inference_us, "µs"),
            Figure("raw mj_step, RK4, 4 × 2.5 ms", found.raw, "steps/s"),
        ]
        raw = ("raw mj_step", found.raw)
        if found.gymnasium is not None:
            name = "Gymnasium's env.step"
            self.figures.append(Figure.against(name, found.gymnasium, "steps/s", raw, ""))
        self.figures.append(
            Figure("core with policy, one thread", found.core, "steps/s", raw[0],
                   found.core_to_raw, "≥ 0.9")
        )  # fmt: skip
        return found.raw

    def _add_real_time(self, reference: ping_pong.PingPong, alone: GraphFigures) -> None:
        self.histograms = {"ping-pong": reference.latencies, "loop": alone.latencies}
        for percent, wanted in ((50, ""), (99, "≤ 1.3")):
            bare_ms = reference.latencies.percentile_ms(percent)
            name = f"ping-pong p{percent}"
            self.figures += [
                Figure(f"{name}, at 100 Hz", bare_ms, "ms"),
                Figure.against(
                    f"observation → command, p{percent}",
                    alone.latencies.percentile_ms(percent),
                    "ms",
                    (name, bare_ms),
                    wanted,
                ),
            ]
        self.figures += [
            Figure("real-time factor", alone.factor, ""),
            Figure("late ticks", alone.late_ticks, ""),
            Figure("simulation + policy, processor", 100 * alone.cpu, "% of a core"),
            Figure("simulation + policy, resident memory", alone.memory_mb, "MB"),
            Figure("the same, shared pages divided", alone.proportional_mb, "MB"),
        ]

    def _add_single_process(self, reference: ping_pong.PingPong, single: GraphFigures) -> None:
        self.histograms["loop in one process"] = single.latencies
        self.figures += [
            Figure.against(
                "in one process: observation → command, p99",
                single.latencies.percentile_ms(99),
                "ms",
                ("ping-pong p99", reference.latencies.percentile_ms(99)),
                "",
            ),
            Figure("in one process: resident memory", single.memory_mb, "MB"),
        ]

    def _watch_with_views(self) -> GraphFigures:
        port = free_port()
        with tempfile.TemporaryDirectory() as folder:
            options = SimOptions(
                policy=self._options.policy, viewer_port=port, record=Path(folder) / "run"
            )
            with graph.running(options) as running, quiet_page(port):
                running.spin(graph.SETTLE_S)
                return running.watch(self._options.seconds)

    def _add_views(self, alone: GraphFigures, views: GraphFigures) -> None:
        self.histograms["loop with recorder and page"] = views.latencies
        self.figures.append(
            Figure.against(
                "the same p99 with recorder and page",
                views.latencies.percentile_ms(99),
                "ms",
                ("without", alone.latencies.percentile_ms(99)),
                "≤ 1.5",
            )
        )

    def _add_lockstep(self, raw: float, bare_hz: float) -> None:
        options = SimOptions(
            policy=self._options.policy,
            viewer=False,
            mode="lockstep",
            duration=self._options.lockstep_seconds,
        )
        with graph.running(options) as running:
            rate = running.watch(_FOREVER_S).rate_hz
        self.figures += [
            Figure.against("lockstep over topics", rate, "steps/s", ("raw mj_step", raw), "≥ 0.4"),
            Figure.against("the same", rate, "steps/s", ("bare ping-pong", bare_hz), "≥ 0.75"),
        ]

    def _add_four_robots(self) -> None:
        options = SimOptions(policy=self._options.policy, viewer=False, robots="4")
        four = graph.watch(options, self._options.seconds)
        self.figures += [
            Figure("four robots in one world, real-time factor", four.factor, ""),
            Figure("the same, processor", 100 * four.cpu, "% of a core"),
        ]

    def _add_fast_loop(self) -> None:
        """One physics step of 1 ms for each command, Euler, and a policy that holds the pose."""

        def model() -> dict[str, object]:
            # Anew for each node: the same object twice would be an alias in the file.
            return {"timestep": 1 / _FAST_RATE_HZ, "steps_per_control": 1, "integrator": "Euler"}

        robot = RobotModel(ModelConfig(timestep_s=1 / _FAST_RATE_HZ, steps_per_control=1))
        with tempfile.TemporaryDirectory() as folder:
            policy = Path(folder) / "hold.safetensors"
            save_hold(policy, robot, _FAST_RATE_HZ)
            config = Path(folder) / "config.yaml"
            write_parameters(config, {"simulation_node": model(), "policy_node": model()})
            options = SimOptions(config=str(config), policy=str(policy), viewer=False)
            found = graph.watch(options, self._options.seconds)
        self.histograms["loop at 1 kHz"] = found.latencies
        wanted = ("1 kHz", _FAST_RATE_HZ)
        self.figures += [
            Figure.against(
                "1 kHz loop (Euler, PD hold)", found.rate_hz, "Hz", wanted, "0.99 … 1.01"
            ),
            Figure("its p50", found.latencies.percentile_ms(50), "ms"),
            Figure("its p99", found.latencies.percentile_ms(99), "ms"),
        ]


def run(options: BenchOptions) -> int:
    """Runs `humanoid bench`; the status is 2 when something could not be measured."""
    console = Console(stderr=options.json)
    stay_local(network=False)
    # A domain of its own, so that a graph that runs beside it is not measured.
    os.environ["ROS_DOMAIN_ID"] = str(random.randint(1, 101))
    rclpy.init(args=[])
    try:
        with console.status("") as status:
            _measure(options, status, console)
    except (ValueError, RuntimeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    finally:
        with contextlib.suppress(Exception):
            rclpy.try_shutdown()
    return 0


def _measure(options: BenchOptions, status: Status, console: Console) -> None:
    if options.load:
        results = load.measure(options.policy, options.busy, options.load_seconds, status.update)
        if options.json:
            print(json.dumps(load.to_json(results), indent=1))
        else:
            # As wide as it is: a row of Markdown is one line.
            Console(width=200).print(load.table(results))
        return
    bench = _Bench(options, status)
    bench.run()
    if options.json:
        print(json.dumps(to_json(bench.figures, bench.histograms), indent=1))
        return
    console.print(table(bench.figures))
    console.print(picture(bench.histograms))
