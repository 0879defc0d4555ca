# SPDX-License-Identifier: Apache-2.0
"""The figures of a run: distance, falls, pushes, joints against their limits, timing."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.bags.recorded_run import JointLimits, Run, Track

Array = NDArray[np.float64]

FALL_HEIGHT_M = 1.0
"""Humanoid-v4's lower healthy height of the torso."""
_JUMP_M = 0.5
"""A body that moves so far between two messages was put there (a reset)."""
_PUSH_GAP_S = 0.3
"""Wrench messages further apart are two pushes; a push ends 0.2 s after its last message."""
_PUSH_OUTCOME_S = 6.0
"""A robot that is still up so long after a push has taken it."""
_CONTACT_N = 20.0
"""A foot with more force than this stands."""
_SATURATED = 0.99


@dataclass(frozen=True)
class Push:
    """A push and what it did."""

    time_s: float
    duration_s: float
    link: str
    peak_n: float
    impulse_ns: float
    """Impulse [N·s]."""
    lowest_height_m: float
    speed_change_m_s: float
    """Largest change of the horizontal velocity within a second."""
    fall_after_s: float
    """NaN if the robot did not fall within 6 s and before the next push."""
    known_for_s: float
    """How long after the push the next one comes or the recording ends."""

    @property
    def outcome(self) -> str:
        """In words."""
        if np.isfinite(self.fall_after_s):
            return f"fell {self.fall_after_s:.1f} s later"
        if self.known_for_s < _PUSH_OUTCOME_S:
            return f"still up {self.known_for_s:.1f} s later, at the next push or the end"
        return f"still up {_PUSH_OUTCOME_S:.0f} s later"


@dataclass(frozen=True)
class JointFigures:
    """A joint over a run."""

    name: str
    limits: JointLimits
    lowest: float
    highest: float
    fastest: float
    """Largest |velocity| [rad/s]."""
    effort_rms: float
    effort_peak: float
    """[N·m]."""
    saturated: float
    """Share of the time with the effort at its limit; NaN without a limit."""


@dataclass(frozen=True)
class FootFigures:
    """A foot over a run."""

    peak_n: float
    standing: float
    """Share of the time on the ground."""
    steps_per_s: float


@dataclass(frozen=True)
class Timing:
    """How well the control loop kept time, as seen by the recorder."""

    period_s: float
    """The control period by the robot's own stamps."""
    periods_ms: Array
    """Wall time between two joint states; empty if the bag has no wall time."""
    latencies_ms: Array
    """Wall time from each observation to the command that answers it; likewise."""
    missing_ticks: int
    """Control ticks without a joint state in the bag."""
    late_ticks: int
    """Joint states that came more than half a period late."""
    real_time_factor: float


@dataclass(frozen=True)
class Episode:
    """An episode, by the simulation's own account once a second."""

    number: int
    end_s: float
    steps: int
    reward: float
    """Return up to the last account."""
    fallen: bool


@dataclass
class Figures:
    """Everything that the report's tables say; NaN where the bag does not tell."""

    duration_s: float = np.nan
    distance_m: float = np.nan
    speed_m_s: float = np.nan
    height_mean_m: float = np.nan
    height_min_m: float = np.nan
    falls_s: Array = field(default_factory=lambda: np.empty(0))
    """When the robot fell."""
    resets_s: Array = field(default_factory=lambda: np.empty(0))
    """When it was put somewhere else."""
    episodes: list[Episode] = field(default_factory=list)
    pushes: list[Push] = field(default_factory=list)
    joints: list[JointFigures] = field(default_factory=list)
    feet: dict[str, FootFigures] = field(default_factory=dict)
    timing: Timing | None = None


def analyse(run: Run, fall_height_m: float = FALL_HEIGHT_M) -> Figures:
    """Computes the figures of a run.

    Args:
        run: The run.
        fall_height_m: A base lower than this has fallen.
    """
    figures = Figures(duration_s=run.duration_s)
    if len(run.base):
        _body(figures, run.base, fall_height_m)
    figures.pushes = _pushes(run, figures)
    figures.joints = _joints(run)
    figures.feet = {side: _foot(track) for side, track in run.feet.items() if len(track)}
    figures.timing = _timing(run)
    figures.episodes = _episodes(run)
    return figures


def horizontal_velocity(base: Track) -> Array:
    """(n, 2) [m/s] of the base in odom, from its twist."""
    x, y, z, w = base.values[:, 3:7].T
    vx, vy, vz = base.values[:, 7:10].T
    world_x = (1 - 2 * (y * y + z * z)) * vx + 2 * (x * y - w * z) * vy + 2 * (x * z + w * y) * vz
    world_y = 2 * (x * y + w * z) * vx + (1 - 2 * (x * x + z * z)) * vy + 2 * (y * z - w * x) * vz
    return np.stack([world_x, world_y], axis=1)


