# SPDX-License-Identifier: Apache-2.0
"""The task `ant`."""

from __future__ import annotations

from dataclasses import dataclass

from humanoid_mujoco_ros.training.gymnasium_task import GymnasiumTask


@dataclass
class Ant(GymnasiumTask):
    """Go forward as Gymnasium's Ant-v4 rewards it."""

    name = "ant"
    robot_card = "ant"
    input_name = "ant_v4"
    start_noise = 0.1
    has_gaussian_speeds = True

    control_cost: float = 0.5
    """Cost of the squared control signals."""
