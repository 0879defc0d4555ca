# SPDX-License-Identifier: Apache-2.0
"""A robot seen through its measurements: a MuJoCo model posed from joint states and odometry."""

from __future__ import annotations

from collections.abc import Mapping

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.model import BASE_LINK, RobotModel
from humanoid_mujoco_ros.robot.state import Wrench

Float64Array = NDArray[np.float64]


class PosedModel:
    """Follows a robot, real or simulated, without simulating it.

    Nothing is integrated: each measurement replaces the last. What it hands out is copied.
    """

    def __init__(self, robot: RobotModel) -> None:
        """Starts in the model's reference pose, at rest."""
        self.robot = robot
        self._model = robot.mj
        self._data = mujoco.MjData(robot.mj)
        self._efforts = np.zeros(len(robot.joints))
        self._feet = {side: robot.body_of_link(foot) for side, foot, _ in robot.foot_sensors}
        self._update_velocities()

    def set_pose(
        self, base_position: ArrayLike, base_quaternion_wxyz: ArrayLike, joint_positions: ArrayLike
    ) -> None:
        """Takes a pose alone, which is cheap; velocities and efforts become zero.

        Args:
            base_position: (3,) [m] of base_link in the world.
            base_quaternion_wxyz: (4,) of base_link in the world; normalised here.
            joint_positions: (n,) [rad], by joint.
        """
        self._set_qpos(base_position, base_quaternion_wxyz, joint_positions)
        self._data.qvel[:] = 0.0
        self._data.cvel[:] = 0.0
        self._efforts[:] = 0.0
        mujoco.mj_kinematics(self._model, self._data)

    def set_state(
        self,
        base_position: ArrayLike,
        base_quaternion_wxyz: ArrayLike,
        base_linear_velocity: ArrayLike,
        base_angular_velocity: ArrayLike,
        joint_positions: ArrayLike,
        joint_velocities: ArrayLike,
        joint_efforts: ArrayLike,
    ) -> None:
        """Takes a whole state.

        Args:
            base_position: (3,) [m] of base_link in the world.
            base_quaternion_wxyz: (4,) of base_link in the world; normalised here.
            base_linear_velocity: (3,) [m/s] of base_link, expressed in base_link.
            base_angular_velocity: (3,) [rad/s] of base_link, expressed in base_link.
            joint_positions: (n,) [rad], by joint.
            joint_velocities: (n,) [rad/s], by joint.
            joint_efforts: (n,) [N·m], by joint.
        """
        d = self._data
        self._set_qpos(base_position, base_quaternion_wxyz, joint_positions)
        self.robot.base.set_twist(d.qpos, d.qvel, base_linear_velocity, base_angular_velocity)
        d.qvel[self.robot.dof_indices] = joint_velocities
        self._efforts[:] = joint_efforts
        self._update_velocities()

    def base_of_imu(
        self,
        imu_quaternion_wxyz: ArrayLike,
        imu_angular_velocity: ArrayLike,
        joint_positions: ArrayLike,
        joint_velocities: ArrayLike,
    ) -> tuple[Float64Array, Float64Array]:
        """Orientation (4,) wxyz in the world and angular velocity (3,) [rad/s] of base_link.

        The IMU may sit on any link; the pose that was taken before is lost.

        Args:
            imu_quaternion_wxyz: (4,) of imu_link in the world.
            imu_angular_velocity: (3,) [rad/s] of imu_link, expressed in imu_link.
            joint_positions: (n,) [rad], by joint.
            joint_velocities: (n,) [rad/s], by joint.
        """
        zero = np.zeros(3)
        none = np.zeros(len(self.robot.joints))
        self.set_state(zero, rotation.IDENTITY, zero, zero, joint_positions, joint_velocities, none)
        d, site = self._data, self._model.site(self.robot.imu_site).id
        base, imu_body = self.robot.body_of_link(BASE_LINK), int(self._model.site_bodyid[site])
        quaternion = np.empty(4)
        mujoco.mju_mat2Quat(quaternion, d.site_xmat[site])
        world_to_base = rotation.conjugate(d.xquat[base])
        imu_in_base = rotation.multiply(world_to_base, quaternion)
        turning_world = d.cvel[imu_body, :3] - d.cvel[base, :3]
        return (
            rotation.multiply(imu_quaternion_wxyz, rotation.conjugate(imu_in_base)),
            rotation.rotate(imu_in_base, imu_angular_velocity)
            - rotation.rotate(world_to_base, turning_world),
        )

    @property
    def body_positions(self) -> Float64Array:
        """(nbody, 3) [m] origin of each body in the world, the world first."""
        positions: Float64Array = self._data.xpos.copy()
        return positions

    @property
    def body_quaternions_wxyz(self) -> Float64Array:
        """(nbody, 4) rotation of each body in the world, the world first."""
        quaternions: Float64Array = self._data.xquat.copy()
        return quaternions

    @property
    def geom_xpos(self) -> Float64Array:
        """(ngeom, 3) [m] centre of each geom in the world."""
        positions: Float64Array = self._data.geom_xpos.copy()
        return positions

    @property
    def geom_xmat(self) -> Float64Array:
        """(ngeom, 3, 3) rotation matrix of each geom in the world."""
        matrices: Float64Array = self._data.geom_xmat.reshape(-1, 3, 3).copy()
        return matrices

    def link_pose(self, link: str) -> tuple[Float64Array, Float64Array]:
        """Position (3,) [m] and quaternion (4,) wxyz of a link in the world.

        Args:
            link: base_link or a body's name.

        Raises:
            ModelError: There is no such link.
        """
        body = self.robot.body_of_link(link)
        return self._data.xpos[body].copy(), self._data.xquat[body].copy()

    def point_velocity(self, link: str, point_world: ArrayLike) -> Float64Array:
        """Velocity (3,) [m/s] in the world of the point of a link that is at `point_world`.

        Args:
            link: base_link or a body's name.
            point_world: (3,) [m].

        Raises:
            ModelError: There is no such link.
        """
        body = self.robot.body_of_link(link)
        angular, linear = np.split(self._data.cvel[body], 2)
        velocity: Float64Array = linear + np.cross(
            angular, np.asarray(point_world) - self._reference(body)
        )
        return velocity

    def angular_velocity(self, link: str) -> Float64Array:
        """Angular velocity (3,) [rad/s] of a link, in the world.

        Raises:
            ModelError: There is no such link.
        """
        velocity: Float64Array = self._data.cvel[self.robot.body_of_link(link), :3].copy()
        return velocity

    def center_of_mass(self, link: str) -> Float64Array:
        """Centre of mass (3,) [m] of a link, in the link's frame.

        Raises:
            ModelError: There is no such link.
        """
        center: Float64Array = self._model.body_ipos[self.robot.body_of_link(link)].copy()
        return center

    def data(self, foot_wrenches: Mapping[str, Wrench] | None = None) -> mujoco.MjData:
        """MuJoCo's data as far as it is known, for an observer: a view, not to be changed.

        Besides the state it has poses, com-based inertias and velocities, the actuators' forces and
        external forces. The rest is not up to date.

        Args:
            foot_wrenches: What acts on the "left" and "right" foot, in the foot's frame, to fill
                the feet's part of cfrc_ext. All else of cfrc_ext is zero, being unknown.
        """
        d = self._data
        d.qfrc_actuator[:] = 0.0
        d.qfrc_actuator[self.robot.dof_indices] = self._efforts
        d.cfrc_ext[:] = 0.0
        for side, wrench in (foot_wrenches or {}).items():
            body = self._feet[side]
            axes_world = d.xmat[body].reshape(3, 3)
            force = axes_world @ wrench.force
            arm = d.xpos[body] - self._reference(body)
            d.cfrc_ext[body, :3] = axes_world @ wrench.torque + np.cross(arm, force)
            d.cfrc_ext[body, 3:] = force
        return d

    def _set_qpos(
        self, base_position: ArrayLike, base_quaternion_wxyz: ArrayLike, joint_positions: ArrayLike
    ) -> None:
        d = self._data
        self.robot.base.set_pose(d.qpos, base_position, base_quaternion_wxyz)
        d.qpos[self.robot.qpos_indices] = joint_positions

    def _update_velocities(self) -> None:
        """The part of mj_forward that the observation shows, without contacts and dynamics."""
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_comPos(self._model, self._data)
        mujoco.mj_comVel(self._model, self._data)

    def _reference(self, body: int) -> Float64Array:
        """(3,) [m] the point about which MuJoCo keeps com-based quantities of `body`."""
        point: Float64Array = self._data.subtree_com[self._model.body_rootid[body]]
        return point
