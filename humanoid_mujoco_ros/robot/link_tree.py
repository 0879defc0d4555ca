# SPDX-License-Identifier: Apache-2.0
"""The robot as ROS sees it: links, each joined to its parent by one joint of at most one axis.

The URDF and the TF frames are both read from here, so they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.model import BASE_LINK, IMU_LINK, SOLE_LINKS, ModelError, RobotModel
from humanoid_mujoco_ros.robot.motors import free_name

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LinkJoint:
    """How one link sits in its parent. A moving joint turns its child about `axis`."""

    name: str
    """Unique among joints; a moving joint has the name of the model's hinge."""
    parent: str
    """The link that it hangs from."""
    child: str
    """The link that it carries."""
    position: Array
    """(3,) [m] origin of the child in the parent, the same at every joint position."""
    quaternion_wxyz: Array
    """(4,) rotation of the child in the parent, for a moving joint at joint position 0."""
    axis: Array | None
    """(3,) unit vector in the child's frame; None for a fixed joint."""
    joint: str | None
    """Name in `RobotModel.joints`; None for a fixed joint."""


@dataclass(frozen=True, eq=False)
class LinkMount:
    """Where MuJoCo has a link.

    A link is fixed to a body, or is a massless one between two hinges of a body: then it moves with
    the hinges before it only.
    """

    body: int
    """MuJoCo id of the body."""
    position: Array
    """(3,) [m] origin of the link in the body, if it is fixed there."""
    axes: Array
    """(3, 3) rotation matrix of the link in the body, if it is fixed there."""
    later_hinges: tuple[int, ...] = ()
    """MuJoCo ids of the body's hinges that leave the link where it is; empty if it is fixed."""
    still_dofs: tuple[int, ...] = ()
    """Indices of those hinges in qvel: a force on the link does not reach them."""

    def pose(self, data: mujoco.MjData) -> tuple[Array, Array]:
        """Origin (3,) [m] and rotation matrix (3, 3) of the link in the world, copied.

        Args:
            data: After mj_kinematics.
        """
        axes: Array = data.xmat[self.body].reshape(3, 3)
        if not self.later_hinges:
            return data.xpos[self.body] + axes @ self.position, axes @ self.axes
        model = data.model
        turn = rotation.IDENTITY
        for hinge in self.later_hinges:
            address = model.jnt_qposadr[hinge]
            angle = data.qpos[address] - model.qpos0[address]
            turn = rotation.multiply(turn, rotation.from_axis_angle(model.jnt_axis[hinge], angle))
        # The link's origin is the anchor of its own hinge, the one before those.
        anchor: Array = data.xanchor[self.later_hinges[0] - 1].copy()
        return anchor, axes @ rotation.to_matrix(turn).T


