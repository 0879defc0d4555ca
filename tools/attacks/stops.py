# SPDX-License-Identifier: Apache-2.0
"""Stops, kills and freezes of the policy, and how soon the robot is without effort."""

from __future__ import annotations

import time
from collections.abc import Callable

from lifecycle_msgs.msg import Transition

from attacks.stage import Stage

_POLICY = "policy_node"
_QUIET_NS = 500_000_000
"""So long without an effort and nothing more comes."""
_FEWEST = 3
"""DDS keeps the publishers of killed processes: from the third on they would add up."""


class Stops:
    """Stops the policy in one way or another.

    Attributes:
        faults: What did not come back, and calls that were not answered.
    """

    def __init__(self, stage: Stage) -> None:
        """The policy of this stage."""
        self._stage = stage
        self.faults: list[str] = []

    def repeat(self, stop: Callable[[], float], duration_s: float) -> list[float]:
        """Stops again and again; returns how long each time the last effort came after it [s]."""
        end_s, times_s = time.monotonic() + duration_s, list[float]()
        while time.monotonic() < end_s or len(times_s) < _FEWEST:
            times_s.append(stop())
            self._stage.recover()
            self._stage.victims.check()
        return times_s

    def deactivate(self) -> float:
        """Stops it by lifecycle calls, twice at once."""
        start_ns = time.time_ns()
        for _ in range(2):
            if self._stage.change_policy(Transition.TRANSITION_DEACTIVATE) is None:
                self.faults.append("deactivate was not answered")
        return self._last_effort_s(start_ns)

    def kill(self) -> float:
        """Kills it, and starts it again at once."""
        start_ns = time.time_ns()
        self._stage.victims.kill(_POLICY)
        self._stage.spin(0.5)
        last_s = self._last_effort_s(start_ns)
        self._stage.victims.start(_POLICY)
        return last_s

    def freeze(self) -> float:
        """Freezes it for a while."""
        start_ns = time.time_ns()
        self._stage.victims.pause(_POLICY, is_paused=True)
        last_s = self._last_effort_s(start_ns)
        self._stage.victims.pause(_POLICY, is_paused=False)
        return last_s

    def _last_effort_s(self, start_ns: int) -> float:
        """Time from a stop to the last effort after it; waits until none comes any more [s]."""
        watch = self._stage.watch

        def is_quiet() -> bool:
            return time.time_ns() - max(start_ns, watch.last_effort_ns) > _QUIET_NS

        if not self._stage.until(is_quiet, 10.0):
            self.faults.append("the robot went on after a stop")
        return max(0.0, (watch.last_effort_ns - start_ns) * 1e-9)
