# SPDX-License-Identifier: Apache-2.0
"""`humanoid urdf`: the robot's URDF on standard output."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from humanoid_mujoco_ros.robot.model import ModelConfig, ModelError, RobotModel
from humanoid_mujoco_ros.robot.urdf import urdf


@dataclass(frozen=True)
class UrdfOptions:
    """Print the URDF that is published on robot_description."""

    model: str = ""
    """MJCF file; empty: Gymnasium's humanoid."""
    left_foot: str = ModelConfig.left_foot
    """Body that is the left foot; empty: none."""
    right_foot: str = ModelConfig.right_foot
    """Body that is the right foot; empty: none."""


def run(options: UrdfOptions) -> int:
    """Runs `humanoid urdf`."""
    config = ModelConfig(
        path=options.model, left_foot=options.left_foot, right_foot=options.right_foot
    )
    try:
        sys.stdout.write(urdf(RobotModel(config)))
    except ModelError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0
