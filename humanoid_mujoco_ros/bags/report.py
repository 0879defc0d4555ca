# SPDX-License-Identifier: Apache-2.0
"""`humanoid report`: one page that shows a recorded run."""

from __future__ import annotations

import html
import json
import re
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from humanoid_mujoco_ros.bags.analysis import (
    FALL_HEIGHT_M,
    Figures,
    analyse,
    forward_speed,
    smooth,
)
from humanoid_mujoco_ros.bags.charts import Charts, Line
from humanoid_mujoco_ros.bags.errors import BagError
from humanoid_mujoco_ros.bags.reader import Bag, open_bag
from humanoid_mujoco_ros.bags.recorded_run import Run, read_run

_ASSETS = Path(__file__).parent / "assets"
_MAX_EVENTS = 200
_NUMBER = re.compile(r"\d+(\.\d+)?")
_SIDES = {"left": "blue", "right": "orange"}


@dataclass(frozen=True)
class ReportOptions:
    """Show a recorded run as one HTML page that needs neither network nor server.

    Reads bags of `humanoid record` and of `ros2 bag record` (MCAP and SQLite), of the simulation
    and of hardware. What a bag does not hold is named and left out.
    """

    bag: tyro.conf.Positional[Path]
    """The bag's folder, or a .mcap or .db3 file."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """The page; default: <bag>.html. A page that is there already is replaced."""
    namespace: str | None = None
    """Namespace of the robot; default: the only one in the bag."""
    fall_height: float = FALL_HEIGHT_M
    """Height of base_link [m] under which the robot has fallen."""


def build(bag: Bag, run: Run, figures: Figures, fall_height_m: float) -> str:
    """The page."""
    charts = Charts()
    charts.spans = [(push.time_s, push.time_s + push.duration_s) for push in figures.pushes]
    charts.moments = [(float(t), "red") for t in figures.falls_s]
    sections = [
        _header(bag, run),
        _problems(bag, run),
        _tiles(run, figures),
        _body(run, figures, charts, fall_height_m),
        _pushes(run, figures, charts),
        _feet(run, figures, charts),
        _joints(run, figures, charts),
        _timing(run, figures, charts),
        _episodes(figures),
        _events(run),
        _settings(bag, run),
    ]
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{html.escape(bag.path.name)}: report</title>",
            f"<style>{_asset('report.css')}</style></head><body><main>",
            *filter(None, sections),
            "</main>",
            f'<script type="application/json" id="data">{charts.json()}</script>',
            f"<script>{_plotly()}</script>",
            f"<script>{_asset('report.js')}</script></body></html>",
        ]
    )


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


def _plotly() -> str:
    """The script that draws the charts: part of the page, so that it needs no network."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise BagError(
            f"charts need the Python package plotly ({error}): pip install plotly"
        ) from error
    source: str = get_plotlyjs()
    return source


def _header(bag: Bag, run: Run) -> str:
    words = []
    if run.has_wall_time:
        words.append(time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(bag.start_ns * 1e-9)))
    words.append(f"{bag.message_count:,} messages of {len(bag.topics)} topics")
    mode = _parameter(run, "mode")
    words += [mode] if mode else []
    policy = _parameter(run, "policy")
    if policy:
        words.append(f"policy {policy if '://' in policy else Path(policy).name}")
    line = " · ".join(map(html.escape, dict.fromkeys(words)))
    return f'<h1>{html.escape(bag.path.name)}</h1><p class="soft">{line}</p>'


def _parameter(run: Run, key: str) -> str:
    """A parameter of whichever node has it; empty if none does."""
    return next((str(values[key]) for values in run.parameters.values() if key in values), "")


def _problems(bag: Bag, run: Run) -> str:
    items = [html.escape(problem) for problem in bag.problems]
    items += [
        f"{html.escape(topic)} is not in the bag: no {html.escape(missed)}"
        for topic, missed in run.missing.items()
    ]
    if not run.has_wall_time:
        items.append(
            "the bag is stamped with simulated time: control period and latency are not known"
        )
    if not items:
        return ""
    entries = "".join(f"<li>{item}</li>" for item in items)
    return f'<div class="card warn"><b>What this report cannot show</b><ul>{entries}</ul></div>'


