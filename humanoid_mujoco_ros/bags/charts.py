# SPDX-License-Identifier: Apache-2.0
"""The charts of a report, drawn by Plotly.

Text of a bag, such as a joint's name, is escaped: Plotly reads tags in its labels.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import plotly.graph_objects as go
import plotly.io
from numpy.typing import NDArray
from plotly.offline import get_plotlyjs

Array = NDArray[np.float64]

BLUE, ORANGE, GREEN, RED, SOFT = "#3b7ddd", "#e07b2a", "#2a9d6e", "#d64550", "#8a94a3"
"""Colours that can be told from a white and from a black page."""

MAX_POINTS = 3000
"""Points of a line; of longer ones the extremes of each interval are drawn."""
_MAX_MARKS = 200
_MAX_NAME = 40
_CONFIG = {"displayModeBar": False, "responsive": True, "plotlyServerURL": ""}
_FONT = {"family": 'system-ui, "Segoe UI", Roboto, sans-serif', "size": 11, "color": SOFT}
_FAINT = "rgba(138, 148, 163, 0.22)"
_AXIS = {
    "gridcolor": _FAINT,
    "tickcolor": _FAINT,
    "linecolor": _FAINT,
    "zeroline": False,
    "exponentformat": "none",
}


@dataclass(frozen=True)
class Line:
    """A line of a chart."""

    label: str
    times_s: Array
    values: Array
    color: str = BLUE
    width: float = 1.5


@dataclass(frozen=True)
class Subplot:
    """A chart over time, above others that share its time axis."""

    title: str
    unit: str
    lines: Sequence[Line]
    limits: Sequence[float] = ()
    """Values marked by a dashed line."""
    from_zero: bool = False
    height_px: int = 200


@dataclass(frozen=True)
class Marks:
    """What is marked in every chart over time."""

    spans_s: Sequence[tuple[float, float]] = field(default=())
    """Pushes: from, to."""
    moments_s: Sequence[float] = field(default=())
    """Falls."""


def over_time(
    columns: Sequence[Sequence[Subplot]],
    marks: Marks,
    *,
    points: int = MAX_POINTS,
    gap_px: int = 44,
) -> str:
    """Charts over time: columns of panels, all of which zoom together.

    Args:
        columns: Each from top to bottom; panels of one row are of the same height.
        marks: What to mark in all of them.
        points: Most points of a line.
        gap_px: Space between two panels, for the title of the lower one.

    Returns:
        HTML.
    """
    figure = go.Figure(layout=_layout())
    heights = [panel.height_px for panel in columns[0]]
    inside_px = sum(heights) + gap_px * (len(heights) - 1)
    tops = [1 - (sum(heights[:i]) + gap_px * i) / inside_px for i in range(len(heights))]
    width = (1 - 0.05 * (len(columns) - 1)) / len(columns)
    number = 0
    for c, panels in enumerate(columns):
        across = "" if c == 0 else str(c + 1)
        left = c * (width + 0.05)
        last = number + len(panels)
        figure.layout[f"xaxis{across}"] = {
            **_AXIS,
            "domain": [left, min(1.0, left + width)],
            "anchor": f"y{last}" if last > 1 else "y",
            "matches": None if c == 0 else "x",
            "ticksuffix": " s",
            "hoverformat": ".2f",
        }
        for panel, top in zip(panels, tops, strict=True):
            number += 1
            bottom = max(0.0, top - panel.height_px / inside_px)
            _add_panel(figure, panel, number, across, (bottom, top), left, points)
        _add_marks(figure, marks, f"x{across}")
    figure.update_layout(height=inside_px + 64, hovermode="x unified")
    return _html(figure)


def histogram(values: Array, unit: str, color: str = BLUE) -> str:
    """A histogram as HTML; its last bar counts everything beyond the 99.5th percentile too."""
    low, high = np.percentile(values, [0.0, 99.5])
    least = max(1e-2 * abs(high), 1e-6)
    if high - low < least:  # all the same
        low, high = low - least, high + least
    counts, edges = np.histogram(np.minimum(values, high), bins=60, range=(low, high))
    figure = go.Figure(layout=_layout())
    figure.add_bar(
        x=(edges[1:] + edges[:-1]) / 2,
        y=counts,
        width=0.9 * np.diff(edges),
        marker={"color": color, "line": {"width": 0}},
        hovertemplate=f"%{{y}} times about %{{x:.3f}} {unit}<extra></extra>",
    )
    figure.update_layout(height=220, xaxis={**_AXIS, "ticksuffix": f" {unit}"}, yaxis=_AXIS)
    return _html(figure)


def path(parts: Sequence[Array], falls: Array) -> str:
    """The way over the ground, seen from above, as HTML; x is forward, y left.

    Args:
        parts: (n, 2) positions [m] between one reset and the next.
        falls: (n, 2) where the robot fell.
    """
    figure = go.Figure(layout=_layout())
    parts = [part for part in parts if len(part)]
    # Between two parts the line is broken, for there the robot was put elsewhere.
    gap = np.full((1, 2), np.nan)
    thinned = [part[:: max(1, len(part) // 1500)] for part in parts[:_MAX_MARKS]]
    way = np.concatenate([piece for part in thinned for piece in (part, gap)])
    figure.add_scatter(**_xy(way), mode="lines", line={"color": BLUE, "width": 1.5})
    for name, points, color, symbol in (
        ("start", np.array([part[0] for part in parts[:_MAX_MARKS]]), GREEN, "circle"),
        ("end", np.array([part[-1] for part in parts[:_MAX_MARKS]]), BLUE, "circle"),
        ("fall", falls[:_MAX_MARKS], RED, "x"),
    ):
        if len(points):
            marker = {"color": color, "symbol": symbol, "size": 9}
            figure.add_scatter(**_xy(points), name=name, mode="markers", marker=marker)
    figure.update_traces(hovertemplate="x %{x:.2f} m, y %{y:.2f} m<extra></extra>")
    axis = {**_AXIS, "ticksuffix": " m", "nticks": 6}
    x, y = axis, {**axis, "scaleanchor": "x"}
    figure.update_layout(height=270, xaxis=x, yaxis=y, dragmode="pan")
    return _html(figure)


def decimate(times_s: Array, values: Array, max_points: int = MAX_POINTS) -> tuple[Array, Array]:
    """Fewer points that look the same: of each interval the smallest and the largest value.

    Args:
        times_s: (n,).
        values: (n,); NaN is kept only where a whole interval has nothing else.
        max_points: At most so many are returned.

    Returns:
        Times and values.
    """
    n = len(times_s)
    if n <= max_points:
        return times_s, values
    intervals = max_points // 2
    size = -(-n // intervals)
    intervals = -(-n // size)
    padding = intervals * size - n
    times = np.pad(times_s, (0, padding), mode="edge").reshape(intervals, size)
    rows = np.pad(values, (0, padding), mode="edge").reshape(intervals, size)
    unknown = np.isnan(rows)
    low = np.argmin(np.where(unknown, np.inf, rows), axis=1)
    high = np.argmax(np.where(unknown, -np.inf, rows), axis=1)
    picked = np.sort(np.stack([low, high], axis=1), axis=1)
    return (
        np.take_along_axis(times, picked, axis=1).ravel(),
        np.take_along_axis(rows, picked, axis=1).ravel(),
    )


def plotly_source() -> str:
    """Plotly's script, which is part of the page so that it needs no network."""
    source: str = get_plotlyjs()
    return source


