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

    robot: str = ModelConfig.robot
    """The robot: the name of a card, a card FILE.yaml, or a model FILE.xml."""


def run(options: UrdfOptions) -> int:
    """Runs `humanoid urdf`."""
    try:
        sys.stdout.write(urdf(RobotModel(ModelConfig(robot=options.robot))))
    except ModelError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0
