# SPDX-License-Identifier: Apache-2.0
"""Notices when what should come again and again stops coming."""

from __future__ import annotations

from dataclasses import dataclass

SHORTEST_PERIODS = 3
"""Control periods that a silence lasts at least, so that a slow robot is not taken for silent."""
SURE_S = 1.0
"""A silence that lasts shorter may be the orderly end of a run; after it, it is a fault."""


@dataclass(frozen=True)
class Silence:
    """What was missed since the last report."""

    count: int
    """How many silences, with the present one."""
    longest_s: float
    """The longest of them."""
    is_fault: bool
    """Whether it is certain that it is no orderly end: something came after it, or it lasts."""

    def describe(self, what: str) -> str:
        """It in plain words, where `what` was missed."""
        longest_s = self.longest_s
        longest = f"{longest_s * 1e3:.0f} ms" if longest_s < 1 else f"{longest_s:.1f} s"
        if self.count == 1:
            return f"no {what} for {longest}"
        return f"no {what} {self.count} times, for up to {longest}"


def timeout_of(timeout_s: float, period_s: float) -> float:
    """How long [s] may pass without a message of a robot with this control period; 0: for ever."""
    return max(timeout_s, SHORTEST_PERIODS * period_s) if timeout_s > 0 else 0.0


class Watchdog:
    """Tells a silence by the time since the last message.

    Times are those of one steady clock [s].
    """

    def __init__(self, timeout_s: float) -> None:
        """Reports a silence of more than `timeout_s`; 0: never."""
        self.timeout_s = timeout_s
        self._last_s: float | None = None
        self._ended_s: list[float] = []
        self.is_silent = False

    def restart(self) -> None:
        """Waits for the first message again, which may take as long as it likes."""
        self._last_s = None
        self._ended_s = []
        self.is_silent = False

    def age_s(self, now_s: float) -> float | None:
        """Time since the last message; None before the first."""
        return None if self._last_s is None else now_s - self._last_s

    def feed(self, now_s: float) -> bool:
        """Takes a message; whether it ends a silence."""
        silence_ends = self.is_silent
        if silence_ends and self._last_s is not None:
            self._ended_s.append(now_s - self._last_s)
        self._last_s, self.is_silent = now_s, False
        return silence_ends

    def excuse(self, now_s: float) -> None:
        """Counts from now on: this process was busy, and what came meanwhile is still to be taken.

        A silence that was noticed before goes on.
        """
        if self._last_s is not None and not self.is_silent:
            self._last_s = now_s

    def check(self, now_s: float) -> bool:
        """Whether a silence has just begun."""
        age_s = self.age_s(now_s)
        if age_s is None or self.is_silent or not 0 < self.timeout_s < age_s:
            return False
        self.is_silent = True
        return True

    def report(self, now_s: float) -> Silence | None:
        """The silences since the last report; None: there were none."""
        ended_s, self._ended_s = self._ended_s, []
        present_s = [self.age_s(now_s) or 0.0] if self.is_silent else []
        if not ended_s and not present_s:
            return None
        all_s = [*ended_s, *present_s]
        return Silence(len(all_s), max(all_s), bool(ended_s) or max(all_s) > SURE_S)