def _tiles(run: Run, figures: Figures) -> str:
    falls = len(figures.falls_s)
    has_base = len(run.base) > 0
    timing = figures.timing
    tiles = [_tile(_number(figures.duration_s, 1), "s", "robot time")]
    if has_base:
        tiles += [
            _tile(_number(figures.distance_m, 1), "m", "distance"),
            _tile(_number(figures.speed_m_s, 2), "m/s", "mean speed"),
            _tile(str(falls), "", "fall" if falls == 1 else "falls", "bad" if falls else "good"),
        ]
    if figures.episodes:
        longest = max(figures.episodes, key=lambda episode: episode.steps)
        tiles.append(_tile(f"{longest.reward:,.0f}", "", "return of the longest episode"))
    if figures.pushes:
        taken = sum(not np.isfinite(push.fall_after_s) for push in figures.pushes)
        good = "good" if taken == len(figures.pushes) else "bad"
        tiles.append(_tile(f"{taken}/{len(figures.pushes)}", "", "pushes taken", good))
    if timing is not None and timing.periods_ms.size:
        if _parameter(run, "mode") == "lockstep":
            tiles.append(_tile(_number(timing.real_time_factor, 1), "×", "real time"))
        else:
            rate_hz = 1e3 / float(np.mean(timing.periods_ms))
            tiles.append(_tile(_number(rate_hz, 1), "Hz", "control rate"))
    if timing is not None and timing.latencies_ms.size:
        latency = float(np.percentile(timing.latencies_ms, 99))
        tiles.append(_tile(_number(latency, 1), "ms", "latency, 99th percentile"))
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _tile(value: str, unit: str, label: str, kind: str = "") -> str:
    small = f"<small>{unit}</small>" if unit else ""
    return f'<div class="tile {kind}"><b>{value}{small}</b><span>{label}</span></div>'


def _body(run: Run, figures: Figures, charts: Charts, fall_height_m: float) -> str:
    if not len(run.base):
        return ""
    times_s = run.base.times_s
    speed = forward_speed(run.base)
    height = charts.over_time(
        "Height of base_link",
        times_s,
        [Line("height", run.base.values[:, 2])],
        "m",
        limits=[fall_height_m],
        digits=3,
    )
    speeds = charts.over_time(
        "Forward speed",
        times_s,
        [
            Line("as it is", speed, "soft", 0.6),
            Line("mean of 0.5 s", smooth(times_s, speed, 0.5), "blue", 2.0),
        ],
        "m/s",
        include=[0.0],
    )
    rows = [
        ("height, mean", _number(figures.height_mean_m, 3), "m"),
        ("height, lowest", _number(figures.height_min_m, 3), "m"),
        ("distance", _number(figures.distance_m, 2), "m"),
        ("mean speed", _number(figures.speed_m_s, 3), "m/s"),
        ("fastest (0.5 s)", _number(_largest(smooth(times_s, speed, 0.5)), 2), "m/s"),
        ("falls", str(len(figures.falls_s)), ""),
        ("resets", str(len(figures.resets_s)), ""),
    ]
    note = (
        '<p class="note">Drag over a chart to zoom into all of them; double-click to go back. '
        "Dashed: limits. Red lines: falls. Orange: pushes.</p>"
    )
    return "".join(
        [
            "<h2>Body</h2>",
            note,
            _card(height),
            _card(speeds),
            '<div class="columns">',
            _card(_path(run, figures)),
            _card(_table(["", "", ""], rows, text=(0, 2))),
            "</div>",
        ]
    )


def _path(run: Run, figures: Figures) -> str:
    """The way over the ground, seen from above, as SVG; x is forward, y left."""
    positions = run.base.values[:, :2]
    parts = np.split(positions, np.searchsorted(run.base.times_s, figures.resets_s))
    low, high = positions.min(axis=0), positions.max(axis=0)
    span = np.maximum(high - low, 1.0)
    middle = (high + low) / 2
    width, height, margin = 500.0, 190.0, 26.0
    scale = float(min((width - 2 * margin) / span[0], (height - 2 * margin) / span[1]))
    step_m = next(s for s in _LENGTHS_M if s * scale > 40 or s == _LENGTHS_M[-1])

    def point(xy: np.ndarray) -> tuple[float, float]:
        x, y = (xy - middle) * scale
        return width / 2 + float(x), height / 2 - float(y)

    lines = []
    for part in parts:
        if len(part) < 2:
            continue
        stride = max(1, len(part) // 1500)
        way = [*part[::stride], part[-1]]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(point, way))
        start, end = point(part[0]), point(part[-1])
        lines.append(
            f'<polyline points="{points}" fill="none" stroke="var(--blue)" stroke-width="1.5"/>'
            f'<circle cx="{start[0]:.1f}" cy="{start[1]:.1f}" r="4" fill="var(--green)"/>'
            f'<circle cx="{end[0]:.1f}" cy="{end[1]:.1f}" r="4" fill="var(--blue)"/>'
        )
    for fall_s in figures.falls_s:
        row = min(int(np.searchsorted(run.base.times_s, fall_s)), len(positions) - 1)
        x, y = point(positions[row])
        lines.append(
            f'<path d="M{x - 5:.1f} {y - 5:.1f}l10 10m0 -10l-10 10" stroke="var(--red)" '
            'stroke-width="2"/>'
        )
    bar = step_m * scale
    ruler = (
        f'<path d="M8 {height - 8:.1f}h{bar:.1f}" stroke="var(--soft)" stroke-width="2"/>'
        f'<text x="8" y="{height - 13:.1f}">{step_m:g} m</text>'
    )
    named = [("start", "green"), ("end", "blue")] + [("fall", "red")] * bool(figures.falls_s.size)
    keys = "".join(
        f'<span class="key" style="--c:var(--{color})"><i></i>{name}</span>'
        for name, color in named
    )
    return (
        f'<div class="title"><span>The way, from above</span>{keys}</div>'
        f'<svg viewBox="0 0 {width:g} {height:g}" width="100%">{"".join(lines)}{ruler}</svg>'
    )


