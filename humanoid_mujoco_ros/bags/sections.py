# SPDX-License-Identifier: Apache-2.0
"""What a report says of a run: its tiles, tables and charts."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import numpy as np

from humanoid_mujoco_ros.bags import charts
from humanoid_mujoco_ros.bags.analysis import (
    JointFigures,
    RunFigures,
    Timing,
    smooth,
    speed_ahead,
)
from humanoid_mujoco_ros.bags.charts import BLUE, GREEN, ORANGE, RED, SOFT, Line, Marks, Subplot
from humanoid_mujoco_ros.bags.page import (
    BadText,
    Chart,
    Columns,
    Details,
    ReportPage,
    Section,
    Table,
    TableData,
    Tile,
)
from humanoid_mujoco_ros.bags.reader import Bag
from humanoid_mujoco_ros.bags.recorded_run import JointGroup, JointLimits, Run, as_number

_MAX_ROWS = 200
"""Of a table."""
_MAX_TEXT = 100_000
"""Characters of the parameters."""
_CHARTED_JOINTS = 40
_JOINT_POINTS = 30_000
"""Points of all charts of joints together; their page stays below 6 MB."""
_NUMBER = re.compile(r"\d+(\.\d+)?")
_SIDES = {"left": BLUE, "right": ORANGE}
_SMOOTH_S = 0.5


def build(bag: Bag, run: Run, figures: RunFigures) -> ReportPage:
    """The page of a run."""
    marks = Marks(
        [(push.time_s, push.time_s + push.duration_s) for push in figures.pushes],
        [float(t) for t in figures.falls_s],
    )
    sections = [
        _body(run, figures, marks),
        _pushes(figures),
        _joints(run, figures, marks),
        _timing(run, figures),
        _episodes(figures),
        _events(run),
        _recording(bag, run),
    ]
    return ReportPage(
        name=bag.path.name,
        subtitle=_subtitle(bag, run),
        remarks=_remarks(bag, run),
        tiles=_tiles(run, figures),
        sections=[section for section in sections if section is not None],
    )


def _subtitle(bag: Bag, run: Run) -> str:
    words = []
    if run.has_wall_time:
        words.append(time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(bag.start_ns * 1e-9)))
    words.append(f"{bag.message_count:,} messages of {len(bag.topics)} topics")
    words += filter(None, [run.parameter("mode")])
    policy = run.parameter("policy")
    if policy:
        words.append(f"policy {policy if '://' in policy else Path(policy).name}")
    return " · ".join(dict.fromkeys(words))


def _remarks(bag: Bag, run: Run) -> list[str]:
    remarks = [*bag.problems, *run.notes]
    remarks += [f"{topic} is not in the bag: no {missed}" for topic, missed in run.missing.items()]
    if not run.has_wall_time:
        remarks.append(
            "the bag is stamped with simulated time: control period and latency are not known"
        )
    return remarks


def _tiles(run: Run, figures: RunFigures) -> list[Tile]:
    falls = len(figures.falls_s)
    tiles = [Tile(_text_of(figures.duration_s, 1), "s", "robot time")]
    if len(run.base):
        tiles += [
            Tile(_text_of(figures.distance_m, 1), "m", "distance"),
            Tile(_text_of(figures.speed_m_s, 2), "m/s", "mean speed"),
            Tile(str(falls), "", "fall" if falls == 1 else "falls", "bad" if falls else "good"),
        ]
    if figures.episodes:
        longest = max(figures.episodes, key=lambda episode: episode.steps)
        tiles.append(Tile(_text_of(longest.reward, 0), "", "return of the longest episode"))
    if figures.pushes:
        taken = sum(not np.isfinite(push.fall_after_s) for push in figures.pushes)
        mood = "good" if taken == len(figures.pushes) else "bad"
        tiles.append(Tile(f"{taken}/{len(figures.pushes)}", "", "pushes taken", mood))
    timing = figures.timing
    if timing is not None and timing.periods_ms.size:
        if run.parameter("mode") == "lockstep":
            tiles.append(Tile(_text_of(timing.real_time_factor, 1), "×", "real time"))
        else:
            rate_hz = 1e3 / max(float(np.mean(timing.periods_ms)), 1e-9)
            tiles.append(Tile(_text_of(rate_hz, 1), "Hz", "control rate"))
    if timing is not None and timing.latencies_ms.size:
        latency = float(np.percentile(timing.latencies_ms, 99))
        tiles.append(Tile(_text_of(latency, 1), "ms", "latency, 99th percentile"))
    return tiles


def _body(run: Run, figures: RunFigures, marks: Marks) -> Section | None:
    """Everything of the whole robot over time."""
    blocks: list[Chart | Table | Columns] = []
    panels = _body_panels(run, figures)
    if panels:
        blocks.append(Chart(charts.over_time([panels], marks)))
    if len(run.base):
        way = Chart(_path(run, figures), "The way, from above", _path_keys(figures))
        blocks.append(Columns([way, Table(_body_table(run, figures))]))
    if figures.feet:
        rows = [
            (
                f"{side} foot",
                _text_of(foot.peak_n, 0),
                _text_of(100 * foot.standing, 0),
                _text_of(foot.steps_per_s, 2),
            )
            for side, foot in figures.feet.items()
        ]
        headings = ["", "peak [N]", "on the ground [% of the time]", "touchdowns per second"]
        blocks.append(Table(TableData(headings, rows, text={0})))
    note = (
        "Drag over a chart to zoom into all of its card; double-click to go back. Dashed: limits. "
        "Red lines: falls. Orange: pushes."
    )
    return Section("Body", blocks, note) if blocks else None


def _body_panels(run: Run, figures: RunFigures) -> list[Subplot]:
    panels = []
    if len(run.base):
        times_s = run.base.times_s
        height = Line("height", times_s, run.base.values[:, 2])
        panels.append(Subplot("Height of base_link", "m", [height], [figures.fall_height_m]))
        speed = speed_ahead(run.base)
        smoothed = smooth(times_s, speed, _SMOOTH_S)
        lines = [
            Line("as it is", times_s, speed, SOFT, 0.8),
            Line(f"mean of {_SMOOTH_S} s", times_s, smoothed, BLUE, 2.0),
        ]
        panels.append(Subplot("Forward speed", "m/s", lines, from_zero=True))
    if figures.pushes:
        force = _push_force(run, figures)
        panels.append(Subplot("Force of the pushes", "N", [force], from_zero=True, height_px=120))
    feet = [
        Line(f"{side} foot", track.times_s, np.linalg.norm(track.values[:, :3], axis=1), color)
        for side, color in _SIDES.items()
        if len(track := run.feet[side])
    ]
    if feet:
        panels.append(Subplot("Force of the ground on the feet", "N", feet, from_zero=True))
    return panels


def _body_table(run: Run, figures: RunFigures) -> TableData:
    fastest = smooth(run.base.times_s, speed_ahead(run.base), _SMOOTH_S).max()
    rows = [
        ("height, mean", _text_of(figures.height_mean_m, 3), "m"),
        ("height, lowest", _text_of(figures.height_min_m, 3), "m"),
        ("fallen below", _text_of(figures.fall_height_m, 3), "m"),
        ("distance", _text_of(figures.distance_m, 2), "m"),
        ("mean speed", _text_of(figures.speed_m_s, 3), "m/s"),
        (f"fastest ({_SMOOTH_S} s)", _text_of(float(fastest), 2), "m/s"),
        ("falls", str(len(figures.falls_s)), ""),
        ("got up by itself", str(figures.recoveries), ""),
        ("resets", str(len(figures.resets_s)), ""),
    ]
    return TableData(["", "", ""], rows, text={0, 2})


def _path(run: Run, figures: RunFigures) -> str:
    positions, times_s = run.base.values[:, :2], run.base.times_s
    parts = np.split(positions, np.searchsorted(times_s, figures.resets_s))
    rows = np.minimum(np.searchsorted(times_s, figures.falls_s), len(positions) - 1)
    return charts.path(parts, positions[rows])


def _path_keys(figures: RunFigures) -> list[tuple[str, str]]:
    return [("start", GREEN), ("end", BLUE)] + [("fall", RED)] * bool(figures.falls_s.size)


def _push_force(run: Run, figures: RunFigures) -> Line:
    """The force over time, zero between pushes."""
    force = np.linalg.norm(run.pushes.values[:, :3], axis=1)
    times_s, values = [0.0], [0.0]
    for push in figures.pushes:
        end_s = push.time_s + push.duration_s
        inside = (run.pushes.times_s >= push.time_s) & (run.pushes.times_s < end_s)
        held = force[inside][-1] if inside.any() else 0.0
        times_s += [push.time_s, *run.pushes.times_s[inside], end_s, end_s]
        values += [0.0, *force[inside], held, 0.0]
    times_s.append(max(run.duration_s, times_s[-1]))
    values.append(0.0)
    order = np.argsort(times_s, kind="stable")
    return Line("force", np.array(times_s)[order], np.array(values)[order], ORANGE, 2.0)


def _pushes(figures: RunFigures) -> Section | None:
    if not figures.pushes:
        return None
    rows = [
        (
            _text_of(push.time_s, 2),
            push.link,
            _text_of(push.peak_n, 0),
            _text_of(push.duration_s, 2),
            _text_of(push.impulse_ns, 1),
            _text_of(push.speed_change_m_s, 2),
            _text_of(push.lowest_height_m, 2),
            BadText(push.outcome) if np.isfinite(push.fall_after_s) else push.outcome,
        )
        for push in figures.pushes
    ]
    headings = ["time [s]", "link", "peak [N]", "for [s]", "impulse [N·s]"]
    headings += ["velocity change [m/s]", "lowest height [m]", "outcome"]
    note = _of_all(len(rows), "pushes")
    return Section("Pushes", [Table(TableData(headings, rows[:_MAX_ROWS], text={1, 7}))], note)


def _joints(run: Run, figures: RunFigures, marks: Marks) -> Section | None:
    if not figures.joints:
        return None
    rows = [_joint_row(joint) for joint in figures.joints]
    headings = ["joint", "position [rad]", "limits [rad]", "fastest [rad/s]"]
    headings += ["effort, RMS [N·m]", "peak [N·m]", "limit [N·m]", "at the limit [% of the time]"]
    drawn = [(group, i) for group in run.joint_groups for i in range(len(group.joints))]
    drawn = drawn[:_CHARTED_JOINTS]
    columns = [
        [_joint_panel(run, group, i, kind) for group, i in drawn] for kind in range(len(_KINDS))
    ]
    points = _JOINT_POINTS // (len(_KINDS) * len(drawn))
    grid = charts.over_time(columns, marks, points=min(points, 1000), gap_px=24)
    keys = ", ".join(f"{name} [{unit}]" for name, unit in _KINDS)
    table = Table(TableData(headings, rows, text={0}))
    blocks: list[Chart | Table] = [table, Chart(grid, f"From left: {keys}")]
    left = len(figures.joints) - len(drawn)
    return Section("Joints", blocks, f"Charts of {left} more joints are not drawn." if left else "")


_KINDS = (("position", "rad"), ("velocity", "rad/s"), ("effort", "N·m"))


def _joint_row(joint: JointFigures) -> tuple[str, ...]:
    return (
        joint.name,
        f"{_text_of(joint.lowest, 2)} … {_text_of(joint.highest, 2)}",
        f"{_text_of(joint.limits.lower, 2)} … {_text_of(joint.limits.upper, 2)}",
        _text_of(joint.fastest, 1),
        _text_of(joint.effort_rms, 1),
        _text_of(joint.effort_peak, 1),
        _text_of(joint.limits.effort, 0),
        _text_of(100 * joint.saturated, 1),
    )


def _joint_panel(run: Run, group: JointGroup, joint: int, kind: int) -> Subplot:
    name = group.joints[joint]
    limits = run.limits.get(name, JointLimits())
    values = group.track.values[:, kind, joint]
    bounds = (
        (limits.lower, limits.upper),
        (-limits.velocity, limits.velocity),
        (-limits.effort, limits.effort),
    )[kind]
    # A limit that is far away would only flatten the line.
    largest = np.abs(values[np.isfinite(values)]).max(initial=0.0)
    is_near = kind == 0 or largest > 0.3 * bounds[1]
    line = Line(name, group.track.times_s, values)
    title = name if kind == 0 else ""
    return Subplot(title, "", [line], bounds if is_near else (), height_px=84)


def _timing(run: Run, figures: RunFigures) -> Section | None:
    timing = figures.timing
    if timing is None:
        return None
    blocks: list[Chart | Table | Columns] = []
    measured = (
        ("Wall time between joint states", timing.periods_ms, BLUE),
        ("From observation to command", timing.latencies_ms, GREEN),
    )
    plots = [
        Chart(charts.histogram(values, "ms", color), title)
        for title, values, color in measured
        if values.size
    ]
    if plots:
        blocks.append(Columns(plots))
    blocks.append(Table(_timing_table(run, timing)))
    if reported := _reported(run):
        blocks.append(Chart(charts.over_time([reported], Marks())))
    note = (
        "Measured where the bag was recorded, so its own delays are in it. The robot's own figures "
        "come from /diagnostics."
    )
    return Section("Timing", blocks, note)


def _timing_table(run: Run, timing: Timing) -> TableData:
    rows = [
        ("control period by the robot's clock", _text_of(timing.period_s * 1e3, 3), "ms"),
        ("real-time factor", _text_of(timing.real_time_factor, 3), ""),
        ("control ticks without a message in the bag", str(timing.missing_ticks), ""),
    ]
    for label, values in (
        ("wall time between joint states", timing.periods_ms),
        ("from observation to command", timing.latencies_ms),
    ):
        if values.size:
            p50, p99, longest = np.percentile(values, [50, 99, 100])
            rows += [
                (f"{label}, median", _text_of(p50, 2), "ms"),
                (f"{label}, 99th percentile", _text_of(p99, 2), "ms"),
                (f"{label}, longest", _text_of(longest, 2), "ms"),
            ]
    if timing.periods_ms.size and run.parameter("mode") != "lockstep":
        rows.append(("joint states more than half a period late", str(timing.late_ticks), ""))
    for key, label in (
        ("overruns", "overruns, by the robot's own count"),
        ("unpublished_states", "states that the robot could not publish"),
        ("divergences", "divergences of the simulation"),
        ("rejected_messages", "messages that the robot refused"),
    ):
        last = [status.values[key] for status in run.statuses if key in status.values][-1:]
        rows += [(label, value, "") for value in last]
    return TableData(["", "", ""], rows, text={0, 2})


def _reported(run: Run) -> list[Subplot]:
    """The robot's own rates, about once a second."""
    panels = []
    for title, unit, lines in (
        ("Control rate, by the robot's own count", "Hz", (("control_rate_hz", "rate", BLUE),)),
        (
            "Latency, by the robot's own count",
            "ms",
            (
                ("command_latency_p50_ms", "median", BLUE),
                ("command_latency_p99_ms", "99th percentile", ORANGE),
            ),
        ),
    ):
        keys = [key for key, _, _ in lines]
        found = [s for s in run.statuses if all(key in s.values for key in keys)]
        if len(found) < 2:
            continue
        times_s = np.array([status.time_s for status in found])
        drawn = [
            Line(label, times_s, np.array([as_number(s.values[key]) for s in found]), color)
            for key, label, color in lines
        ]
        panels.append(Subplot(title, unit, drawn, from_zero=True, height_px=150))
    return panels


