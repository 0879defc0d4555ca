# SPDX-License-Identifier: Apache-2.0
"""`humanoid bag`: info, play, verify and repair."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from humanoid_mujoco_ros.bags.errors import BagError


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


def info(arguments: Sequence[str]) -> int:
    """Runs `humanoid bag info`."""
    options = tyro.cli(InfoOptions, args=list(arguments), prog="humanoid bag info")
    from humanoid_mujoco_ros.bags.info import describe

    text, is_whole = describe(options.bag)
    print(text)
    return 0 if is_whole else 1


def play(arguments: Sequence[str]) -> int:
    """Runs `humanoid bag play`."""
    try:
        player = importlib.import_module("humanoid_mujoco_ros.bags.player")
    except ImportError as error:
        raise BagError(f"playing needs ROS, which is not in this shell: {error}") from error
    options = tyro.cli(player.PlayOptions, args=list(arguments), prog="humanoid bag play")
    status: int = player.play(options)
    return status


def verify(arguments: Sequence[str]) -> int:
    """Runs `humanoid bag verify`."""
    options = tyro.cli(VerifyOptions, args=list(arguments), prog="humanoid bag verify")
    from humanoid_mujoco_ros.bags.verify import verify as run

    verdict = run(options.bag, options.namespace)
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


def repair(arguments: Sequence[str]) -> int:
    """Runs `humanoid bag repair`."""
    options = tyro.cli(RepairOptions, args=list(arguments), prog="humanoid bag repair")
    from humanoid_mujoco_ros.bags.repair import recover

    source = options.bag
    output = options.output or source.with_name(f"{source.stem}_repaired")
    recovery = recover(source, output)
    for problem in recovery.problems:
        print(problem)
    print(f"wrote {recovery.message_count} messages to {output}")
    return 0


COMMANDS: dict[str, tuple[Callable[[Sequence[str]], int], str]] = {
    "info": (info, "show what a bag holds"),
    "play": (play, "publish a bag again, for RViz or the browser view"),
    "verify": (verify, "simulate a lockstep run again and compare it bit for bit"),
    "repair": (repair, "save what can be read of a damaged bag"),
}


def usage() -> str:
    """What `humanoid bag --help` prints."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: humanoid bag COMMAND BAG [OPTIONS]",
            "",
            *lines,
            "",
            "`humanoid record` makes bags, `humanoid report` shows a run as a page.",
        ]
    )


def main(argv: Sequence[str]) -> int:
    """Runs `humanoid bag`; 2 is the status of a wrong command line or an unusable bag."""
    arguments = list(argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if arguments else 2
    name, *rest = arguments
    if name not in COMMANDS:
        print(f"error: unknown command 'bag {name}'\n\n{usage()}", file=sys.stderr)
        return 2
    try:
        return COMMANDS[name][0](rest)
    except (BagError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
