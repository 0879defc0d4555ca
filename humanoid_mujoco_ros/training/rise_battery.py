# SPDX-License-Identifier: Apache-2.0
"""How well a policy gets the robot up: trials, figures and the bars they are held to."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.policy import locate, policy_file, recovery
from humanoid_mujoco_ros.policy.config import PolicyConfig
from humanoid_mujoco_ros.policy.policy_file import TermPolicy
from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.training.batch import BatchSimulation, humanoid_v4_start
from humanoid_mujoco_ros.training.batch_player import BatchPlayer
from humanoid_mujoco_ros.training.steer_battery import Row, random_commands
from humanoid_mujoco_ros.training.trial import PUSH_S, Report

Array = NDArray[np.float64]

WALKER = "steer"
"""Shipped policy that is thrown down, and that takes over from the one that gets up."""
WALK_S = (1.0, 4.0)
"""How long the robot walks before it is thrown down."""
SETTLE_S = 3.0
"""How long it falls and comes to rest, limp."""
PUSH_N = 350.0
RISE_S = 10.0
SOON_S = 5.0
KEEP_S = 5.0
"""How long it has to stand after the hand-over."""
_POSTURES = ("back", "belly", "side")


@dataclass(frozen=True)
class Risen:
    """What came of N robots on the ground."""

    posture: NDArray[np.str_]
    """(N,) back, belly or side."""
    after_s: Array
    """(N,) when it had stood still for a second; inf: never."""
    peak_rad_s: Array
    """(N,) greatest speed of a joint until then, or to the end."""
    stays: NDArray[np.bool_]
    """(N,) whether it stood KEEP_S after the hand-over; False for those that never got there."""

    def share(self, within_s: float, which: NDArray[np.bool_] | None = None) -> float:
        """Of the robots `which` (N,), that were up within a time [%]; nan of none."""
        up = self.after_s <= within_s
        up = up if which is None else up[which]
        return 100.0 * float(up.mean()) if up.size else float("nan")


def thrown_down(robot: RobotModel, n: int, seed: int, threads: int = 0) -> tuple[Array, Array]:
    """States (n, nq) and (n, nv) of robots that walked, were pushed or went limp, and lie now.

    Those that are still up after all are replaced by others.
    """
    random = np.random.default_rng(seed)
    player = BatchPlayer(robot, _walker(robot), n)
    simulation = BatchSimulation(robot, n, threads or os.cpu_count() or 1)
    everyone = np.arange(n)
    simulation.start(everyone, *humanoid_v4_start(robot, random, n))
    commands = random_commands(n, seed)[:, 0]
    limp_s = random.uniform(*WALK_S, n)
    heading = random.uniform(-np.pi, np.pi, n)
    force = PUSH_N * np.column_stack((np.cos(heading), np.sin(heading)))
    # Half of them are pushed, and go limp when the push is over.
    wait_s = np.where(random.random(n) < 0.5, limp_s - PUSH_S, np.inf)
    simulation.plan_push(everyone, force, wait_s, PUSH_S)
    for tick in range(round((WALK_S[1] + SETTLE_S) / robot.control_period_s)):
        is_limp = tick * robot.control_period_s >= limp_s
        controls = player.controls(simulation, commands)
        simulation.step(np.where(is_limp[:, None], 0.0, controls))
    qpos, qvel = simulation.qpos.copy(), simulation.qvel.copy()
    lies = np.isfinite(qpos).all(axis=1) & robot.fall_rule.is_fallen(qpos[:, 2], qpos[:, 3:7])
    rows = np.flatnonzero(lies)
    if not rows.size:
        raise ValueError("no robot fell")
    rows = np.concatenate((rows, rows[np.arange(n - rows.size) % rows.size]))[:n]
    return qpos[rows], qvel[rows]


def _walker(robot: RobotModel) -> TermPolicy:
    policy = policy_file.load(locate.find(WALKER), robot)
    assert isinstance(policy, TermPolicy)
    return policy


def posture(quaternion_wxyz: Array) -> NDArray[np.str_]:
    """(N,) on what robots with orientations (N, 4) lie: back, belly or side.

    The base's x axis points forward.
    """
    forward = rotation.rotate(quaternion_wxyz, np.array((1.0, 0.0, 0.0)))[:, 2]
    back, belly, side = _POSTURES
    return np.where(forward > 0.5, back, np.where(forward < -0.5, belly, side))


def get_up(
    robot: RobotModel,
    policy: TermPolicy,
    start: tuple[Array, Array],
    late: int = 0,
    threads: int = 0,
    report: Report = lambda share: None,
) -> Risen:
    """Lets robots get up, and hands each that stands over to the policy that walks.

    Args:
        robot: The robot.
        policy: What gets it up.
        start: States (N, nq) and (N, nv).
        late: Control periods by which commands act late.
        threads: Of the physics; 0: one for each core.
        report: Hears of the progress.
    """
    n, period_s = len(start[0]), robot.control_period_s
    simulation = BatchSimulation(robot, n, threads or os.cpu_count() or 1)
    simulation.start(np.arange(n), *start, late=late)
    player = BatchPlayer(robot, policy, n)
    stood_s, peak = np.zeros(n), np.zeros(n)
    after_s = np.full(n, np.inf)
    handed = start[0].copy(), start[1].copy()
    steps = round(RISE_S / period_s)
    is_standing = recovery.StandingRule(robot)
    for step in range(steps):
        down = np.flatnonzero(np.isinf(after_s))
        if not down.size:
            break
        simulation.step(player.controls(simulation, np.zeros((n, 3))), down)
        qpos, qvel = simulation.qpos[down], simulation.qvel[down]
        peak[down] = np.maximum(peak[down], np.abs(qvel[:, 6:]).max(axis=1))
        stands = is_standing(qpos[:, 2], qpos[:, 3:7], qvel[:, :3])
        stood_s[down] = np.where(stands, stood_s[down] + period_s, 0.0)
        up = down[stood_s[down] > recovery.STOOD_S - 0.5 * period_s]
        after_s[up] = (step + 1) * period_s
        handed[0][up], handed[1][up] = simulation.qpos[up], simulation.qvel[up]
        if step % 50 == 0:
            report(step / (steps + KEEP_S / period_s))
    stays = np.isfinite(after_s)
    if stays.any():
        stays[stays] = _keep(robot, handed[0][stays], handed[1][stays], late, threads)
    report(1.0)
    return Risen(posture(start[0][:, 3:7]), after_s, peak, stays)


def _keep(
    robot: RobotModel, qpos: Array, qvel: Array, late: int, threads: int
) -> NDArray[np.bool_]:
    """(k,) which of k robots that were handed over never fall."""
    k = len(qpos)
    simulation = BatchSimulation(robot, k, threads or os.cpu_count() or 1)
    simulation.start(np.arange(k), qpos, qvel, late=late, ramp_s=PolicyConfig().ramp_s)
    player = BatchPlayer(robot, _walker(robot), k)
    stays = np.ones(k, dtype=bool)
    for _ in range(round(KEEP_S / robot.control_period_s)):
        simulation.step(player.controls(simulation, np.zeros((k, 3))))
        stays &= ~robot.fall_rule.is_fallen(simulation.qpos[:, 2], simulation.qpos[:, 3:7])
    return stays


def evaluate(
    robot: RobotModel,
    policy: TermPolicy,
    n: int = 500,
    seed: int = 0,
    threads: int = 0,
    job: Callable[[str], Report] = lambda label: lambda share: None,
) -> list[Row]:
    """All figures with their bars, from `n` postures on the ground."""
    start = thrown_down(robot, n, seed + 1, threads)
    risen = get_up(robot, policy, start, 0, threads, job("get up"))
    late = get_up(robot, policy, start, 1, threads, job("get up, one period late"))
    up = np.isfinite(risen.after_s)
    stays = 100.0 * float(risen.stays[up].mean()) if up.any() else 0.0
    rows = [
        Row(f"up within {SOON_S:.0f} s", risen.share(SOON_S), 95.0, False, "%"),
        Row(f"up within {RISE_S:.0f} s", risen.share(RISE_S), 99.0, False, "%"),
        Row(f"{WALKER} stands {KEEP_S:.0f} s later", stays, 98.0, False, "%"),
        Row("up, one period late", late.share(RISE_S), 90.0, False, "%"),
        Row("peak joint speed, median", float(np.median(risen.peak_rad_s)), 15.0, True, "rad/s"),
    ]
    for name in _POSTURES:
        which = risen.posture == name
        share = risen.share(RISE_S, which)
        rows.append(Row(f"up from the {name}, of {which.sum()}", share, 99.0, False, "%"))
    return rows
