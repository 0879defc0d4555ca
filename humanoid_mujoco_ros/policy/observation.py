# SPDX-License-Identifier: Apache-2.0
"""The observation vector of Gymnasium's Humanoid-v4.

One function builds it for the simulator, the trainer and the robot. For the humanoid it has 376
values; the table of its blocks is `layout(model)`. Source of the order: the observation space of
Gymnasium's `humanoid_v4.py`, which documents it value by value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

INPUT_NAME = "humanoid_v4"
"""Name by which a checkpoint says that this vector is its input."""


@dataclass(frozen=True)
class Block:
    """A run of values of the observation."""

    name: str
    start: int
    size: int
    unit: str
    frame: str
    meaning: str

    @property
    def slice(self) -> slice:
        """Where the block lies in the vector."""
        return slice(self.start, self.start + self.size)


def layout(model: mujoco.MjModel) -> tuple[Block, ...]:
    """The blocks of the observation in their order."""
    n = model.nq - 7
    bodies = model.nbody
    com = "world axes, at the subtree's centre of mass"
    rows = (
        ("height", 1, "m", "world", "z of the root body"),
        ("orientation", 4, "", "world", "quaternion (w, x, y, z) of the root body"),
        ("joint_positions", n, "rad", "joint", "in model order"),
        ("linear_velocity", 3, "m/s", "world", "of the root body"),
        ("angular_velocity", 3, "rad/s", "root body", "of the root body"),
        ("joint_velocities", n, "rad/s", "joint", "in model order"),
        ("cinert", 10 * bodies, "kg m², kg m, kg", com, "inertia of each body, world first"),
        ("cvel", 6 * bodies, "rad/s, m/s", com, "velocity of each body, world first"),
        ("qfrc_actuator", model.nv, "N, N m", "degree of freedom", "root (zeros), then joints"),
        ("cfrc_ext", 6 * bodies, "N m, N", com, "external force on each body, world first"),
    )
    blocks = []
    start = 0
    for name, size, unit, frame, meaning in rows:
        blocks.append(Block(name, start, size, unit, frame, meaning))
        start += size
    return tuple(blocks)


def block(model: mujoco.MjModel, name: str) -> Block:
    """The block called `name`."""
    return next(block for block in layout(model) if block.name == name)


def size(model: mujoco.MjModel) -> int:
    """Number of values in the observation."""
    last = layout(model)[-1]
    return last.start + last.size


def observe(
    qpos: NDArray[np.float64],
    qvel: NDArray[np.float64],
    cinert: NDArray[np.float64],
    cvel: NDArray[np.float64],
    qfrc_actuator: NDArray[np.float64],
    cfrc_ext: NDArray[np.float64] | None,
) -> NDArray[np.float64]:
    """Joins the parts of a state, or of a batch of states, to the observation.

    Args:
        qpos: (..., nq) [m, rad].
        qvel: (..., nv) [m/s, rad/s].
        cinert: (..., nbody, 10), MuJoCo's com-based inertias.
        cvel: (..., nbody, 6), MuJoCo's com-based velocities.
        qfrc_actuator: (..., nv) [N, N·m].
        cfrc_ext: (..., nbody, 6) [N·m, N] after mj_rnePostConstraint; None masks it with zeros, as
            for a robot that cannot measure it.

    Returns:
        (..., size) new array.
    """
    batch = qpos.shape[:-1]
    contact: Sequence[int] = (*batch, cvel.shape[-2] * 6)
    return np.concatenate(
        (
            qpos[..., 2:],
            qvel,
            cinert.reshape((*batch, -1)),
            cvel.reshape((*batch, -1)),
            qfrc_actuator,
            np.zeros(contact) if cfrc_ext is None else cfrc_ext.reshape(contact),
        ),
        axis=-1,
    )


def observe_data(data: mujoco.MjData, *, mask_cfrc_ext: bool = False) -> NDArray[np.float64]:
    """The observation of a MuJoCo state, as Humanoid-v4 returns it; a new array (size,).

    The caller has run mj_rnePostConstraint, as Gymnasium does after each control step.
    """
    return observe(
        data.qpos,
        data.qvel,
        data.cinert,
        data.cvel,
        data.qfrc_actuator,
        None if mask_cfrc_ext else data.cfrc_ext,
    )
