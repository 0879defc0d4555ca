# SPDX-License-Identifier: Apache-2.0
"""When a robot has fallen: the one definition for simulation, training, views and reports."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from humanoid_mujoco_ros.robot.model import HEALTHY_HEIGHT_M as HEALTHY_HEIGHT_M
from humanoid_mujoco_ros.robot.model import RobotModel


def healthy_height_m(robot: RobotModel) -> tuple[float, float]:
    """Range of the base's height outside which `robot` has fallen, see `RobotModel.fall_rule`."""
    return robot.fall_rule.min_height, robot.fall_rule.max_height


def has_fallen(root_height_m: ArrayLike, healthy_m: tuple[float, float]) -> Any:
    """Whether a root at this height [m] has fallen; (...) heights give (...) answers.

    Args:
        root_height_m: Height of the root's frame above the floor; NaN counts as fallen.
        healthy_m: The robot's `healthy_height_m`.
    """
    height = np.asarray(root_height_m)
    return ~((height > healthy_m[0]) & (height < healthy_m[1]))