class LinkTree:
    """The tree of links of a robot model.

    The root is `base_link`, without mass (KDL wants none there), in the frame of the root body.
    Every MuJoCo body of the robot is a link of the same name and frame. A hinge turns a link whose
    origin is the hinge's anchor: the body itself where that is the body's origin and no other hinge
    follows, else a massless link `<hinge>_link`. `imu_link` and the soles are fixed to their
    bodies, unless a body has that name. A name that is taken gets a number.

    Attributes:
        joints: All joints, a parent's before its children's.
        moving: Those that turn, in the order of `RobotModel.joints`.
        fixed: Those that do not.
        links: Names of all links; the first is `base_link`, then the child of each of `joints`.
        body_ids: MuJoCo id of the body whose mass and shape a link has; the other links have none.
    """

    def __init__(self, model: RobotModel) -> None:
        """Builds the tree."""
        mj = model.mj
        self._joints: list[LinkJoint] = []
        self._mounts = {BASE_LINK: _fixed_mount(model.base.body, np.zeros(3), rotation.IDENTITY)}
        self.body_ids: dict[str, int] = {}
        self._taken = {BASE_LINK, *model.bodies}
        self._taken_joints = set(model.joints)
        frames = {model.imu_site: IMU_LINK}
        frames |= {site: SOLE_LINKS[side] for side, site in model.sole_sites.items()}
        link_of_body = {model.base.body: BASE_LINK}
        for body, name in enumerate(model.bodies, start=model.root):
            if name == BASE_LINK:
                # A body that is itself called base_link keeps its mass in a link of another name.
                name = free_name(f"{BASE_LINK}_inertia", self._taken)
            if body == model.base.body:
                self._fix(BASE_LINK, name, np.zeros(3), rotation.IDENTITY)
            else:
                self._hang(mj, body, link_of_body[int(mj.body_parentid[body])], name)
            link_of_body[body] = name
            self.body_ids[name] = body
            self._mounts[name] = _fixed_mount(body, np.zeros(3), rotation.IDENTITY)
            self._fix_sites(mj, body, name, frames)

        self.joints = tuple(self._joints)
        self.moving = tuple(joint for joint in self.joints if joint.joint is not None)
        self.fixed = tuple(joint for joint in self.joints if joint.joint is None)
        self.links = (BASE_LINK, *(joint.child for joint in self.joints))
        self._precompute()

    def mount(self, link: str) -> LinkMount:
        """Where MuJoCo has `link`.

        Raises:
            ModelError: There is no such link.
        """
        try:
            return self._mounts[link]
        except KeyError:
            raise ModelError(
                f"link '{link}' is not in the model; its links are {', '.join(self.links)}"
            ) from None

    def moving_quaternions(self, joint_positions: ArrayLike) -> Array:
        """Rotation of each moving joint's child in its parent.

        Args:
            joint_positions: (n,) [rad], by joint.

        Returns:
            (n_moving, 4) wxyz, in the order of `moving`, which is that of `RobotModel.joints`.
        """
        half = 0.5 * np.asarray(joint_positions, dtype=np.float64)[:, None]
        quaternions: Array = self._at_zero * np.cos(half) + self._at_half_turn * np.sin(half)
        return quaternions

    def poses(
        self, base_position: ArrayLike, base_quaternion_wxyz: ArrayLike, joint_positions: ArrayLike
    ) -> dict[str, tuple[Array, Array]]:
        """Pose of every link in the world.

        Args:
            base_position: (3,) [m] of `base_link`.
            base_quaternion_wxyz: (4,) of `base_link`; normalised here.
            joint_positions: (n,) [rad], by joint.

        Returns:
            Link name to position (3,) [m] and quaternion (4,) wxyz.
        """
        local = self._local_quaternions.copy()
        local[self._moving_indices] = self.moving_quaternions(joint_positions)
        position = np.empty((len(self.links), 3))
        quaternion = np.empty((len(self.links), 4))
        position[0] = base_position
        quaternion[0] = rotation.normalized(base_quaternion_wxyz)
        for joints, parents in self._levels:
            children = joints + 1
            turned = quaternion[parents]
            position[children] = position[parents] + rotation.rotate(
                turned, self._local_positions[joints]
            )
            quaternion[children] = rotation.multiply(turned, local[joints])
        return {name: (position[i], quaternion[i]) for i, name in enumerate(self.links)}

    def _hang(self, mj: mujoco.MjModel, body: int, parent: str, name: str) -> None:
        """Adds the chain of joints from the parent's link to the body's own."""
        # Where the body would be in `parent` if it had no hinges left.
        position, quaternion = mj.body_pos[body], mj.body_quat[body]
        last_anchor = np.zeros(3)  # in the body's frame; the origin of `parent` after a hinge
        first = int(mj.body_jntadr[body])
        last = first + int(mj.body_jntnum[body]) - 1
        for j in range(first, last + 1):
            hinge, anchor, axis = mj.joint(j).name, mj.jnt_pos[j], mj.jnt_axis[j]
            is_body = j == last and not anchor.any()
            child = name if is_body else free_name(f"{hinge}_link", self._taken)
            self._mounts[child] = _hinge_mount(mj, body, j)
            origin = position + rotation.rotate(quaternion, anchor - last_anchor)
            # MuJoCo turns by qpos - qpos0, so joint position 0 is a turn back by the reference.
            reference = float(mj.qpos0[mj.jnt_qposadr[j]])
            at_zero = rotation.multiply(quaternion, rotation.from_axis_angle(axis, -reference))
            self._add(LinkJoint(hinge, parent, child, origin, at_zero, axis, hinge))
            if is_body:
                return
            parent, position, quaternion = child, np.zeros(3), rotation.IDENTITY
            last_anchor = anchor
        self._fix(parent, name, position - last_anchor, quaternion)

    def _fix_sites(
        self, mj: mujoco.MjModel, body: int, link: str, frames: Mapping[str, str]
    ) -> None:
        """Adds the frames (site → link) that are at sites of a body."""
        for site in np.flatnonzero(mj.site_bodyid == body):
            name = frames.get(mj.site(int(site)).name)
            if name is not None and name not in self._taken:
                self._fix(link, name, mj.site_pos[site], mj.site_quat[site])
                self._mounts[name] = _fixed_mount(body, mj.site_pos[site], mj.site_quat[site])

    def _fix(self, parent: str, child: str, position: Array, quaternion: Array) -> None:
        joint = free_name(f"{parent}_to_{child}", self._taken_joints)
        self._add(LinkJoint(joint, parent, child, position, quaternion, None, None))

    def _add(self, joint: LinkJoint) -> None:
        """Appends a joint whose arrays are read-only copies."""

        def frozen(values: Array) -> Array:
            copy = np.array(values, dtype=np.float64)
            copy.setflags(write=False)
            return copy

        self._joints.append(
            LinkJoint(
                joint.name,
                joint.parent,
                joint.child,
                frozen(joint.position),
                frozen(joint.quaternion_wxyz),
                None if joint.axis is None else frozen(joint.axis),
                joint.joint,
            )
        )

    def _precompute(self) -> None:
        """Turns the joints into arrays, for the functions that run at the control rate."""
        self._local_positions = np.array([joint.position for joint in self.joints])
        self._local_quaternions = np.array([joint.quaternion_wxyz for joint in self.joints])
        self._moving_indices = np.array(
            [i for i, joint in enumerate(self.joints) if joint.joint is not None], dtype=np.intp
        )
        # at_zero ∘ (cos, axis · sin) is linear in cos and sin of half the angle.
        self._at_zero = self._local_quaternions[self._moving_indices]
        axes = np.array([joint.axis for joint in self.moving])
        self._at_half_turn = rotation.multiply(
            self._at_zero, np.concatenate((np.zeros((len(axes), 1)), axes), axis=1)
        )
        # Joints of the same depth, with the links they hang from, to be placed together.
        index = {name: i for i, name in enumerate(self.links)}
        depth = [0] * len(self.links)
        levels: dict[int, list[int]] = {}
        for i, joint in enumerate(self.joints):
            depth[i + 1] = depth[index[joint.parent]] + 1
            levels.setdefault(depth[i + 1], []).append(i)
        self._levels = [
            (
                np.array(joints, dtype=np.intp),
                np.array([index[self.joints[i].parent] for i in joints], dtype=np.intp),
            )
            for _, joints in sorted(levels.items())
        ]


def _fixed_mount(body: int, position: ArrayLike, quaternion: ArrayLike) -> LinkMount:
    """That of a link fixed to a body, at a pose in the body."""
    return LinkMount(body, np.array(position, dtype=np.float64), rotation.to_matrix(quaternion))


def _hinge_mount(mj: mujoco.MjModel, body: int, hinge: int) -> LinkMount:
    """That of the link that `hinge` turns."""
    later = tuple(range(hinge + 1, int(mj.body_jntadr[body] + mj.body_jntnum[body])))
    fixed = _fixed_mount(body, mj.jnt_pos[hinge], rotation.IDENTITY)
    dofs = tuple(int(mj.jnt_dofadr[j]) for j in later)
    return replace(fixed, later_hinges=later, still_dofs=dofs)