def forward_speed(base: Track) -> Array:
    """(n,) [m/s] of the base along its heading."""
    x, y, z, w = base.values[:, 3:7].T
    heading = np.stack([1 - 2 * (y * y + z * z), 2 * (x * y + w * z)], axis=1)
    heading /= np.maximum(np.linalg.norm(heading, axis=1, keepdims=True), 1e-9)
    return np.asarray(np.sum(heading * horizontal_velocity(base), axis=1))


def smooth(times_s: Array, values: Array, window_s: float) -> Array:
    """The mean of `values` over a window around each time."""
    if len(times_s) < 3 or times_s[-1] <= times_s[0]:
        return values
    width = round(window_s / np.median(np.diff(times_s)[np.diff(times_s) > 0]))
    if width < 2:
        return values
    width = min(width, len(values))
    kernel = np.ones(width)
    weight = np.convolve(np.ones(len(values)), kernel, mode="same")
    return np.asarray(np.convolve(values, kernel, mode="same") / weight)


def _body(figures: Figures, base: Track, fall_height_m: float) -> None:
    times_s, positions = base.times_s, base.values[:, :3]
    height = positions[:, 2]
    moved = np.linalg.norm(np.diff(positions[:, :2], axis=0), axis=1)
    jumps = np.flatnonzero((moved > _JUMP_M) | (np.abs(np.diff(height)) > _JUMP_M)) + 1
    fallen = height < fall_height_m
    figures.falls_s = times_s[np.flatnonzero(fallen[1:] & ~fallen[:-1]) + 1]
    if fallen[0]:
        figures.falls_s = np.concatenate((times_s[:1], figures.falls_s))
    figures.resets_s = times_s[jumps]
    figures.height_mean_m = float(height.mean())
    figures.height_min_m = float(height.min())
    # Sampled once a second, so that the sway of each step does not count as distance.
    figures.distance_m = 0.0
    for part in np.split(np.arange(len(times_s)), jumps):
        seconds = np.arange(times_s[part[0]], times_s[part[-1]], 1.0)
        at = part[0] + np.searchsorted(times_s[part], seconds)
        at = np.append(at, part[-1])
        steps = np.diff(positions[at, :2], axis=0)
        figures.distance_m += float(np.linalg.norm(steps, axis=1).sum())
    span_s = times_s[-1] - times_s[0]
    figures.speed_m_s = figures.distance_m / span_s if span_s > 0 else np.nan


def _pushes(run: Run, figures: Figures) -> list[Push]:
    force = np.linalg.norm(run.pushes.values[:, :3], axis=1)
    torque = np.linalg.norm(run.pushes.values[:, 3:], axis=1)
    acting = np.flatnonzero(force + torque > 0)
    if not acting.size:
        return []
    times_s = run.pushes.times_s
    new_push = np.diff(times_s[acting]) > _PUSH_GAP_S
    new_link = np.array(
        [run.push_links[a] != run.push_links[b] for a, b in itertools.pairwise(acting)],
        dtype=bool,
    )
    groups = np.split(acting, np.flatnonzero(new_push | new_link) + 1)
    ends_s = [*(float(times_s[group[0]]) for group in groups[1:]), run.duration_s]
    return [
        _push(run, figures, group, force, end_s)
        for group, end_s in zip(groups, ends_s, strict=True)
    ]


def _push(
    run: Run, figures: Figures, group: NDArray[np.intp], force: Array, known_until_s: float
) -> Push:
    times_s = run.pushes.times_s[group]
    start_s, end_s = float(times_s[0]), float(times_s[-1])
    # A last message acts until something ends it; its neighbours say for about how long.
    hold_s = float(np.median(np.diff(times_s))) if len(group) > 1 else 0.2
    spans_s = np.append(np.diff(times_s), hold_s)
    stop_s = min(end_s + _PUSH_OUTCOME_S, max(known_until_s, end_s))
    lowest = change = fall_s = np.nan
    known_s = known_until_s - end_s
    if len(run.base):
        after = (run.base.times_s >= start_s) & (run.base.times_s <= stop_s)
        soon = after & (run.base.times_s <= end_s + 1.0)
        if after.any():
            lowest = float(run.base.values[after, 2].min())
        if soon.any():
            velocity = horizontal_velocity(run.base)[soon]
            change = float(np.linalg.norm(velocity - velocity[0], axis=1).max())
        later = figures.falls_s[(figures.falls_s >= start_s) & (figures.falls_s <= stop_s)]
        if later.size:
            fall_s = float(later[0] - start_s)
    return Push(
        time_s=start_s,
        duration_s=end_s - start_s + hold_s,
        link=run.push_links[group[0]] or "?",
        peak_n=float(force[group].max()),
        impulse_ns=float((force[group] * spans_s).sum()),
        lowest_height_m=lowest,
        speed_change_m_s=change,
        fall_after_s=fall_s,
        known_for_s=max(0.0, known_s),
    )


