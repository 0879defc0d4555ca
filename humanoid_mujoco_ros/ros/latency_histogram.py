# SPDX-License-Identifier: Apache-2.0
"""Counts latencies in bins, so that those of many reports can be put together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

KEY = "command_latency_histogram"
"""The figure of a status that holds a histogram as text."""
_FINEST_S = 1e-5
_BINS_PER_DECADE = 50
"""A bin is 4.7 % wide."""
_MAX_BIN = 400


class LatencyHistogram:
    """Counts latencies in bins of a fixed ratio, 10 µs and up."""

    def __init__(self, latencies_s: Iterable[float] = ()) -> None:
        """Starts with some latencies [s]."""
        values = np.fromiter(latencies_s, np.float64)
        bins = np.log10(np.maximum(values, _FINEST_S) / _FINEST_S) * _BINS_PER_DECADE
        self._counts = Counter(np.minimum(bins, _MAX_BIN).astype(int).tolist())

    @staticmethod
    def parse(text: str) -> LatencyHistogram:
        """The histogram that `str` wrote.

        Raises:
            ValueError: It is none.
        """
        histogram = LatencyHistogram()
        for pair in text.split():
            place, _, count = pair.partition(":")
            histogram._counts[int(place)] += int(count)
        return histogram

    def __str__(self) -> str:
        """The bins that are not empty, as text for a status."""
        return " ".join(f"{place}:{count}" for place, count in sorted(self._counts.items()))

    def __iadd__(self, other: LatencyHistogram) -> LatencyHistogram:
        """Adds the latencies of another."""
        self._counts.update(other._counts)
        return self

    @property
    def count(self) -> int:
        """How many latencies it holds."""
        return self._counts.total()

    def percentile_ms(self, percent: float) -> float:
        """The latency [ms] that this share of all does not exceed, to a bin; NaN without any."""
        if not self._counts:
            return float("nan")
        places = sorted(self._counts)
        reached = np.cumsum([self._counts[place] for place in places]) / self.count
        place = places[min(int(np.searchsorted(reached, percent / 100)), len(places) - 1)]
        return float(_edge_s(place + 0.5) * 1e3)

    def shares(self, edges_ms: ArrayLike) -> NDArray[np.float64]:
        """(n - 1,) which share lies between each two of `edges_ms` (n,)."""
        places = sorted(self._counts)
        middles_ms = np.array([_edge_s(place + 0.5) * 1e3 for place in places])
        counts = np.array([self._counts[place] for place in places], dtype=np.float64)
        found, _ = np.histogram(middles_ms, np.asarray(edges_ms), weights=counts)
        shares: NDArray[np.float64] = found / max(self.count, 1)
        return shares


def _edge_s(place: float) -> float:
    return float(_FINEST_S * 10 ** (place / _BINS_PER_DECADE))
