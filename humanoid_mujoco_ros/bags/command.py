# SPDX-License-Identifier: Apache-2.0
"""`humanoid bag`: info, play, verify and repair."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from humanoid_mujoco_ros import subcommands
from humanoid_mujoco_ros.bags.errors import BagError
from humanoid_mujoco_ros.subcommands import Command

if TYPE_CHECKING:
    from humanoid_mujoco_ros.bags.player import PlayOptions


@dataclass(frozen=True)
class InfoOptions:
    """Show what a bag holds; the exit status is 1 if it is damaged."""

    bag: tyro.conf.Positional[Path]
    """The bag's folder, or a .mcap or .db3 file."""


@dataclass(frozen=True)
class VerifyOptions:
    """Simulate a lockstep run again from its recorded commands, and compare it bit for bit.

    The exit status is 1 if a joint state differs.
    """

    bag: tyro.conf.Positional[Path]
    """A bag that `humanoid record` made, started before the simulation."""
    namespace: str = ""
    """Namespace of the robot."""


@dataclass(frozen=True)
class RepairOptions:
    """Copy all that can be read of a damaged bag into a new one, which every reader opens."""

    bag: tyro.conf.Positional[Path]
    """The bag's folder, or a .mcap or .db3 file. It is not changed."""
    output: Path | None = None
    """Folder of the new bag, which must not exist; default: <bag>_repaired."""


def info(options: InfoOptions) -> int:
    """Runs `humanoid bag info`."""
    from humanoid_mujoco_ros.bags.info import describe

    with _one_line():
        text, is_whole = describe(options.bag)
        print(text)
        return 0 if is_whole else 1


def play(options: PlayOptions) -> int:
    """Runs `humanoid bag play`."""
    from humanoid_mujoco_ros.bags import player

    with _one_line():
        return player.play(options)


def verify(options: VerifyOptions) -> int:
    """Runs `humanoid bag verify`."""
    from humanoid_mujoco_ros.bags import verify

    with _one_line():
        verdict = verify.verify(options.bag, options.namespace)
    if verdict.remark:
        print(f"compared {verdict.remark}")
    if verdict.difference:
        print(f"NOT reproduced: {verdict.difference}")
        return 1
    print(
        f"reproduced: {verdict.compared} of {verdict.recorded} recorded joint states are the same "
        "bit for bit"
    )
    return 0


def repair(options: RepairOptions) -> int:
    """Runs `humanoid bag repair`."""
    from humanoid_mujoco_ros.bags.repair import recover

    source = options.bag
    output = options.output or source.with_name(f"{source.stem}_repaired")
    with _one_line():
        recovery = recover(source, output)
    for problem in recovery.problems:
        print(problem)
    print(f"wrote {recovery.message_count} messages to {output}")
    return 0


@contextmanager
def _one_line() -> Iterator[None]:
    """Ends the command with one line where a bag cannot be used."""
    try:
        yield
    except (BagError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(subcommands.USAGE_ERROR) from error


COMMANDS = {
    "info": Command("bags.command:InfoOptions", "bags.command:info", "show what a bag holds"),
    "play": Command(
        "bags.player:PlayOptions",
        "bags.command:play",
        "publish a bag again, for RViz or the browser view",
    ),
    "verify": Command(
        "bags.command:VerifyOptions",
        "bags.command:verify",
        "simulate a lockstep run again and compare it bit for bit",
    ),
    "repair": Command(
        "bags.command:RepairOptions",
        "bags.command:repair",
        "save what can be read of a damaged bag",
    ),
}


def main(argv: Sequence[str]) -> int:
    """Runs `humanoid bag`."""
    return subcommands.run(COMMANDS, argv, "humanoid bag")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
