# SPDX-License-Identifier: Apache-2.0
"""`humanoid export`: a policy as an ONNX file."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from humanoid_mujoco_ros.bringup.robots import robot_model
from humanoid_mujoco_ros.policy import checkpoint, locate
from humanoid_mujoco_ros.policy.checkpoint import CheckpointError
from humanoid_mujoco_ros.policy.onnx_export import export
from humanoid_mujoco_ros.policy.onnx_file import SUFFIX
from humanoid_mujoco_ros.robot.model import ModelError


@dataclass(frozen=True)
class ExportOptions:
    """Write a policy as an ONNX file, with what it reads and drives in the metadata."""

    policy: tyro.conf.Positional[str]
    """A shipped policy such as walk, a file, or hf://owner/repo[@revision][/file]."""
    file: tyro.conf.Positional[Path]
    """The ONNX file to write."""
    robot: str = "humanoid"
    """The robot that a file of CleanRL's, which names no joints, was trained for: a name of
    `humanoid robots`, a card or an MJCF file."""


def run(options: ExportOptions) -> int:
    """Runs `humanoid export`."""
    try:
        found = locate.find(options.policy)
        if found.file.suffix == SUFFIX:
            raise CheckpointError(f"{found.file} is an ONNX file already")
        policy = checkpoint.load(found.file, robot_model(options.robot))
        export(policy, options.file)
    except (CheckpointError, ModelError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{options.file}: {policy.observation_size} values to {len(policy.joints)} actions")
    return 0
