# SPDX-License-Identifier: Apache-2.0
"""Getting up: another policy takes over while the robot lies."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanoid_mujoco_ros.policy import fit
from humanoid_mujoco_ros.policy.brain import Brain
from humanoid_mujoco_ros.policy.measurement import Measurement, from_blocks
from humanoid_mujoco_ros.policy.state_vector import observation_layout
from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.card import FallRule
from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.robot.vectors import Float64Array

STANDING_SHARE = 0.857
"""A base above this share of the height at which it starts may stand: 1.2 m of Gymnasium's
humanoid."""
STANDING_TILT_RAD = 0.55
"""A base that is tilted more does not stand."""
STANDING_M_S = 0.5
"""A base that is faster does not stand still."""
PUT_ON_FEET_M = 0.15
"""A base that rises more from one measurement to the next was put somewhere else."""
STOOD_S = 1.0
"""A robot that stood still for this time is up."""
LEAD_IN_S = 3.9
"""How long a policy that follows commands leads in another. With the speed below it ends at a
moment of `steer`'s step from which `walk` goes on."""
LEAD_IN_M_S = {"balance": 0.0, "walk": 0.65}
"""Task of a policy that cannot take over from one that gets the robot up → the speed [m/s] at which
it is led in."""


class StandingRule:
    """Says whether robots stand still."""

    def __init__(self, robot: RobotModel) -> None:
        """Takes the height at which the robot starts."""
        start_m = float(robot.base.pose(robot.start_qpos)[0][2])
        self.pose = FallRule(STANDING_SHARE * start_m, max_tilt=STANDING_TILT_RAD)

    def __call__(
        self, height: ArrayLike, quaternion_wxyz: ArrayLike, velocity: ArrayLike
    ) -> NDArray[np.bool_]:
        """Whether bases (...) stand still.

        Args:
            height: (...) [m].
            quaternion_wxyz: (..., 4).
            velocity: (..., 3) [m/s].
        """
        is_slow = np.linalg.norm(velocity, axis=-1) < STANDING_M_S
        stands: NDArray[np.bool_] = is_slow & ~self.pose.is_fallen(height, quaternion_wxyz)
        return stands


class FallWatch:
    """Says from one measurement to the next whether a robot has to get up.

    It has to from the moment it has fallen until it has stood still for STOOD_S, or was reset.

    Attributes:
        is_getting_up: Whether it has to.
        recoveries: How often it stood still again.
    """

    def __init__(self, robot: RobotModel) -> None:
        """The robot stands, as far as is known."""
        self._fallen = robot.fall_rule
        self._stands = StandingRule(robot)
        self._least_ticks = round(STOOD_S * robot.control_rate_hz)
        self._ticks = 0
        self._height_m = np.inf
        self.is_getting_up = False
        self.recoveries = 0

    def reset(self) -> None:
        """Forgets that the robot lies."""
        self.is_getting_up = False

    def update(self, measurement: Measurement) -> None:
        """Takes the measurement of a control tick."""
        pose = float(measurement.height[0]), measurement.quaternion_wxyz
        is_put = pose[0] - self._height_m > PUT_ON_FEET_M
        self._height_m = pose[0]
        if is_put or not self.is_getting_up:
            self.is_getting_up = bool(self._fallen.is_fallen(*pose))
            self._ticks = 0
            return
        stands = bool(self._stands(*pose, measurement.linear_velocity))
        self._ticks = self._ticks + 1 if stands else 0
        if self._ticks >= self._least_ticks:
            self.is_getting_up = False
            self.recoveries += 1


class Recovering:
    """A policy that hands over to another one while the robot lies.

    It can say that only from observations that hold the base's height; it hands nothing over
    without.

    Attributes:
        watch: Says when.
        has_handed_over: Whether the last answer came from another policy than the one before.
    """

    def __init__(
        self, policy: Brain, recovery: Brain, robot: RobotModel, lead_in: Brain | None = None
    ) -> None:
        """Starts with `policy`.

        Args:
            policy: Drives a robot that stands.
            recovery: Drives one that lies.
            robot: The robot.
            lead_in: Drives one that has got up for LEAD_IN_S, at the speed of LEAD_IN_M_S.
        """
        self._policy = policy
        self._recovery = recovery
        self._lead_in = lead_in
        self._lead_in_ticks = round(LEAD_IN_S * robot.control_rate_hz)
        self._speed_m_s = LEAD_IN_M_S.get(policy.task, 0.0)
        self._ticks_left = 0
        self._driving = policy
        self._blocks = fit.blocks_by_joint(robot, robot.driven_joints, "odom")
        self._size = observation_layout(robot, "odom")[-1].slice.stop
        self._joint_count = len(robot.driven_joints)
        self.has_handed_over = False
        self.watch = FallWatch(robot)
        self.task = policy.task
        self.normalization = policy.normalization
        self.takes_commands = policy.takes_commands

    @property
    def clipped(self) -> bool:
        """Whether the last velocity command was beyond what the policy was trained for."""
        return self._policy.clipped

    def reset(self, heading_rad: float = 0.0) -> None:
        """All of them forget what happened."""
        for brain in filter(None, (self._policy, self._recovery, self._lead_in)):
            brain.reset(heading_rad)
        self.watch.reset()
        self.has_handed_over = False
        self._ticks_left = 0
        self._driving = self._policy

    def answer(self, observation: Float64Array, velocity: Float64Array) -> Float64Array:
        """(n,) efforts [N·m] or positions [rad] by joint of the model."""
        self.has_handed_over = False
        if observation.size != self._size:
            return self._policy.answer(observation, velocity)
        recoveries = self.watch.recoveries
        measurement = from_blocks(observation, self._blocks, self._joint_count)
        self.watch.update(measurement)
        has_got_up = self.watch.recoveries > recoveries
        self._ticks_left = self._lead_in_ticks if has_got_up else max(self._ticks_left - 1, 0)
        brain = self._policy
        if self.watch.is_getting_up:
            brain, self._ticks_left = self._recovery, 0
        elif self._lead_in is not None and self._ticks_left:
            brain, velocity = self._lead_in, np.array((self._speed_m_s, 0.0, 0.0))
        self.has_handed_over = brain is not self._driving
        if self.has_handed_over:
            self._driving = brain
            brain.reset(float(rotation.heading(measurement.quaternion_wxyz)))
        return brain.answer(observation, velocity)
