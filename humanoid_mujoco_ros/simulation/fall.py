# SPDX-License-Identifier: Apache-2.0
"""When a robot has fallen: the one definition for simulation, training, views and reports."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from humanoid_mujoco_ros.robot.model import RobotModel

HEALTHY_HEIGHT_M = (1.0, 2.0)
"""Humanoid-v4's healthy_z_range of the root: outside, Gymnasium's humanoid has fallen."""
HUMANOID_HEIGHT_M = 1.4
"""Height of that humanoid's root in the model's reference pose."""


def healthy_height_m(robot: RobotModel) -> tuple[float, float]:
    """Range of the root's height outside which `robot` has fallen.

    Humanoid-v4's range, in proportion to the root's height in the reference pose. A root that
    starts at or below height 0 gives no scale: such a robot never counts as fallen.
    """
    height = float(robot.mj.qpos0[2])
    if height <= 0:
        return -np.inf, np.inf
    low, high = HEALTHY_HEIGHT_M
    scale = height / HUMANOID_HEIGHT_M
    return low * scale, high * scale


def has_fallen(root_height_m: ArrayLike, healthy_m: tuple[float, float]) -> Any:
    """Whether a root at this height [m] has fallen; (...) heights give (...) answers.

    Args:
        root_height_m: Height of the root's frame above the floor; NaN counts as fallen.
        healthy_m: The robot's `healthy_height_m`.
    """
    height = np.asarray(root_height_m)
    return ~((height > healthy_m[0]) & (height < healthy_m[1]))
