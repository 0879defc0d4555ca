# SPDX-License-Identifier: Apache-2.0
"""Many humanoids at once: MuJoCo's Batch with pushes, delays, ramps and time limits."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import mujoco
import numpy as np
from mujoco.batch import Batch
from numpy.typing import NDArray

from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.training.mirror import Mirror
from humanoid_mujoco_ros.training.tasks import Task, Transition

Array = NDArray[np.float64]

MEAN_VELOCITY_TIME_S = 0.5
FOOT_CONTACT_M = 0.005
"""A foot lower than this above the ground counts as standing on it."""
PRIVILEGED_MIRROR = Mirror.join(
    Mirror.signs(1, -1, 1, 1, -1, 1, 1, 1, 1, -1), Mirror.swap(2), Mirror.swap(2)
)
"""How `VectorEnvironment.privileged` looks in a mirror."""


@dataclass(frozen=True)
class EnvironmentConfig:
    """What the robot meets while it learns."""

    episode_s: float = 10.0
    """An episode ends after this time."""
    push_start_n: float = 50.0
    """Largest push on the torso at push level 0."""
    push_range_n: float = 350.0
    """What push level 1 adds to the largest push."""
    push_duration_s: tuple[float, float] = (0.1, 0.3)
    """Shortest and longest push."""
    push_interval_s: tuple[float, float] = (1.0, 4.0)
    """Shortest and longest time from one push to the next."""
    unpushed_fraction: float = 0.2
    """Share of the episodes without a push."""
    delayed_fraction: float = 0.5
    """Share of the episodes in which each command acts one control period late."""
    ramp_fraction: float = 0.5
    """Share of the episodes that start with torques scaled up from zero."""
    ramp_s: tuple[float, float] = (0.05, 0.25)
    """Shortest and longest such ramp."""


@dataclass(frozen=True)
class Step:
    """What one control period of N simulations brought."""

    observation: Array
    """(N, observations) of the episode that runs now: after a reset, its first."""
    privileged: Array
    """(N, privileged) likewise, for the critic."""
    reward: Array
    """(N,)"""
    failed: NDArray[np.bool_]
    """(N,) the episode ended with a fall."""
    timed_out: NDArray[np.bool_]
    """(N,) the episode ended because its time was up."""
    last_observation: Array
    """(k, observations) of the k timed-out episodes, before their reset."""
    last_privileged: Array
    """(k, privileged) likewise."""


class VectorEnvironment:
    """N simulations of one robot that learn one task; ended episodes restart by themselves."""

    def __init__(
        self,
        robot: RobotModel,
        task: Task,
        n: int,
        config: EnvironmentConfig,
        seed: int = 0,
        threads: int = 1,
    ) -> None:
        """Prepares `n` simulations on `threads` threads; `reset` starts them."""
        self.robot = robot
        self.task = task
        self.config = config
        self.n = n
        self.push_level = 0.0
        """0 to 1: how hard the pushes are."""
        self.pushes = 0
        """Pushes so far."""
        self._random = np.random.default_rng(seed)
        self._dt = robot.control_period_s
        self._limit_steps = max(1, round(config.episode_s / self._dt))
        model = copy.copy(robot.mj)
        model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_SENSOR  # unused here, and costly
        self._batch = Batch(model, n, threads)
        bind = self._batch.bind
        self._qpos, self._qvel, self._ctrl = bind("qpos"), bind("qvel"), bind("ctrl")
        # A force at the root's origin, world axes: it does not show in cfrc_ext.
        self._push_force = bind("qfrc_applied")[:, :2]
        self._cinert, self._cvel = bind("cinert"), bind("cvel")
        self._qfrc_actuator, self._subtree_com = bind("qfrc_actuator"), bind("subtree_com")
        self._feet = _foot_geoms(robot)
        self._geom_xpos = bind("geom_xpos") if self._feet else None
        self._radii = robot.mj.geom_size[self._feet, 0]
        self._standing = np.ones((n, 2), dtype=bool)
        self._phase_s = np.zeros((n, 2))
        self._age = np.zeros(n, dtype=np.int64)
        self._com = np.zeros((n, 2))
        self._mean_velocity = np.zeros((n, 2))
        self._previous_action = np.zeros((n, robot.mj.nu))
        self._delayed = np.zeros(n, dtype=bool)
        self._ramp_s = np.zeros(n)
        self._force = np.zeros((n, 2))
        self._push_left = np.zeros(n)
        self._push_in = np.zeros(n)
        self._push_duration = np.zeros(n)
        self._is_pushed = np.zeros(n, dtype=bool)

    def reset(self) -> tuple[Array, Array]:
        """Starts all episodes, at different ages; returns observation and privileged."""
        self._restart(np.arange(self.n))
        self._age[:] = self._random.integers(0, self._limit_steps, self.n)
        return self.observe(), self.privileged()

    def observe(self) -> Array:
        """(N, observations) what the task's policy reads; a new array."""
        return self.task.observe(
            self._qpos, self._qvel, self._cinert, self._cvel, self._qfrc_actuator
        )

    def privileged(self) -> Array:
        """(N, 14) for the critic: push, next push, delay, ramp, drift, feet on the ground."""
        active = self._push_left > 0
        scale = 1.0 / 200.0
        ramp = np.where(self._ramp_s > 0, np.maximum(self._ramp_s - self._age * self._dt, 0), 0)
        return np.column_stack(
            (
                self._force * (active * scale)[:, None],
                np.where(active, self._push_left, 0.0) * 5.0,
                np.where(active[:, None], 0.0, self._force * scale),
                np.where(active, 0.0, np.minimum(self._push_in, 2.0)),
                self._delayed,
                ramp * 10.0,
                self._mean_velocity,
                self._standing,
                2.0 * np.minimum(self._phase_s, 1.0),
            )
        )

    def step(self, action: Array) -> Step:
        """Runs one control period.

        Args:
            action: (N, nu) control signals by actuator, within the actuators' range.
        """
        applied = np.where(self._delayed[:, None], self._previous_action, action)
        ramping = self._age * self._dt < self._ramp_s
        if ramping.any():
            share = self._age[ramping] * self._dt / self._ramp_s[ramping]
            applied[ramping] *= share[:, None]
        self._ctrl[:] = applied
        self._previous_action = action
        self._advance_pushes()
        self._batch.step(nstep=self.robot.config.steps_per_control)
        self._age += 1
        com = self._subtree_com[:, 1, :2].copy()
        velocity = np.clip((com - self._com) / self._dt, -20.0, 20.0)
        self._com = com
        self._mean_velocity += (velocity - self._mean_velocity) * (self._dt / MEAN_VELOCITY_TIME_S)
        self._follow_feet()
        single = self._standing[:, 0] != self._standing[:, 1]
        transition = Transition(
            self._qpos,
            self._qvel,
            action,
            velocity,
            self._mean_velocity,
            np.where(single, self._phase_s.min(axis=1), 0.0),
        )
        reward = self.task.reward(transition)
        failed = self.task.failed(self._qpos)
        timed_out = (self._age >= self._limit_steps) & ~failed
        observed, privileged = self.observe(), self.privileged()
        last = observed[timed_out], privileged[timed_out]
        ended = np.flatnonzero(failed | timed_out)
        if ended.size:
            self._restart(ended)
            observed, privileged = self.observe(), self.privileged()
        return Step(observed, privileged, reward, failed, timed_out, *last)

    def _follow_feet(self) -> None:
        """How long each foot has been on the ground or in the air."""
        if self._geom_xpos is None:
            return
        standing = self._geom_xpos[:, self._feet, 2] - self._radii < FOOT_CONTACT_M
        self._phase_s = np.where(standing == self._standing, self._phase_s + self._dt, 0.0)
        self._standing = standing

    def _advance_pushes(self) -> None:
        starts = (self._push_left <= 0) & (self._push_in <= 0) & self._is_pushed
        self._push_left[starts] = self._push_duration[starts]
        self.pushes += int(starts.sum())
        active = self._push_left > 0
        self._push_force[:] = np.where(active[:, None], self._force, 0.0)
        self._push_left[active] -= self._dt
        self._push_in[~active] -= self._dt
        ends = np.flatnonzero(active & (self._push_left <= 1e-9))
        self._push_left[ends] = 0.0
        self._plan_push(ends)

    def _plan_push(self, ids: NDArray[np.intp]) -> None:
        config, k = self.config, ids.size
        largest = config.push_start_n + config.push_range_n * self.push_level
        heading = self._random.uniform(-np.pi, np.pi, k)
        force = largest * self._random.uniform(0.2, 1.0, k) * self._is_pushed[ids]
        self._force[ids] = force[:, None] * np.column_stack((np.cos(heading), np.sin(heading)))
        self._push_duration[ids] = self._random.uniform(*config.push_duration_s, k)
        self._push_in[ids] = self._random.uniform(*config.push_interval_s, k)

    def _restart(self, ids: NDArray[np.intp]) -> None:
        config, k = self.config, ids.size
        self._batch.reset(ids, stage=int(mujoco.mjtStage.mjSTAGE_NONE))
        self._qpos[ids], self._qvel[ids] = self.task.reset(self.robot, self._random, k)
        self._batch.forward(ids)
        self._age[ids] = 0
        self._com[ids] = self._subtree_com[ids, 1, :2]
        self._mean_velocity[ids] = 0.0
        self._previous_action[ids] = 0.0
        self._standing[ids] = True
        self._phase_s[ids] = 0.0
        self._delayed[ids] = self._random.random(k) < config.delayed_fraction
        has_ramp = self._random.random(k) < config.ramp_fraction
        self._ramp_s[ids] = np.where(has_ramp, self._random.uniform(*config.ramp_s, k), 0.0)
        self._is_pushed[ids] = self._random.random(k) >= config.unpushed_fraction
        self._push_left[ids] = 0.0
        self._plan_push(ids)


def _foot_geoms(robot: RobotModel) -> list[int]:
    """The left and right foot's geom, of which only the radius is looked at; empty: no feet."""
    names = (robot.config.left_foot, robot.config.right_foot)
    if not all(names):
        return []
    return [int(robot.mj.body_geomadr[robot.mj.body(name).id]) for name in names]
