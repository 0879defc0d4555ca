# SPDX-License-Identifier: Apache-2.0
"""What browsers ask for, handed over from the server's threads to the node's."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable


class Faults:
    """Counts what went wrong since the last report; may be used from any thread."""

    def __init__(self) -> None:
        """Starts at zero."""
        self._lock = threading.Lock()
        self._count = 0
        self._last: str | None = None

    def add(self, reason: object) -> None:
        """Notes a fault."""
        with self._lock:
            self._count += 1
            self._last = str(reason)

    def take(self) -> tuple[int, str | None]:
        """Number of faults since the last call, and the reason of the last one."""
        with self._lock:
            taken = self._count, self._last
            self._count, self._last = 0, None
            return taken


class ActionInbox:
    """Actions that wait for the next frame.

    Each action has a key, and a later action of the same key takes its place. So a flood of equal
    requests costs no memory and no time: of many mouse positions the last one counts.
    """

    def __init__(self, faults: Faults) -> None:
        """Starts empty.

        Args:
            faults: Counts the actions that failed.
        """
        self._faults = faults
        self._lock = threading.Lock()
        self._actions: dict[Hashable, Callable[[], None]] = {}

    def post(self, key: Hashable, action: Callable[[], None]) -> None:
        """Has `action` called with the next frame; may be called from any thread."""
        with self._lock:
            self._actions.pop(key, None)  # the order is that of the latest requests
            self._actions[key] = action

    def run(self) -> None:
        """Calls what was posted, in order; one that fails is counted and stops no other."""
        with self._lock:
            actions, self._actions = self._actions, {}
        for action in actions.values():
            try:
                action()
            except Exception as error:
                self._faults.add(f"{type(error).__name__}: {error}")
