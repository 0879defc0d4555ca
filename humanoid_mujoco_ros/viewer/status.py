# SPDX-License-Identifier: Apache-2.0
"""What the nodes say about themselves, and what that means in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

STALE_S = 3.0
"""A node that said nothing for so long is silent; the figures that it gave no longer hold."""
FORGET_S = 60.0
"""A node that said nothing for so long is no longer missed."""

OK, WARN, ERROR = 0, 1, 2


@dataclass(frozen=True)
class NodeStatus:
    """One node's latest status."""

    level: int
    """OK, WARN, ERROR."""
    message: str
    """In plain words."""
    values: Mapping[str, str]
    """Figures."""
    time_s: float
    """When it came, on the steady clock."""


@dataclass(frozen=True)
class Problem:
    """Something that a person should know."""

    level: int
    """WARN or ERROR."""
    text: str
    """In plain words."""


@dataclass
class StatusBoard:
    """The latest status of each node."""

    statuses: dict[str, NodeStatus] = field(default_factory=dict)
    """Node → status."""

    def update(self, node: str, status: NodeStatus) -> None:
        """Takes a node's status."""
        self.statuses[node] = status

    def text(self, node: str, key: str, now_s: float) -> str:
        """A figure of a node; empty when it does not give it or is silent."""
        status = self.statuses.get(node)
        if status is None or now_s - status.time_s > STALE_S:
            return ""
        return status.values.get(key, "")

    def number(self, node: str, key: str, now_s: float) -> float:
        """A figure of a node; NaN when it does not give it or is silent."""
        try:
            return float(self.text(node, key, now_s))
        except ValueError:
            return float("nan")

    def flag(self, node: str, key: str, now_s: float) -> bool | None:
        """A figure of a node that is true or false; None when it does not say or is silent."""
        return {"True": True, "False": False}.get(self.text(node, key, now_s))

    def problems(self, now_s: float) -> list[Problem]:
        """What is wrong, the worst first."""
        problems = []
        for node, status in self.statuses.items():
            age_s = now_s - status.time_s
            if age_s > FORGET_S:
                continue
            if age_s > STALE_S:
                problems.append(Problem(ERROR, f"{node}: not heard for {age_s:.0f} s"))
            elif status.level != OK:
                level = WARN if status.level == WARN else ERROR
                problems.append(Problem(level, f"{node}: {status.message}"))
        return sorted(problems, key=lambda problem: -problem.level)


def robot_silence(age_s: float | None, started_s: float, now_s: float, why: str) -> Problem | None:
    """What to say when the robot's topics stop.

    Args:
        age_s: Time since the robot's last state; None before the first.
        started_s: When the view began to listen, on the steady clock.
        now_s: On the steady clock.
        why: Reason in plain words.
    """
    silence_s = now_s - started_s if age_s is None else age_s
    if silence_s < 1.0:
        return None
    seen = "not seen yet" if age_s is None else f"not seen for {silence_s:.0f} s"
    return Problem(ERROR, f"robot {seen}: {why}")
