# SPDX-License-Identifier: Apache-2.0
"""Pairs the messages of two streams by their stamps, and tells which measurements are new."""

from __future__ import annotations

import math
from collections import deque
from typing import Generic, TypeVar

First = TypeVar("First")
Second = TypeVar("Second")
Mine = TypeVar("Mine")
Other = TypeVar("Other")

DEPTH = 10
"""Messages of one stream that wait for the other's, as many as the subscriptions hold."""
_CLOCK_DRIFT = 1e-3
"""How much slower than ours the robot's clock may run."""
_FIRST_TRIAL_S = 0.5
"""How long stamps must advance after they jumped back: long enough for every watchdog, so that zero
effort comes first."""
_LONGEST_TRIAL_S = 8.0


class StampPairing(Generic[First, Second]):
    """Matches each message with the one of the other stream whose stamp is nearest.

    A message is used once. Those left behind by a match are dropped: their partners are lost.
    Stamps may jump back, as after a restart of the robot.
    """

    def __init__(self, tolerance_ns: int = 0) -> None:
        """Pairs stamps that differ by no more than `tolerance_ns` [ns]."""
        self._tolerance_ns = tolerance_ns
        self._first: deque[tuple[int, First]] = deque(maxlen=DEPTH)
        self._second: deque[tuple[int, Second]] = deque(maxlen=DEPTH)

    def add_first(self, stamp_ns: int, item: First) -> tuple[First, Second] | None:
        """Takes a message of the first stream; the pair that it completes, if it does."""
        partner = self._match(self._first, self._second, stamp_ns, item)
        return None if partner is None else (item, partner[0])

    def add_second(self, stamp_ns: int, item: Second) -> tuple[First, Second] | None:
        """Takes a message of the second stream; the pair that it completes, if it does."""
        partner = self._match(self._second, self._first, stamp_ns, item)
        return None if partner is None else (partner[0], item)

    def _match(
        self,
        mine: deque[tuple[int, Mine]],
        others: deque[tuple[int, Other]],
        stamp_ns: int,
        item: Mine,
    ) -> tuple[Other] | None:
        differences = [abs(stamp - stamp_ns) for stamp, _ in others]
        # The first of equals: a state that was published twice makes two pairs.
        nearest = min(range(len(others)), key=differences.__getitem__, default=None)
        if nearest is None or differences[nearest] > self._tolerance_ns:
            mine.append((stamp_ns, item))
            return None
        for _ in range(nearest):
            others.popleft()
        _, partner = others.popleft()
        mine.clear()
        return (partner,)


class Freshness:
    """Tells new measurements from repeated, replayed and belated ones.

    Stamps must advance. The robot's clock need not show our time: how late a measurement is, is
    compared with the quickest so far. Stamps that jump back may be those of a robot that has
    started again: they count once they have advanced for a while, and for longer each time, since
    a state that is replayed in a ring jumps back again and again.
    """

    def __init__(self, max_delay_s: float = math.inf) -> None:
        """Lets a measurement be up to `max_delay_s` later than the quickest."""
        self._max_delay_s = max_delay_s
        self._stamp_ns: int | None = None
        self._quickest_s = 0.0
        self._time_s = 0.0
        self._trial_s = _FIRST_TRIAL_S
        self._trial_start: tuple[int, float] | None = None

    def fault(self, stamp_ns: int, now_s: float) -> str | None:
        """Why a measurement is not new, in plain words; None: it is.

        Args:
            stamp_ns: When it was measured, on the robot's clock.
            now_s: When it came, on the steady clock.
        """
        delay_s = now_s - stamp_ns * 1e-9
        before_ns = stamp_ns if self._stamp_ns is None else self._stamp_ns
        if self._stamp_ns is not None and stamp_ns == before_ns:
            return f"the robot's state is not new: its stamp stays at {stamp_ns * 1e-9:.3f} s"
        if self._stamp_ns is None or stamp_ns < before_ns:
            self._quickest_s = delay_s
        else:
            drift_s = _CLOCK_DRIFT * (now_s - self._time_s)
            self._quickest_s = min(delay_s, self._quickest_s + drift_s)
        self._stamp_ns, self._time_s = stamp_ns, now_s
        if stamp_ns < before_ns:
            self._begin_trial(stamp_ns, now_s)
            return f"the robot's stamps jump back, by {(before_ns - stamp_ns) * 1e-9:.3f} s"
        if self._is_on_trial(stamp_ns, now_s):
            return f"the robot's stamps jumped back and have not advanced for {self._trial_s:g} s"
        late_s = delay_s - self._quickest_s
        if late_s > self._max_delay_s:
            return f"the robot's state is not new: it comes {late_s * 1e3:.0f} ms late"
        return None

    def _begin_trial(self, stamp_ns: int, now_s: float) -> None:
        if self._trial_start is not None:
            self._trial_s = min(2 * self._trial_s, _LONGEST_TRIAL_S)
        self._trial_start = stamp_ns, now_s

    def _is_on_trial(self, stamp_ns: int, now_s: float) -> bool:
        """Whether stamps jumped back and have not advanced for long enough, on both clocks."""
        if self._trial_start is None:
            return False
        start_ns, start_s = self._trial_start
        return min((stamp_ns - start_ns) * 1e-9, now_s - start_s) < self._trial_s
