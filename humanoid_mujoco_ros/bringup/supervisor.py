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
from dataclasses import dataclass, field

_PR_SET_PDEATHSIG = 1
_FIRST_BACKOFF_S = 0.5
_MAX_BACKOFF_S = 8.0
_STABLE_S = 10.0
"""A node that lived this long starts its back-off anew."""
_STOP_TIMEOUT_S = 4.0

_libc = ctypes.CDLL(None)


@dataclass(frozen=True)
class NodeProcess:
    """A node to run."""

    name: str
    """Name for people; the node's own."""
    arguments: tuple[str, ...]
    """Command line after the Python interpreter."""
    restart: bool = False
    """Start it again when it dies, later each time."""
    environment: dict[str, str] = field(default_factory=dict)
    """Added to the environment."""


def node_process(
    node: str, arguments: Sequence[str], restart: bool = False, name: str = ""
) -> NodeProcess:
    """One of this package's nodes with its command-line arguments."""
    module = f"humanoid_mujoco_ros.nodes.{node}"
    return NodeProcess(name or node, ("-m", module, *arguments), restart)


class _Running:
    """A node and its present process, if it has one."""

    def __init__(self, node: NodeProcess) -> None:
        self.node = node
        self.process: subprocess.Popen[str] | None = None
        self.started_s = 0.0
        self.backoff_s = _FIRST_BACKOFF_S
        self.restart_at_s: float | None = None
        self.reader: threading.Thread | None = None


class Supervisor:
    """Keeps a set of nodes running until it is stopped.

    Each node is a process in a session of its own, so that Ctrl-C reaches this process alone and
    the nodes end in order; they also end when this process is killed.
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
        self.failed = False
        """Whether a node ended with an error."""

    def start(self, names: Collection[str] | None = None) -> None:
        """Starts every node that was not started yet, or only those of `names`."""
        for running in self._running:
            is_new = running.process is None and running.reader is None
            if is_new and (names is None or running.node.name in names):
                self._start(running)

    def poll(self) -> dict[str, int]:
        """Notices the nodes that ended and restarts those that are due.

        Returns:
            Name → exit status of the nodes that ended since the last call.
        """
        ended = {}
        now_s = time.monotonic()
        for running in self._running:
            if running.process is not None:
                status = running.process.poll()
                if status is not None:
                    ended[running.node.name] = status
                    self._on_end(running, status, now_s)
            elif running.restart_at_s is not None and now_s >= running.restart_at_s:
                self._say(f"{running.node.name}: restarting")
                self._start(running)
        return ended

    @property
    def is_any_running(self) -> bool:
        """Whether a node runs or will be restarted."""
        return any(r.process is not None or r.restart_at_s is not None for r in self._running)

    def process_ids(self) -> dict[str, int]:
        """Name → process id of the nodes that run."""
        return {r.node.name: r.process.pid for r in self._running if r.process is not None}

    def stop(self) -> None:
        """Ends every node: SIGINT, then, for those that do not listen, SIGKILL."""
        processes = [r.process for r in reversed(self._running) if r.process is not None]
        for process in processes:
            process.send_signal(signal.SIGINT)
        deadline_s = time.monotonic() + _STOP_TIMEOUT_S
        for process in processes:
            try:
                process.wait(max(0.0, deadline_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                self._say(f"process {process.pid} does not end; killed")
                self.failed = True
                process.kill()
                process.wait()
        for running in self._running:
            running.process = None
            running.restart_at_s = None
            if running.reader is not None:
                running.reader.join(1.0)

    def _start(self, running: _Running) -> None:
        node = running.node
        running.restart_at_s = None
        running.started_s = time.monotonic()
        running.process = subprocess.Popen(
            [sys.executable, *node.arguments],
            env={**os.environ, "PYTHONUNBUFFERED": "1", **node.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
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
        if status != 0:
            self.failed = True
        how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended ({status})"
        if not running.node.restart:
            if status != 0:
                self._say(f"{name} {how}; the other nodes go on")
            return
        if now_s - running.started_s > _STABLE_S:
            running.backoff_s = _FIRST_BACKOFF_S
        running.restart_at_s = now_s + running.backoff_s
        self._say(f"{name} {how}; starting it again in {running.backoff_s:g} s")
        running.backoff_s = min(2 * running.backoff_s, _MAX_BACKOFF_S)


def _end_with_parent() -> None:
    """Runs in the new process: have the kernel end it should the supervisor be killed."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