def _episodes(figures: RunFigures) -> Section | None:
    if len(figures.episodes) < 2:
        return None
    rows = [
        (
            str(episode.number),
            _text_of(episode.end_s, 1),
            str(episode.steps),
            _text_of(episode.reward, 0),
            BadText("fell") if episode.fallen else "",
        )
        for episode in figures.episodes
    ]
    headings = ["episode", "until [s]", "control ticks", "return", ""]
    note = f"By the simulation's own account, once a second. {_of_all(len(rows), 'episodes')}"
    return Section("Episodes", [Table(TableData(headings, rows[:_MAX_ROWS], text={4}))], note)


def _events(run: Run) -> Section | None:
    """What nodes complained about; complaints that differ in their numbers alone are one."""
    events: list[tuple[float, str, str]] = []
    last: dict[str, str] = {}
    for status in run.statuses:
        words = status.message if status.level else ""
        if words and words != last.get(status.name):
            level = {1: "warning", 2: "error"}.get(status.level, "stale")
            events.append((status.time_s, f"{status.name} ({level})", words))
        last[status.name] = words
    for log in run.logs:
        level = "warning" if log.level < 40 else "error"
        events.append((log.time_s, f"{log.node} ({level}, log)", log.text))
    if not events:
        return None
    kinds: dict[tuple[str, str], list[tuple[float, str]]] = {}
    for time_s, source, words in sorted(events):
        kinds.setdefault((source, _NUMBER.sub("#", words)), []).append((time_s, words))
    rows = [
        (
            _text_of(same[0][0], 2),
            _text_of(same[-1][0], 2) if len(same) > 1 else "",
            str(len(same)),
            source,
            same[0][1],
        )
        for (source, _), same in kinds.items()
    ]
    table = TableData(["first [s]", "last [s]", "times", "from", ""], rows[:_MAX_ROWS], text={3, 4})
    return Section("Warnings and errors", [Table(table)], _of_all(len(rows), "kinds"))


def _recording(bag: Bag, run: Run) -> Section:
    rows = [(topic.name, topic.type_name, f"{topic.count:,}") for topic in bag.topics.values()]
    table = TableData(["topic", "type", "messages"], rows[:_MAX_ROWS], text={0, 1})
    parts = [Details("Topics", table)]
    if run.parameters:
        text = json.dumps(run.parameters, indent=1, sort_keys=True)
        parts.append(Details("Parameters", text=text[:_MAX_TEXT]))
    if "versions" in bag.custom_data:
        parts.append(Details("Versions", text=bag.custom_data["versions"][:_MAX_TEXT]))
    return Section("Recording", parts, _of_all(len(rows), "topics"))


def _of_all(count: int, what: str) -> str:
    return f"The first {_MAX_ROWS} of {count} {what}." if count > _MAX_ROWS else ""


def _text_of(value: float, digits: int) -> str:
    return f"{value:,.{digits}f}" if np.isfinite(value) else "–"
