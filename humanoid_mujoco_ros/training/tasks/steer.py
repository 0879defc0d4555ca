# SPDX-License-Identifier: Apache-2.0
"""The task `steer`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.policy import terms
from humanoid_mujoco_ros.policy.card import Gait, PolicyCard
from humanoid_mujoco_ros.policy.checkpoint import CARD_INPUT
from humanoid_mujoco_ros.policy.measurement import from_state
from humanoid_mujoco_ros.policy.steering import LEAST_COMMAND, SteeringMemory
from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.training.mirror import Mirror, RobotMirror
from humanoid_mujoco_ros.training.pose_drives import PoseDrives, term_mirror
from humanoid_mujoco_ros.training.task import Array, BatchState, Task, carries_a_foot

TERMS = (
    "projected_gravity",
    "base_ang_vel",
    "base_lin_vel",
    "command",
    "velocity_error",
    "hold_error",
    "joint_pos",
    "joint_vel",
    "last_action",
    "phase",
)
"""What the policy reads, in this order."""
HEIGHT_M = 1.2
"""Lowest root that costs nothing."""
CLEARANCE_M = 0.05
"""A foot in the air that is higher earns nothing more."""
LONGEST_STRIDE_S = 0.4
"""A foot that stays up longer earns nothing more."""
RESET_DROP_M = (-0.08, 0.01)
"""Where an episode starts, above the model's pose."""
SETTLED_AFTER_S = 1.5
"""From this time after a new command on, errors count."""
LEVEL_STEP = 0.01
"""Growth of the level in an iteration."""
LEVEL_FALLS_PER_MINUTE = 12.0
"""The level grows while there are fewer falls."""
PUSH_GROWTH_LEVEL = 0.3
"""From this level on the pushes grow."""


