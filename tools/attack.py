# SPDX-License-Identifier: Apache-2.0
"""Attacks the running nodes and counts what holds: `python3 tools/attack.py --seed 1`.

Every node of the package runs in a process of its own, on this machine alone and on a ROS domain of
its own. They are sent malformed and mutilated messages, called with values that no type allows,
flooded with names, stopped, killed and frozen. The exit status is 1 if anything did not hold.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import tyro
from attacks.calls import Calls
from attacks.files import Files
from attacks.messages import Flood
from attacks.mutations import OFTEN, SELDOM
from attacks.page import attack_page
from attacks.stage import Stage
from attacks.states import attack_states
from attacks.stops import Stops
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

_JUDGED_FROM_MIN = 5.0
"""Memory is still warming up in a shorter attack, so that its growth is told and not judged."""
_ROUNDS = 4
_SHORTEST_ROUND_S = 8.0
_NAMES = 46_200
_MAX_GROWTH = 0.05
_WIDTH = 140
"""Of the table; a pipe has none of its own."""
_MAX_LINES_PER_S = 1.0
_MAX_LINE = 400
"""Characters: 300 of the text, and what the log puts before it."""


@dataclass(frozen=True)
class Options:
    """Attack the running nodes and count what holds."""

    minutes: float = 10.0
    """How long the attack takes, without the start of the nodes."""
    seed: int = 1
    """The same seed makes the same messages, calls and files."""
    rate: float = 1000.0
    """Malformed messages per second."""
    stop_s: float = 0.2
    """Every stop must have ended all effort within this time."""
    logs: Path | None = None
    """Folder to keep what the nodes print; default: it is only counted."""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    how_many: str
    held: str
    ok: bool = True


class Attack:
    """Runs the parts one after another."""

    def __init__(self, options: Options, stage: Stage, progress: Progress, directory: Path) -> None:
        """Takes a stage on which all nodes run, and a folder for files."""
        self._options = options
        self._stage = stage
        self._progress = progress
        self._directory = directory
        self._flood = Flood(stage)
        self._calls = Calls(stage)
        self._on_page = 0
        self._rates_hz: list[float] = []
        self.rows: list[Row] = []

    def run(self) -> None:
        """Attacks; leaves the rows of the table."""
        total_s = 60 * self._options.minutes
        start_s = time.monotonic()
        growth = self._attack_by_messages(0.5 * total_s)
        self._tell_messages()
        self._attack_by_stops(0.2 * total_s)
        self._attack_by_states(0.15 * total_s)
        self._attack_by_files(0.15 * total_s)
        self._judge(time.monotonic() - start_s, growth)

    @contextlib.contextmanager
    def _task(self, what: str) -> Iterator[None]:
        task = self._progress.add_task(what, total=None)
        yield
        self._progress.update(task, total=1, completed=1)

    def _add(self, what: str, how_many: object, held: str, *, ok: bool = True) -> None:
        self.rows.append(Row(what, str(how_many), held, ok))

    def _attack_by_messages(self, duration_s: float) -> dict[str, float]:
        """Returns by how much the memory of each node grew after the first round."""
        rounds = max(2, min(_ROUNDS, int(duration_s / _SHORTEST_ROUND_S)))
        part_s = duration_s / rounds / 6
        names = _NAMES if self._options.minutes >= 1 else _NAMES // 10
        before: dict[str, Memory] = {}
        for index in range(rounds):
            name = f"round {index + 1} of {rounds}"
            # A node keeps room for long messages that it has had; let it have many at first.
            self._stage.mutator.long_share = OFTEN if index == 0 else SELDOM
            with self._task(f"{name}: malformed messages"):
                self._rates_hz.append(self._flood.run(2 * part_s, self._options.rate))
            with self._task(f"{name}: a stranger commands"):
                self._flood.command(part_s)
            with self._task(f"{name}: calls"):
                self._calls.run(part_s)
            with self._task(f"{name}: names"):
                self._flood.names(part_s, names)
            with self._task(f"{name}: the page"):
                self._on_page += attack_page(self._stage, part_s)
            self._stage.recover()
            if index == 0:
                before = memory(self._stage)
        now = memory(self._stage)
        return {
            name: (now[name].private_bytes - old.private_bytes) / old.resident_bytes
            for name, old in before.items()
            if name in now and now[name].pid == old.pid
        }

    def _tell_messages(self) -> None:
        flood, calls = self._flood, self._calls
        rate = f"control rate at least {min(self._rates_hz):.1f} Hz"
        topics = f"malformed and mutilated messages on {flood.topic_count} topics"
        self._add(topics, flood.sent, f"{rate}, at {flood.rate:.0f} messages/s")
        self._add("commands of a stranger", flood.commands, "refused; the policy came back")
        self._add("names on /diagnostics", flood.named, "see the memory below")
        held = f"{calls.answered} answered"
        self._add("calls of every service", calls.made, held, ok=calls.answered == calls.made)
        self._add("bogus values, drags and bytes on the page", self._on_page, "refused")

    def _attack_by_stops(self, duration_s: float) -> None:
        stops = Stops(self._stage)
        kinds: dict[str, Callable[[], float]] = {
            "stops by two lifecycle calls": stops.deactivate,
            "kills of the policy (SIGKILL)": stops.kill,
            "freezes of the policy (SIGSTOP)": stops.freeze,
        }
        for what, stop in kinds.items():
            with self._task(what):
                times_s = stops.repeat(stop, duration_s / len(kinds))
            worst_s = max(times_s)
            held = f"zero effort within {worst_s:.3f} s"
            if stop == stops.kill:
                held += f"; driven again within {stops.longest_absence_s:.1f} s"
            self._add(what, len(times_s), held, ok=worst_s <= self._options.stop_s)
        self._stage.faults += stops.faults

    def _attack_by_states(self, duration_s: float) -> None:
        with self._task("frozen robots"):
            found = attack_states(self._stage, duration_s)
        for what, (states, last_s) in found.items():
            if last_s is None:
                self._add(f"frozen states whose stamps {what}", 0, "no policy to stop", ok=False)
                continue
            held = f"zero effort within {last_s:.3f} s"
            ok = last_s <= self._options.stop_s
            self._add(f"frozen states whose stamps {what}", states, held, ok=ok)

    def _attack_by_files(self, duration_s: float) -> None:
        stage = self._stage
        stage.victims.check()
        stage.victims.close()
        files = Files(stage.mutator, self._directory, stage.environment)
        with self._task("mutilated files"):
            files.run(duration_s)
        held = "; ".join(files.faults) or "each ended in a report or in one line"
        self._add("mutilated bags, models and policies", files.count, held, ok=not files.faults)

    def _judge(self, duration_s: float, growth: dict[str, float]) -> None:
        stage, is_long = self._stage, self._options.minutes >= _JUDGED_FROM_MIN
        stage.victims.check()
        ended = stage.victims.ended + stage.faults
        held = "; ".join(ended) or "all are there and at work"
        self._add("processes that ended, or went on without work", len(ended), held, ok=not ended)
        heard = (
            f"{stage.watch.states + stage.watch.commands} efforts, {stage.watch.wrenches} wrenches"
        )
        faults = stage.watch.faults
        self._add(heard, f"{len(faults)} faults", "; ".join(faults[:3]) or "finite", ok=not faults)
        name, most = max(growth.items(), key=lambda item: item[1], default=("no node", 0.0))
        held = f"the most, of {name}" + ("" if is_long else "; too short an attack to judge it")
        ok = most <= _MAX_GROWTH or not is_long
        self._add("memory after the first round", f"{100 * most:+.1f} %", held, ok=ok)
        victims = stage.victims.all.values()
        most_lines = max(victims, key=lambda victim: victim.lines)
        rate = most_lines.lines / duration_s
        held = f"the most, of {most_lines.name}"
        self._add("log", f"{rate:.2f} lines/s", held, ok=rate <= _MAX_LINES_PER_S or not is_long)
        longest = max(victims, key=lambda victim: victim.longest)
        held = f"of {longest.name}"
        ok = longest.longest <= _MAX_LINE
        self._add("longest line", f"{longest.longest} characters", held, ok=ok)


@dataclass(frozen=True)
class Memory:
    """What a process had at one moment."""

    pid: int
    private_bytes: int
    """What DDS shares with other processes does not count."""
    resident_bytes: int


def memory(stage: Stage) -> dict[str, Memory]:
    """Node → its memory."""
    return {
        name: Memory(victim.process.pid, victim.memory_bytes, victim.resident_bytes)
        for name, victim in stage.victims.all.items()
        if victim.process is not None
    }


def table(options: Options, rows: list[Row]) -> Table:
    """The result."""
    result = Table("attack", "how many", "what held", "")
    result.title = f"{options.minutes:g} minutes, seed {options.seed}"
    for row in rows:
        result.add_row(row.what, row.how_many, row.held, "ok" if row.ok else "FAULT")
    return result


def main() -> int:
    """Prints the table; the exit status is 1 if anything did not hold."""
    options = tyro.cli(Options)
    console = Console(width=_WIDTH)
    with (
        tempfile.TemporaryDirectory(prefix="humanoid_attack_") as name,
        Stage(options.seed, Path(name), options.logs) as stage,
    ):
        columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
        with Progress(*columns, console=console) as progress:
            attack = Attack(options, stage, progress, Path(name))
            attack.run()
        console.print(table(options, attack.rows))
    return int(not all(row.ok for row in attack.rows))


if __name__ == "__main__":
    sys.exit(main())
