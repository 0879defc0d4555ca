# SPDX-License-Identifier: Apache-2.0
"""A policy for any rate: drives that hold the pose in which the robot starts."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np

from humanoid_mujoco_ros.policy.card import ActionCard, InputTerm, PolicyCard
from humanoid_mujoco_ros.policy.checkpoint import CARD_INPUT, Checkpoint
from humanoid_mujoco_ros.robot.model import RobotModel

_HIDDEN = 64
_STIFFNESS_PER_NM = 2.0
"""[1/rad] of the joint's effort limit: it is reached at an error of half a radian."""
_DAMPING_S = 0.05
"""Damping over stiffness."""


def save_hold(path: Path, robot: RobotModel, rate_hz: float) -> None:
    """Writes a policy for `robot` whose network is as large as a small one's, and says zero."""
    joints = robot.driven_joints
    order = robot.joint_order(joints)
    count = len(joints)
    stiffness = _STIFFNESS_PER_NM * robot.effort_limits[order]
    card = PolicyCard(
        joints=joints,
        control_rate_hz=rate_hz,
        inputs=tuple(InputTerm(name) for name in ("base_ang_vel", "joint_pos", "joint_vel")),
        action=ActionCard("position"),
        default_joint_positions=tuple(robot.start_joints[order].tolist()),
        stiffness=tuple(stiffness.tolist()),
        damping=tuple((_DAMPING_S * stiffness).tolist()),
        task="hold the pose",
    )
    sizes = (3 + 2 * count, _HIDDEN, _HIDDEN, count)
    weights = tuple(np.zeros((n, m), np.float32) for m, n in pairwise(sizes))
    Checkpoint(
        weights=weights,
        biases=tuple(np.zeros(len(weight), np.float32) for weight in weights),
        log_std=np.zeros(count, np.float32),
        joints=joints,
        model=robot.name,
        control_rate_hz=rate_hz,
        normalization="stored",
        observation_mean=np.zeros(sizes[0]),
        observation_var=np.ones(sizes[0]),
        input=CARD_INPUT,
        card=card,
    ).save(path)
