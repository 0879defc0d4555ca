# SPDX-License-Identifier: Apache-2.0
"""Gymnasium's environments of the robots that it carries: what CleanRL's policies were trained in.

The sizes, control periods and ranges are those of Gymnasium's own environments.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Environment:
    """One of Gymnasium's environments."""

    name: str
    robot: str
    """Name of its model (`RobotModel.name`)."""
    term: str
    """The input term that is its observation."""
    observations: int
    actions: int
    control_period_s: float
    action_limit: float
    """Actions lie within ± this."""


ENVIRONMENTS = (
    Environment("Humanoid-v4", "humanoid", "humanoid_v4", 376, 17, 0.003 * 5, 0.4),
    Environment("Humanoid-v5", "humanoid", "humanoid_v5", 348, 17, 0.003 * 5, 0.4),
    Environment("Ant-v4", "ant", "ant_v4", 27, 8, 0.01 * 5, 1.0),
    Environment("HalfCheetah-v4", "half_cheetah", "half_cheetah_v4", 17, 6, 0.01 * 5, 1.0),
    Environment("Walker2d-v4", "walker2d", "walker2d_v4", 17, 6, 0.002 * 4, 1.0),
    Environment("Hopper-v4", "hopper", "hopper_v4", 11, 3, 0.002 * 4, 1.0),
)


def recognise(sizes: tuple[int, ...], robot: str) -> Environment | None:
    """The environment that a network was trained in; None: none of those known.

    Args:
        sizes: How many values it reads and returns.
        robot: The model to prefer where the sizes fit several.
    """
    fitting = [e for e in ENVIRONMENTS if (e.observations, e.actions) == sizes]
    return next((e for e in fitting if e.robot == robot), fitting[0] if fitting else None)
