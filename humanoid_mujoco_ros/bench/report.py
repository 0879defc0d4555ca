# SPDX-License-Identifier: Apache-2.0
"""The figures of a bench run: a table, a picture, JSON."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from rich.table import Table
from rich.text import Text

from humanoid_mujoco_ros.ros.latency_histogram import LatencyHistogram

_WIDTH = 40
_BAR = " ▏▎▍▌▋▊▉█"
_EDGES_PER_DOUBLING = 2


@dataclass(frozen=True)
class Figure:
    """A measured figure, alone or against one that was measured in the same run."""

    name: str
    value: float
    unit: str
    reference: str = ""
    """What it is compared with; empty: nothing."""
    ratio: float | None = None
    """Of the value to that of the reference."""
    wanted: str = ""
    """What the ratio should be, such as "≥ 0.4"; the machine's speed cancels out."""

    @staticmethod
    def against(
        name: str, value: float, unit: str, reference: tuple[str, float], wanted: str
    ) -> Figure:
        """A figure with its ratio to a reference: its name and its value."""
        ratio = value / reference[1] if reference[1] else math.nan
        return Figure(name, value, unit, reference[0], ratio, wanted)


def table(figures: Sequence[Figure]) -> Table:
    """The figures for people."""
    shown = Table("figure", "measured", "compared with", "ratio", "wanted")
    for figure in figures:
        ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
        shown.add_row(
            figure.name,
            f"{_rounded(figure.value)} {figure.unit}",
            figure.reference,
            ratio,
            figure.wanted,
        )
    return shown


def picture(histograms: Mapping[str, LatencyHistogram]) -> Text:
    """Bars of the latencies [ms] of each histogram, on a logarithmic axis."""
    lows = [h.percentile_ms(0.1) for h in histograms.values() if h.count]
    highs = [h.percentile_ms(99.9) for h in histograms.values() if h.count]
    if not lows:
        return Text("no latency was measured")
    first = math.floor(math.log2(min(lows)) * _EDGES_PER_DOUBLING)
    last = math.ceil(math.log2(max(highs)) * _EDGES_PER_DOUBLING) + 1
    edges = 2.0 ** (np.arange(first, last + 1) / _EDGES_PER_DOUBLING)
    text = Text()
    for name, histogram in histograms.items():
        shares = histogram.shares(edges)
        text.append(f"{name}, {histogram.count} latencies\n", style="bold")
        for edge, share in zip(edges, shares, strict=False):
            text.append(f"{edge:8.2f} ms ")
            text.append(_bar(share / max(float(shares.max()), 1e-9)), style="green")
            text.append(f" {100 * share:.1f} %\n" if share else "\n")
    return text


def to_json(
    figures: Sequence[Figure], histograms: Mapping[str, LatencyHistogram]
) -> dict[str, object]:
    """The figures for programs; each latency is the upper one of its share of messages, in ms."""
    return {
        "machine": {"processors": os.cpu_count(), "kind": platform.machine()},
        "figures": [
            {
                "name": figure.name,
                "value": _finite(figure.value),
                "unit": figure.unit,
                "reference": figure.reference or None,
                "ratio": _finite(figure.ratio),
                "wanted": figure.wanted or None,
            }
            for figure in figures
        ],
        "latencies_ms": {
            name: {f"p{p:g}": _finite(h.percentile_ms(p)) for p in (1, 10, 50, 90, 99, 99.9)}
            for name, h in histograms.items()
        },
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _bar(share: float) -> str:
    eighths = round(share * _WIDTH * 8)
    return _BAR[-1] * (eighths // 8) + _BAR[eighths % 8].strip()