_LENGTHS_M = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)


def _pushes(run: Run, figures: Figures, charts: Charts) -> str:
    if not figures.pushes:
        return ""
    force = np.linalg.norm(run.pushes.values[:, :3], axis=1)
    times_s, values = [0.0], [0.0]
    for push in figures.pushes:
        end_s = push.time_s + push.duration_s
        inside = (run.pushes.times_s >= push.time_s) & (run.pushes.times_s < end_s)
        times_s += [push.time_s, *run.pushes.times_s[inside], end_s, end_s]
        values += [0.0, *force[inside], values[-1] if not inside.any() else force[inside][-1], 0.0]
    times_s.append(max(run.duration_s, times_s[-1]))
    values.append(0.0)
    order = np.argsort(times_s, kind="stable")
    chart = charts.over_time(
        "Force of the pushes",
        np.array(times_s)[order],
        [Line("force", np.array(values)[order], "orange", 2.0)],
        "N",
        height=160,
        digits=0,
        include=[0.0],
    )
    rows = [
        (
            _number(push.time_s, 2),
            push.link,
            _number(push.peak_n, 0),
            _number(push.duration_s, 2),
            _number(push.impulse_ns, 1),
            _number(push.speed_change_m_s, 2),
            _number(push.lowest_height_m, 2),
            _bad(push.outcome) if np.isfinite(push.fall_after_s) else push.outcome,
        )
        for push in figures.pushes
    ]
    headings = ["time [s]", "link", "peak [N]", "for [s]", "impulse [N·s]"]
    headings += ["velocity change [m/s]", "lowest height [m]", "outcome"]
    return f"<h2>Pushes</h2>{_card(chart)}{_card(_table(headings, rows, text=(1, 7)))}"


def _feet(run: Run, figures: Figures, charts: Charts) -> str:
    tracks = {side: track for side, track in run.feet.items() if len(track)}
    if not tracks:
        return ""
    first = next(iter(tracks.values()))
    lines = []
    for side, track in tracks.items():
        force = np.linalg.norm(track.values[:, :3], axis=1)
        if len(track) != len(first) or not np.array_equal(track.times_s, first.times_s):
            order = np.argsort(track.times_s, kind="stable")
            force = np.interp(first.times_s, track.times_s[order], force[order])
        lines.append(Line(f"{side} foot", force, _SIDES[side]))
    chart = charts.over_time(
        "Force of the ground on the feet", first.times_s, lines, "N", digits=0, include=[0.0]
    )
    rows = [
        (
            f"{side} foot",
            _number(foot.peak_n, 0),
            _number(100 * foot.standing, 0),
            _number(foot.steps_per_s, 2),
        )
        for side, foot in figures.feet.items()
    ]
    headings = ["", "peak [N]", "on the ground [% of the time]", "touchdowns per second"]
    return f"<h2>Feet</h2>{_card(chart)}{_card(_table(headings, rows, text=(0,)))}"


