# SPDX-License-Identifier: Apache-2.0
"""How much room a robot takes."""

from __future__ import annotations

import itertools

import mujoco
import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.model import RobotModel

Array = NDArray[np.float64]

_CORNERS = np.array(list(itertools.product((-1.0, 1.0), repeat=3)))


def extent(robot: RobotModel, qpos: Array, *, in_base: bool = False) -> tuple[Array, Array]:
    """The lower and the upper corner (3,) [m] of the box around a robot's geoms, along the axes.

    Args:
        robot: The robot.
        qpos: (nq,) [m, rad].
        in_base: Along the axes of base_link and from its origin; otherwise of the world.
    """
    m = robot.mj
    data = mujoco.MjData(m)
    data.qpos[:] = qpos
    mujoco.mj_kinematics(m, data)
    last = robot.root + len(robot.bodies) - 1
    geoms = np.flatnonzero((m.geom_bodyid >= robot.root) & (m.geom_bodyid <= last))
    centres, halves = m.geom_aabb[geoms, :3], m.geom_aabb[geoms, 3:]
    corners = centres[:, None] + _CORNERS * halves[:, None]
    axes = data.geom_xmat[geoms].reshape(-1, 3, 3)
    points = np.einsum("gij,gcj->gci", axes, corners) + data.geom_xpos[geoms][:, None]
    points = points.reshape(-1, 3)
    if in_base:
        position, quaternion = robot.base.pose(qpos)
        points = rotation.rotate(rotation.conjugate(quaternion), points - position)
    return points.min(axis=0), points.max(axis=0)
