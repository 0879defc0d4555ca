# SPDX-License-Identifier: Apache-2.0
"""Shows a training in the browser while it goes on."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_END_TIMEOUT_S = 20.0


@contextlib.contextmanager
def watching(policy: Path, robot: str) -> Iterator[None]:
    """Runs `humanoid sim --follow` beside what is done within; what it says goes to watch.log.

    Args:
        policy: The file that the training writes again and again; it is there already.
        robot: Name of a card or an MJCF file; empty: the default robot.
    """
    command = [sys.executable, "-m", "humanoid_mujoco_ros.cli", "sim", "--follow"]
    command += ["--policy", str(policy.resolve())]
    if robot:
        command += ["--robot", robot]
    messages = policy.with_name("watch.log")
    with messages.open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
        print(f"watch it learn: the address of the browser view is in {messages}", flush=True)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(_END_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
