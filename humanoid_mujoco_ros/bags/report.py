# SPDX-License-Identifier: Apache-2.0
"""`humanoid report`: one page that shows a recorded run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from humanoid_mujoco_ros.bags.errors import BagError, exit_status, plain
from humanoid_mujoco_ros.bags.reader import open_bag

_MAX_NOTES = 10


@dataclass(frozen=True)
class ReportOptions:
    """Show a recorded run as one HTML page that needs neither network nor server.

    Reads bags of `humanoid record` and of `ros2 bag record` (MCAP and SQLite), of the simulation
    and of hardware. What a bag does not hold is named and left out.
    """

    bag: tyro.conf.Positional[Path]
    """The bag's folder, or a .mcap or .db3 file."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """The page; default: <bag>.html. A page that is there already is replaced."""
    namespace: str | None = None
    """Namespace of the robot; default: the only one in the bag."""
    fall_height: float | None = None
    """Height of base_link [m] under which the robot has fallen; default: what the simulation says,
    or else a share of the height at which the robot stands."""


def report(options: ReportOptions) -> int:
    """Writes the page and says where it is.

    Returns:
        Exit status.

    Raises:
        BagError: The bag cannot be read, or the page cannot be written.
    """
    try:
        from humanoid_mujoco_ros.bags.analysis import analyse
        from humanoid_mujoco_ros.bags.run_reader import read_run
        from humanoid_mujoco_ros.bags.sections import build
    except ImportError as error:
        raise BagError(
            f"a report needs the Python packages plotly and jinja2 ({error}): "
            "pip install plotly jinja2"
        ) from error
    path = options.bag.expanduser().resolve()
    output = (options.output or path.with_suffix(".html")).expanduser()
    with open_bag(path) as bag:
        run = read_run(bag, options.namespace)
        page = build(bag, run, analyse(run, options.fall_height))
        notes = [*bag.problems, *run.notes]
    try:
        # A text of the bag may hold what UTF-8 cannot.
        output.write_bytes(page.html().encode("utf-8", "replace"))
    except OSError as error:
        raise BagError(f"cannot write {output}: {error.strerror}") from error
    print(plain(f"wrote {output}"))
    for note in notes[:_MAX_NOTES]:
        print(plain(f"note: {note}"), file=sys.stderr)
    return 0


def run(options: ReportOptions) -> int:
    """Runs `humanoid report`; 2 is the status of a bag or an option that cannot be used."""
    return exit_status(lambda: report(options))


def main(argv: Sequence[str]) -> int:
    """Runs the report as a program of its own."""
    return run(tyro.cli(ReportOptions, args=list(argv), prog="humanoid report"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
