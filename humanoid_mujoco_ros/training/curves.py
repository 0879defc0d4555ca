# SPDX-License-Identifier: Apache-2.0
"""Pictures of a training and of an evaluation. matplotlib is optional."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

_PANELS = {
    "return": "return of an episode",
    "falls_per_minute": "falls per minute",
    "push_level": "push level",
    "level": "level of the curriculum",
    "unhelped_risen": "share that rose without help",
}
"""Column of the log → its title."""


def draw_learning_curve(rows: Sequence[Mapping[str, float]], path: Path, title: str) -> bool:
    """Writes a small PNG of what changed over the steps: return, falls, curriculum.

    Returns:
        False if matplotlib is not installed or there is nothing to draw.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    if not rows:
        return False
    steps = np.array([row["steps"] for row in rows]) / 1e6
    columns = {key: np.array([row.get(key, np.nan) for row in rows], float) for key in _PANELS}
    panels = [key for key, values in columns.items() if key == "return" or _changes(values)]
    if "falls_per_minute" not in panels and "push_level" in panels:
        panels.remove("push_level")  # there were none to fall from
    figure = Figure(figsize=(9, 2.6), dpi=80, layout="constrained")
    found = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, key in zip(found, panels, strict=True):
        label, values = _PANELS[key], columns[key]
        known = np.isfinite(values)
        axes.plot(steps[known], _smoothed(values[known]), lw=1.2)
        axes.set_title(label, fontsize=9)
        axes.set_xlabel("million steps", fontsize=8)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.3)
        if key == "falls_per_minute" and np.any(values[known] > 0):
            axes.set_yscale("log")
    figure.suptitle(title, fontsize=10)
    figure.savefig(path)
    return True


def _changes(values: np.ndarray) -> bool:
    known = values[np.isfinite(values)]
    return bool(known.size) and np.ptp(known) > 0


def _smoothed(values: np.ndarray) -> np.ndarray:
    """Mean over a window of about a hundredth of the curve."""
    width = max(1, values.size // 100)
    if width == 1:
        return values
    padded = np.concatenate((np.full(width - 1, values[0]), values))
    return np.convolve(padded, np.ones(width) / width, mode="valid")


def draw_pushes(pushes: Sequence[Mapping[str, Any]], path: Path, title: str) -> bool:
    """Writes a polar PNG: direction and force of the pushes, coloured by the share survived.

    Args:
        pushes: For each force: force_n, headings_deg, survived_each.
        path: The picture.
        title: Its title.

    Returns:
        False if matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    rings = sorted(pushes, key=lambda ring: float(ring["force_n"]))
    edges = np.linspace(-np.pi, np.pi, 25)
    share = np.full((len(rings), edges.size - 1), np.nan)
    for row, ring in enumerate(rings):
        heading = np.deg2rad(np.array(ring["headings_deg"]))
        survived = np.array(ring["survived_each"], dtype=float)
        total, _ = np.histogram(heading, edges)
        good, _ = np.histogram(heading, edges, weights=survived)
        share[row, total > 0] = good[total > 0] / total[total > 0]
    figure = Figure(figsize=(4.2, 4.2), dpi=90, layout="constrained")
    axes: Any = figure.add_subplot(projection="polar")
    axes.set_theta_zero_location("N")
    image = axes.pcolormesh(
        edges, np.arange(len(rings) + 1), share, vmin=0, vmax=1, cmap="RdYlGn", edgecolors="white"
    )
    axes.set_yticks(np.arange(len(rings)) + 0.5, [f"{r['force_n']:.0f} N" for r in rings])
    axes.set_xticks(np.deg2rad([0, 90, 180, 270]), ["pushed forward", "left", "backward", "right"])
    axes.tick_params(labelsize=8)
    axes.grid(False)
    figure.colorbar(image, ax=axes, shrink=0.7, label="share still up 6 s later")
    figure.suptitle(title, fontsize=10)
    figure.savefig(path)
    return True


def draw_steering(steering: Mapping[str, Any], path: Path, title: str) -> bool:
    """Writes a PNG: the RMS error of each velocity by the commanded vx, vy and yaw rate.

    Args:
        steering: commands (k, 3) and rms_errors (k, 3).
        path: The picture.
        title: Its title.

    Returns:
        False if matplotlib is not installed or no command was followed to its end.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    commands, errors = np.array(steering["commands"]), np.array(steering["rms_errors"])
    if not commands.size:
        return False
    figure = Figure(figsize=(9, 3.0), dpi=80, layout="constrained")
    names = ("vx [m/s]", "vy [m/s]", "yaw rate [rad/s]")
    panels = figure.subplots(1, len(names), sharey=True)
    for axis, (axes, name) in enumerate(zip(panels, names, strict=True)):
        edges = np.linspace(commands[:, axis].min(), commands[:, axis].max() + 1e-9, 13)
        place = np.digitize(commands[:, axis], edges)
        centres = 0.5 * (edges[1:] + edges[:-1])
        for error, label in zip(errors.T, names, strict=True):
            mean = [
                np.sqrt(np.square(error[place == i]).mean()) if np.any(place == i) else np.nan
                for i in range(1, edges.size)
            ]
            axes.plot(centres, mean, ".-", lw=1.2, label=f"error of {label}")
        axes.set_xlabel(f"commanded {name}", fontsize=8)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.3)
        axes.set_ylim(bottom=0.0)
    panels[0].set_ylabel("RMS error of the 0.8 s mean", fontsize=8)
    panels[0].legend(fontsize=7)
    figure.suptitle(title, fontsize=10)
    figure.savefig(path)
    return True
