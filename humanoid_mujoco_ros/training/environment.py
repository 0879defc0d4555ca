# SPDX-License-Identifier: Apache-2.0
"""N robots that learn one task: what they meet, and episodes that restart by themselves."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.training.batch import BatchSimulation
from humanoid_mujoco_ros.training.task import BatchState, Task

Array = NDArray[np.float64]

MEAN_VELOCITY_TIME_S = 0.5
FASTEST_M_S = 20.0
"""Velocities of the centre of mass beyond this are cut off: a fall may tumble."""
FOOT_CONTACT_M = 0.005
"""A foot lower than this above the ground counts as standing on it."""
PUSH_LEVEL_STEPS = (0.004, -0.008)
"""By how much an iteration raises or lowers the level of the pushes."""
FALLS_PER_PUSH = (0.25, 0.30)
"""Pushes grow while fewer falls than the first come on a push, and shrink above the second."""


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
    """(N, privileged) the same for the critic."""
    reward: Array
    """(N,)"""
    failed: NDArray[np.bool_]
    """(N,) the episode ended with a fall."""
    finished: NDArray[np.bool_]
    """(N,) the episode ended because its task is done."""
    timed_out: NDArray[np.bool_]
    """(N,) the episode ended because its time was up."""
    last_observation: Array
    """(k, observations) of the k timed-out episodes, before their reset."""
    last_privileged: Array
    """(k, privileged) the same for the critic."""


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
        self.config = config = task.conditions(config, robot.control_period_s)
        self.n = n
        self.push_level = 0.0
        """0 to 1: how hard the pushes are."""
        self.fall_rate = 1.0
        """Falls per push, smoothed over iterations."""
        self.pushes = 0
        """Pushes so far."""
        self._random = np.random.default_rng(seed)
        task.prepare(robot, n, self._random)
        self._period_s = robot.control_period_s
        self._limit = max(1, round(config.episode_s / self._period_s))
        self._simulation = simulation = BatchSimulation(robot, n, threads)
        self._feet = _foot_geoms(robot)
        self._radii = robot.mj.geom_size[self._feet, 0]
        self._com = np.zeros((n, 2))
        self._foot_place = np.zeros((n, 2, 2))
        self._left = np.full(n, self._limit)
        self._is_pushed = np.zeros(n, dtype=bool)
        self.state = replace(
            BatchState.still(robot, n),
            qpos=simulation.qpos,
            qvel=simulation.qvel,
            cinert=simulation.cinert,
            cvel=simulation.cvel,
            qfrc_actuator=simulation.qfrc_actuator,
            age=simulation.age,
        )

    def reset(self) -> tuple[Array, Array]:
        """Starts all episodes, to end at different times; returns observation and privileged."""
        everyone = np.arange(self.n)
        self._restart(everyone, *self.task.start(everyone))
        self._left[:] -= self._random.integers(0, self._limit, self.n)
        return self.observe(), self.privileged()

    def set_state(self, qpos: Array, qvel: Array) -> tuple[Array, Array]:
        """Starts all episodes from given states; returns observation and privileged.

        Args:
            qpos: (nq,) or (N, nq) [m, rad].
            qvel: (nv,) or (N, nv) [m/s, rad/s].
        """
        everyone = np.arange(self.n)
        self.task.start(everyone)
        self._restart(everyone, qpos, qvel)
        return self.observe(), self.privileged()

    def observe(self) -> Array:
        """(N, observations) what the task's policy reads; a new array."""
        return self.task.observe(self.state)

    def privileged(self) -> Array:
        """(N, privileged) what the task shows the critic; a new array."""
        return self.task.privileged(self.state)

    def step(self, action: Array) -> Step:
        """Runs one control period.

        Args:
            action: (N, nu) control signals by actuator, within the actuators' range.
        """
        simulation, state, task = self._simulation, self.state, self.task
        self.pushes += int((simulation.age == simulation.push_from).sum())
        simulation.lift_n[:] = task.lift(state)
        simulation.step(task.controls(state, action))
        self._left -= 1
        state.previous_action, state.action = state.action, action.copy()
        self._follow_body()
        self._follow_feet()
        self._plan_pushes(np.flatnonzero(simulation.age == simulation.push_until))
        self._follow_conditions()
        task.advance(state)
        reward = task.reward(state)
        failed = task.failed(state)
        finished = task.finished(state) & ~failed
        timed_out = (self._left <= 0) & ~failed & ~finished
        observed, privileged = self.observe(), self.privileged()
        last = observed[timed_out], privileged[timed_out]
        ended = np.flatnonzero(failed | finished | timed_out)
        if ended.size:
            self._restart(ended, *task.start(ended))
            observed, privileged = self.observe(), self.privileged()
        return Step(observed, privileged, reward, failed, finished, timed_out, *last)

    def adapt_pushes(self, falls_per_push: float) -> None:
        """Moves the level of the pushes after an iteration."""
        self.fall_rate += 0.1 * (min(falls_per_push, 2.0) - self.fall_rate)
        (few, many), (up, down) = FALLS_PER_PUSH, PUSH_LEVEL_STEPS
        change = 0.0
        if self.fall_rate < few and self.task.pushes_may_grow:
            change = up
        elif self.fall_rate > many:
            change = down
        self.push_level = min(max(self.push_level + change, 0.0), 1.0)

    def _follow_body(self) -> None:
        state, period = self.state, self._period_s
        com = self._simulation.subtree_com[:, 1, :2].copy()
        velocity = np.clip((com - self._com) / period, -FASTEST_M_S, FASTEST_M_S)
        self._com = com
        state.com_velocity = velocity
        state.mean_velocity += (velocity - state.mean_velocity) * (period / MEAN_VELOCITY_TIME_S)

    def _follow_feet(self) -> None:
        """How high each foot is, and how long it has been on the ground or in the air."""
        if not self._feet:
            return
        state = self.state
        place = self._simulation.geom_xpos[:, self._feet]
        state.foot_height_m = place[..., 2] - self._radii
        moved = place[..., :2] - self._foot_place
        state.foot_speed_m_s = np.hypot(moved[..., 0], moved[..., 1]) / self._period_s
        self._foot_place = place[..., :2].copy()
        self._follow_balance()
        standing = state.foot_height_m < FOOT_CONTACT_M
        stays = standing == state.standing
        state.phase_s = np.where(stays, state.phase_s + self._period_s, 0.0)
        state.standing = standing

    def _follow_balance(self) -> None:
        away = self._com - self._foot_place.mean(axis=1)
        self.state.com_from_feet_m = np.hypot(away[:, 0], away[:, 1])

    def _follow_conditions(self) -> None:
        """Pushes, delay and ramp, as the next control period finds them."""
        simulation, state, period = self._simulation, self.state, self._period_s
        active = simulation.is_pushed
        coming = simulation.push_from - simulation.age
        state.push_n = simulation.push_n.copy()
        state.push_in_s = np.where(self._is_pushed, np.maximum(coming, 0) * period, np.inf)
        left = simulation.push_until - simulation.age
        state.push_left_s = np.where(active, left * period, 0.0)
        state.is_late = simulation.late > 0
        state.ramp_left_s = np.maximum(simulation.ramp_s - simulation.age * period, 0.0)

    def _plan_pushes(self, ids: NDArray[np.intp]) -> None:
        config, k, random = self.config, ids.size, self._random
        largest = config.push_start_n + config.push_range_n * self.push_level
        heading = random.uniform(-np.pi, np.pi, k)
        force = largest * random.uniform(0.2, 1.0, k) * self._is_pushed[ids]
        duration_s = random.uniform(*config.push_duration_s, k)
        wait_s = np.where(self._is_pushed[ids], random.uniform(*config.push_interval_s, k), np.inf)
        direction = np.column_stack((np.cos(heading), np.sin(heading)))
        self._simulation.plan_push(ids, force[:, None] * direction, wait_s, duration_s)

    def _restart(self, ids: NDArray[np.intp], qpos: Array, qvel: Array) -> None:
        """Starts the episodes `ids` from states (k, nq) and (k, nv)."""
        config, k, random = self.config, ids.size, self._random
        simulation, state = self._simulation, self.state
        late = random.random(k) < config.delayed_fraction
        has_ramp = random.random(k) < config.ramp_fraction
        ramp_s = np.where(has_ramp, random.uniform(*config.ramp_s, k), 0.0)
        simulation.start(ids, qpos, qvel, late, ramp_s)
        self._left[ids] = self._limit
        self._com[ids] = simulation.subtree_com[ids, 1, :2]
        self._is_pushed[ids] = random.random(k) >= config.unpushed_fraction
        self._plan_pushes(ids)
        state.action[ids] = state.previous_action[ids] = 0.0
        state.com_velocity[ids] = state.mean_velocity[ids] = 0.0
        if self._feet:
            place = simulation.geom_xpos[ids][:, self._feet]
            state.foot_height_m[ids] = place[..., 2] - self._radii
            self._foot_place[ids] = place[..., :2]
            state.foot_speed_m_s[ids] = 0.0
            self._follow_balance()
        state.standing[ids], state.phase_s[ids] = True, 0.0
        self._follow_conditions()


def _foot_geoms(robot: RobotModel) -> list[int]:
    """The left and right foot's geom, of which only the radius is looked at; empty: no feet."""
    names = [foot for _, foot, _ in robot.foot_sensors]
    if len(names) != 2:
        return []
    return [int(robot.mj.body_geomadr[robot.mj.body(name).id]) for name in names]
