# SPDX-License-Identifier: Apache-2.0
"""The panel's figures as HTML."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.viewer.readings import Readings

Float64Array = NDArray[np.float64]

_GOOD, _WARN, _BAD = "#1f9d55", "#d98200", "#d32f3f"
_MOST_PROBLEMS = 4


def number(value: float, template: str) -> str:
    """A figure as text; a dash where it is not known."""
    return template.format(value) if math.isfinite(value) else "–"


def tiles_html(readings: Readings) -> str:
    """The numbers, each in a tile."""
    tiles = (
        ("Height", number(readings.body_height_m, "{:.2f}"), "m"),
        ("Forward", number(readings.forward_speed_m_s, "{:z.2f}"), "m/s"),
        ("Steps", number(readings.step_count, "{:.0f}"), ""),
        ("Return", number(readings.episode_return, "{:z.0f}"), ""),
        ("Control", number(readings.control_rate_hz, "{:.1f}"), "Hz"),
        ("Latency", number(readings.latency_ms, "{:.1f}"), "ms"),
        ("Real time", number(readings.real_time_factor, "{:.2f}"), "×"),
        ("Time", number(readings.time_s, "{:.1f}"), "s"),
    )
    cells = "".join(
        f'<div data-figure="{label}" style="background:rgba(128,140,155,.12);border-radius:6px;'
        'padding:.25em .5em;min-width:0">'
        f'<div style="font-size:.68em;opacity:.65">{label}</div>'
        f'<div style="font-size:1.05em;font-weight:600;font-variant-numeric:tabular-nums;'
        f'white-space:nowrap">{value}<span style="font-size:.65em;font-weight:400;opacity:.65">'
        f" {unit}</span></div></div>"
        for label, value, unit in tiles
    )
    return (
        '<div style="display:grid;grid-template-columns:repeat(4,minmax(0,1fr));gap:.3em;'
        f'margin:0 .6em .6em">{cells}</div>'
    )


def health_html(readings: Readings) -> str:
    """What is wrong, the worst first, and who controls the robot."""
    problems = [(_BAD, text) for text in readings.errors]
    problems += [(_WARN, text) for text in readings.warnings]
    lines = [_banner(color, text) for color, text in problems[:_MOST_PROBLEMS]]
    if readings.is_paused:
        lines.append(_banner(_WARN, "paused"))
    elif readings.is_policy_active:
        lines.append(_banner(_GOOD, f"policy '{readings.policy}' is in control"))
    elif not problems:
        lines.append(_banner(_GOOD, "robot seen"))
    return f'<div data-health="" style="margin:.2em .6em .5em">{"".join(lines)}</div>'


def _banner(color: str, text: str) -> str:
    return (
        f'<div style="border-left:4px solid {color};background:{color}1c;border-radius:4px;'
        f'padding:.3em .6em;margin-bottom:.25em;font-size:.82em">{html.escape(text)}</div>'
    )


def score_html(text: str | None) -> str:
    """The score of a bout, in large letters; nothing for None."""
    if text is None:
        return ""
    return (
        '<div data-score="" style="font-size:1.5em;font-weight:700;text-align:center;'
        f'margin:.2em .4em .4em">{html.escape(text)}</div>'
    )


def note_html(text: str | None, *, is_error: bool = False) -> str:
    """A line of small text; nothing for None."""
    if text is None:
        return ""
    return (
        '<div style="font-size:.76em;line-height:1.35;margin:.1em .9em .3em;'
        f'color:{_BAD if is_error else "inherit"};opacity:.85">{html.escape(text)}</div>'
    )


def joints_html(joints: Sequence[str], efforts: Float64Array, limits: Float64Array) -> str:
    """The efforts as bars.

    Args:
        joints: Names.
        efforts: (n,) [N·m]; NaN where not measured.
        limits: (n,) [N·m].
    """
    rows = []
    for joint, effort, limit in zip(joints, efforts, limits, strict=True):
        fraction = float(np.clip(effort / limit, -1.0, 1.0)) if math.isfinite(effort) else 0.0
        left, width = 50 + 50 * min(fraction, 0.0), 50 * abs(fraction)
        color = _BAD if abs(fraction) > 0.98 else "#266ed6"
        rows.append(
            '<div style="width:38%;overflow:hidden;text-overflow:ellipsis">'
            f"{html.escape(joint)}</div>"
            '<div style="flex:1;position:relative;height:9px;background:rgba(128,140,155,.16);'
            'border-radius:3px"><div style="position:absolute;left:50%;width:1px;height:100%;'
            'background:rgba(128,140,155,.6)"></div>'
            f'<div style="position:absolute;left:{left:.1f}%;width:{width:.1f}%;height:100%;'
            f'background:{color};border-radius:3px"></div></div>'
            '<div style="width:18%;text-align:right;font-variant-numeric:tabular-nums">'
            f"{number(float(effort), '{:.0f}')}</div>"
        )
    lines = "".join(
        f'<div style="display:flex;align-items:center;gap:.4em;height:1.55em">{row}</div>'
        for row in rows
    )
    return (
        f'<div data-joints="" style="font-size:.72em;margin:.5em .7em">{lines}'
        '<div style="opacity:.65;margin-top:.4em">N·m; a full bar is the joint\'s limit</div></div>'
    )
