# SPDX-License-Identifier: Apache-2.0
"""A page's connection without the page: it takes what a browser gets, and draws nothing."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import viser
from websockets import Subprotocol
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

_TIMEOUT_S = 30.0


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextlib.contextmanager
def quiet_page(port: int) -> Iterator[None]:
    """Connects to the page at `port` of this machine, once it is there.

    Raises:
        OSError: It is not.
    """
    connection = _connect(port)

    def receive() -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                connection.recv()

    thread = threading.Thread(target=receive)
    thread.start()
    try:
        yield
    finally:
        connection.close()
        thread.join()


def _connect(port: int) -> ClientConnection:
    protocol = Subprotocol(f"viser-v{viser.__version__}")
    deadline_s = time.monotonic() + _TIMEOUT_S
    while True:
        try:
            return connect(f"ws://127.0.0.1:{port}", subprotocols=[protocol], max_size=None)
        except OSError:
            if time.monotonic() > deadline_s:
                raise
        time.sleep(0.2)
