# SPDX-License-Identifier: Apache-2.0
"""The charts of a report as data for assets/report.js, which draws them with Plotly."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MAX_POINTS = 6000
"""Points of a line; of longer ones the extremes of each interval are drawn."""


@dataclass(frozen=True)
class Line:
    """A line of a chart."""

    label: str
    values: Array
    color: str = "blue"
    """A colour of report.css."""
    width: float = 1.5
    """[px]; 0: no line."""


@dataclass
class _Chart:
    """What report.js needs to know."""

    id: str
    kind: str
    height: int
    x: int
    series: list[dict[str, Any]]
    unit: str
    digits: int
    xlabel: str
    xunit: str
    ylabel: str
    xdigits: int = 2
    include: list[float] = field(default_factory=list)
    limits: list[float] = field(default_factory=list)
    spans: list[tuple[float, float]] = field(default_factory=list)
    moments: list[tuple[float, str]] = field(default_factory=list)


class Charts:
    """Collects the charts of a page.

    Attributes:
        spans: Intervals [s] that every chart over time shades (pushes).
        moments: Times [s] and colours of the lines across every chart over time (falls).
    """

    def __init__(self) -> None:
        self.spans: list[tuple[float, float]] = []
        self.moments: list[tuple[float, str]] = []
        self._charts: list[_Chart] = []
        self._arrays: list[str] = []

    def over_time(
        self,
        title: str,
        times_s: Array,
        lines: Sequence[Line],
        unit: str,
        *,
        height: int = 220,
        digits: int = 2,
        limits: Sequence[float] = (),
        include: Sequence[float] = (),
        points: bool = False,
    ) -> str:
        """Adds a chart over time.

        Args:
            title: Its title.
            times_s: (n,) [s].
            lines: What to draw, (n,) each.
            unit: Of the values.
            height: [px].
            digits: Of the value under the cursor.
            limits: Values marked by a dashed line, always in view.
            include: Values always in view.
            points: Draw a dot at each value too.

        Returns:
            HTML of its place on the page.
        """
        x, columns = decimate(times_s, [line.values for line in lines])
        shown_limits = [float(limit) for limit in limits if np.isfinite(limit)]
        return self._add(
            _Chart(
                id=f"chart{len(self._charts)}",
                kind="points" if points else "line",
                height=height,
                x=self._array(x),
                series=[
                    {
                        "label": line.label,
                        "color": line.color,
                        "width": line.width,
                        "y": self._array(column),
                    }
                    for line, column in zip(lines, columns, strict=True)
                ],
                unit=unit,
                digits=digits,
                xlabel="time [s]",
                xunit="s",
                ylabel=f"[{unit}]",
                limits=shown_limits,
                include=[*shown_limits, *map(float, include)],
                spans=self.spans,
                moments=self.moments,
            ),
            title,
            lines if len(lines) > 1 else (),
        )

    def histogram(self, title: str, values: Array, unit: str, color: str = "blue") -> str:
        """Adds a histogram; its last bar counts everything beyond the 99.5th percentile too."""
        low, high = np.percentile(values, [0.0, 99.5])
        least = max(1e-2 * abs(high), 1e-6)
        if high - low < least:  # all the same
            low, high = low - least, high + least
        counts, edges = np.histogram(np.minimum(values, high), bins=60, range=(low, high))
        return self._add(
            _Chart(
                id=f"chart{len(self._charts)}",
                kind="bars",
                height=210,
                x=self._array((edges[1:] + edges[:-1]) / 2),
                series=[
                    {
                        "label": title,
                        "color": color,
                        "width": 0,
                        "y": self._array(counts.astype(np.float64)),
                    }
                ],
                unit="times",
                digits=0,
                xlabel=f"[{unit}]",
                xunit=unit,
                ylabel="count",
                include=[0.0],
            ),
            title,
            (),
        )

    def json(self) -> str:
        """The data, safe inside a script element."""
        content = {"charts": [asdict(chart) for chart in self._charts], "arrays": self._arrays}
        return json.dumps(content, allow_nan=False).replace("<", "\\u003c")

    def _add(self, chart: _Chart, title: str, lines: Sequence[Line]) -> str:
        self._charts.append(chart)
        keys = "".join(
            f'<span class="key" style="--c:var(--{line.color})"><i></i>{html.escape(line.label)}'
            "</span>"
            for line in lines
        )
        return (
            f'<div class="title"><span>{html.escape(title)}</span>{keys}'
            f'<span class="value" id="{chart.id}-value"></span></div>'
            f'<div id="{chart.id}" style="height:{chart.height}px"></div>'
        )

    def _array(self, values: Array) -> int:
        finite = np.where(np.isfinite(values), values, np.nan).astype("<f4")
        text = base64.b64encode(finite.tobytes()).decode()
        if self._arrays and self._arrays[-1] == text:
            return len(self._arrays) - 1
        self._arrays.append(text)
        return len(self._arrays) - 1


def decimate(
    times_s: Array, columns: Sequence[Array], max_points: int = MAX_POINTS
) -> tuple[Array, list[Array]]:
    """Fewer points that look the same: of each interval the smallest and the largest value.

    Args:
        times_s: (n,).
        columns: (n,) each; NaN is kept only where a whole interval has nothing else.
        max_points: At most so many are returned.

    Returns:
        Times and columns.
    """
    n = len(times_s)
    if n <= max_points:
        return times_s, list(columns)
    intervals = max_points // 2
    size = -(-n // intervals)
    intervals = -(-n // size)
    padding = intervals * size - n
    times = np.pad(times_s, (0, padding), mode="edge").reshape(intervals, size)
    thinned_times = np.stack([times[:, 0], times[:, size // 2]], axis=1).ravel()
    thinned = []
    for column in columns:
        rows = np.pad(column, (0, padding), mode="edge").reshape(intervals, size)
        unknown = np.isnan(rows)
        low = np.argmin(np.where(unknown, np.inf, rows), axis=1)
        high = np.argmax(np.where(unknown, -np.inf, rows), axis=1)
        picked = np.sort(np.stack([low, high], axis=1), axis=1)
        thinned.append(np.take_along_axis(rows, picked, axis=1).ravel())
    return thinned_times, thinned
