# SPDX-License-Identifier: Apache-2.0
"""Hands commands to a robot's motors, or to the drives that close its position loop."""

from __future__ import annotations

from typing import Protocol

import mujoco
import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.robot.model import RobotModel

Float64Array = NDArray[np.float64]


class Actuators(Protocol):
    """What turns commands by joint into MuJoCo's control signals."""

    model: mujoco.MjModel
    """The model that the simulation steps."""

    def reset(self, data: mujoco.MjData) -> None:
        """Sets what is commanded before the first command of an episode."""

    def command(self, data: mujoco.MjData, command: Float64Array | None) -> None:
        """Takes a command (n,), by joint; None: there is none, so the robot gets no power."""


def actuators_of(robot: RobotModel) -> Actuators:
    """The actuators that a robot has."""
    return PositionDrives(robot) if robot.actuation == "position" else EffortMotors(robot)


class EffortMotors:
    """Motors that apply the torques [N·m] that are commanded; MuJoCo limits them to their range."""

    def __init__(self, robot: RobotModel) -> None:
        """Takes the robot's motors."""
        self.model = robot.mj
        self._ids = robot.actuator_indices
        self._driven = robot.driven
        self._gear = robot.gear[robot.driven]

    def reset(self, data: mujoco.MjData) -> None:
        """Lets the motors rest."""
        data.ctrl[self._ids] = 0.0

    def command(self, data: mujoco.MjData, command: Float64Array | None) -> None:
        """Commands torques (n,) [N·m], by joint; None: no torque."""
        data.ctrl[self._ids] = 0.0 if command is None else command[self._driven] / self._gear


class PositionDrives:
    """Drives that follow position targets: torque = kp (target - position) - kd velocity.

    Targets are limited to the joint's range, the torque to the drive's effort range. MuJoCo
    computes the torque as that of an affine actuator: at every physics step, and with an implicit
    integrator's treatment of the damping.
    """

    def __init__(self, robot: RobotModel) -> None:
        """Takes the robot's drives."""
        # Of its own, because a drive without power is one without stiffness.
        self.model = robot.mj.__copy__()
        self._ids = robot.actuator_indices
        self._driven = robot.driven
        self._positions = robot.qpos_indices[robot.driven]
        self._start = robot.start_joints[robot.driven]
        self._holds = robot.card.without_command == "hold"
        self._low, self._high = robot.target_ranges[robot.driven].T
        self._kp = robot.kp[robot.driven]
        self._kd = robot.kd[robot.driven]
        self._is_limp = False
        self._is_holding = self._is_commanded = False

    def reset(self, data: mujoco.MjData) -> None:
        """Holds the pose in which the episode starts, until the first command."""
        self._is_holding = self._is_commanded = False
        self._set_power(limp=False)
        data.ctrl[self._ids] = self._start

    def command(self, data: mujoco.MjData, command: Float64Array | None) -> None:
        """Commands targets (n,) [rad], by joint; those out of a joint's range end at it.

        None: the drives go limp, or hold the pose that they are in, as the robot's card says;
        before the first command of an episode they hold the pose in which it started.
        """
        if command is not None:
            self._is_commanded = True
            if self._is_limp:
                self._set_power(limp=False)
            self._is_holding = False
            within = np.clip(command[self._driven], self._low, self._high)
            data.ctrl[self._ids] = within
        elif not self._is_commanded:
            return
        elif not self._holds:
            if not self._is_limp:
                self._set_power(limp=True)
        elif not self._is_holding:
            self._is_holding = True
            data.ctrl[self._ids] = data.qpos[self._positions]

    def _set_power(self, *, limp: bool) -> None:
        self._is_limp = limp
        m, on = self.model, 0.0 if limp else 1.0
        m.actuator_gainprm[self._ids, 0] = on * self._kp
        m.actuator_biasprm[self._ids, 1] = -on * self._kp
        m.actuator_biasprm[self._ids, 2] = -on * self._kd