def _add_panel(
    figure: go.Figure,
    panel: Subplot,
    number: int,
    across: str,
    domain: tuple[float, float],
    left: float,
    points: int,
) -> None:
    up = "" if number == 1 else str(number)
    unit = f" {panel.unit}" if panel.unit else ""
    for line in panel.lines:
        times_s, values = decimate(line.times_s, line.values, points)
        figure.add_scatter(
            x=times_s.astype(np.float32),
            y=values.astype(np.float32),
            name=_escaped(line.label),
            xaxis=f"x{across}",
            yaxis=f"y{up}",
            mode="lines",
            line={"color": line.color, "width": line.width},
            hovertemplate=f"%{{y:.3f}}{unit}",
        )
    for limit in panel.limits:
        if np.isfinite(limit):
            figure.add_shape(
                type="line",
                x0=0,
                x1=1,
                y0=limit,
                y1=limit,
                xref=f"x{across} domain",
                yref=f"y{up}",
                line={"color": RED, "width": 1, "dash": "dash"},
                opacity=0.75,
            )
    figure.layout[f"yaxis{up}"] = {
        **_AXIS,
        "domain": domain,
        "anchor": f"x{across}",
        "fixedrange": True,
        "nticks": max(5, panel.height_px // 34),
        "rangemode": "tozero" if panel.from_zero else "normal",
        "range": _range(panel),
    }
    figure.add_annotation(
        text=_title(panel),
        x=left,
        y=domain[1],
        xref="paper",
        yref="paper",
        xanchor="left",
        yanchor="bottom",
        showarrow=False,
    )


def _escaped(text: str) -> str:
    return html.escape(text[:_MAX_NAME])


def _title(panel: Subplot) -> str:
    words = [f"<b>{_escaped(panel.title)}</b>"]
    words += [f"[{panel.unit}]"] if panel.unit else []
    if len(panel.lines) > 1:
        words += [
            f'<span style="color:{line.color}">■ {_escaped(line.label)}</span>'
            for line in panel.lines
        ]
    return "  ".join(words)


def _range(panel: Subplot) -> tuple[float, float] | None:
    """The range of values that shows all lines and limits; None: Plotly's own."""
    known = [line.values[np.isfinite(line.values)] for line in panel.lines]
    limits = np.array([limit for limit in panel.limits if np.isfinite(limit)])
    values = np.concatenate([*known, limits])
    if not limits.size or not values.size:
        return None
    low, high = float(values.min()), float(values.max())
    pad = 0.06 * (high - low or 1.0)
    return low - pad, high + pad


def _add_marks(figure: go.Figure, marks: Marks, xref: str) -> None:
    upright = {"yref": "paper", "y0": 0, "y1": 1, "xref": xref, "layer": "below"}
    shapes = [
        {"type": "rect", "x0": x0, "x1": x1, "fillcolor": ORANGE, "opacity": 0.2, "line_width": 0}
        for x0, x1 in marks.spans_s[:_MAX_MARKS]
    ]
    shapes += [
        {"type": "line", "x0": x, "x1": x, "line": {"color": RED, "width": 1}}
        for x in marks.moments_s[:_MAX_MARKS]
    ]
    for shape in shapes:
        figure.add_shape(**shape, **upright)


def _xy(points: Array) -> dict[str, Array]:
    return {"x": points[:, 0].astype(np.float32), "y": points[:, 1].astype(np.float32)}


def _layout() -> dict[str, object]:
    return {
        "template": "none",
        "font": _FONT,
        "margin": {"l": 48, "r": 12, "t": 28, "b": 30},
        "showlegend": False,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "hoverlabel": {"font": {"size": 12}},
        "autosize": True,
    }


def _html(figure: go.Figure) -> str:
    text: str = plotly.io.to_html(
        figure, config=_CONFIG, include_plotlyjs=False, full_html=False, validate=False
    )
    return text