@dataclass
class Steer(Task):
    """Follow vx, vy and the yaw rate of a command; without one stand still, where it stopped.

    The level widens the range of the commands.
    """

    name = "steer"
    input_name = CARD_INPUT
    privileged_mirror = Mirror.join(
        Mirror.signs(1, -1, 1, 1, -1, 1, 1, 1, 1, -1, -1, 1),
        Mirror.swap(2),
        Mirror.swap(2),
        Mirror.swap(2),
    )

    command_start: tuple[float, float, float, float] = (-0.3, 1.0, 0.15, 0.4)
    """Least and largest vx [m/s], largest vy [m/s] and yaw rate [rad/s] at level 0."""
    command_end: tuple[float, float, float, float] = (-0.5, 1.6, 0.35, 0.9)
    """The same at level 1."""
    command_s: tuple[float, float] = (2.0, 6.0)
    """Shortest and longest time from one command to the next."""
    zero_fraction: float = 0.3
    """Share of the commands that are none."""
    straight_fraction: float = 0.2
    """Share with vx alone."""
    turn_fraction: float = 0.1
    """Share with the yaw rate alone."""
    corner_fraction: float = 0.1
    """Share with each part at its least or largest value."""
    level_gate: tuple[float, float] = (0.45, 0.6)
    """The level grows while the scores of velocity and yaw rate, 0 to 1, are higher and the
    robot falls less often than 12 times a minute."""

    alive: float = 4.0
    """Reward of a control period without a fall."""
    velocity: tuple[float, float, float, float] = (3.0, 3.0, 6.0, 2.0)
    """Rewards of a small velocity error: wide, narrow, linear; and of the velocity as it is now."""
    yaw_rate: tuple[float, float, float] = (1.5, 0.5, 0.5)
    """Rewards of a small error of the yaw rate: wide, narrow, linear."""
    hold: float = 3.0
    """Reward of standing where it stopped."""
    feet: float = 4.5
    """Reward of feet that stand and swing with the gait clock."""
    stride: float = 4.5
    """Reward of a long single support, as in walk."""
    slip: float = 3.0
    """Cost of the speed of a standing foot."""
    height: float = 25.0
    """Cost of a root that is lower than 1.2 m."""
    action: float = 0.1
    """Cost of the squared actions."""
    action_rate: float = 0.2
    """Cost of the squared changes of the actions."""
    upright: float = 2.0
    """Cost of leaning."""
    tilt_rate: float = 0.02
    """Cost of the squared angular velocity of roll and pitch."""
    joint_velocity: tuple[float, float] = (0.002, 0.004)
    """Cost of the squared velocities of the joints, of the arms' joints; twice when standing."""
    posture: float = 0.3
    """Cost of turned hips and a twisted waist."""
    stance: float = 1.0
    """Cost of standing in another pose than the default one."""

    stiffness: float = 1.0
    """Spring of each joint to the default pose, as a share of its effort limit [1/rad]."""
    damping: float = 0.02
    """Damper of each joint, as a share of its effort limit [s/rad]."""
    knee_rad: float = -0.4
    """Knees in the default pose; the hips take half of it."""

    def prepare(self, robot: RobotModel, n: int, random: np.random.Generator) -> None:
        """See `Task`."""
        super().prepare(robot, n, random)
        self.memory = SteeringMemory(robot.control_period_s, (n,))
        self.command = np.zeros((n, 3))
        self._followed: Array = np.zeros((n, 3))
        self._drives = self._pose_drives(robot)
        self._order, self._default = self._drives.order, self._drives.pose
        self.last_action = np.zeros((n, robot.mj.nu))
        legs = carries_a_foot(robot)[self._order]
        self._velocity_costs = np.where(legs, *self.joint_velocity)
        twists = [
            name.endswith(("hip_z", "abdomen_z", "abdomen_x")) for name in robot.action_joints
        ]
        self._posture_costs = self.posture * np.where(twists, 1.0, np.where(legs, 0.0, 0.1))
        pitched = [name.endswith(("hip_y", "knee", "abdomen_y")) for name in robot.action_joints]
        self._stance_costs = self.stance * np.array(pitched, dtype=np.float64)
        self._command_left_s = np.zeros(n)
        self._command_age_s = np.zeros(n)
        self._tally = Tally()

    def mirror(self, robot: RobotModel) -> RobotMirror | None:
        """See `Task`."""
        return term_mirror(robot, TERMS)

    def start(self, ids: NDArray[np.intp]) -> tuple[Array, Array]:
        """The model's pose, sometimes lower, with little or much noise, half at speed."""
        robot, random, k = self.robot, self.random, ids.size
        noise = np.where(random.random((k, 1)) < 0.5, 0.01, 0.04)
        qpos = robot.mj.qpos0 + noise * random.uniform(-1, 1, (k, robot.mj.nq))
        qpos[:, 2] = robot.mj.qpos0[2] + random.uniform(*RESET_DROP_M, k)
        qpos[:, 3:7] /= np.linalg.norm(qpos[:, 3:7], axis=1, keepdims=True)
        qvel = noise * random.uniform(-1, 1, (k, robot.mj.nv))
        self.memory.reset(ids)
        self._draw_commands(ids)
        # So that they learn to step before they learn to speed up.
        share = random.uniform(0.3, 1.0, k) * (random.random(k) < 0.5)
        yaw = rotation.heading(qpos[:, 3:7])
        self.memory.command[ids] = self.command[ids] * share[:, None]
        x, y, _ = self.memory.command[ids].T
        qvel[:, 0] += np.cos(yaw) * x - np.sin(yaw) * y
        qvel[:, 1] += np.sin(yaw) * x + np.cos(yaw) * y
        self.last_action[ids] = 0.0
        return qpos, qvel

    def _draw_commands(self, ids: NDArray[np.intp]) -> None:
        self.command[ids] = self.commands(ids.size)
        self._command_left_s[ids] = self.random.uniform(*self.command_s, ids.size)
        self._command_age_s[ids] = 0.0

    def commands(self, n: int) -> Array:
        """(n, 3) new commands, by the level."""
        random = self.random
        start, end = np.array(self.command_start), np.array(self.command_end)
        least, most, sideways, turn = start + self.level * (end - start)
        low, high = np.array((least, -sideways, -turn)), np.array((most, sideways, turn))
        share, kind = random.random((n, 3)), random.random(n)
        fractions = (
            self.zero_fraction,
            self.straight_fraction,
            self.turn_fraction,
            self.corner_fraction,
        )
        zero, straight, turning, corner = (
            (kind >= upper - fraction) & (kind < upper)
            for upper, fraction in zip(np.cumsum(fractions), fractions, strict=True)
        )
        share[corner] = np.rint(share[corner])
        command = low + share * (high - low)
        command[zero] = 0.0
        command[straight, 1:] = 0.0
        command[turning, :2] = 0.0
        command[(np.abs(command) < LEAST_COMMAND).all(axis=1)] = 0.0
        return np.asarray(command)

    def controls(self, state: BatchState, action: Array) -> Array:
        """(N, nu) control signals, see `PoseDrives`."""
        return self._drives.controls(state, action)

    def advance(self, state: BatchState) -> None:
        """See `Task`."""
        period = self.robot.control_period_s
        self.memory.advance(from_state(state.qpos, state.qvel, self._order))
        self._followed = self.memory.command
        self.last_action = state.action
        self._command_age_s += period
        settled = self._command_age_s > SETTLED_AFTER_S
        slip = (state.foot_speed_m_s * state.standing).sum(axis=1)
        self._tally.add(settled, self.command, self.memory, self._feet_score(state), slip)
        self._command_left_s -= period
        self._draw_commands(np.flatnonzero(self._command_left_s <= 0))
        self.memory.follow(self.command)

    def card(self, robot: RobotModel) -> PolicyCard:
        """What a policy of this task reads and what its actions mean."""
        least, most, sideways, turn = self.command_end
        return self._pose_drives(robot).card(
            self.name,
            TERMS,
            command_ranges={
                "vx": (least, most),
                "vy": (-sideways, sideways),
                "yaw_rate": (-turn, turn),
            },
            gait=Gait(kind="steering"),
        )

    def _pose_drives(self, robot: RobotModel) -> PoseDrives:
        return PoseDrives(
            robot, stiffness=self.stiffness, damping=self.damping, knee_rad=self.knee_rad
        )

    def observe(self, state: BatchState) -> Array:
        """(N, inputs) the terms of `TERMS`."""
        inputs = terms.TermInputs(
            from_state(state.qpos, state.qvel, self._order),
            self.memory.command,
            self._default,
            self.last_action,
            self.memory.phases,
            self.memory.velocity_error,
            self.memory.hold_error,
        )
        return np.concatenate([terms.TERMS[name].compute(inputs) for name in TERMS], axis=1)

    def privileged(self, state: BatchState) -> Array:
        """(N, 18) push, next push, delay, ramp, command, height, feet."""
        active = state.push_left_s > 0
        push_world = np.pad(state.push_n / 200.0, ((0, 0), (0, 1)))
        push = terms.heading_frame(state.qpos[:, 3:7], push_world)[:, :2]
        return np.column_stack(
            (
                np.where(active[:, None], push, 0.0),
                state.push_left_s * 5.0,
                np.where(active[:, None], 0.0, push),
                np.minimum(state.push_in_s, 2.0),
                state.is_late,
                state.ramp_left_s * 10.0,
                self.command,
                2.0 * (state.qpos[:, 2] - 1.2),
                state.standing,
                10.0 * np.clip(state.foot_height_m, 0.0, 0.3),
                2.0 * np.minimum(state.phase_s, 1.0),
            )
        )

    def reward(self, state: BatchState) -> Array:
        """See the class."""
        memory = self.memory
        action_cost = self.action * np.square(state.action).sum(axis=1)
        change = state.action - state.previous_action
        action_cost += self.action_rate * np.square(change).sum(axis=1)
        speed = state.qvel[:, 6:][:, self._order]
        quiet = np.minimum(np.square(speed) @ self._velocity_costs, 4.0)
        away = np.square(state.qpos[:, 7:][:, self._order] - self._default)
        stance = np.minimum(away @ self._stance_costs, 2.0)
        reward: Array = (
            self.alive
            + self._tracking()
            + self._stepping(state)
            - self.height * np.clip(HEIGHT_M - state.qpos[:, 2], 0.0, 0.3)
            - self.upright * (1.0 - state.upright())
            - self.tilt_rate * np.square(state.qvel[:, 3:5]).sum(axis=1)
            - action_cost
            - np.where(memory.stepping, 1.0, 2.0) * quiet
            - away @ self._posture_costs
            - np.where(memory.stepping, 0.0, stance)
        )
        return reward

    def _tracking(self) -> Array:
        """(N,) rewards of velocity, yaw rate and place."""
        memory = self.memory
        velocity, yaw = velocity_errors(memory)
        now = np.square((self._followed - memory.velocity)[:, :2]).sum(axis=1)
        wide, narrow, linear, instant = self.velocity
        reward = wide * velocity_score(velocity) - linear * np.minimum(velocity, 2.0)
        reward += narrow * np.exp(-velocity / np.where(memory.stepping, 0.12, 0.06))
        reward += instant * np.exp(-4.0 * now)
        wide, narrow, linear = self.yaw_rate
        reward += wide * yaw_score(yaw) - linear * np.minimum(yaw, 2.0)
        reward += narrow * np.exp(-yaw / 0.12)
        away = np.hypot(memory.hold_error[:, 0], memory.hold_error[:, 1])
        still = np.exp(-away / 0.1 - np.abs(memory.hold_error[:, 2]) / 0.2)
        return np.asarray(reward + np.where(memory.stepping, 0.0, self.hold * still))

    def _stepping(self, state: BatchState) -> Array:
        """(N,) rewards of the feet."""
        stride = np.minimum(state.stride_s(), LONGEST_STRIDE_S)
        both = 0.5 * LONGEST_STRIDE_S * state.standing.all(axis=1)
        slip = (np.minimum(state.foot_speed_m_s, 1.0) * state.standing).sum(axis=1)
        reward: Array = (
            self.feet * self._feet_score(state)
            + self.stride * np.where(self.memory.stepping, stride, both)
            - self.slip * slip
        )
        return reward

    def _feet_score(self, state: BatchState) -> Array:
        """(N,) 1: the feet stand and swing with the gait clock."""
        sine = np.sin(self.memory.phase)
        stance = np.clip(0.5 + 2.5 * (np.stack((sine, -sine), axis=1) + 0.15), 0.0, 1.0)
        stance[~self.memory.stepping] = 1.0
        lifted = np.clip(state.foot_height_m / CLEARANCE_M, 0.0, 1.0)
        score: Array = (stance * state.standing + (1.0 - stance) * lifted).mean(axis=1)
        return score

    def figures(self) -> dict[str, float]:
        """See `Task`."""
        sums, self._tally = self._tally.sums, Tally()
        return sums

    def adapt(self, figures: dict[str, float], falls_per_minute: float) -> dict[str, float]:
        """Widens the commands when they are followed well."""
        row = means(figures)
        good = row["velocity_score"] > self.level_gate[0] and row["yaw_score"] > self.level_gate[1]
        if good and falls_per_minute < LEVEL_FALLS_PER_MINUTE:
            self.level = min(1.0, self.level + LEVEL_STEP)
        self.pushes_may_grow = self.level >= PUSH_GROWTH_LEVEL
        return {"level": self.level, **row}


