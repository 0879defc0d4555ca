# SPDX-License-Identifier: Apache-2.0
"""The task `walker2d`."""

from __future__ import annotations

from dataclasses import dataclass

from humanoid_mujoco_ros.training.gymnasium_task import GymnasiumTask


@dataclass
class Walker2d(GymnasiumTask):
    """Go forward as Gymnasium's Walker2d-v4 rewards it."""

    name = "walker2d"
    robot_card = "walker2d"
    input_name = "walker2d_v4"
    start_noise = 0.005
    has_gaussian_speeds = False
