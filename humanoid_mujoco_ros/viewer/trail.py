# SPDX-License-Identifier: Apache-2.0
"""The robot's trail on the ground."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanoid_mujoco_ros.viewer.camera import JUMP_M

Float64Array = NDArray[np.float64]


class Trail:
    """The path of the base, as a line on the ground."""

    def __init__(self, spacing_m: float = 0.05, length: int = 300) -> None:
        """Starts empty; the line has at most `length` pieces of `spacing_m`."""
        self._spacing_m = spacing_m
        self._length = length
        self._points: list[Float64Array] = []

    def add(self, base_position: ArrayLike) -> bool:
        """Adds the base's position if it is far enough from the last point.

        A base that has jumped begins a new line.

        Args:
            base_position: (3,) [m] in the world.

        Returns:
            Whether it was added.
        """
        point = np.array([*np.asarray(base_position, dtype=np.float64)[:2], 0.0])
        way_m = np.linalg.norm(point - self._points[-1]) if self._points else math.inf
        if way_m < self._spacing_m:
            return False
        if way_m > JUMP_M:
            self._points.clear()
        self._points.append(point)
        del self._points[: -(self._length + 1)]
        return True

    @property
    def is_empty(self) -> bool:
        """Whether the line has no piece."""
        return len(self._points) < 2

    def points(self) -> Float64Array:
        """(n, 3) [m] the ends of the pieces in the world, the oldest first; a copy."""
        return np.array(self._points).reshape(-1, 3)

    def segments(self) -> Float64Array:
        """(n, 2, 3) [m] start and end of each piece in the world, the oldest first; a copy."""
        points = self.points()
        return np.stack((points[:-1], points[1:]), axis=1)
