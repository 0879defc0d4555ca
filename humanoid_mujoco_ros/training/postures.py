# SPDX-License-Identifier: Apache-2.0
"""Poses in which a humanoid stands, squats and lies, for tasks to start from."""

from __future__ import annotations

import mujoco
import numpy as np

from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.simulation.start import StartConfig, start_qpos
from humanoid_mujoco_ros.training.batch import BatchSimulation
from humanoid_mujoco_ros.training.task import Array

LYING_M = 0.7
"""A root that is higher does not lie."""
DROP_S = 2.5
"""How long a robot falls and settles into such a posture."""
SOLES = ("left_foot", "right_foot")
"""Geoms that carry Gymnasium's humanoid."""


def has_soles(robot: RobotModel) -> bool:
    """Whether it is carried by the geoms of Gymnasium's humanoid."""
    names = {robot.mj.geom(i).name for i in range(robot.mj.ngeom)}
    return names.issuperset(SOLES)


def squats(robot: RobotModel, standing: Array, n: int, random: np.random.Generator) -> Array:
    """(n, nq) squats with the feet on the ground and the trunk near upright.

    Args:
        robot: The robot; it `has_soles`.
        standing: (nu,) default pose [rad] by action joint.
        n: How many.
        random: Where they come from.
    """
    m, data = robot.mj, mujoco.MjData(robot.mj)
    order = robot.joint_order(robot.action_joints)
    soles = [m.geom(name).id for name in SOLES]
    poses: Array = np.tile(m.qpos0, (n, 1))
    bends = random.uniform(0.1, 1.35, n)
    for pose, bend in zip(poses, bends, strict=True):
        joints = standing.copy()
        for i, name in enumerate(robot.action_joints):
            if name.endswith("hip_y"):
                joints[i] = -bend
            elif name.endswith("knee"):
                joints[i] = -2.0 * bend
        pose[7 + order] = joints
        pose[7:] += random.uniform(-0.15, 0.15, m.nq - 7)
        pitch = random.uniform(-0.1, 0.4)
        pose[3:7] = np.cos(0.5 * pitch), 0.0, np.sin(0.5 * pitch), 0.0
        data.qpos[:] = pose
        mujoco.mj_kinematics(m, data)
        lowest = min(float(data.geom_xpos[g, 2] - m.geom_size[g, 0]) for g in soles)
        pose[2] -= lowest - 0.005
    return poses


def flat_states(robot: RobotModel, n: int, random: np.random.Generator) -> Array:
    """(n, nq + nv) robots that lie straight on the back or the belly, but for a little noise."""
    m = robot.mj
    poses = [start_qpos(robot, StartConfig(start_posture=name)) for name in ("supine", "prone")]
    qpos = np.array(poses)[random.integers(2, size=n)] + random.uniform(-0.03, 0.03, (n, m.nq))
    return np.concatenate((qpos, random.uniform(-0.03, 0.03, (n, m.nv))), axis=1)


def lying_states(robot: RobotModel, n: int, random: np.random.Generator) -> Array:
    """(n, nq + nv) postures on the ground: robots fell from random poses, limp or cramped."""
    m = robot.mj
    simulation = BatchSimulation(robot, n)
    everyone = np.arange(n)
    low, high = m.jnt_range[1:].T
    quaternions = random.standard_normal((n, 4))
    qpos = np.concatenate(
        (
            np.column_stack((np.zeros((n, 2)), random.uniform(0.6, 1.2, n))),
            quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True),
            low + (high - low) * random.uniform(0.05, 0.95, (n, m.nq - 7)),
        ),
        axis=1,
    )
    qvel = random.standard_normal((n, m.nv)) * np.repeat((1.0, 2.0, 1.0), (3, 3, m.nv - 6))
    simulation.start(everyone, qpos, qvel)
    periods = round(DROP_S / robot.control_period_s)
    limp_from = random.integers(0, periods - 30, n)
    for period in range(periods):
        if period % 20 == 0:
            controls = random.uniform(-0.3, 0.3, (n, m.nu)) * random.random((n, 1))
        simulation.step(np.where((period < limp_from)[:, None], controls, 0.0))
    states: Array = np.concatenate((simulation.qpos, simulation.qvel), axis=1)
    states[:, :2] = 0.0
    lies = np.isfinite(states).all(axis=1) & (states[:, 2] < LYING_M)
    return states[lies]