def velocity_errors(memory: SteeringMemory) -> tuple[Array, Array]:
    """(N,) filtered error of the horizontal velocity [m/s], and of the yaw rate [rad/s]."""
    error = memory.velocity_error
    return np.hypot(error[:, 0], error[:, 1]), np.abs(error[:, 2])


def velocity_score(error: Array) -> Array:
    """1 without an error of the velocity, 0 with a large one."""
    return np.asarray(np.exp(-np.square(error / 0.3)))


def yaw_score(error: Array) -> Array:
    """1 without an error of the yaw rate, 0 with a large one."""
    return np.asarray(np.exp(-np.square(error / 0.35)))


class Tally:
    """Sums over how well commands were followed."""

    def __init__(self) -> None:
        """Starts at zero."""
        self.sums = dict.fromkeys(
            (n for group in GROUPS.items() for n in (group[0], *group[1])), 0.0
        )

    def add(
        self,
        settled: NDArray[np.bool_],
        command: Array,
        memory: SteeringMemory,
        feet: Array,
        slip: Array,
    ) -> None:
        """Takes a control period; only the robots `settled` count as following."""
        velocity, yaw = velocity_errors(memory)
        asked = command.any(axis=1)
        moving, zero = settled & asked, settled & ~asked
        parts = np.abs(memory.velocity_error[moving]).sum(axis=0)
        values = {
            "moving": moving.sum(),
            "vx_error": parts[0],
            "vy_error": parts[1],
            "yaw_error": parts[2],
            "velocity_score": velocity_score(velocity[moving]).sum(),
            "yaw_score": yaw_score(yaw[moving]).sum(),
            "zero": zero.sum(),
            "zero_error": velocity[zero].sum(),
            "zero_standing": (~memory.stepping[zero]).sum(),
            "all": settled.size,
            "feet_score": feet.sum(),
            "slip": slip.sum(),
        }
        for name, value in values.items():
            self.sums[name] += float(value)


GROUPS = {
    "moving": ("vx_error", "vy_error", "yaw_error", "velocity_score", "yaw_score"),
    "zero": ("zero_error", "zero_standing"),
    "all": ("feet_score", "slip"),
}
"""Count of control periods: what is summed over them."""


def means(sums: dict[str, float]) -> dict[str, float]:
    """The means of the sums of a `Tally`, by name."""
    return {
        name: sums[name] / max(sums[count], 1.0)
        for count, group in GROUPS.items()
        for name in group
    }
