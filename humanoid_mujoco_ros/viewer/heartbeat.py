# SPDX-License-Identifier: Apache-2.0
"""Asks the browser that holds the robot for signs of life."""

from __future__ import annotations

import threading
from collections.abc import Callable

import viser

_PERIOD_S = 0.4
_TIMEOUT_S = 1.0


class Heartbeat:
    """One thread that asks one browser.

    A browser says nothing by itself while the mouse is still, and a page that hangs keeps its
    connection.
    """

    def __init__(self, on_alive: Callable[[viser.ClientHandle], None]) -> None:
        """Starts the thread, which asks nobody yet.

        Args:
            on_alive: Takes a browser that has answered; called in the thread.
        """
        self._on_alive = on_alive
        self._client: viser.ClientHandle | None = None
        self._is_closed = threading.Event()
        self._has_client = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._thread.start()

    def watch(self, client: viser.ClientHandle | None) -> None:
        """Asks this browser from now on, or nobody."""
        self._client = client
        if client is None:
            self._has_client.clear()
        else:
            self._has_client.set()

    def close(self) -> None:
        """Ends the thread."""
        self._is_closed.set()
        self._has_client.set()
        self._thread.join(2.0 * _TIMEOUT_S)

    def _run(self) -> None:
        while not self._is_closed.is_set():
            self._has_client.wait()
            client = self._client
            if client is None:
                continue
            try:
                client.local_storage.get_item("alive", timeout=_TIMEOUT_S)
                self._on_alive(client)
            except TimeoutError:
                continue  # it is slow, or hangs: then the drag ends for want of signs of life
            except Exception:
                pass  # it is gone
            self._is_closed.wait(_PERIOD_S)
