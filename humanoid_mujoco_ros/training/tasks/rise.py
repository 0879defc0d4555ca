# SPDX-License-Identifier: Apache-2.0
"""The task `rise`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.policy import terms
from humanoid_mujoco_ros.policy.card import PolicyCard
from humanoid_mujoco_ros.policy.checkpoint import CARD_INPUT
from humanoid_mujoco_ros.policy.measurement import from_state
from humanoid_mujoco_ros.robot.model import ModelError, RobotModel
from humanoid_mujoco_ros.training.mirror import Mirror, RobotMirror
from humanoid_mujoco_ros.training.pose_drives import PoseDrives, term_mirror
from humanoid_mujoco_ros.training.postures import (
    SOLES,
    flat_states,
    has_soles,
    lying_states,
    squats,
)
from humanoid_mujoco_ros.training.task import Array, BatchState, Bools, Task

if TYPE_CHECKING:
    from humanoid_mujoco_ros.training.environment import EnvironmentConfig

TERMS = (
    "base_height",
    "projected_gravity",
    "base_ang_vel",
    "base_lin_vel_body",
    "joint_pos",
    "joint_vel",
    "last_action",
)
"""What the policy reads, in this order."""
STANDING_M = 1.2
"""A root that is higher, and upright, stands."""
UPRIGHT = 0.85
"""Cosine of the tilt below which the root counts as upright."""
GOAL_M = 1.28
"""Height of the root that earns most."""
STOOD_S = 0.5
"""An episode that ends after this time on its feet counts as risen."""
LYING_STATES = 1500
"""Postures that episodes start from."""
FLAT_STATES = 300
"""Postures of a robot that lies straight on its back or its belly, as `start_posture` puts it."""
SQUATS = 1000
"""Squats that episodes start from."""
HALFWAY_M = (0.3, 1.0)
"""Heights of the root between the ground and the feet."""
HALFWAY_UPRIGHT = 0.3
"""Least cosine of the tilt of such a state."""
HALFWAY_RAD_S = 8.0
"""A state with a faster joint is on its way down, or unlikely."""
HALFWAY_SHARE = 0.004
"""Share of such states that is kept."""
HALFWAY_STATES = 4000
"""How many of them are kept at a time."""
UNHELPED_SQUATS = 0.5
"""Share of the episodes from squats and from halfway without help."""
COUNTED_S = 1.5
"""Episodes that lasted no longer say nothing about the help."""
LEVEL_STEPS = (0.002, -0.002)
"""By how much an iteration takes help away, or gives it back."""


@dataclass
class Rise(Task):
    """Get up from any posture on the ground, and stand.

    A force lifts the root at first. The level takes it away while most episodes end on the feet.
    """

    name = "rise"
    input_name = CARD_INPUT
    privileged_mirror = Mirror.join(Mirror.signs(1, 1, 1, 1), Mirror.swap(2), Mirror.swap(2))

    lift_n: float = 380.0
    """Force that lifts the root at level 0 [N]; none at level 1."""
    unhelped_fraction: float = 0.2
    """Share of the episodes without that force."""
    standing_fraction: float = 0.1
    """Share of the episodes that start on the feet."""
    squatting_fraction: float = 0.2
    """Share of the episodes that start in a squat of any depth."""
    halfway_fraction: float = 0.25
    """Share of the episodes that start where others were on their way up."""
    risen_shares: tuple[float, float] = (0.35, 0.55)
    """Help is given back below the first share of helped episodes that end on the feet, and taken
    away above the second."""

    height: float = 2.0
    """Reward of the root's height."""
    upright: float = 0.6
    """Reward of an upright root."""
    over_feet: float = 1.0
    """Reward of a centre of mass above the feet."""
    standing: float = 2.0
    """Reward of standing."""
    still: float = 1.5
    """Reward of standing still in the default pose."""
    action: float = 0.3
    """Cost of the squared actions, as a share of their range."""
    action_rate: float = 0.15
    """Cost of the squared changes of the actions."""
    joint_velocity: float = 0.0008
    """Cost of the squared velocities of the joints."""
    fast: float = 0.02
    """Cost of the square of what a joint is faster than 12 rad/s."""

    stiffness: float = 0.4
    """Spring of each joint to the default pose, as a share of its effort limit [1/rad]."""
    damping: float = 0.03
    """Damper of each joint, as a share of its effort limit [s/rad]."""
    knee_rad: float = -0.4
    """Knees in the default pose; the hips take half of it."""

    def prepare(self, robot: RobotModel, n: int, random: np.random.Generator) -> None:
        """See `Task`."""
        if not has_soles(robot):
            raise ModelError(
                f"{self.name} is learnt by Gymnasium's humanoid and others with its geoms "
                f"{' and '.join(SOLES)}, not by '{robot.name}'"
            )
        super().prepare(robot, n, random)
        self._drives = self._pose_drives(robot)
        self._order, self._default = self._drives.order, self._drives.pose
        self._limits = self._drives.limits
        self._lying = np.concatenate(
            (lying_states(robot, LYING_STATES, random), flat_states(robot, FLAT_STATES, random))
        )
        self._squats = squats(robot, self._default, SQUATS, random)
        self._halfway = np.zeros((0, robot.mj.nq + robot.mj.nv))
        self.last_action = np.zeros((n, robot.mj.nu))
        self._lift_n = np.zeros(n)
        self._is_lying = np.zeros(n, dtype=bool)
        self._age_s = np.zeros(n)
        self._stood_s = np.zeros(n)
        self._counts = np.zeros(4)
        self._smooth = sum(self.risen_shares) / 2

    def conditions(self, config: EnvironmentConfig, period_s: float) -> EnvironmentConfig:
        """See `Task`: no pushes."""
        return replace(config, episode_s=min(config.episode_s, 6.0), unpushed_fraction=1.0)

    def mirror(self, robot: RobotModel) -> RobotMirror | None:
        """See `Task`."""
        return term_mirror(robot, TERMS)

    def start(self, ids: NDArray[np.intp]) -> tuple[Array, Array]:
        """A posture on the ground, or on the feet."""
        random, k, m = self.random, ids.size, self.robot.mj
        self._count(ids)
        rows = random.integers(len(self._lying), size=k)
        qpos, qvel = np.split(self._lying[rows], [m.nq], axis=1)
        kind = random.random(k)
        stands = kind < self.standing_fraction
        squats = ~stands & (kind < self.standing_fraction + self.squatting_fraction)
        qpos[squats] = self._squats[random.integers(len(self._squats), size=squats.sum())]
        qvel[squats] = random.uniform(-0.2, 0.2, (k, m.nv))[squats]
        from_halfway = self.halfway_fraction if len(self._halfway) else 0.0
        halfway = ~stands & ~squats & (kind > 1.0 - from_halfway)
        rows = random.integers(max(len(self._halfway), 1), size=halfway.sum())
        qpos[halfway], qvel[halfway] = np.split(self._halfway[rows], [m.nq], axis=1)
        pose = np.concatenate((m.qpos0[:7], np.zeros(m.nq - 7)))
        pose[7 + self._order] = self._default
        on_feet = pose + random.uniform(-0.1, 0.1, (k, m.nq))
        on_feet[:, 2] = random.uniform(1.22, 1.32, k)
        qpos[stands] = on_feet[stands]
        qvel[stands] = random.uniform(-0.3, 0.3, (k, m.nv))[stands]
        qpos[:, 3:7] /= np.linalg.norm(qpos[:, 3:7], axis=1, keepdims=True)
        is_lying = ~stands & ~squats & ~halfway
        unhelped = np.where(is_lying, self.unhelped_fraction, UNHELPED_SQUATS)
        helped = (random.random(k) >= unhelped) & ~stands
        share = random.uniform(0.0, 1.0, k) * helped
        self._lift_n[ids] = (1.0 - self.level) * self.lift_n * share
        self._is_lying[ids] = is_lying
        self._age_s[ids] = 0.0
        self._stood_s[ids] = 0.0
        self.last_action[ids] = 0.0
        return qpos, qvel

    def _count(self, ids: NDArray[np.intp]) -> None:
        """Counts how the episodes `ids` ended."""
        counts = self._is_lying[ids] & (self._age_s[ids] > COUNTED_S)
        risen = self._stood_s[ids] >= STOOD_S
        helped = self._lift_n[ids] > 0
        for i, which in enumerate((counts & helped, counts & ~helped)):
            self._counts[2 * i] += which.sum()
            self._counts[2 * i + 1] += (which & risen).sum()

    def lift(self, state: BatchState) -> Array:
        """(N,) [N] on the root, upwards; it fades out below the height of standing."""
        return np.asarray(self._lift_n * np.clip((STANDING_M - state.qpos[:, 2]) / 0.3, 0.0, 1.0))

    def controls(self, state: BatchState, action: Array) -> Array:
        """(N, nu) control signals, see `PoseDrives`."""
        return self._drives.controls(state, action)

    def advance(self, state: BatchState) -> None:
        """See `Task`."""
        self.last_action = state.action
        self._age_s += self.robot.control_period_s
        stands = (state.qpos[:, 2] >= STANDING_M) & (state.upright() >= UPRIGHT)
        self._stood_s = np.where(stands, self._stood_s + self.robot.control_period_s, 0.0)
        self._remember_halfway(state)

    def _remember_halfway(self, state: BatchState) -> None:
        """Keeps some of the states on the way from the ground to the feet."""
        height = state.qpos[:, 2]
        between = (height > HALFWAY_M[0]) & (height < HALFWAY_M[1])
        upright = state.upright() > HALFWAY_UPRIGHT
        slow = np.abs(state.qvel[:, 6:]).max(axis=1) < HALFWAY_RAD_S
        chosen = np.flatnonzero(self._is_lying & between & upright & slow)
        chosen = chosen[self.random.random(chosen.size) < HALFWAY_SHARE]
        states = np.concatenate((state.qpos[chosen], state.qvel[chosen]), axis=1)
        states[:, :2] = 0.0
        self._halfway = np.concatenate((self._halfway, states))[-HALFWAY_STATES:]

    def card(self, robot: RobotModel) -> PolicyCard:
        """What a policy of this task reads and what its actions mean."""
        return self._pose_drives(robot).card(self.name, TERMS)

    def _pose_drives(self, robot: RobotModel) -> PoseDrives:
        return PoseDrives(
            robot, stiffness=self.stiffness, damping=self.damping, knee_rad=self.knee_rad
        )

    def observe(self, state: BatchState) -> Array:
        """(N, inputs) the terms of `TERMS`."""
        inputs = terms.TermInputs(
            from_state(state.qpos, state.qvel, self._order),
            np.zeros((len(state.qpos), 3)),
            self._default,
            self.last_action,
            np.zeros((len(state.qpos), 0)),
        )
        return np.concatenate([terms.TERMS[name].compute(inputs) for name in TERMS], axis=1)

    def privileged(self, state: BatchState) -> Array:
        """(N, 8) lift, delay, ramp, time on the feet, feet."""
        return np.column_stack(
            (
                self._lift_n / 100.0,
                state.is_late,
                state.ramp_left_s * 10.0,
                np.minimum(self._stood_s, 1.0),
                state.standing,
                5.0 * np.clip(state.foot_height_m, 0.0, 1.0),
            )
        )

    def reward(self, state: BatchState) -> Array:
        """See the class."""
        up = state.upright()
        height = np.clip(state.qpos[:, 2] / GOAL_M, 0.0, 1.0)
        tall = np.clip((state.qpos[:, 2] - 0.7) / (STANDING_M - 0.7), 0.0, 1.0) * np.clip(up, 0, 1)
        low_feet = np.exp(-np.square(np.clip(state.foot_height_m.max(axis=1), 0.0, 1.0) / 0.15))
        under = low_feet * np.exp(-np.square(state.com_from_feet_m / 0.3))
        speed = state.qvel[:, 6:]
        away = np.square(state.qpos[:, 7:][:, self._order] - self._default).mean(axis=1)
        moving = np.square(state.qvel[:, :2]).sum(axis=1) + 0.1 * np.square(speed).mean(axis=1)
        still = tall * np.exp(-2.0 * moving - 4.0 * away)
        change = (state.action - state.previous_action) / self._limits
        fast = np.clip(np.abs(speed) - 12.0, 0.0, 20.0)
        reward: Array = (
            self.height * height
            + self.upright * up
            + self.over_feet * under * (0.4 + 0.6 * height)
            + self.standing * tall
            + self.still * still
            - self.action * np.square(state.action / self._limits).mean(axis=1)
            - self.action_rate * np.square(change).mean(axis=1)
            - np.minimum(self.joint_velocity * np.square(speed).sum(axis=1), 2.0)
            - np.minimum(self.fast * np.square(fast).sum(axis=1), 2.0)
        )
        return reward

    def failed(self, state: BatchState) -> Bools:
        """See `Task`: lying is no failure."""
        return np.zeros(len(state.qpos), dtype=bool)

    def figures(self) -> dict[str, float]:
        """See `Task`."""
        names = ("helped", "helped_risen", "unhelped", "unhelped_risen")
        sums, self._counts = dict(zip(names, self._counts.tolist(), strict=True)), np.zeros(4)
        return sums

    def adapt(self, figures: dict[str, float], falls_per_minute: float) -> dict[str, float]:
        """Takes help away while most of those helped rise."""
        if figures["helped"] > 0:
            share = figures["helped_risen"] / figures["helped"]
            self._smooth += 0.2 * (share - self._smooth)
        few, many = self.risen_shares
        up, down = LEVEL_STEPS
        change = up if self._smooth > many else down if self._smooth < few else 0.0
        self.level = min(max(self.level + change, 0.0), 1.0)
        alone = figures["unhelped_risen"] / max(figures["unhelped"], 1.0)
        return {"level": self.level, "risen": self._smooth, "unhelped_risen": alone}
