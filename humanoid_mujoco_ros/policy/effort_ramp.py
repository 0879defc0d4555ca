# SPDX-License-Identifier: Apache-2.0
"""The ramp that every effort command passes before it leaves policy_node."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float64Array = NDArray[np.float64]


class EffortRamp:
    """Limits efforts to the joints' range and fades them in after a start.

    Time is counted in commands, so that the same observations give the same commands however fast
    they come.
    """

    def __init__(self, limits: Float64Array, ramp_s: float, period_s: float) -> None:
        """Prepares the ramp.

        Args:
            limits: (n,) [N·m], positive.
            ramp_s: Time from zero to full effort [s]; 0: none.
            period_s: Time between two commands [s].
        """
        self._limits = limits
        self._commands = max(1, round(ramp_s / period_s))
        self._count = 0

    def restart(self) -> None:
        """Begins anew with the next call of `apply`."""
        self._count = 0

    def apply(self, efforts: Float64Array) -> Float64Array:
        """Efforts (n,) [N·m] that may be sent for the finite `efforts` (n,) [N·m] wanted."""
        limited = np.clip(efforts, -self._limits, self._limits)
        if self._count < self._commands:
            self._count += 1
            limited = limited * (self._count / self._commands)
        return limited
