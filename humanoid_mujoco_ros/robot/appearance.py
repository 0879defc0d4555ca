# SPDX-License-Identifier: Apache-2.0
"""Which geoms of a model are to be seen, and in which colour, as in MuJoCo's own viewer."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

HIDDEN_GROUPS = 3
"""Geoms of this group and above are for collisions only, as in MuJoCo's viewer."""
DEFAULT_RGBA = (0.5, 0.5, 0.5, 1.0)
"""MuJoCo's colour of a geom that was given none; its material's colour then shows."""


def geom_rgba(mj: mujoco.MjModel, geom: int) -> NDArray[np.float64]:
    """The colour (4,) in which MuJoCo shows a geom, without its texture."""
    rgba: NDArray[np.float64] = np.asarray(mj.geom_rgba[geom], dtype=np.float64)
    material = int(mj.geom_matid[geom])
    if material >= 0 and tuple(rgba) == DEFAULT_RGBA:
        rgba = np.asarray(mj.mat_rgba[material], dtype=np.float64)
    return rgba.round(6)  # of single-precision numbers


def drawn_geoms(mj: mujoco.MjModel) -> frozenset[int]:
    """Ids of the geoms that are to be drawn: of no hidden group, and not transparent.

    A tree of bodies whose geoms are all of hidden groups is drawn with these: else it would not be
    seen at all.
    """
    visible = [g for g in range(mj.ngeom) if geom_rgba(mj, g)[3] > 0]
    shown = {g for g in visible if mj.geom_group[g] < HIDDEN_GROUPS}
    tree = mj.body_rootid[mj.geom_bodyid] if mj.ngeom else np.empty(0, dtype=np.intp)
    seen = {int(tree[g]) for g in shown}
    return frozenset(shown | {g for g in visible if int(tree[g]) not in seen})
