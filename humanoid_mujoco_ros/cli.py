# SPDX-License-Identifier: Apache-2.0
"""The command `humanoid`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence

PACKAGE = "humanoid_mujoco_ros"

COMMANDS = {
    "sim": ("bringup.sim", "start the simulated humanoid and its policy"),
    "hardware": ("bringup.hardware", "drive a robot that publishes joint_states and odom"),
    "record": ("bags.recorder", "record a run as a rosbag2 bag"),
    "bag": ("bags.command", "info, play, verify, repair a bag"),
    "report": ("bags.report", "show a recorded run as a page"),
    "urdf": ("bringup.urdf", "print the robot's URDF"),
    "train": ("training.train", "train a policy"),
    "evaluate": ("training.evaluate", "measure policies: return, falls, pushes"),
    "bench": ("bringup.bench", "measure the speed of the loop"),
}
"""Name → module with a main(argv) and what it does."""


def usage() -> str:
    """What `humanoid --help` prints."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: humanoid COMMAND [OPTIONS]",
            "",
            "A MuJoCo humanoid on the ROS 2 graph, and the policy that keeps it walking.",
            "",
            *lines,
            "",
            "humanoid COMMAND --help explains the options of a command.",
        ]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command that the first argument names; 2 is the status of a wrong command line."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if arguments else 2
    name, *rest = arguments
    if name not in COMMANDS:
        print(f"error: unknown command '{name}'\n\n{usage()}", file=sys.stderr)
        return 2
    try:
        module = importlib.import_module(f"{PACKAGE}.{COMMANDS[name][0]}")
        status: int = module.main(rest)
    except KeyboardInterrupt:  # before the command got ready to be interrupted
        return 130
    return status


if __name__ == "__main__":
    sys.exit(main())
