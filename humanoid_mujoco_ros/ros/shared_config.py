# SPDX-License-Identifier: Apache-2.0
"""Parameters that several nodes have in common."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class PairingConfig:
    """How joint_states and odom belong together."""

    pairing_tolerance_s: float = 0.0
    """How far the stamps of a joint_states and an odom of one state may differ."""

    def __post_init__(self) -> None:
        """Checks the range.

        Raises:
            ValueError: It is negative.
        """
        if not 0 <= self.pairing_tolerance_s < math.inf:
            raise ValueError(
                f"pairing_tolerance must not be negative, not {self.pairing_tolerance_s}"
            )


@dataclass(frozen=True)
class FramesConfig:
    """What the frames of one robot have in common."""

    frame_prefix: str = ""
    """Goes before every frame's name, such as "robot2/" for a second robot."""

    def __post_init__(self) -> None:
        """Checks the prefix.

        Raises:
            ValueError: tf2 would refuse such frames.
        """
        if self.frame_prefix.startswith("/"):
            raise ValueError(f"frame_prefix must not begin with '/', not '{self.frame_prefix}'")
