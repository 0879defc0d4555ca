# SPDX-License-Identifier: Apache-2.0
"""N simulated robots at once, one control period at a time, with late commands and pushes.

Training and evaluation both drive their episodes through this.
"""

from __future__ import annotations

import copy

import mujoco
import numpy as np
from mujoco.batch import Batch
from numpy.typing import ArrayLike, NDArray

from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.simulation.simulation import SimulationConfig

Array = NDArray[np.float64]

RESET_NOISE = SimulationConfig.reset_noise_scale
"""Humanoid-v4: an episode starts at the model's pose ± this, uniformly, in qpos and qvel."""
_NEVER = np.iinfo(np.int64).max


def humanoid_v4_start(
    robot: RobotModel, random: np.random.Generator, n: int
) -> tuple[Array, Array]:
    """Start of n episodes of Humanoid-v4: qpos (n, nq) [m, rad], qvel (n, nv) [m/s, rad/s]."""
    noise = RESET_NOISE
    qpos = robot.mj.qpos0 + random.uniform(-noise, noise, (n, robot.mj.nq))
    qvel = random.uniform(-noise, noise, (n, robot.mj.nv))
    return qpos, qvel


class BatchSimulation:
    """N simulations of one robot in MuJoCo's Batch.

    The arrays are live views of the simulations.

    Attributes:
        qpos: (N, nq) [m, rad].
        qvel: (N, nv) [m/s, rad/s].
        cinert: (N, nbody, 10).
        cvel: (N, nbody, 6).
        qfrc_actuator: (N, nv) [N, N·m].
        cfrc_ext: (N, nbody, 6) [N·m, N]; None unless contact forces were asked for.
        subtree_com: (N, nbody, 3) [m].
        geom_xpos: (N, ngeom, 3) [m].
        age: (N,) control periods since each simulation's start.
        late: (N,) control periods by which each simulation's commands act late.
        ramp_s: (N,) time in which its commands fade in after the start.
        lift_n: (N,) a force that lifts the root [N].
        push_n: (N, 2) the horizontal force of its push [N], at the root's origin, in world axes.
        push_from: (N,) age at which the push begins.
        push_until: (N,) age at which it ends.
    """

    def __init__(
        self,
        robot: RobotModel,
        n: int,
        threads: int = 1,
        *,
        most_late: int = 1,
        contact_forces: bool = False,
    ) -> None:
        """Prepares the simulations; `start` puts them into a state.

        Args:
            robot: The model of each robot.
            n: Number of simulations.
            threads: Threads of the physics.
            most_late: Largest value of `late`.
            contact_forces: Compute cfrc_ext. It costs time, as only sensors make MuJoCo compute it.
        """
        self.robot = robot
        self.n = n
        model = robot.mj
        if not contact_forces:
            model = copy.copy(model)
            model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_SENSOR
        self._batch = Batch(model, n, threads)
        bind = self._batch.bind
        self.qpos, self.qvel, self._ctrl = bind("qpos"), bind("qvel"), bind("ctrl")
        self.cinert, self.cvel = bind("cinert"), bind("cvel")
        self.qfrc_actuator = bind("qfrc_actuator")
        self.cfrc_ext = bind("cfrc_ext") if contact_forces else None
        self.subtree_com, self.geom_xpos = bind("subtree_com"), bind("geom_xpos")
        # Unlike xfrc_applied, this does not show in cfrc_ext.
        self._root_force = bind("qfrc_applied")[:, :3]
        self._sent = np.zeros((most_late + 1, n, model.nu))
        self._steps = 0
        self._rows = np.arange(n)
        self.age = np.zeros(n, dtype=np.int64)
        self.late = np.zeros(n, dtype=np.int64)
        self.ramp_s = np.zeros(n)
        self.lift_n = np.zeros(n)
        self.push_n = np.zeros((n, 2))
        self.push_from = np.full(n, _NEVER)
        self.push_until = np.full(n, _NEVER)

    def start(
        self,
        ids: NDArray[np.intp],
        qpos: Array,
        qvel: Array,
        late: ArrayLike = 0,
        ramp_s: ArrayLike = 0.0,
    ) -> None:
        """Begins an episode in each of k simulations, without a push.

        Args:
            ids: (k,) which simulations.
            qpos: (k, nq) [m, rad].
            qvel: (k, nv) [m/s, rad/s].
            late: (k,) or one: control periods by which commands act late.
            ramp_s: (k,) or one: time in which commands fade in [s]; 0: none.
        """
        self._batch.reset(ids, stage=int(mujoco.mjtStage.mjSTAGE_NONE))
        self.qpos[ids], self.qvel[ids] = qpos, qvel
        self._batch.forward(ids)
        self._sent[:, ids] = 0.0
        self.age[ids] = 0
        self.late[ids], self.ramp_s[ids] = late, ramp_s
        self.push_n[ids] = 0.0
        self.push_from[ids] = self.push_until[ids] = _NEVER

    def plan_push(
        self, ids: NDArray[np.intp], force_n: Array, wait_s: Array, duration_s: ArrayLike
    ) -> None:
        """Sets the next push of k simulations.

        Args:
            ids: (k,) which simulations.
            force_n: (k, 2) horizontal force [N], world axes.
            wait_s: (k,) time from now to its begin [s]; inf: it never comes.
            duration_s: (k,) or one: how long it acts [s].
        """
        period = self.robot.control_period_s
        comes = np.isfinite(wait_s)
        wait = np.rint(np.where(comes, wait_s, 0.0) / period).astype(np.int64)
        first = self.age[ids] + wait
        last = first + np.maximum(np.rint(np.asarray(duration_s) / period), 1).astype(np.int64)
        self.push_n[ids] = force_n
        self.push_from[ids] = np.where(comes, first, _NEVER)
        self.push_until[ids] = np.where(comes, last, _NEVER)

    @property
    def is_pushed(self) -> NDArray[np.bool_]:
        """(N,) whether the push acts in the next control period."""
        result: NDArray[np.bool_] = (self.push_from <= self.age) & (self.age < self.push_until)
        return result

    def step(self, controls: Array, ids: NDArray[np.intp] | None = None) -> Array:
        """Runs one control period.

        Args:
            controls: (N, nu) control signals by actuator.
            ids: (k,) the simulations that run; None: all.

        Returns:
            (N, nu) the control signals that acted.
        """
        slots = len(self._sent)
        self._sent[self._steps % slots] = controls
        applied: Array = self._sent[(self._steps - self.late) % slots, self._rows]
        self._steps += 1
        age_s = self.age * self.robot.control_period_s
        ramping = np.flatnonzero(age_s < self.ramp_s)
        applied[ramping] *= (age_s[ramping] / self.ramp_s[ramping])[:, None]
        self._ctrl[:] = applied
        self._root_force[:, :2] = np.where(self.is_pushed[:, None], self.push_n, 0.0)
        self._root_force[:, 2] = self.lift_n
        running = self._rows if ids is None else ids
        self._batch.step(running, nstep=self.robot.card.steps_per_control)
        self.age[running] += 1
        return applied
