# SPDX-License-Identifier: Apache-2.0
"""What simulation_node says about its control loop, as a pure function."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.card import Actuation
from humanoid_mujoco_ros.robot.state import RobotState
from humanoid_mujoco_ros.ros.health import ERROR, OK, WARN, Health
from humanoid_mujoco_ros.ros.latency_histogram import KEY, LatencyHistogram
from humanoid_mujoco_ros.simulation.physics_loop import LoopStatus

_SHORTEST_S = 0.5
"""The last report of a run may follow sooner on the one before: it repeats its rates."""
_NOTABLE_WAIT = 0.02
"""Share of wall time lost to late commands that is worth a word."""
_SILENCE: dict[Actuation, str] = {
    "effort": "the joints are without effort",
    "position": "the drives have no targets",
}
"""What it means that no command comes."""


@dataclass(frozen=True)
class LoopReport:
    """The loop at the time of a report."""

    status: LoopStatus
    state: RobotState
    """The last published state."""
    dropped: int
    """States that were never published, in all."""
    time_s: float
    """On the steady clock."""
    actuation: Actuation = "effort"
    """Kind of the robot's commands."""


@dataclass(frozen=True)
class Rates:
    """What happened per second between two reports."""

    control_rate_hz: float = math.nan
    real_time_factor: float = math.nan
    """Simulated seconds per wall second."""
    waited: float = 0.0
    """Share of wall time that was lost waiting for late commands, 0 to 1."""

    @staticmethod
    def between(before: LoopReport, now: LoopReport) -> Rates:
        """The rates between two reports."""
        elapsed_s = now.time_s - before.time_s
        return Rates(
            (now.status.ticks - before.status.ticks) / elapsed_s,
            (now.state.time_ns - before.state.time_ns) * 1e-9 / elapsed_s,
            (now.status.command_waited_s - before.status.command_waited_s) / elapsed_s,
        )


def loop_health(
    mode: str,
    target_factor: float,
    now: LoopReport,
    before: LoopReport,
    rates: Rates,
    conflicts: Sequence[str | None],
) -> Health:
    """Findings and figures of the control loop.

    Args:
        mode: "realtime" or "lockstep".
        target_factor: Simulated seconds per wall second that the loop aims at; NaN in lockstep.
        now: The loop now.
        before: The loop at the last report: what has grown since is told.
        rates: Of the last second.
        conflicts: Each conflict with other nodes in one sentence; None where there is none.
    """
    status, state = now.status, now.state
    health = Health()
    for conflict in conflicts:
        if conflict is not None:
            health.report(ERROR, conflict)
    if status.error is not None:
        health.report(ERROR, status.error)
    elif status.watchdog == "timeout" and not status.paused:
        health.report(ERROR, f"no {now.actuation} command: {_SILENCE[now.actuation]}")
    elif status.watchdog == "waiting":
        health.report(WARN, f"waiting for the first {now.actuation} command")
    if status.paused:
        health.report(OK, "paused")
    if state.fallen:
        health.report(WARN, "the robot has fallen")
    if rates.waited > _NOTABLE_WAIT:
        health.report(
            WARN,
            f"commands come late, so time runs at {rates.real_time_factor:.2f} of wall time: "
            "the policy or the machine is too slow",
        )
    late = status.overruns - before.status.overruns
    if late > 0:
        health.report(WARN, f"{late} control ticks came more than a period late")
    if status.divergences > before.status.divergences:
        health.report(ERROR, status.last_divergence or "the simulation diverged")
    lost = now.dropped - before.dropped
    if lost > 0:
        health.report(WARN, f"{lost} states are lost")
    health.values = _figures(mode, target_factor, now, rates)
    return health


def _figures(mode: str, target_factor: float, now: LoopReport, rates: Rates) -> dict[str, object]:
    status, state = now.status, now.state
    latencies_ms = np.array(status.latencies_s or (np.nan,)) * 1e3
    return {
        "mode": mode,
        "paused": status.paused,
        "watchdog": status.watchdog,
        "sim_time_s": state.time_ns * 1e-9,
        "real_time_factor": rates.real_time_factor,
        "real_time_factor_target": target_factor,
        "control_rate_hz": rates.control_rate_hz,
        "ticks": status.ticks,
        "overruns": status.overruns,
        "command_waits": status.command_waits,
        "command_waited_s": status.command_waited_s,
        "divergences": status.divergences,
        "unpublished_states": now.dropped,
        "command_latency_p50_ms": float(np.percentile(latencies_ms, 50)),
        "command_latency_p99_ms": float(np.percentile(latencies_ms, 99)),
        KEY: LatencyHistogram(status.latencies_s),
        "body_height_m": float(state.base_position[2]),
        "forward_speed_m_s": rotation.forward_speed(state.base_quaternion_wxyz, state.qvel[:2]),
        "fallen": state.fallen,
        "episode": state.episode,
        "step_count": state.episode_steps,
        "episode_return": state.episode_return,
    }


def summary(state: RobotState) -> str:
    """The end of a run in one line, for runs too short for anyone to have heard diagnostics."""
    return (
        f"done at {state.time_ns * 1e-9:.2f} s: {state.episode_steps} steps since the last reset, "
        f"body height {state.base_position[2]:.2f} m"
    )


class LoopReporter:
    """Makes one health after another, each against the one before."""

    def __init__(self, mode: str, start: LoopReport) -> None:
        """Starts with the loop as it begins.

        Args:
            mode: "realtime" or "lockstep".
            start: The loop before its first tick.
        """
        self._mode = mode
        self._before = self._rates_since = start
        self._rates = Rates()

    def health(
        self, now: LoopReport, target_factor: float, conflicts: Sequence[str | None]
    ) -> Health:
        """The health since the last call; see `loop_health`."""
        elapsed_s = now.time_s - self._rates_since.time_s
        if elapsed_s > _SHORTEST_S or (math.isnan(self._rates.control_rate_hz) and elapsed_s > 0):
            self._rates = Rates.between(self._rates_since, now)
            self._rates_since = now
        before, self._before = self._before, now
        return loop_health(self._mode, target_factor, now, before, self._rates, conflicts)
