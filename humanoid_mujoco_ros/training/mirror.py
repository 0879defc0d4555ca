# SPDX-License-Identifier: Apache-2.0
"""The left-right symmetry of a humanoid, as signed permutations of its vectors."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.policy import observation
from humanoid_mujoco_ros.robot.model import RobotModel

_POLAR = (1.0, -1.0, 1.0)
"""A velocity, force or position, reflected in the x-z plane."""
_AXIAL = (-1.0, 1.0, -1.0)
"""An angular velocity or torque, reflected in the x-z plane."""


@dataclass(frozen=True)
class Mirror:
    """A signed permutation that is its own inverse: mirrored = sign × vector[index]."""

    index: NDArray[np.intp]
    """(n,) where each value of the mirrored vector comes from."""
    sign: NDArray[np.float64]
    """(n,) +1 or -1."""

    def __call__(self, vector: NDArray[np.float64]) -> NDArray[np.float64]:
        """The mirror image of vectors (..., n)."""
        return self.sign * vector[..., self.index]

    def select(self, columns: NDArray[np.intp]) -> Mirror:
        """The mirror of `vector[columns]`; `columns` must be closed under reflection."""
        position = {int(column): i for i, column in enumerate(columns)}
        index = np.array([position[int(self.index[column])] for column in columns], dtype=np.intp)
        return Mirror(index, self.sign[columns])

    @staticmethod
    def identity(size: int) -> Mirror:
        """Leaves `size` values as they are."""
        return Mirror(np.arange(size, dtype=np.intp), np.ones(size))

    @staticmethod
    def signs(*signs: float) -> Mirror:
        """Changes signs only."""
        return Mirror(np.arange(len(signs), dtype=np.intp), np.array(signs))

    @staticmethod
    def swap(size: int) -> Mirror:
        """Exchanges the two halves of `size` values."""
        return Mirror(np.roll(np.arange(size, dtype=np.intp), size // 2), np.ones(size))

    @staticmethod
    def join(*parts: Mirror) -> Mirror:
        """The mirror of the concatenated vectors."""
        offsets = np.cumsum([0] + [part.index.size for part in parts])
        return Mirror(
            np.concatenate([p.index + o for p, o in zip(parts, offsets, strict=False)]),
            np.concatenate([p.sign for p in parts]),
        )


@dataclass(frozen=True)
class RobotMirror:
    """How a robot's observation and actions look in a mirror."""

    observation: Mirror
    action: Mirror


def find_mirror(robot: RobotModel) -> RobotMirror | None:
    """The symmetry of `robot`, read from left/right in its names and from its joint axes.

    Returns:
        None if it has none: a partner is missing, differs in its motor, or its axis is no mirror
        image.
    """
    bodies = _partners(("world", *robot.bodies))
    joints = _partners(robot.joints)
    if bodies is None or joints is None or np.all(joints == np.arange(joints.size)):
        return None
    data = mujoco.MjData(robot.mj)
    mujoco.mj_kinematics(robot.mj, data)
    axes = data.xaxis[1:]
    images = axes[joints] * _AXIAL
    alignment = np.einsum("ij,ij->i", images, axes)
    motors = np.stack((robot.gear, robot.effort_limits))
    if np.any(motors[:, joints] != motors) or np.any(np.abs(alignment) < 0.999):
        return None
    sign = np.sign(alignment)
    joint = Mirror(joints, sign)

    def per_body(*signs: float) -> Mirror:
        k = len(signs)
        index = (bodies[:, None] * k + np.arange(k)).ravel()
        return Mirror(index, np.tile(signs, bodies.size))

    velocity = Mirror.join(Mirror.signs(*_POLAR), Mirror.signs(*_AXIAL), joint)
    whole = Mirror.join(
        Mirror.signs(1.0),  # height
        Mirror.signs(1.0, *_AXIAL),  # orientation
        joint,
        velocity,
        per_body(1, 1, 1, -1, 1, -1, *_POLAR, 1),  # cinert: xx yy zz xy xz yz, m·offset, m
        per_body(*_AXIAL, *_POLAR),  # cvel
        velocity,  # qfrc_actuator
        per_body(*_AXIAL, *_POLAR),  # cfrc_ext
    )
    assert whole.index.size == observation.size(robot.mj)
    order = robot.joint_order(robot.action_joints)
    by_joint = Mirror(joints, sign)
    where = {int(j): a for a, j in enumerate(order)}
    action = Mirror(
        np.array([where[int(by_joint.index[j])] for j in order], dtype=np.intp), sign[order]
    )
    return RobotMirror(whole, action)


def _partners(names: tuple[str, ...]) -> NDArray[np.intp] | None:
    """Index of the name on the other side, itself for a name without a side."""
    swap = {"left": "right", "right": "left"}
    found = []
    for name in names:
        other = "_".join(swap.get(part, part) for part in name.split("_"))
        if other not in names:
            return None
        found.append(names.index(other))
    return np.array(found, dtype=np.intp)
