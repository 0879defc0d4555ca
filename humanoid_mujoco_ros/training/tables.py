# SPDX-License-Identifier: Apache-2.0
"""What `humanoid evaluate` shows and writes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from humanoid_mujoco_ros.interaction.push import SURVIVED_PUSH_S
from humanoid_mujoco_ros.training.trial import PUSH_S

if TYPE_CHECKING:
    from humanoid_mujoco_ros.training.evaluate import EvaluateOptions

Result = Mapping[str, Any]
Column = tuple[str, Callable[[Mapping[str, Any]], str]]
"""Title of a column, and what it shows of a row."""

GYMNASIUM_COLUMNS: tuple[Column, ...] = (
    ("environment", lambda v: v["environment"]),
    ("return", lambda v: f"{v['return_mean']:,.1f} ± {v['return_std']:,.1f}"),
    ("min", lambda v: f"{v['return_min']:,.1f}"),
    ("length", lambda v: f"{v['length_mean']:.1f}"),
    ("falls", lambda v: f"{v['falls']}/{v['episodes']}"),
    ("speed m/s", lambda v: f"{v['speed_m_s']:.2f}"),
)
EPISODES_COLUMNS: tuple[Column, ...] = (
    ("episodes", lambda v: f"{v['episodes']} x {v['label']}"),
    ("falls", lambda v: f"{v['falls']}"),
    ("upright s", lambda v: f"{v['upright_s']:.1f}"),
    ("speed m/s", lambda v: f"{v['speed_m_s']:.2f}"),
    ("drift m", lambda v: f"{v['drift_m']:.2f}"),
    ("sideways m", lambda v: f"{v['sideways_m']:.2f}"),
    ("turn deg", lambda v: f"{v['turn_deg']:.1f}"),
    ("mean ctrl²", lambda v: f"{v['effort']:.3f}"),
)

COMMANDS_COLUMNS: tuple[Column, ...] = (
    ("asked", lambda v: _triple(v["command"])),
    ("reached", lambda v: _triple(v["reached"])),
    ("falls", lambda v: f"{v['falls']}/{v['starts']}"),
)


def _triple(values: Sequence[float]) -> str:
    return "  ".join(f"{value:5.2f}" for value in values)


def show(results: Sequence[Result], console: Console, *, posed: bool) -> None:
    """Prints one table for each battery, with the rows of each policy.

    Args:
        results: What each policy did.
        console: Where to print.
        posed: The policies read the posed model's observation.
    """
    seen = ", observed through the posed model" if posed else ""
    returns = [(r["policy"], r["gymnasium"]) for r in results if "gymnasium" in r]
    title = "Gymnasium (at most 1,000 steps)"
    _print_table(console, title, GYMNASIUM_COLUMNS, returns)
    episodes = [
        (r["policy"], {"label": label, **row})
        for r in results
        for label, row in r.get("episodes", {}).items()
    ]
    title = f"Episodes (100 Hz, RK4 0.0025 s x 4){seen}"
    _print_table(console, title, EPISODES_COLUMNS, episodes)
    pushes = [
        (r["policy"], {p["force_n"]: p for p in r["pushes"]}) for r in results if "pushes" in r
    ]
    forces = sorted({force for _, row in pushes for force in row})
    title = f"Pushes of {PUSH_S} s on the torso, still up {SURVIVED_PUSH_S:.0f} s later{seen}"
    _print_table(console, title, [_share_column(force) for force in forces], pushes)
    for battery, title in (("steer", "Following velocity commands"), ("rise", "Getting up")):
        held = [(r["policy"], {row["name"]: row for row in r[battery]["rows"]})
                for r in results if battery in r]  # fmt: skip
        _print_bars(console, f"{title} (100 Hz, RK4 0.0025 s x 4)", held)
    commands = [(r["policy"], row) for r in results for row in r.get("commands", ())]
    _print_table(
        console, "Commands: vx and vy in m/s, yaw rate in rad/s", COMMANDS_COLUMNS, commands
    )


def _share_column(force_n: float) -> Column:
    return (
        f"{force_n:.0f} N",
        lambda row: f"{100 * row[force_n]['survived_share']:.1f} % of {row[force_n]['pushes']}",
    )


def _print_bars(
    console: Console, title: str, policies: Sequence[tuple[str, Mapping[str, Mapping[str, Any]]]]
) -> None:
    """A row for each figure with its bar, a column for each policy."""
    if not policies:
        return
    table = Table(title=title)
    table.add_column("figure")
    table.add_column("bar", justify="right")
    for policy, _ in policies:
        table.add_column(policy, justify="right")
    for name, first in policies[0][1].items():
        sign = "<=" if first["is_most"] else ">="
        cells = []
        for _, rows in policies:
            row = rows[name]
            passes = row["value"] <= row["bar"] if row["is_most"] else row["value"] >= row["bar"]
            cells.append(f"{row['value']:.3g} {row['unit']}" + ("" if passes else " (missed)"))
        table.add_row(name, f"{sign} {first['bar']:g} {first['unit']}", *cells)
    console.print(table)


def _print_table(
    console: Console, title: str, columns: Sequence[Column], rows: Sequence[tuple[str, Any]]
) -> None:
    """A row for each policy; no rows, no table."""
    if not rows:
        return
    table = Table(title=title)
    table.add_column("policy")
    for name, _ in columns:
        table.add_column(name, justify="right")
    for policy, row in rows:
        table.add_row(policy, *(text(row) for _, text in columns))
    console.print(table)


def write(results: Sequence[Result], options: EvaluateOptions, folder: Path) -> list[Path]:
    """Writes the JSON file, and a polar picture for each policy that was pushed."""
    from humanoid_mujoco_ros.training import curves

    folder.mkdir(parents=True, exist_ok=True)
    numbers = folder / "evaluation.json"
    content = {"options": asdict(options), "results": list(results)}
    numbers.write_text(json.dumps(content, indent=1, default=str) + "\n", encoding="utf-8")
    written = [numbers]
    for r in results:
        picture = folder / f"{Path(r['policy']).stem}_pushes.png"
        if "pushes" in r and curves.draw_pushes(r["pushes"], picture, r["policy"]):
            written.append(picture)
        picture = folder / f"{Path(r['policy']).stem}_errors.png"
        if "steer" in r and curves.draw_steering(r["steer"], picture, r["policy"]):
            written.append(picture)
    return written
