# SPDX-License-Identifier: Apache-2.0
"""What the nodes of one namespace say about themselves on /diagnostics.

Anybody may publish there, so what is kept is limited in number and in length.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

STALE_S = 3.0
"""A node without a status for this long is silent; its figures no longer hold."""
FORGET_S = 60.0
"""A node without a status for this long is no longer missed."""
OWN_NODES = (
    "simulation_node",
    "policy_node",
    "observation_node",
    "viewer_node",
    "force_marker_node",
    "sumo_node",
    "recorder",
)
"""Nodes of this package, which always have a place on the board."""
MAX_OTHER_NODES = 32
MAX_VALUES = 64
MAX_MESSAGE_LENGTH = 300
MAX_VALUE_LENGTH = 2000

_Level = DiagnosticStatus


@dataclass(frozen=True)
class NodeStatus:
    """One node's latest status."""

    level: bytes
    """DiagnosticStatus.OK, WARN, ERROR or STALE."""
    message: str
    """One line in plain words, at most MAX_MESSAGE_LENGTH long."""
    values: Mapping[str, str]
    """Figures by key."""
    time_s: float
    """Time of arrival on the steady clock."""


@dataclass(frozen=True)
class Problem:
    """Something that a person should know."""

    level: bytes
    """DiagnosticStatus.WARN or ERROR."""
    text: str
    """One line in plain words."""


class DiagnosticsBoard:
    """Keeps the latest status of each node of one namespace."""

    def __init__(
        self, namespace: str, now: Callable[[], float] = time.monotonic, ignore: str | None = None
    ) -> None:
        """Starts empty.

        Args:
            namespace: Namespace of the nodes; others are ignored.
            now: The steady clock [s].
            ignore: A node whose status is of no interest, such as the reader itself.
        """
        self._namespace = namespace.strip("/")
        self._now = now
        self._ignore = ignore
        self._statuses: dict[str, NodeStatus] = {}

    def on_diagnostics(self, array: DiagnosticArray) -> None:
        """Takes the statuses of the nodes of this namespace; never fails."""
        for status in array.status:
            namespace, _, node = status.name.partition(":")[0].rpartition("/")
            if namespace.strip("/") != self._namespace or node == self._ignore:
                continue
            if node not in self._statuses and not self._has_place(node):
                continue
            values = {
                one_line(pair.key, MAX_MESSAGE_LENGTH): one_line(pair.value, MAX_VALUE_LENGTH)
                for pair in status.values[:MAX_VALUES]
            }
            message = one_line(status.message, MAX_MESSAGE_LENGTH)
            self._statuses[node] = NodeStatus(status.level, message, values, self._now())

    @property
    def nodes(self) -> list[str]:
        """The nodes that gave a status in the last STALE_S."""
        return [node for node in self._statuses if self._age_s(node) <= STALE_S]

    def values(self, node: str) -> Mapping[str, str]:
        """The latest figures of a node; none while it is silent."""
        return self._statuses[node].values if self._age_s(node) <= STALE_S else {}

    def text(self, node: str, key: str) -> str | None:
        """A figure of a node; None where it is not given, is empty, or the node is silent."""
        return self.values(node).get(key) or None

    def number(self, node: str, key: str) -> float:
        """A finite figure of a node; NaN where there is none."""
        try:
            value = float(self.text(node, key) or "nan")
        except ValueError:
            return math.nan
        return value if math.isfinite(value) else math.nan

    def flag(self, node: str, key: str) -> bool | None:
        """A figure of a node that is true or false; None where it says neither."""
        return {"true": True, "false": False}.get((self.text(node, key) or "").lower())

    def problems(self) -> list[Problem]:
        """What is wrong, the worst first."""
        problems = []
        for node, status in self._statuses.items():
            age_s = self._age_s(node)
            if STALE_S < age_s <= FORGET_S:
                problems.append(Problem(_Level.ERROR, f"{node}: not heard for {age_s:.0f} s"))
            elif age_s <= STALE_S and status.level != _Level.OK:
                level = _Level.WARN if status.level == _Level.WARN else _Level.ERROR
                problems.append(Problem(level, f"{node}: {status.message}"))
        return sorted(problems, key=lambda problem: problem.level, reverse=True)

    def _age_s(self, node: str) -> float:
        status = self._statuses.get(node)
        return math.inf if status is None else self._now() - status.time_s

    def _has_place(self, node: str) -> bool:
        """Whether a new node may be kept; makes room by forgetting those long silent."""
        if node in OWN_NODES:
            return True
        if not node or len(node) > MAX_MESSAGE_LENGTH or not node.isprintable():
            return False
        others = [other for other in self._statuses if other not in OWN_NODES]
        if len(others) < MAX_OTHER_NODES:
            return True
        for other in others:
            if self._age_s(other) > FORGET_S:
                del self._statuses[other]
                return True
        return False


def one_line(text: str, max_length: int) -> str:
    """Text from elsewhere, cut to a length and without control characters."""
    if len(text) > max_length:
        text = text[: max_length - 1] + "…"
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)
