# SPDX-License-Identifier: Apache-2.0
"""How well a policy follows velocity commands: trials, figures and the bars they are held to."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.interaction.push import SURVIVED_PUSH_S
from humanoid_mujoco_ros.policy.measurement import from_state
from humanoid_mujoco_ros.policy.policy_file import TermPolicy
from humanoid_mujoco_ros.policy.steering import base_velocity
from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.training.batch import BatchSimulation, humanoid_v4_start
from humanoid_mujoco_ros.training.batch_player import BatchPlayer
from humanoid_mujoco_ros.training.trial import PUSH_S, Report

Array = NDArray[np.float64]

COMMAND_S = 5.0
"""A new command comes after this time."""
LOWEST = np.array((-0.4, -0.3, -0.8))
HIGHEST = np.array((1.5, 0.3, 0.8))
"""Range of the commands: vx, vy [m/s], yaw rate [rad/s]."""
ZERO_SHARE = 0.2
"""Share of the commands that are zero."""
SETTLED_AFTER_S = 1.5
"""Errors count from this time after a change."""
MEAN_S = 0.8
"""Velocities are means over this time, about a stride."""
DRIVE_S = 30.0
STAND_S = 20.0
STOP_AT_S = 5.0
STOPPED_M_S = 0.15
"""A robot that is slower, in the mean over 0.5 s, has stopped."""
PUSH_AT_S = (3.0, 5.0)
PUSHES: tuple[tuple[str, tuple[float, float, float], float, float], ...] = (
    ("standing", (0.0, 0.0, 0.0), 100.0, 0.99),
    ("standing", (0.0, 0.0, 0.0), 200.0, 0.85),
    ("at 0.8 m/s", (0.8, 0.0, 0.0), 100.0, 0.98),
    ("at 0.8 m/s", (0.8, 0.0, 0.0), 200.0, 0.85),
    ("turning 0.8 rad/s", (0.0, 0.0, 0.8), 100.0, 0.95),
)
"""Name, command, force [N] and least share that stays up."""


@dataclass(frozen=True)
class Course:
    """What N robots are told and what happens to them."""

    commands: Array
    """(N, segments, 3), each for COMMAND_S; the last one stays."""
    duration_s: float
    late: int = 0
    """Control periods by which the policy's commands act late."""
    force_n: float = 0.0
    """Of a push on the root from a random heading; 0: none."""


@dataclass(frozen=True)
class DrivenCourse:
    """What came of a course."""

    course: Course
    period_s: float
    fell_at_s: Array
    """(N,) inf without a fall."""
    velocity: Array
    """(N, steps, 3) vx, vy in the heading frame [m/s] and yaw rate [rad/s]."""
    displacement_m: Array
    """(N, 2) of the root, from the start to the end."""
    turn_rad: Array
    """(N,) of the heading, from the start to the end."""

    @property
    def falls(self) -> int:
        """Number of robots that fell."""
        return int(np.isfinite(self.fell_at_s).sum())

    def errors(self) -> tuple[Array, Array]:
        """Commands (k, 3) that were followed to their end, and for each the RMS error (k, 3).

        The error is that of the velocity's mean over MEAN_S.
        """
        segments = self.course.commands.shape[1]
        per = round(COMMAND_S / self.period_s)
        first, width = round(SETTLED_AFTER_S / self.period_s), round(MEAN_S / self.period_s)
        commands, errors = [], []
        for segment in range(min(segments, round(self.course.duration_s / COMMAND_S))):
            end = (segment + 1) * per
            up = self.fell_at_s > end * self.period_s - 1e-9
            wanted = self.course.commands[up, segment]
            velocity = self.velocity[up, end - per + first : end]
            total = np.cumsum(np.pad(velocity, ((0, 0), (1, 0), (0, 0))), axis=1)
            mean = (total[:, width:] - total[:, :-width]) / width
            commands.append(wanted)
            errors.append(np.sqrt(np.square(mean - wanted[:, None]).mean(axis=1)))
        return np.concatenate(commands), np.concatenate(errors)


def drive(
    robot: RobotModel,
    policy: TermPolicy,
    course: Course,
    seed: int,
    threads: int = 0,
    report: Report = lambda share: None,
) -> DrivenCourse:
    """Simulates a course; a fallen robot is simulated no further.

    Args:
        robot: The robot.
        policy: What drives them; it follows commands.
        course: What they are told.
        seed: Of the first states and the pushes.
        threads: Of the physics; 0: one for each core.
        report: Hears of the progress.
    """
    n = len(course.commands)
    simulation = _started(robot, course, seed, threads)
    player = BatchPlayer(robot, policy, n)
    order = robot.joint_order(policy.card.joints)
    place, facing = simulation.qpos[:, :2].copy(), rotation.heading(simulation.qpos[:, 3:7])
    period = robot.control_period_s
    steps = round(course.duration_s / period)
    fell_at = np.full(n, np.inf)
    velocity = np.zeros((n, steps, 3))
    for step in range(steps):
        up = np.flatnonzero(np.isinf(fell_at))
        if up.size == 0:
            break
        segment = min(int(step * period / COMMAND_S + 1e-9), course.commands.shape[1] - 1)
        command = course.commands[:, segment]
        simulation.step(player.controls(simulation, command), up)
        velocity[:, step] = base_velocity(from_state(simulation.qpos, simulation.qvel, order))
        qpos = simulation.qpos[up]
        fallen = robot.fall_rule.is_fallen(qpos[:, 2], qpos[:, 3:7])
        fell_at[up[fallen | ~np.isfinite(qpos).all(axis=1)]] = (step + 1) * period
        if step % 50 == 0:
            report(step / steps)
    report(1.0)
    turn = rotation.heading(simulation.qpos[:, 3:7]) - facing
    return DrivenCourse(
        course,
        period,
        fell_at,
        velocity,
        simulation.qpos[:, :2] - place,
        (turn + np.pi) % (2 * np.pi) - np.pi,
    )


