# SPDX-License-Identifier: Apache-2.0
"""The time axis of a run: the robot's own stamps, made continuous."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Nanoseconds = NDArray[np.int64]

_BACK_S = 0.1
"""A stamp so much before the last one is a clock that was set back, no message out of order."""
_AHEAD_S = 10.0
_AHEAD_FACTOR = 100.0
"""A stamp so far ahead, and so many times farther than the reception, is a clock that was set."""
_OTHER_CLOCK_S = 10.0
"""A stamp so far from the reception is that of another clock."""
_MAX_PARTS = 50


@dataclass(frozen=True)
class ClockJump:
    """Where the robot's clock was set to another time."""

    time_s: float
    """On the continuous time axis."""
    by_s: float
    """Negative: back."""


class RobotClock:
    """Places messages on one time axis, which begins at 0 and never jumps.

    The axis follows the stamps of one stream of states. Where these jump, by a reset of the clock,
    it goes on with the time of reception.

    Attributes:
        unstamped: States without a stamp, which are placed by their reception.
        jumps: Where the stamps jump.
    """

    def __init__(self, received_ns: Nanoseconds, stamps_ns: Nanoseconds) -> None:
        """Learns the clock.

        Args:
            received_ns: (n,) when the states came, n > 0, in their order.
            stamps_ns: (n,) their stamps; 0: none.
        """
        has_stamp = stamps_ns != 0
        self.unstamped = int(np.sum(~has_stamp))
        if not has_stamp.any():
            has_stamp, stamps_ns = np.ones_like(has_stamp), received_ns
        received = (received_ns - received_ns[0]) * 1e-9
        stamps = _filled(received, has_stamp, stamps_ns)
        self._first_stamp_ns = int(stamps_ns[has_stamp][0]) - round(
            (stamps[has_stamp][0] - stamps[0]) * 1e9
        )
        stamps = stamps - stamps[0]
        step, wait = np.diff(stamps), np.diff(received)
        ahead = (step > _AHEAD_S) & (step > _AHEAD_FACTOR * wait)
        jump = (step < -_BACK_S) | ahead
        part = np.concatenate(([0], np.cumsum(jump)))
        self._offsets_s = np.concatenate(([0.0], np.cumsum((wait - step)[jump])))
        self._times_s = stamps + self._offsets_s[part]
        self._received_ns = received_ns
        after = np.flatnonzero(jump) + 1
        self.jumps = [ClockJump(float(self._times_s[i]), float(step[i - 1])) for i in after]

    def place(self, received_ns: Nanoseconds, stamps_ns: Nanoseconds | None = None) -> Array:
        """The times (n,) [s] of messages.

        Args:
            received_ns: (n,) when they came.
            stamps_ns: (n,) their stamps, 0: none; None: they are placed by their reception.
        """
        first_ns = self._received_ns[0]
        received = (received_ns - first_ns) * 1e-9
        by_reception: Array = np.interp(
            received, (self._received_ns - first_ns) * 1e-9, self._times_s
        )
        if stamps_ns is None or len(self._offsets_s) > _MAX_PARTS:
            return by_reception
        stamps = (stamps_ns - self._first_stamp_ns) * 1e-9
        best, distance = by_reception.copy(), np.full(len(stamps), _OTHER_CLOCK_S)
        # The part between two jumps to which a stamp belongs is the one where it came.
        for offset_s in self._offsets_s:
            off = np.abs(stamps + offset_s - by_reception)
            nearer = (off < distance) & (stamps_ns != 0)
            best[nearer] = stamps[nearer] + offset_s
            distance[nearer] = off[nearer]
        return best


def _filled(received: Array, has_stamp: NDArray[np.bool_], stamps_ns: Nanoseconds) -> Array:
    """The stamps [s] since the first one; those that are missing follow from the reception."""
    known, known_received = (stamps_ns - stamps_ns[has_stamp][0])[has_stamp], received[has_stamp]
    stamps = (stamps_ns - stamps_ns[has_stamp][0]) * 1e-9
    missing = received[~has_stamp]
    outside = np.minimum(missing - known_received[0], 0) + np.maximum(
        missing - known_received[-1], 0
    )
    stamps[~has_stamp] = np.interp(missing, known_received, known * 1e-9) + outside
    return np.asarray(stamps)
