# SPDX-License-Identifier: Apache-2.0
"""The figures of a run: distance, falls, pushes, joints against their limits, timing."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.bags.recorded_run import JointLimits, Run, Status, Track, as_number
from humanoid_mujoco_ros.interaction.push import SURVIVED_PUSH_S
from humanoid_mujoco_ros.policy.recovery import STANDING_SHARE, STOOD_S
from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.model import HEALTHY_HEIGHT_M, HUMANOID_HEIGHT_M

Array = NDArray[np.float64]

_FALLEN_SHARE = HEALTHY_HEIGHT_M[0] / HUMANOID_HEIGHT_M
"""A body lower than this share of its standing height has fallen."""
_START_S = 1.0
"""A robot stands for about this long when a recording begins, if it ever stands."""
_JUMP_M = 0.5
"""A body that moves so far between two messages was put there (a reset)."""
_PUSH_GAP_S = 0.3
"""Wrench messages further apart are two pushes; a push ends 0.2 s after its last message."""
_CONTACT_N = 20.0
"""A foot with more force than this stands."""
_SATURATED = 0.99


@dataclass(frozen=True)
class RecordedPush:
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
        if self.known_for_s < SURVIVED_PUSH_S:
            return f"still up {self.known_for_s:.1f} s later, at the next push or the end"
        return f"still up {SURVIVED_PUSH_S:.0f} s later"


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
    """Wall time from each observation to the command that answers it; empty as well."""
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
class RunFigures:
    """Everything that the report's tables say; NaN where the bag does not tell."""

    duration_s: float = np.nan
    distance_m: float = np.nan
    speed_m_s: float = np.nan
    height_mean_m: float = np.nan
    height_min_m: float = np.nan
    fall_height_m: float = np.nan
    """The height under which the body has fallen."""
    falls_s: Array = field(default_factory=lambda: np.empty(0))
    """When the robot fell."""
    recoveries: int = 0
    """After how many falls it got up by itself."""
    resets_s: Array = field(default_factory=lambda: np.empty(0))
    """When it was put somewhere else."""
    episodes: list[Episode] = field(default_factory=list)
    pushes: list[RecordedPush] = field(default_factory=list)
    joints: list[JointFigures] = field(default_factory=list)
    feet: dict[str, FootFigures] = field(default_factory=dict)
    timing: Timing | None = None


def analyse(run: Run, fall_height_m: float | None = None) -> RunFigures:
    """Computes the figures of a run.

    Args:
        run: The run.
        fall_height_m: A base lower than this has fallen. None: the simulation's own word counts
            where the bag has it, otherwise a share of the height at which this robot stands.
    """
    figures = RunFigures(duration_s=run.duration_s)
    with np.errstate(all="ignore"):  # a bag may hold any number
        if len(run.base):
            _falls(figures, run, fall_height_m)
            _body(figures, run)
            figures.recoveries = _recoveries(figures, run.base)
        figures.pushes = _pushes(run, figures)
        figures.joints = _joints(run)
        figures.feet = {side: _foot(track) for side, track in run.feet.items() if len(track)}
        figures.timing = _timing(run)
        figures.episodes = _episodes(run)
    return figures


def world_velocity(base: Track) -> Array:
    """(n, 3) [m/s] of the base in odom, from its twist."""
    return rotation.rotate(rotation.normalized(base.values[:, 3:7]), base.values[:, 7:10])


def speed_ahead(base: Track) -> Array:
    """(n,) [m/s] of the base along its heading."""
    orientation = rotation.normalized(base.values[:, 3:7])
    return np.asarray(rotation.forward_speed(orientation, world_velocity(base)))


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


def standing_height_m(base: Track) -> float:
    """The height of the base of a robot that stands: at the start, or for a while later."""
    height = base.values[:, 2]
    start = base.times_s <= base.times_s[0] + _START_S
    return float(max(np.median(height[start]), np.percentile(height, 95.0)))


def _falls(figures: RunFigures, run: Run, fall_height_m: float | None) -> None:
    """When the robot fell, by its height and by what the simulation said."""
    height, times_s = run.base.values[:, 2], run.base.times_s
    own_height_m = max(0.0, _FALLEN_SHARE * standing_height_m(run.base))
    figures.fall_height_m = own_height_m if fall_height_m is None else fall_height_m
    is_low = height < figures.fall_height_m
    begins = is_low & ~np.concatenate(([False], is_low[:-1]))
    falls_s = times_s[begins]
    if fall_height_m is None:
        falls_s = _as_the_simulation_says(run, falls_s)
    figures.falls_s = np.sort(falls_s)


def _recoveries(figures: RunFigures, base: Track) -> int:
    """After how many falls the body was up for a while before the next fall or reset."""
    is_up = base.values[:, 2] >= STANDING_SHARE * standing_height_m(base)
    ends_s = np.sort(np.concatenate((figures.falls_s, figures.resets_s, [np.inf])))
    count = 0
    for fall_s in figures.falls_s:
        end_s = ends_s[np.searchsorted(ends_s, fall_s, side="right")]
        until = (base.times_s > fall_s) & (base.times_s < end_s)
        times_s, up = base.times_s[until], is_up[until]
        since_s = np.maximum.accumulate(np.where(up, -np.inf, times_s))  # when it was down last
        begun = np.isfinite(since_s)
        count += bool((up & begun & (times_s - np.where(begun, since_s, 0.0) >= STOOD_S)).any())
    return count


