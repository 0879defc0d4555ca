# SPDX-License-Identifier: Apache-2.0
"""Trials: a policy drives N robots for a while, each perhaps pushed once."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.interaction.push import SURVIVED_PUSH_S
from humanoid_mujoco_ros.policy import observation
from humanoid_mujoco_ros.policy.checkpoint import Checkpoint
from humanoid_mujoco_ros.policy.inference import Policy
from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.robot.posed_model import PosedModel
from humanoid_mujoco_ros.training.batch import BatchSimulation, humanoid_v4_start

Array = NDArray[np.float64]
Report = Callable[[float], None]
"""Takes the done share of a job, 0 to 1."""

PUSH_S = 0.2
"""How long a push acts."""


class PosedObserver:
    """Observes simulated robots by what hardware would publish, as observation_node does."""

    def __init__(self, robot: RobotModel) -> None:
        """One posed model poses as one robot after the other."""
        self._posed = PosedModel(robot)

    def observe(self, qpos: Array, qvel: Array, qfrc_actuator: Array) -> Array:
        """(N, observations) of N robots, without contact forces; a new array.

        Args:
            qpos: (N, nq) [m, rad].
            qvel: (N, nv) [m/s, rad/s].
            qfrc_actuator: (N, nv) [N, N·m].
        """
        robot = self._posed.robot
        quaternion = rotation.normalized(qpos[:, 3:7])
        # The twist of odom is in base_link; MuJoCo has the linear velocity in the world.
        linear = rotation.rotate(rotation.conjugate(quaternion), qvel[:, :3])
        observed = np.empty((len(qpos), observation.size(robot.mj)))
        for i in range(len(qpos)):
            self._posed.set_state(
                qpos[i, :3],
                quaternion[i],
                linear[i],
                qvel[i, 3:6],
                qpos[i, robot.qpos_indices],
                qvel[i, robot.dof_indices],
                qfrc_actuator[i, robot.dof_indices],
            )
            observed[i] = self._posed.observation()
        return observed


@dataclass(frozen=True)
class Trial:
    """N episodes of a fixed length, each perhaps with one push."""

    n: int
    duration_s: float
    delay_steps: int = 0
    """Control periods by which commands act late."""
    force_n: float = 0.0
    heading_rad: Array | None = None
    """(N,) direction of the push in the world; None: no push."""
    push_at_s: Array | None = None
    """(N,) when the push starts."""


@dataclass(frozen=True)
class Outcome:
    """What happened in a trial; one value for each episode."""

    fell: NDArray[np.bool_]
    upright_s: Array
    """Time until the fall or the end."""
    displacement_m: Array
    """(N, 2) of the root, to the fall or the end."""
    yaw_rad: Array
    """Heading in the end."""
    effort: Array
    """Mean square of the control signals."""

    @property
    def speed_m_s(self) -> Array:
        """Mean forward speed."""
        return self.displacement_m[:, 0] / self.upright_s

    def survived(self, push_at_s: Array) -> NDArray[np.bool_]:
        """(N,) whether each robot was still up `SURVIVED_PUSH_S` after its push.

        A later fall does not count, as the push may have come early.
        """
        judged_s = push_at_s + PUSH_S + SURVIVED_PUSH_S
        return ~self.fell | (self.upright_s >= judged_s - 1e-6)


@dataclass(frozen=True)
class Conditions:
    """How trials are run, whatever happens in them."""

    seed: int = 0
    """Seed of the initial states and the drawn actions."""
    threads: int = 0
    """Threads of the physics; 0: one for each core."""
    sample: bool = False
    """Draw the actions instead of taking their mean."""
    observer: PosedObserver | None = None
    """Makes the observations; None: they are the simulation's own."""


def reads_contact_forces(checkpoint: Checkpoint, robot: RobotModel) -> bool:
    """Whether the contact forces in the observation make a difference to the policy."""
    return bool(np.any(checkpoint.weights[0][:, observation.block(robot.mj, "cfrc_ext").slice]))


def run_trial(
    robot: RobotModel,
    checkpoint: Checkpoint,
    trial: Trial,
    conditions: Conditions = Conditions(),
    report: Report = lambda share: None,
) -> Outcome:
    """Simulates a trial; a fallen robot is simulated no further.

    The push acts at the root's origin, horizontally, fixed in the world. It does not show in the
    observation. cfrc_ext, for a policy that reads it, is that of the last physics step.

    Args:
        robot: The robot to simulate.
        checkpoint: The policy that drives it, at whatever control rate.
        trial: What happens.
        conditions: How it is run.
        report: Hears of the progress.
    """
    n, seed = trial.n, conditions.seed
    policy = Policy(
        checkpoint,
        robot,
        sample=conditions.sample,
        seed=seed,
        robots=n,
        rate_tolerance=np.inf,
    )
    simulation = _started(robot, checkpoint, trial, conditions)
    start = simulation.qpos[:, :2].copy()
    steps = round(trial.duration_s / robot.control_period_s)
    up = np.ones(n, dtype=bool)
    effort = np.zeros(n)
    for step in range(steps):
        ids = np.flatnonzero(up)
        if ids.size == 0:
            break
        if step % 50 == 0:
            report(step / steps)
        controls = np.zeros((n, robot.mj.nu))
        controls[ids] = policy.controls(_observe(simulation, ids, conditions.observer), ids)
        applied = simulation.step(controls, ids)
        effort += np.square(applied).mean(axis=1) * up
        qpos = simulation.qpos[ids]
        fallen = robot.fall_rule.is_fallen(qpos[:, 2], qpos[:, 3:7])
        up[ids] = ~fallen & np.isfinite(qpos).all(axis=1)
    report(1.0)
    return Outcome(
        fell=~up,
        upright_s=simulation.age.astype(np.float64) * robot.control_period_s,
        displacement_m=simulation.qpos[:, :2] - start,
        yaw_rad=rotation.heading(simulation.qpos[:, 3:7]),
        effort=effort / simulation.age,
    )


def _started(
    robot: RobotModel, checkpoint: Checkpoint, trial: Trial, conditions: Conditions
) -> BatchSimulation:
    """The robots of a trial in their first states, with their pushes to come."""
    simulation = BatchSimulation(
        robot,
        trial.n,
        conditions.threads or os.cpu_count() or 1,
        most_late=trial.delay_steps,
        contact_forces=conditions.observer is None and reads_contact_forces(checkpoint, robot),
    )
    everyone = np.arange(trial.n)
    random = np.random.default_rng(conditions.seed)
    qpos, qvel = humanoid_v4_start(robot, random, trial.n)
    simulation.start(everyone, qpos, qvel, late=trial.delay_steps)
    if trial.heading_rad is not None and trial.push_at_s is not None:
        direction = np.column_stack((np.cos(trial.heading_rad), np.sin(trial.heading_rad)))
        simulation.plan_push(everyone, trial.force_n * direction, trial.push_at_s, PUSH_S)
    return simulation


def _observe(
    simulation: BatchSimulation, ids: NDArray[np.intp], observer: PosedObserver | None
) -> Array:
    """(k, observations) of the simulations `ids`."""
    qpos, qvel = simulation.qpos[ids], simulation.qvel[ids]
    if observer is not None:
        return observer.observe(qpos, qvel, simulation.qfrc_actuator[ids])
    return observation.observe(
        qpos,
        qvel,
        simulation.cinert[ids],
        simulation.cvel[ids],
        simulation.qfrc_actuator[ids],
        None if simulation.cfrc_ext is None else simulation.cfrc_ext[ids],
    )
