# SPDX-License-Identifier: Apache-2.0
"""What a policy knows of its robot at one control tick."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Float64Array = NDArray[np.float64]

BaseSource = Literal["none", "imu", "odom"]
"""What measures the base, each more than the one before: nothing; an IMU, its orientation and
angular velocity; odometry, all of it."""
BASE_SOURCES: tuple[BaseSource, ...] = ("none", "imu", "odom")


@dataclass(frozen=True, eq=False)
class Measurement:
    """One robot's state, or a batch of states, without the horizontal position.

    The leading dimensions (...) are those of the batch; one robot has none.
    """

    height: Float64Array
    """(..., 1) [m] of the base in the world."""
    quaternion_wxyz: Float64Array
    """(..., 4) of the base in the world."""
    joint_positions: Float64Array
    """(..., n) [rad], by joint."""
    linear_velocity: Float64Array
    """(..., 3) [m/s] of the base, in the world."""
    angular_velocity: Float64Array
    """(..., 3) [rad/s] of the base, in the base."""
    joint_velocities: Float64Array
    """(..., n) [rad/s], by joint."""
    joint_efforts: Float64Array
    """(..., n) [N·m], by joint."""
    observation: Float64Array | None = None
    """(..., size) the whole vector on `observation`, for policies that read it as it is."""

    @property
    def joint_count(self) -> int:
        """Number of joints."""
        return int(self.joint_positions.shape[-1])


def from_state(qpos: Float64Array, qvel: Float64Array, order: NDArray[np.intp]) -> Measurement:
    """The measurement of simulated robots with a free base, without efforts; views and copies.

    Args:
        qpos: (..., nq) MuJoCo's [m, rad].
        qvel: (..., nv) MuJoCo's [m/s, rad/s].
        order: (n,) index of each of the policy's joints in the model's hinges.
    """
    positions = qpos[..., 7:].take(order, axis=-1)
    return Measurement(
        height=qpos[..., 2:3],
        quaternion_wxyz=qpos[..., 3:7],
        joint_positions=positions,
        linear_velocity=qvel[..., :3],
        angular_velocity=qvel[..., 3:6],
        joint_velocities=qvel[..., 6:].take(order, axis=-1),
        joint_efforts=np.zeros_like(positions),
    )


def from_blocks(
    vector: Float64Array, blocks: Mapping[str, slice | NDArray[np.intp]], joint_count: int
) -> Measurement:
    """The measurement that an observation holds.

    Args:
        vector: (..., size) a finite observation.
        blocks: Name of a block → where it lies: a slice, or indices that also reorder it. A block
            that is missing reads as zero, a missing orientation as upright. A "pitch" [rad] about
            the base's y axis stands for the orientation of a robot in a plane, whose velocities are
            (x, z) and about y.
        joint_count: Number of joints.
    """

    def block(name: str, size: int) -> Float64Array:
        if name in blocks:
            return vector[..., blocks[name]]
        return np.zeros((*vector.shape[:-1], size))

    quaternion = block("orientation", 4)
    linear, angular = block("linear_velocity", 3), block("angular_velocity", 3)
    if "pitch" in blocks:
        half = 0.5 * block("pitch", 1)
        zero = np.zeros_like(half)
        quaternion = np.concatenate((np.cos(half), zero, np.sin(half), zero), axis=-1)
        linear = np.concatenate((linear[..., :1], zero, linear[..., 1:]), axis=-1)
        angular = np.concatenate((zero, angular, zero), axis=-1)
    elif "orientation" not in blocks:
        quaternion[..., 0] = 1.0
    efforts = block("joint_efforts", joint_count)
    if "qfrc_actuator" in blocks:  # the root's, then the joints'
        efforts = block("qfrc_actuator", joint_count)[..., -joint_count:]
    return Measurement(
        height=block("height", 1),
        quaternion_wxyz=quaternion,
        joint_positions=block("joint_positions", joint_count),
        linear_velocity=linear,
        angular_velocity=angular,
        joint_velocities=block("joint_velocities", joint_count),
        joint_efforts=efforts,
        observation=vector,
    )
