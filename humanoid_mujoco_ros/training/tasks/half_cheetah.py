# SPDX-License-Identifier: Apache-2.0
"""The task `half_cheetah`."""

from __future__ import annotations

from dataclasses import dataclass

from humanoid_mujoco_ros.training.gymnasium_task import GymnasiumTask


@dataclass
class HalfCheetah(GymnasiumTask):
    """Go forward as Gymnasium's HalfCheetah-v4 rewards it."""

    name = "half_cheetah"
    robot_card = "half_cheetah"
    input_name = "half_cheetah_v4"
    start_noise = 0.1
    has_gaussian_speeds = True

    healthy_reward: float = 0.0
    """Reward of a control period; the half cheetah never falls."""
    control_cost: float = 0.1
    """Cost of the squared control signals."""
