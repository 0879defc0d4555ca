# SPDX-License-Identifier: Apache-2.0
"""The last seconds of some figures, for plots."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float64Array = NDArray[np.float64]


class History:
    """Samples of several figures over a window of time."""

    def __init__(self, names: tuple[str, ...], window_s: float, max_samples: int) -> None:
        """Starts empty; the oldest samples make room for new ones."""
        self._names = names
        self._window_s = window_s
        self._samples = np.empty((0, 1 + len(names)))
        self._max_samples = max_samples

    def add(self, time_s: float, values: dict[str, float]) -> None:
        """Adds one sample; a figure that is missing leaves a gap."""
        row = [time_s, *(values.get(name, np.nan) for name in self._names)]
        self._samples = np.vstack((self._samples[-(self._max_samples - 1) :], row))

    def series(self, *names: str) -> tuple[Float64Array, ...]:
        """Times [s], 0 the latest, and the values of each figure where all of them are known."""
        columns = [1 + self._names.index(name) for name in names]
        values = self._samples[:, columns]
        latest_s = self._samples[-1, 0] if len(self._samples) else 0.0
        time_s = self._samples[:, 0] - latest_s
        keep = (time_s >= -self._window_s) & np.isfinite(values).all(axis=1)
        return (time_s[keep], *values[keep].T)
