# SPDX-License-Identifier: Apache-2.0
"""Runs nodes as processes: reports the ones that die, restarts those that should go on."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from humanoid_mujoco_ros.ros.runtime import START_FAILED

_PR_SET_PDEATHSIG = 1
_FIRST_BACKOFF_S = 0.5
_MAX_BACKOFF_S = 8.0
_STABLE_S = 10.0
"""A node that lived this long starts with the first back-off again."""
_STOP_TIMEOUT_S = 15.0
"""A node needs 0.2 s of a processor to end, and on a busy machine waits for it many times as long;
the recorder has to write down what is left."""

_libc = ctypes.CDLL(None)


@dataclass(frozen=True)
class NodeProcess:
    """A node to run."""

    name: str
    """Name for people; the node's own, with the robot's in front where there are several."""
    arguments: tuple[str, ...]
    """Command line after the Python interpreter."""
    restart: bool = False
    """Start it again when it dies, later each time."""
    ends_last: bool = False
    """Stop it after all the others, which may have last words for it."""


def node_process(
    node: str, arguments: Sequence[str], *, restart: bool = False, robot: str = ""
) -> NodeProcess:
    """One of this package's nodes with its command-line arguments, for one robot of several."""
    module = f"humanoid_mujoco_ros.nodes.{node}"
    return NodeProcess(f"{robot}/{node}".lstrip("/"), ("-m", module, *arguments), restart)


class _Running:
    """A node and its present process, if it has one."""

    def __init__(self, node: NodeProcess) -> None:
        self.node = node
        self.process: subprocess.Popen[str] | None = None
        self.started_s = 0.0
        self.backoff_s = _FIRST_BACKOFF_S
        self.restart_at_s: float | None = None
        self.exit_status: int | None = None
        self.reader: threading.Thread | None = None


class Supervisor:
    """Keeps a set of nodes running until it is stopped.

    Each node is a process in a group of its own, so that Ctrl-C reaches this process alone and the
    nodes end in order. They also end when this process is killed, even those that are stopped: in
    a group without a parent in the session, the kernel wakes them and hangs up.
    """

    def __init__(self, nodes: Sequence[NodeProcess], say: Callable[[str], None]) -> None:
        """Prepares the nodes.

        Args:
            nodes: Started in this order, stopped in the reverse order.
            say: Takes the lines that the nodes print and what happens to them; called from
                several threads.
        """
        self._say = say
        self._running = [_Running(node) for node in nodes]

    @property
    def failed(self) -> bool:
        """Whether a node ended with an error and has not come back."""
        return any(self.ended.values())

    @property
    def ended(self) -> dict[str, int]:
        """Name → exit status of the nodes that ended by themselves and have not come back."""
        return {r.node.name: r.exit_status for r in self._running if r.exit_status is not None}

    def start(self, names: Collection[str] | None = None) -> None:
        """Starts every node that was not started yet, or only those of `names`."""
        for running in self._running:
            is_new = running.process is None and running.reader is None
            if is_new and (names is None or running.node.name in names):
                self._start(running)

    def poll(self) -> None:
        """Notices the nodes that ended and restarts those that are due."""
        now_s = time.monotonic()
        for running in self._running:
            if running.process is not None:
                status = running.process.poll()
                if status is not None:
                    self._on_end(running, status, now_s)
            elif running.restart_at_s is not None and now_s >= running.restart_at_s:
                self._say(f"{running.node.name}: restarting")
                self._start(running)

    @property
    def is_any_running(self) -> bool:
        """Whether a node runs or will be restarted."""
        return any(r.process is not None or r.restart_at_s is not None for r in self._running)

    def process_ids(self) -> dict[str, int]:
        """Name → process id of the nodes that run."""
        return {r.node.name: r.process.pid for r in self._running if r.process is not None}

    def stop(self) -> None:
        """Ends every node: SIGINT, then, for those that do not listen, SIGKILL."""
        self._stop([r for r in reversed(self._running) if not r.node.ends_last])
        self._stop([r for r in self._running if r.node.ends_last])
        for running in self._running:
            running.process = None
            running.restart_at_s = None
            if running.reader is not None:
                running.reader.join(1.0)

    def _stop(self, nodes: Sequence[_Running]) -> None:
        processes = [(r, r.process) for r in nodes if r.process is not None]
        for _, process in processes:
            process.send_signal(signal.SIGINT)
            process.send_signal(signal.SIGCONT)  # one that is stopped could not hear it
        deadline_s = time.monotonic() + _STOP_TIMEOUT_S
        for running, process in processes:
            try:
                process.wait(max(0.0, deadline_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                self._say(f"{running.node.name} does not end; killed")
                running.exit_status = -signal.SIGKILL
                process.kill()
                process.wait()

    def _start(self, running: _Running) -> None:
        node = running.node
        running.restart_at_s = None
        running.exit_status = None
        running.started_s = time.monotonic()
        running.process = subprocess.Popen(
            [sys.executable, *node.arguments],
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            process_group=0,
            preexec_fn=_end_with_parent,
        )
        running.reader = threading.Thread(
            target=self._relay, args=(node.name, running.process), daemon=True
        )
        running.reader.start()

    def _relay(self, name: str, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._say(f"{name}: {line.rstrip()}")

    def _on_end(self, running: _Running, status: int, now_s: float) -> None:
        name = running.node.name
        if running.reader is not None:
            running.reader.join(1.0)
        running.process = None
        running.exit_status = status
        if status == START_FAILED:
            self._say(f"{name} could not start")
            return
        how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended ({status})"
        if not running.node.restart:
            if status != 0:
                self._say(f"{name} {how}")
            return
        if now_s - running.started_s > _STABLE_S:
            running.backoff_s = _FIRST_BACKOFF_S
        running.restart_at_s = now_s + running.backoff_s
        self._say(f"{name} {how}; starting it again in {running.backoff_s:g} s")
        running.backoff_s = min(2 * running.backoff_s, _MAX_BACKOFF_S)


def _end_with_parent() -> None:
    """Runs in the new process: have the kernel end it should the supervisor be killed."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