def _started(robot: RobotModel, course: Course, seed: int, threads: int) -> BatchSimulation:
    """The robots of a course in their first states, with their pushes to come."""
    n = len(course.commands)
    random = np.random.default_rng(seed)
    simulation = BatchSimulation(robot, n, threads or os.cpu_count() or 1, most_late=1)
    everyone = np.arange(n)
    simulation.start(everyone, *humanoid_v4_start(robot, random, n), late=course.late)
    if course.force_n:
        heading = random.uniform(-np.pi, np.pi, n)
        force = course.force_n * np.column_stack((np.cos(heading), np.sin(heading)))
        simulation.plan_push(everyone, force, random.uniform(*PUSH_AT_S, n), PUSH_S)
    return simulation


def random_commands(n: int, seed: int) -> Array:
    """(n, segments, 3) commands within the range, a share of them zero."""
    random = np.random.default_rng(seed)
    shape = (n, round(DRIVE_S / COMMAND_S))
    commands = random.uniform(LOWEST, HIGHEST, (*shape, 3))
    commands[random.random(shape) < ZERO_SHARE] = 0.0
    return commands


@dataclass(frozen=True)
class Row:
    """A figure and its bar."""

    name: str
    value: float
    bar: float
    is_most: bool
    """Whether the bar is the most that passes; else the least."""
    unit: str = ""

    @property
    def passes(self) -> bool:
        """Whether the figure meets its bar."""
        return self.value <= self.bar if self.is_most else self.value >= self.bar


def evaluate(
    robot: RobotModel,
    policy: TermPolicy,
    episodes: int = 100,
    pushes: int = 100,
    seed: int = 0,
    threads: int = 0,
    job: Callable[[str], Report] = lambda label: lambda share: None,
) -> tuple[list[Row], DrivenCourse]:
    """All figures with their bars, and the drive with commands redrawn, for the picture."""

    def run(label: str, course: Course) -> DrivenCourse:
        return drive(robot, policy, course, seed, threads, job(label))

    commands = random_commands(episodes, seed + 1)
    free = run("drive", Course(commands, DRIVE_S))
    late = run("drive, one period late", Course(commands, DRIVE_S, late=1))
    rms = np.sqrt(np.square(free.errors()[1]).mean(axis=0))
    share = 100.0 / episodes
    rows = [
        Row("falls in 100 x 30 s", free.falls * share, 1.0, True),
        Row("falls, one period late", late.falls * share, 2.0, True),
        Row("RMS error of vx", float(rms[0]), 0.10, True, "m/s"),
        Row("RMS error of vy", float(rms[1]), 0.10, True, "m/s"),
        Row("RMS error of yaw rate", float(rms[2]), 0.15, True, "rad/s"),
    ]
    rows += _standing_rows(run("stand", Course(np.zeros((episodes, 1, 3)), STAND_S)))
    stopping = np.zeros((episodes, 2, 3))
    stopping[:, 0] = random_commands(episodes, seed + 2)[:, 0]
    rows += _stopping_rows(run("stop", Course(stopping, STOP_AT_S + 5.0)))
    for name, command, force_n, bar in PUSHES:
        told = np.tile(np.array(command), (pushes, 1, 1))
        end_s = PUSH_AT_S[1] + PUSH_S + SURVIVED_PUSH_S
        pushed = run(f"{force_n:.0f} N {name}", Course(told, end_s, force_n=force_n))
        up = 1.0 - pushed.falls / pushes
        rows.append(Row(f"up after {force_n:.0f} N, {name}", 100 * up, 100 * bar, False, "%"))
    return rows, free


def _standing_rows(stood: DrivenCourse) -> list[Row]:
    up = np.isinf(stood.fell_at_s)
    drift = np.linalg.norm(stood.displacement_m[up], axis=1)
    turn = np.rad2deg(np.abs(stood.turn_rad[up]))
    return [
        Row("falls standing 20 s", stood.falls, 0.0, True),
        Row("drift in 20 s, largest", float(drift.max(initial=0.0)), 0.15, True, "m"),
        Row("drift in 20 s, mean", float(drift.mean()) if up.any() else np.nan, 0.15, True, "m"),
        Row("turn in 20 s, largest", float(turn.max(initial=0.0)), 10.0, True, "deg"),
    ]


def _stopping_rows(stopped: DrivenCourse) -> list[Row]:
    period = stopped.period_s
    first = round((STOP_AT_S + SETTLED_AFTER_S) / period)
    up = np.isinf(stopped.fell_at_s)
    moved = stopped.velocity[up, first : first + round(0.5 / period), :2].mean(axis=1)
    slow = np.linalg.norm(moved, axis=1) < STOPPED_M_S
    share = float(slow.sum()) / up.size
    return [Row("stopped 1.5 s after the command", 100 * share, 99.0, False, "%")]
