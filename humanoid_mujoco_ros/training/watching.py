# SPDX-License-Identifier: Apache-2.0
"""Shows a training in the browser while it goes on."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_END_TIMEOUT_S = 20.0
_HOST = "127.0.0.1"
_PORT = 8080
"""Of the browser view, if nobody else has it."""


@contextlib.contextmanager
def watching(policy: Path, robot: str) -> Iterator[None]:
    """Runs `humanoid sim --follow` beside what is done within; what it says goes to watch.log.

    Args:
        policy: The file that the training writes again and again; it is there already.
        robot: Name of a card or an MJCF file; empty: the default robot.
    """
    command = [sys.executable, "-m", "humanoid_mujoco_ros.cli", "sim", "--follow"]
    port = free_port(_PORT)
    command += ["--policy", str(policy.resolve()), "--viewer-port", str(port)]
    if robot:
        command += ["--robot", robot]
    messages = policy.with_name("watch.log")
    with messages.open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
        print(f"watch it learn: http://localhost:{port} (its log: {messages})", flush=True)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(_END_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def free_port(wanted: int) -> int:
    """The port that is wanted, or another one if it is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, wanted))
        except OSError:
            probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])