def _joints(run: Run, figures: Figures, charts: Charts) -> str:
    if not figures.joints:
        return ""
    kinds = (("position", "rad", 0), ("velocity", "rad/s", 1), ("effort", "N·m", 2))
    cells = [f'<div class="head">{kind} [{unit}]</div>' for kind, unit, _ in kinds]
    times_s = run.joint_states.times_s
    for i, joint in enumerate(figures.joints):
        limits = joint.limits
        bounds = (
            (limits.lower, limits.upper),
            (-limits.velocity, limits.velocity),
            (-limits.effort, limits.effort),
        )
        for (_, unit, k), bound in zip(kinds, bounds, strict=True):
            values = run.joint_states.values[:, k, i]
            # A limit that is far away would only flatten the line.
            is_near = k == 0 or _largest(np.abs(values)) > 0.3 * bound[1]
            usable = bound if is_near else ()
            chart = charts.over_time(
                joint.name, times_s, [Line(joint.name, values)], unit, height=104, limits=usable
            )
            cells.append(f"<div>{chart}</div>")
    rows = [
        (
            joint.name,
            f"{_number(joint.lowest, 2)} … {_number(joint.highest, 2)}",
            f"{_number(joint.limits.lower, 2)} … {_number(joint.limits.upper, 2)}",
            _number(joint.fastest, 1),
            _number(joint.effort_rms, 1),
            _number(joint.effort_peak, 1),
            _number(joint.limits.effort, 0),
            _number(100 * joint.saturated, 1),
        )
        for joint in figures.joints
    ]
    headings = ["joint", "position [rad]", "limits [rad]", "fastest [rad/s]"]
    headings += ["effort, RMS [N·m]", "peak [N·m]", "limit [N·m]", "at the limit [% of the time]"]
    return (
        f"<h2>Joints</h2>{_card(_table(headings, rows, text=(0,)))}"
        f'<div class="card joints">{"".join(cells)}</div>'
    )


def _timing(run: Run, figures: Figures, charts: Charts) -> str:
    timing = figures.timing
    if timing is None:
        return ""
    plots = []
    if timing.periods_ms.size:
        plots.append(charts.histogram("Wall time between joint states", timing.periods_ms, "ms"))
    if timing.latencies_ms.size:
        plots.append(
            charts.histogram("From observation to command", timing.latencies_ms, "ms", "green")
        )
    rows = [
        ("control period by the robot's clock", _number(timing.period_s * 1e3, 3), "ms"),
        ("real-time factor", _number(timing.real_time_factor, 3), ""),
        ("control ticks without a message in the bag", str(timing.missing_ticks), ""),
    ]
    for label, values in (
        ("wall time between joint states", timing.periods_ms),
        ("from observation to command", timing.latencies_ms),
    ):
        if values.size:
            p50, p99, longest = np.percentile(values, [50, 99, 100])
            rows += [
                (f"{label}, median", _number(p50, 2), "ms"),
                (f"{label}, 99th percentile", _number(p99, 2), "ms"),
                (f"{label}, longest", _number(longest, 2), "ms"),
            ]
    if timing.periods_ms.size and _parameter(run, "mode") != "lockstep":
        rows.append(("joint states more than half a period late", str(timing.late_ticks), ""))
    rows += _own_figures(run)
    own = _reported(run, charts)
    note = (
        '<p class="note">Measured where the bag was recorded, so its own delays are in it. The '
        "robot's own figures come from /diagnostics.</p>"
    )
    grid = f'<div class="columns">{"".join(map(_card, plots))}</div>' if plots else ""
    return f"<h2>Timing</h2>{note}{grid}{_card(_table(['', '', ''], rows, text=(0, 2)))}{own}"


def _own_figures(run: Run) -> list[tuple[str, str, str]]:
    """Counters of the last status that has them."""
    rows = []
    for key, label in (
        ("overruns", "overruns, by the robot's own count"),
        ("unpublished_states", "states that the robot could not publish"),
        ("divergences", "divergences of the simulation"),
        ("rejected_messages", "messages that the robot refused"),
    ):
        values = [status.values[key] for status in run.statuses if key in status.values]
        if values:
            rows.append((label, values[-1], ""))
    return rows


def _reported(run: Run, charts: Charts) -> str:
    """Charts of the robot's own rates, once a second."""
    plots = []
    for title, unit, lines in (
        ("Control rate, by the robot's own count", "Hz", (("control_rate_hz", "rate", "blue"),)),
        (
            "Latency, by the robot's own count",
            "ms",
            (
                ("command_latency_p50_ms", "median", "blue"),
                ("command_latency_p99_ms", "99th percentile", "orange"),
            ),
        ),
    ):
        keys = [key for key, _, _ in lines]
        found = [s for s in run.statuses if all(key in s.values for key in keys)]
        if len(found) < 2:
            continue
        times_s = np.array([status.time_s for status in found])
        drawn = [
            Line(label, np.array([float(status.values[key]) for status in found]), color)
            for key, label, color in lines
        ]
        plots.append(
            charts.over_time(
                title, times_s, drawn, unit, height=180, include=[0.0], points=len(found) < 100
            )
        )
    return f'<div class="columns">{"".join(map(_card, plots))}</div>' if plots else ""


