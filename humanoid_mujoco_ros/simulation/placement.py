# SPDX-License-Identifier: Apache-2.0
"""Where a robot's odom frame lies in the world."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.robot import rotation

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Placement:
    """The pose of a robot's odom frame in the world: moved along the floor and turned."""

    x: float = 0.0
    """[m]."""
    y: float = 0.0
    """[m]."""
    yaw: float = 0.0
    """[rad]."""

    @cached_property
    def position(self) -> Array:
        """(3,) [m] of odom in the world."""
        return np.array([self.x, self.y, 0.0])

    @cached_property
    def quaternion_wxyz(self) -> Array:
        """(4,) of odom in the world."""
        return np.array([math.cos(self.yaw / 2), 0.0, 0.0, math.sin(self.yaw / 2)])

    @cached_property
    def axes(self) -> Array:
        """(3, 3) rotation matrix of odom in the world."""
        return rotation.to_matrix(self.quaternion_wxyz)

    def to_world(self, points: Array) -> Array:
        """Points (..., 3) [m] in odom, seen in the world."""
        moved: Array = points @ self.axes.T + self.position
        return moved

    def to_odom(self, points: Array) -> Array:
        """Points (..., 3) [m] in the world, seen in odom."""
        moved: Array = (points - self.position) @ self.axes
        return moved

    def turn_to_world(self, vectors: Array) -> Array:
        """Vectors (..., 3) along the axes of odom, seen along those of the world."""
        turned: Array = vectors @ self.axes.T
        return turned

    def turn_to_odom(self, vectors: Array) -> Array:
        """Vectors (..., 3) along the axes of the world, seen along those of odom."""
        turned: Array = vectors @ self.axes
        return turned
