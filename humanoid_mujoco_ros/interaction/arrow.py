# SPDX-License-Identifier: Apache-2.0
"""Forces as arrows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.state import Wrench

Float64Array = NDArray[np.float64]

METERS_PER_NEWTON = 1.0 / 500.0
PUSH_MIN_LENGTH_M = 0.25
"""Length of the arrow of a push of zero force, so that a weak push is visible."""
MIN_FORCE_N = 1.0
"""A smaller force is not drawn."""
MAX_LENGTH_M = 1.2
"""Longest arrow, which the peak force of a landing foot would exceed."""


@dataclass(frozen=True)
class Arrow:
    """A force at a point."""

    start: Float64Array
    """(3,) [m] in the world, where the force acts."""
    force: Float64Array
    """(3,) [N] in the world."""

    @property
    def newtons(self) -> float:
        """Size of the force."""
        return float(np.linalg.norm(self.force))

    def segment(self, min_length_m: float = 0.0) -> Float64Array:
        """(2, 3) [m] start and tip; the length grows with the force from `min_length_m`."""
        length = min(min_length_m + self.newtons * METERS_PER_NEWTON, MAX_LENGTH_M)
        tip = self.start + self.force / max(self.newtons, 1e-9) * length
        return np.stack((self.start, tip))


def contact_arrow(
    foot_position: ArrayLike, foot_quaternion_wxyz: ArrayLike, wrench: Wrench
) -> Arrow | None:
    """The ground's force on a foot, at the centre of pressure on the ground z = 0.

    Args:
        foot_position: (3,) [m] of the foot's frame in the world.
        foot_quaternion_wxyz: (4,) of the foot's frame in the world.
        wrench: At the foot's origin, in its frame.

    Returns:
        None when the foot is in the air.
    """
    force = rotation.rotate(foot_quaternion_wxyz, wrench.force)
    size = float(np.linalg.norm(force))
    if not size >= MIN_FORCE_N:
        return None
    torque = rotation.rotate(foot_quaternion_wxyz, wrench.torque)
    # The point of the force's line of action nearest to the foot's origin, slid along the line.
    point = np.asarray(foot_position) + np.cross(force, torque) / size**2
    if force[2] > 0.1 * size:
        point = point - force * (point[2] / force[2])
    return Arrow(point, force)
