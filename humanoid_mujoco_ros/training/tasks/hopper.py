# SPDX-License-Identifier: Apache-2.0
"""The task `hopper`."""

from __future__ import annotations

from dataclasses import dataclass

from humanoid_mujoco_ros.training.gymnasium_task import GymnasiumTask


@dataclass
class Hopper(GymnasiumTask):
    """Go forward as Gymnasium's Hopper-v4 rewards it."""

    name = "hopper"
    robot_card = "hopper"
    input_name = "hopper_v4"
    start_noise = 0.005
    has_gaussian_speeds = False
