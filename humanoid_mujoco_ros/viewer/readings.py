# SPDX-License-Identifier: Apache-2.0
"""What the panel shows."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Readings:
    """The numbers and the state of the graph; NaN and None where they are not known."""

    body_height_m: float = math.nan
    forward_speed_m_s: float = math.nan
    step_count: float = math.nan
    episode_return: float = math.nan
    control_rate_hz: float = math.nan
    latency_ms: float = math.nan
    """From the observation to its command, median of the last second."""
    real_time_factor: float = math.nan
    real_time_factor_target: float = math.nan
    """What the simulation aims at; in lockstep it has no such aim."""
    time_s: float = math.nan
    """The robot's time."""
    policy: str | None = None
    """Name of the loaded policy."""
    is_policy_active: bool | None = None
    """None: there is no policy_node."""
    is_paused: bool | None = None
    """None: there is no simulation."""
    is_pushable: bool = False
    """Whether a simulation is there, which a push moves."""
    errors: tuple[str, ...] = ()
    """What is wrong, in plain words."""
    warnings: tuple[str, ...] = ()
    """What a person should know, in plain words."""