def _episodes(figures: Figures) -> str:
    if len(figures.episodes) < 2:
        return ""
    rows = [
        (
            str(episode.number),
            _number(episode.end_s, 1),
            str(episode.steps),
            f"{episode.reward:,.0f}",
            _bad("fell") if episode.fallen else "",
        )
        for episode in figures.episodes
    ]
    headings = ["episode", "until [s]", "control ticks", "return", ""]
    note = '<p class="note">By the simulation\'s own account, once a second.</p>'
    return f"<h2>Episodes</h2>{note}{_card(_table(headings, rows, text=(4,)))}"


def _events(run: Run) -> str:
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
        return ""
    kinds: dict[tuple[str, str], list[tuple[float, str]]] = {}
    for time_s, source, words in sorted(events):
        kinds.setdefault((source, _NUMBER.sub("#", words)), []).append((time_s, words))
    rows = [
        (
            _number(same[0][0], 2),
            _number(same[-1][0], 2) if len(same) > 1 else "",
            str(len(same)),
            source,
            same[0][1],
        )
        for (source, _), same in kinds.items()
    ]
    table = _table(["first [s]", "last [s]", "times", "from", ""], rows[:_MAX_EVENTS], text=(3, 4))
    left = f'<p class="note">{len(rows) - _MAX_EVENTS} more are not shown.</p>'
    return f"<h2>Warnings and errors</h2>{_card(table)}{left if len(rows) > _MAX_EVENTS else ''}"


def _settings(bag: Bag, run: Run) -> str:
    rows = [(topic.name, topic.type_name, f"{topic.count:,}") for topic in bag.topics.values()]
    parts = [
        f"<details><summary>Topics</summary>"
        f"{_card(_table(['topic', 'type', 'messages'], rows, text=(0, 1)))}</details>"
    ]
    if run.parameters:
        text = html.escape(json.dumps(run.parameters, indent=1, sort_keys=True))
        parts.append(f"<details><summary>Parameters</summary><pre>{text}</pre></details>")
    if "versions" in bag.custom_data:
        text = html.escape(bag.custom_data["versions"])
        parts.append(f"<details><summary>Versions</summary><pre>{text}</pre></details>")
    return f"<h2>Recording</h2>{''.join(parts)}"


class _Bad(str):
    """A cell in red."""


def _bad(text: str) -> str:
    return _Bad(text)


def _card(content: str) -> str:
    return f'<div class="card"><div class="scroll">{content}</div></div>'


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]], text: Sequence[int] = ()) -> str:
    def cell(tag: str, i: int, value: str) -> str:
        kinds = ["text"] if i in text else []
        if isinstance(value, _Bad):
            kinds.append("bad")
        if len(value) > 60:
            kinds.append("wide")
        return f'<{tag} class="{" ".join(kinds)}">{html.escape(value)}</{tag}>'

    head = "".join(cell("th", i, heading) for i, heading in enumerate(headings))
    body = "".join(
        f"<tr>{''.join(cell('td', i, value) for i, value in enumerate(row))}</tr>" for row in rows
    )
    top = f"<thead><tr>{head}</tr></thead>" if any(headings) else ""
    return f"<table>{top}<tbody>{body}</tbody></table>"


def _number(value: float, digits: int) -> str:
    return f"{value:,.{digits}f}" if np.isfinite(value) else "–"


def _largest(values: np.ndarray) -> float:
    return float(values.max()) if values.size else float("nan")


def report(options: ReportOptions) -> Path:
    """Writes the page.

    Returns:
        Where it is.

    Raises:
        BagError: The bag cannot be read, or the page cannot be written.
    """
    path = options.bag.resolve()
    output = options.output or path.with_suffix(".html")
    with open_bag(path) as bag:
        run = read_run(bag, options.namespace)
        page = build(bag, run, analyse(run, options.fall_height), options.fall_height)
    try:
        output.write_text(page, encoding="utf-8")
    except OSError as error:
        raise BagError(f"cannot write {output}: {error.strerror}") from error
    return output


def run(options: ReportOptions) -> int:
    """Runs `humanoid report`; 2 is the status of a bag or an option that cannot be used."""
    try:
        output = report(options)
    except (BagError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"wrote {output}")
    return 0
