# SPDX-License-Identifier: Apache-2.0
"""The command `humanoid`: a MuJoCo humanoid on the ROS 2 graph, and its policies."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from humanoid_mujoco_ros import subcommands
from humanoid_mujoco_ros.bags.command import COMMANDS as BAG_COMMANDS
from humanoid_mujoco_ros.subcommands import Command, Group

COMMANDS: Mapping[str, Command | Group] = {
    "sim": Command(
        "bringup.sim:SimOptions",
        "bringup.sim:run",
        "start the simulated humanoid and its policy",
    ),
    "hardware": Command(
        "bringup.hardware:HardwareOptions",
        "bringup.hardware:run",
        "drive a robot that publishes joint_states and odom or imu/data",
    ),
    "drive": Command(
        "bringup.drive:DriveOptions", "bringup.drive:run", "drive the robot with the keys"
    ),
    "record": Command(
        "bags.recorder:RecordOptions", "bags.recorder:run", "record a run as a rosbag2 bag"
    ),
    "bag": Group(BAG_COMMANDS, "info, play, verify, repair a bag"),
    "report": Command(
        "bags.report:ReportOptions", "bags.report:run", "show a recorded run as a page"
    ),
    "urdf": Command("bringup.urdf:UrdfOptions", "bringup.urdf:run", "print the robot's URDF"),
    "robots": Command("bringup.robots:RobotsOptions", "bringup.robots:run", "list the robots"),
    "policy": Group(
        {
            "show": Command(
                "bringup.policy_info:PolicyOptions",
                "bringup.policy_info:run",
                "print what a policy is and which robots it fits",
            ),
            "use": Command(
                "bringup.policy_use:UseOptions",
                "bringup.policy_use:run",
                "let a running robot be driven by another policy",
            ),
        },
        "print what a policy is; switch a running robot to one",
        default="show",
    ),
    "export": Command(
        "bringup.export:ExportOptions", "bringup.export:run", "write a policy as an ONNX file"
    ),
    "train": Command("training.train:TrainOptions", "training.train:run", "train a policy"),
    "evaluate": Command(
        "training.evaluate:EvaluateOptions",
        "training.evaluate:run",
        "measure policies: return, falls, pushes",
    ),
    "bench": Command(
        "bench.command:BenchOptions", "bench.command:run", "measure the speed of the loop"
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `humanoid`."""
    _find_log_folder()
    return subcommands.run(COMMANDS, sys.argv[1:] if argv is None else argv, "humanoid")


def _find_log_folder() -> None:
    """Lets ROS log to a temporary folder where there is no home to write to; it would not start."""
    if os.environ.get("ROS_LOG_DIR") or os.environ.get("ROS_HOME"):
        return
    home = Path(os.environ.get("HOME") or "/dev/null")
    there = next(path for path in (home, *home.parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        folder = Path(tempfile.gettempdir()) / f"humanoid_ros_log_{os.getuid()}"
        os.environ["ROS_LOG_DIR"] = str(folder)


if __name__ == "__main__":
    sys.exit(main())