def _joints(run: Run) -> list[JointFigures]:
    if not len(run.joint_states):
        return []
    figures = []
    for i, name in enumerate(run.joints):
        position, velocity, effort = run.joint_states.values[:, :, i].T
        limits = run.limits.get(name, JointLimits())
        has_effort = bool(np.isfinite(effort).any())
        saturated = np.nan
        if np.isfinite(limits.effort) and limits.effort > 0 and has_effort:
            saturated = float(np.mean(np.abs(effort) >= _SATURATED * limits.effort))
        figures.append(
            JointFigures(
                name=name,
                limits=limits,
                lowest=_nan_of(np.nanmin, position),
                highest=_nan_of(np.nanmax, position),
                fastest=_nan_of(np.nanmax, np.abs(velocity)),
                effort_rms=float(np.sqrt(_nan_of(np.nanmean, np.square(effort)))),
                effort_peak=_nan_of(np.nanmax, np.abs(effort)),
                saturated=saturated,
            )
        )
    return figures


def _nan_of(function: Callable[[Array], Any], values: Array) -> float:
    """What `function` makes of the values; NaN, without a warning, if there are none."""
    return float(function(values)) if np.isfinite(values).any() else np.nan


def _foot(track: Track) -> FootFigures:
    force = np.linalg.norm(track.values[:, :3], axis=1)
    standing = force > _CONTACT_N
    touchdowns = int(np.sum(standing[1:] & ~standing[:-1]))
    span_s = float(track.times_s[-1] - track.times_s[0])
    return FootFigures(
        peak_n=float(force.max()),
        standing=float(standing.mean()),
        steps_per_s=touchdowns / span_s if span_s > 0 else np.nan,
    )


def _timing(run: Run) -> Timing | None:
    track = run.joint_states if len(run.joint_states) > 2 else run.base
    if len(track) < 3:
        return None
    stamps = np.diff(track.times_s)
    moving = stamps[stamps > 0]
    period_s = float(np.median(moving)) if moving.size else np.nan
    skipped = np.round(moving / period_s).astype(int) - 1 if moving.size else np.zeros(0, int)
    received = np.diff(track.received_s)
    span_s = float(track.received_s[-1] - track.received_s[0])
    factor = float(track.times_s[-1] - track.times_s[0]) / span_s if span_s > 0 else np.nan
    wall_period_s = float(np.median(received))
    return Timing(
        period_s=period_s,
        periods_ms=received * 1e3 if run.has_wall_time else np.empty(0),
        latencies_ms=_latencies_ms(run) if run.has_wall_time else np.empty(0),
        missing_ticks=int(skipped[skipped > 0].sum()),
        late_ticks=int(np.sum(received > 1.5 * wall_period_s)) if run.has_wall_time else 0,
        real_time_factor=factor if run.has_wall_time else np.nan,
    )


def _latencies_ms(run: Run) -> Array:
    asked, answered = run.observations.received_s, run.commands.received_s
    if not len(asked) or not len(answered):
        return np.empty(0)
    first = np.searchsorted(answered, asked, side="right")
    known = first < len(answered)
    latency = np.full(len(asked), np.nan)
    latency[known] = answered[first[known]] - asked[known]
    # An observation that another followed before any command was not answered.
    next_asked = np.append(asked[1:], np.inf)
    answered_it = known & (asked + latency <= next_asked)
    return np.asarray(latency[answered_it] * 1e3)


def _episodes(run: Run) -> list[Episode]:
    episodes: dict[int, Episode] = {}
    for status in run.statuses:
        values = status.values
        if "episode" in values and "episode_return" in values:
            number = int(float(values["episode"]))
            before = episodes.get(number)
            episodes[number] = Episode(
                number=number,
                end_s=status.time_s,
                steps=int(float(values.get("step_count", "0"))),
                reward=float(values["episode_return"]),
                fallen=values.get("fallen") in ("True", "true") or bool(before and before.fallen),
            )
    return list(episodes.values())
