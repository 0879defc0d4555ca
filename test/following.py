# SPDX-License-Identifier: Apache-2.0
"""A posed model at a state of the simulation."""

from __future__ import annotations

from humanoid_mujoco_ros.robot.posed_model import PosedModel
from humanoid_mujoco_ros.robot.state import RobotState


def follow(posed: PosedModel, state: RobotState) -> None:
    """Poses the model as a robot in this state would publish it."""
    posed.set_state(
        state.base_position,
        state.base_quaternion_wxyz,
        state.base_linear_velocity,
        state.base_angular_velocity,
        state.joint_positions,
        state.joint_velocities,
        state.joint_efforts,
    )
