# SPDX-License-Identifier: Apache-2.0
"""The observation of any robot but Gymnasium's humanoid: its state, but not where it is.

For Gymnasium's ant, half_cheetah, hopper and walker2d it begins with what their v4 environments
observe (Hopper and Walker2d before they clip the velocities); the joints' efforts follow.
"""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.policy import observation
from humanoid_mujoco_ros.policy.gymnasium_robots import ENVIRONMENTS
from humanoid_mujoco_ros.policy.measurement import BASE_SOURCES, BaseSource
from humanoid_mujoco_ros.policy.observation import Block
from humanoid_mujoco_ros.robot.base import HINGE, SLIDE
from humanoid_mujoco_ros.robot.model import RobotModel

Float64Array = NDArray[np.float64]

_MEASURED_BY: dict[str, BaseSource] = {
    **dict.fromkeys(("orientation", "pitch", "angular_velocity"), "imu"),
    **dict.fromkeys(("height", "linear_velocity", "base_positions", "base_velocities"), "odom"),
}
"""Block → the least that measures it; the blocks of joints need nothing."""

_Row = tuple[str, int, str, str, str]
"""Name, size, unit, frame and meaning of a block."""
_FREE_POSE = (
    ("height", 1, "m", "world", "z of base_link"),
    ("orientation", 4, "", "world", "quaternion (w, x, y, z) of base_link"),
)
_FREE_TWIST = (
    ("linear_velocity", 3, "m/s", "world", "of base_link"),
    ("angular_velocity", 3, "rad/s", "base_link", "of base_link"),
)
_PLANAR_POSE = (
    ("height", 1, "m", "joint", "of base_link, along its vertical slide"),
    ("pitch", 1, "rad", "joint", "of base_link in its plane"),
)
_PLANAR_TWIST = (
    ("linear_velocity", 2, "m/s", "world", "of base_link, forward and up"),
    ("angular_velocity", 1, "rad/s", "joint", "of base_link in its plane"),
)
STATE_ROBOTS = {e.robot for e in ENVIRONMENTS if not e.term.startswith("humanoid")}
"""Gymnasium's robots that are observed by their state alone, as their environments observe them."""


def has_humanoid_v4(robot: RobotModel) -> bool:
    """Whether a robot's observation is Humanoid-v4's vector, made from its own bodies and joints.

    That is so for Gymnasium's humanoid and for every robot built like it: a free base, torque
    motors on all joints, alone in its world. Every other robot is observed by its `StateVector`.
    """
    return (
        robot.actuation == "effort"
        and robot.base.is_free
        and not robot.passive_joints
        and robot.mj.nq == 7 + len(robot.joints)
        and robot.name not in STATE_ROBOTS
    )


def observation_layout(robot: RobotModel, base: BaseSource = "odom") -> tuple[Block, ...]:
    """The blocks of a robot's `observation`, in their order.

    Args:
        robot: The robot.
        base: What measures its base. Where that is not all, blocks are absent.
    """
    if base == "odom" and has_humanoid_v4(robot):
        return observation.layout(robot.mj)
    return StateVector(robot, base).layout


class StateVector:
    """Makes the vector of one robot.

    A base of another kind than free or planar (slide along x, slide along z, hinge) is observed as
    the positions and velocities of its joints; a fixed one is not observed. What nothing measures
    on the robot has no block.

    Attributes:
        layout: The blocks of the vector in their order.
        size: Number of values.
    """

    def __init__(self, robot: RobotModel, base_source: BaseSource = "odom") -> None:
        """Lays out the vector, of what `base_source` and the joints measure."""
        base, m, n = robot.base, robot.mj, len(robot.joints)
        kinds = [int(m.jnt_type[j]) for j in base.joints]
        axes = [tuple(np.abs(m.jnt_axis[j])) for j in base.joints[:2]]
        is_planar = kinds == [SLIDE, SLIDE, HINGE] and axes == [(1, 0, 0), (0, 0, 1)]
        pose: tuple[_Row, ...] = ()
        twist: tuple[_Row, ...] = ()
        if base.is_free or is_planar:
            pose = _FREE_POSE if base.is_free else _PLANAR_POSE
            twist = _FREE_TWIST if base.is_free else _PLANAR_TWIST
        elif base.joints:
            count = len(base.joints)
            pose = (("base_positions", count, "m, rad", "joint", "of the base's joints"),)
            twist = (("base_velocities", count, "m/s, rad/s", "joint", "of the base's joints"),)
        q = int(m.jnt_qposadr[base.joints[0]]) if base.joints else 0
        v = int(m.jnt_dofadr[base.joints[0]]) if base.joints else 0
        # Without the horizontal position: x and y of a free base, x of a planar one.
        skipped = 2 if base.is_free else 1 if is_planar else 0
        size = 7 if base.is_free else len(base.joints)
        speeds = 6 if base.is_free else len(base.joints)
        self._q = np.array([*range(q + skipped, q + size), *robot.qpos_indices], dtype=np.intp)
        self._v = np.array([*range(v, v + speeds), *robot.dof_indices], dtype=np.intp)
        self._efforts = robot.dof_indices
        rows = (
            *pose,
            ("joint_positions", n, "rad", "joint", "in model order"),
            *twist,
            ("joint_velocities", n, "rad/s", "joint", "in model order"),
            ("joint_efforts", n, "N m", "joint", "of the motors, in model order"),
        )
        blocks: list[Block] = []
        measured: list[bool] = []
        level = BASE_SOURCES.index(base_source)
        for name, count, unit, frame, meaning in rows:
            is_measured = BASE_SOURCES.index(_MEASURED_BY.get(name, "none")) <= level
            if is_measured:
                blocks.append(Block(name, sum(measured), count, unit, frame, meaning))
            measured += [is_measured] * count
        self.layout: tuple[Block, ...] = tuple(blocks)
        self.size = sum(measured)
        self._measured = np.flatnonzero(measured) if self.size < len(measured) else None

    def of_data(self, data: mujoco.MjData) -> Float64Array:
        """The vector (size,) of a MuJoCo state; a new array."""
        return self.of(data.qpos, data.qvel, data.qfrc_actuator)

    def of(
        self, qpos: Float64Array, qvel: Float64Array, qfrc_actuator: Float64Array
    ) -> Float64Array:
        """The vector (..., size) of a state or a batch of states; a new array.

        Args:
            qpos: (..., nq) [m, rad].
            qvel: (..., nv) [m/s, rad/s].
            qfrc_actuator: (..., nv) [N, N·m].
        """
        parts = (qpos[..., self._q], qvel[..., self._v], qfrc_actuator[..., self._efforts])
        whole = np.concatenate(parts, axis=-1)
        return whole if self._measured is None else whole[..., self._measured]
