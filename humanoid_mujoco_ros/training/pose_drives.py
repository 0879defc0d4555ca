# SPDX-License-Identifier: Apache-2.0
"""What tasks have in common whose actions are targets of drives around a default pose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from humanoid_mujoco_ros.policy.card import ActionCard, InputTerm, PolicyCard
from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.training.mirror import Mirror, RobotMirror, find_mirror
from humanoid_mujoco_ros.training.task import Array, BatchState

_SIGNS = {
    "base_height": (1,),
    "projected_gravity": (1, -1, 1),
    "base_ang_vel": (-1, 1, -1),
    "base_lin_vel": (1, -1, 1),
    "base_lin_vel_body": (1, -1, 1),
    "command": (1, -1, -1),
    "velocity_error": (1, -1, -1),
    "hold_error": (1, -1, -1),
    "phase": (-1, -1),
}
"""Input term → the signs of its values in a mirror."""
_BY_ACTUATOR = ("joint_pos", "joint_vel", "last_action")


class PoseDrives:
    """Drives that are closed in the policy, at the control rate.

    Attributes:
        order: (nu,) index of the joint of each action.
        limits: (nu,) largest control signal of each.
        pose: (nu,) [rad] in which zero actions hold the robot.
    """

    def __init__(
        self, robot: RobotModel, *, stiffness: float, damping: float, knee_rad: float
    ) -> None:
        """Prepares the drives.

        Args:
            robot: The robot.
            stiffness: Of each joint, as a share of its effort limit [1/rad].
            damping: Of each joint, as a share of its effort limit [s/rad].
            knee_rad: Knees in the default pose, see `default_pose`.
        """
        self.order = robot.joint_order(robot.action_joints)
        low, high = robot.mj.actuator_ctrlrange.T
        self.limits = np.minimum(-low, high)
        self.pose = default_pose(robot.action_joints, knee_rad)
        self._robot = robot
        self._stiffness = stiffness
        self._damping = damping

    def controls(self, state: BatchState, action: Array) -> Array:
        """(N, nu) control signals: the action, a spring to the default pose and a damper.

        It is the torque of a drive, kp (target - q) - kd dq/dt, with the target
        default + action x effort limit / kp.
        """
        away = state.qpos[:, 7:][:, self.order] - self.pose
        speed = state.qvel[:, 6:][:, self.order]
        share = -self._stiffness * away - self._damping * speed
        return np.asarray(np.clip(action + self.limits * share, -self.limits, self.limits))

    def card(self, task: str, terms: Sequence[str], **more: Any) -> PolicyCard:
        """The card of a policy that reads `terms`; `more` are fields of PolicyCard."""
        robot = self._robot
        effort = robot.effort_limits[self.order]
        return PolicyCard(
            joints=tuple(robot.action_joints),
            control_rate_hz=round(robot.control_rate_hz, 9),
            inputs=tuple(InputTerm(name) for name in terms),
            action=ActionCard(
                "position",
                scale=tuple(robot.gear[self.order] / (self._stiffness * effort)),
                limit=float(self.limits.max()),
            ),
            robot=robot.name,
            default_joint_positions=tuple(self.pose),
            stiffness=tuple(self._stiffness * effort),
            damping=tuple(self._damping * effort),
            task=task,
            **more,
        )


def default_pose(joints: Sequence[str], knee_rad: float) -> Array:
    """(n,) [rad] by `joints`: straight but for the knees, and half as much in the hips."""
    shares = [1.0 if j.endswith("knee") else 0.5 if j.endswith("hip_y") else 0.0 for j in joints]
    return knee_rad * np.array(shares)


def term_mirror(robot: RobotModel, terms: Sequence[str]) -> RobotMirror | None:
    """How `terms` and the actions look in a mirror; None without a left-right symmetry."""
    found = find_mirror(robot)
    if found is None:
        return None
    parts = [
        found.action if name in _BY_ACTUATOR else Mirror.signs(*_SIGNS[name]) for name in terms
    ]
    return RobotMirror(Mirror.join(*parts), found.action)