def _as_the_simulation_says(run: Run, low_s: Array) -> Array:
    """Corrects falls by the simulation's own word, which comes about once a second.

    Args:
        run: The run.
        low_s: When the base came under its fall height.
    """
    said = [
        (status.time_s, as_number(status.values.get("episode", "nan")), _has_fallen(status))
        for status in run.statuses
        if "fallen" in status.values
    ]
    if not said:
        return low_s
    kept = [low_s[low_s > said[-1][0]]]
    before_s, episode_before, fallen_before = -np.inf, said[0][1], False
    for time_s, episode, fallen in said:
        low = low_s[(low_s > before_s) & (low_s <= time_s)]
        is_same = episode == episode_before or np.isnan(episode)
        if not is_same:
            kept.append(low)  # what was before the reset, only the height can tell
        elif fallen and not fallen_before:
            kept.append(low[:1] if low.size else np.array([time_s]))
        before_s, episode_before, fallen_before = time_s, episode, fallen
    return np.concatenate(kept)


def _has_fallen(status: Status) -> bool:
    return status.values.get("fallen") in ("True", "true")


def _body(figures: RunFigures, run: Run) -> None:
    times_s, positions = run.base.times_s, run.base.values[:, :3]
    height = positions[:, 2]
    moved = np.linalg.norm(np.diff(positions[:, :2], axis=0), axis=1)
    resets = np.flatnonzero((moved > _JUMP_M) | (np.abs(np.diff(height)) > _JUMP_M)) + 1
    figures.resets_s = times_s[resets]
    figures.height_mean_m = float(height.mean())
    figures.height_min_m = float(height.min())
    # The clock was set between two messages; what the robot did meanwhile is not known.
    jumps = np.searchsorted(times_s, [jump.time_s for jump in run.clock_jumps])
    figures.distance_m = span_s = 0.0
    for part in np.split(np.arange(len(times_s)), np.union1d(resets, jumps)):
        if not part.size:
            continue
        # Sampled once a second, so that the sway of each step does not count as distance.
        _, first = np.unique(np.floor(times_s[part] - times_s[part[0]]), return_index=True)
        at = part[np.append(first, len(part) - 1)]
        steps = np.diff(positions[at, :2], axis=0)
        figures.distance_m += float(np.linalg.norm(steps, axis=1).sum())
        span_s += float(times_s[part[-1]] - times_s[part[0]])
    figures.speed_m_s = figures.distance_m / span_s if span_s > 0 else np.nan


def _pushes(run: Run, figures: RunFigures) -> list[RecordedPush]:
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
    run: Run, figures: RunFigures, group: NDArray[np.intp], force: Array, known_until_s: float
) -> RecordedPush:
    times_s = run.pushes.times_s[group]
    start_s, end_s = float(times_s[0]), float(times_s[-1])
    # A last message acts until something ends it; its neighbours say for about how long.
    hold_s = float(np.median(np.diff(times_s))) if len(group) > 1 else 0.2
    spans_s = np.append(np.diff(times_s), hold_s)
    stop_s = min(end_s + SURVIVED_PUSH_S, max(known_until_s, end_s))
    lowest = change = fall_s = np.nan
    known_s = known_until_s - end_s
    if len(run.base):
        after = (run.base.times_s >= start_s) & (run.base.times_s <= stop_s)
        soon = after & (run.base.times_s <= end_s + 1.0)
        if after.any():
            lowest = float(run.base.values[after, 2].min())
        if soon.any():
            velocity = world_velocity(run.base)[soon, :2]
            change = float(np.linalg.norm(velocity - velocity[0], axis=1).max())
        later = figures.falls_s[(figures.falls_s >= start_s) & (figures.falls_s <= stop_s)]
        if later.size:
            fall_s = float(later[0] - start_s)
    return RecordedPush(
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
    return [
        _joint(name, group.track.values[:, :, i], run.limits.get(name, JointLimits()))
        for group in run.joint_groups
        for i, name in enumerate(group.joints)
    ]


def _joint(name: str, values: Array, limits: JointLimits) -> JointFigures:
    """The figures of a joint, from its (n, 3) positions, velocities and efforts."""
    position, velocity, effort = values.T
    saturated = np.nan
    if np.isfinite(limits.effort) and limits.effort > 0 and np.isfinite(effort).any():
        saturated = float(np.mean(np.abs(effort) >= _SATURATED * limits.effort))
    return JointFigures(
        name=name,
        limits=limits,
        lowest=_nan_of(np.nanmin, position),
        highest=_nan_of(np.nanmax, position),
        fastest=_nan_of(np.nanmax, np.abs(velocity)),
        effort_rms=float(np.sqrt(_nan_of(np.nanmean, np.square(effort)))),
        effort_peak=_nan_of(np.nanmax, np.abs(effort)),
        saturated=saturated,
    )


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
        number = as_number(status.values.get("episode", "nan"))
        if not np.isfinite(number) or "episode_return" not in status.values:
            continue
        steps = as_number(status.values.get("step_count", "0"))
        before = episodes.get(int(number))
        episodes[int(number)] = Episode(
            number=int(number),
            end_s=status.time_s,
            steps=int(steps) if np.isfinite(steps) else 0,
            reward=as_number(status.values["episode_return"]),
            fallen=_has_fallen(status) or bool(before and before.fallen),
        )
    return list(episodes.values())
