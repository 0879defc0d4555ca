# SPDX-License-Identifier: Apache-2.0
"""What the robot reports after each control tick."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float64Array = NDArray[np.float64]


@dataclass(frozen=True)
class ImuReading:
    """What the IMU measures, in its own frame (REP-145)."""

    quaternion_wxyz: Float64Array
    """(4,) orientation of the IMU in the world."""
    angular_velocity: Float64Array
    """(3,) [rad/s]."""
    linear_acceleration: Float64Array
    """(3,) [m/s²], specific force: +9.81 up at rest."""


@dataclass(frozen=True)
class Wrench:
    """Force and torque at a frame's origin, expressed in that frame."""

    force: Float64Array
    """(3,) [N]."""
    torque: Float64Array
    """(3,) [N·m]."""


@dataclass(frozen=True)
class RobotState:
    """One control tick of the robot: copies, never views of MuJoCo's arrays."""

    time_ns: int
    """Simulated time [ns]; grows by one control period a tick and never goes back."""
    qpos: Float64Array
    """(nq,) [m, rad], MuJoCo's generalised positions."""
    qvel: Float64Array
    """(nv,) [m/s, rad/s]: base linear in the world, base angular in the base, joints."""
    joint_positions: Float64Array
    """(n,) [rad], by joint."""
    joint_velocities: Float64Array
    """(n,) [rad/s], by joint."""
    joint_efforts: Float64Array
    """(n,) [N·m], what the motors or drives applied, by joint."""
    base_position: Float64Array
    """(3,) [m] of base_link in odom."""
    base_quaternion_wxyz: Float64Array
    """(4,) of base_link in odom."""
    base_linear_velocity: Float64Array
    """(3,) [m/s] of base_link, expressed in base_link."""
    base_angular_velocity: Float64Array
    """(3,) [rad/s] of base_link, expressed in base_link."""
    imu: ImuReading
    """Measured at the start of the last physics step."""
    foot_wrenches: dict[str, Wrench]
    """Ground contact on the "left" and "right" foot, in the foot's frame, likewise."""
    observation: Float64Array
    """(size,), see `observation`."""
    reward: float
    """Humanoid-v4's reward of the last tick; 0 after a reset."""
    fallen: bool
    """The base is too low, too high or too tilted, see `FallRule`."""
    episode: int
    """Number of resets so far."""
    episode_steps: int
    """Control ticks since the reset."""
    episode_return: float
    """Sum of the rewards since the reset."""
