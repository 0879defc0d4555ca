# SPDX-License-Identifier: Apache-2.0
"""How a robot's base moves in the world: freely, along joints of its own, or not at all."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.errors import ModelError

Array = NDArray[np.float64]

FREE = mujoco.mjtJoint.mjJNT_FREE
SLIDE = mujoco.mjtJoint.mjJNT_SLIDE
HINGE = mujoco.mjtJoint.mjJNT_HINGE


class Base:
    """The pose and twist of base_link, to and from MuJoCo's coordinates.

    A free base has a free joint. A planar one has slides and at most one hinge, none of them
    driven (Gymnasium's walker2d). A fixed one has no joint. Where the robot's first body is itself
    turned by a motor, base_link is the world.

    Attributes:
        body: MuJoCo id of the body whose frame is base_link; 0 is the world.
        joints: MuJoCo ids of the base's own joints.
        is_free: Whether the base has a free joint.
    """

    def __init__(self, mj: mujoco.MjModel, body: int, joints: tuple[int, ...]) -> None:
        """Takes the base's joints from the model.

        Raises:
            ModelError: The joints are none that a base may have.
        """
        self.body = body
        self.joints = joints
        self._mj = mj
        kinds = [int(mj.jnt_type[j]) for j in joints]
        self.is_free = kinds == [FREE]
        if not self.is_free and (set(kinds) - {SLIDE, HINGE} or kinds.count(HINGE) > 1):
            names = ", ".join(mj.joint(j).name for j in joints)
            raise ModelError(
                f"the base has the joints {names}; expected a free joint, "
                "or slides and at most one hinge, or none"
            )
        self._q = int(mj.jnt_qposadr[joints[0]]) if joints else 0
        self._v = int(mj.jnt_dofadr[joints[0]]) if joints else 0

    def pose(self, qpos: Array) -> tuple[Array, Array]:
        """Position (3,) [m] and unit quaternion (4,) wxyz of base_link in the world, copied."""
        if self.is_free:
            # MuJoCo's own small functions: numpy's take longer than the arithmetic at this size.
            quaternion = qpos[self._q + 3 : self._q + 7].copy()
            mujoco.mju_normalize4(quaternion)
            return qpos[self._q : self._q + 3].copy(), quaternion
        position, quaternion, _ = self._walk(qpos)
        return position, quaternion

    def twist(self, qpos: Array, qvel: Array, quaternion_wxyz: Array) -> tuple[Array, Array]:
        """Linear (3,) [m/s] and angular (3,) [rad/s] velocity of base_link, in base_link, copied.

        Args:
            qpos: (nq,) [m, rad].
            qvel: (nv,) [m/s, rad/s].
            quaternion_wxyz: (4,) of base_link in the world, as `pose` gives it.
        """
        linear, to_base = np.empty(3), np.empty(4)
        mujoco.mju_negQuat(to_base, quaternion_wxyz)
        if self.is_free:
            # MuJoCo has the free joint's linear velocity in the world, its angular in the body.
            mujoco.mju_rotVecQuat(linear, qvel[self._v : self._v + 3], to_base)
            return linear, qvel[self._v + 3 : self._v + 6].copy()
        position, _, axes = self._walk(qpos)
        linear_world, angular_world = np.zeros(3), np.zeros(3)
        for j, (axis, anchor) in zip(self.joints, axes, strict=True):
            speed = qvel[self._mj.jnt_dofadr[j]]
            if self._mj.jnt_type[j] == SLIDE:
                linear_world += speed * axis
            else:
                angular_world += speed * axis
                linear_world += np.cross(speed * axis, position - anchor)
        angular = np.empty(3)
        mujoco.mju_rotVecQuat(linear, linear_world, to_base)
        mujoco.mju_rotVecQuat(angular, angular_world, to_base)
        return linear, angular

    def set_pose(self, qpos: Array, position: ArrayLike, quaternion_wxyz: ArrayLike) -> None:
        """Writes into `qpos` the base's coordinates at a pose, as near to it as its joints allow.

        Args:
            qpos: (nq,) [m, rad], changed in place.
            position: (3,) [m] of base_link in the world.
            quaternion_wxyz: (4,) of base_link in the world; normalised here.
        """
        target = rotation.normalized(quaternion_wxyz)
        if self.is_free:
            qpos[self._q : self._q + 3] = position
            qpos[self._q + 3 : self._q + 7] = target
            return
        m = self._mj
        for j in self.joints:
            qpos[m.jnt_qposadr[j]] = m.qpos0[m.jnt_qposadr[j]]
        for j in self.joints:
            if m.jnt_type[j] == HINGE:
                _, at_zero, _ = self._walk(qpos)
                turn = rotation.multiply(rotation.conjugate(at_zero), target)
                along = float(turn[1:] @ m.jnt_axis[j])
                angle = 2.0 * np.arctan2(along, turn[0])
                qpos[m.jnt_qposadr[j]] += (angle + np.pi) % (2 * np.pi) - np.pi
        slides = [k for k, j in enumerate(self.joints) if m.jnt_type[j] == SLIDE]
        if slides:
            start, _, axes = self._walk(qpos)
            directions = np.array([axes[k][0] for k in slides]).T
            missing = np.asarray(position, dtype=np.float64) - start
            moves = np.linalg.lstsq(directions, missing, rcond=None)[0]
            for k, move in zip(slides, moves, strict=True):
                qpos[m.jnt_qposadr[self.joints[k]]] += move

    def set_twist(
        self, qpos: Array, qvel: Array, linear_base: ArrayLike, angular_base: ArrayLike
    ) -> None:
        """Writes into `qvel` the base's velocities, as near to a twist as its joints allow.

        Args:
            qpos: (nq,) [m, rad], with the base's pose.
            qvel: (nv,) [m/s, rad/s], changed in place.
            linear_base: (3,) [m/s] of base_link, expressed in base_link.
            angular_base: (3,) [rad/s] of base_link, expressed in base_link.
        """
        position, quaternion = self.pose(qpos)
        linear = rotation.rotate(quaternion, linear_base)
        if self.is_free:
            qvel[self._v : self._v + 3] = linear
            qvel[self._v + 3 : self._v + 6] = angular_base
            return
        if not self.joints:
            return
        angular = rotation.rotate(quaternion, angular_base)
        _, _, axes = self._walk(qpos)
        columns = []
        for j, (axis, anchor) in zip(self.joints, axes, strict=True):
            is_slide = self._mj.jnt_type[j] == SLIDE
            turn = np.zeros(3) if is_slide else axis
            columns.append(
                np.concatenate((axis if is_slide else np.cross(axis, position - anchor), turn))
            )
        twist = np.concatenate((linear, angular))
        speeds = np.linalg.lstsq(np.array(columns).T, twist, rcond=None)[0]
        for j, speed in zip(self.joints, speeds, strict=True):
            qvel[self._mj.jnt_dofadr[j]] = speed

    def _walk(self, qpos: Array) -> tuple[Array, Array, list[tuple[Array, Array]]]:
        """MuJoCo's kinematics of the base: position, quaternion, and each joint's axis and anchor.

        All in the world. The base hangs from the world, where MuJoCo has it one body deep.
        """
        m = self._mj
        if self.body == 0:
            return np.zeros(3), rotation.IDENTITY.copy(), []
        position = np.array(m.body_pos[self.body])
        quaternion = np.array(m.body_quat[self.body])
        axes = []
        for j in self.joints:
            axis = rotation.rotate(quaternion, m.jnt_axis[j])
            anchor = position + rotation.rotate(quaternion, m.jnt_pos[j])
            axes.append((axis, anchor))
            moved = float(qpos[m.jnt_qposadr[j]] - m.qpos0[m.jnt_qposadr[j]])
            if m.jnt_type[j] == SLIDE:
                position = position + moved * axis
            else:
                quaternion = rotation.multiply(
                    quaternion, rotation.from_axis_angle(m.jnt_axis[j], moved)
                )
                position = anchor - rotation.rotate(quaternion, m.jnt_pos[j])
        return position, quaternion, axes
