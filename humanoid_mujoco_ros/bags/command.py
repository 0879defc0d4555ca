# SPDX-License-Identifier: Apache-2.0
"""`humanoid bag`: info, play, verify and repair."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from humanoid_mujoco_ros import subcommands
from humanoid_mujoco_ros.bags.errors import BagError, exit_status, plain
from humanoid_mujoco_ros.subcommands import Command


@dataclass(frozen=True)
class InfoOptions:
    """Show what a bag holds; the exit status is 1 if it is damaged."""

    bag: tyro.conf.Positional[Path]
    """The bag's folder, or a .mcap or .db3 file."""


@dataclass(frozen=True)
class PlayOptions:
    """Publish a bag again, for RViz or the browser view, until its end or Ctrl-C.

    Time on /clock comes from the bag, or else from its stamps. Commands are left out, since a robot
    that listens would obey them. Beside a live robot nothing is played.
    """

    bag: tyro.conf.Positional[Path]
    """The bag's folder, or a .mcap or .db3 file."""
    rate: float = 1.0
    """Recorded seconds per second."""
    start: float = 0.0
    """Begin so many seconds after the bag's first message."""
    loop: bool = False
    """Begin again at the end; time jumps back then."""
    topics: tuple[str, ...] = ()
    """Only these."""
    commands: bool = False
    """Publish recorded commands and pushes too: a robot that listens moves."""
    beside_live_nodes: bool = False
    """Play even where a live robot publishes the same topics."""
    network: bool = False
    """Also reach other machines; otherwise only nodes on this one."""


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
    """Prints what a bag holds.

    Returns:
        Exit status: 1 when the bag is damaged.

    Raises:
        BagError: The bag cannot be read.
    """
    from humanoid_mujoco_ros.bags.info import describe

    lines, is_whole = describe(options.bag.expanduser())
    for line in lines:
        print(plain(line))
    return 0 if is_whole else 1


def play(options: PlayOptions) -> int:
    """Publishes a bag again.

    Returns:
        Exit status.

    Raises:
        BagError: The bag or an option cannot be used, there is no ROS, or a live robot.
    """
    try:
        player = importlib.import_module("humanoid_mujoco_ros.bags.player")
    except ImportError as error:
        raise BagError(f"playing needs ROS, which is not in this shell: {error}") from error
    status: int = player.play(options)
    return status


def verify(options: VerifyOptions) -> int:
    """Prints whether a lockstep run can be reproduced.

    Returns:
        Exit status: 1 when a joint state differs.

    Raises:
        BagError: The bag does not tell enough.
    """
    from humanoid_mujoco_ros.bags.verify import verify as compare

    verdict = compare(options.bag.expanduser(), options.namespace)
    if verdict.remark is not None:
        print(plain(f"compared {verdict.remark}"))
    if verdict.difference is not None:
        print(plain(f"NOT reproduced: {verdict.difference}"))
        return 1
    print(
        f"reproduced: {verdict.compared} of {verdict.recorded} recorded joint states are the same "
        "bit for bit"
    )
    return 0


def repair(options: RepairOptions) -> int:
    """Saves what can be read of a bag.

    Returns:
        Exit status.

    Raises:
        BagError: Nothing can be read, or the new bag cannot be made.
        OSError: The new bag cannot be written.
    """
    from humanoid_mujoco_ros.bags.repair import recover

    source = options.bag.expanduser().absolute()
    output = options.output or source.with_name(f"{source.stem}_repaired")
    recovery = recover(source, output.expanduser())
    for problem in recovery.problems:
        print(plain(problem))
    print(plain(f"wrote {recovery.message_count} messages to {output}"))
    return 0


def run(options: InfoOptions | PlayOptions | VerifyOptions | RepairOptions) -> int:
    """Runs the command that the options are for; 2 is the status of an unusable bag."""
    if isinstance(options, InfoOptions):
        return exit_status(lambda: info(options))
    if isinstance(options, PlayOptions):
        return exit_status(lambda: play(options))
    if isinstance(options, VerifyOptions):
        return exit_status(lambda: verify(options))
    return exit_status(lambda: repair(options))


COMMANDS = {
    "info": Command("bags.command:InfoOptions", "bags.command:run", "show what a bag holds"),
    "play": Command(
        "bags.command:PlayOptions",
        "bags.command:run",
        "publish a bag again, for RViz or the browser view",
    ),
    "verify": Command(
        "bags.command:VerifyOptions",
        "bags.command:run",
        "simulate a lockstep run again and compare it bit for bit",
    ),
    "repair": Command(
        "bags.command:RepairOptions",
        "bags.command:run",
        "save what can be read of a damaged bag",
    ),
}


def main(argv: Sequence[str]) -> int:
    """Runs `humanoid bag`; 2 is the status of a wrong command line or an unusable bag."""
    return subcommands.run(COMMANDS, argv, "humanoid bag")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
