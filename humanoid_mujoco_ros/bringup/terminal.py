# SPDX-License-Identifier: Apache-2.0
"""Runs the nodes of a graph at a terminal, under a status line, until Ctrl-C."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from typing import NoReturn

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rich.console import Console
from rich.live import Live
from rich.text import Text

from humanoid_mujoco_ros.bringup import status
from humanoid_mujoco_ros.bringup.supervisor import NodeProcess, Supervisor
from humanoid_mujoco_ros.ros.runtime import START_FAILED

ESSENTIAL = ("simulation_node", "policy_node", "observation_node", "sumo_node")
"""Nodes without which it makes no sense to start the others."""
RECORDER = "recorder"
_RECORDER_TIMEOUT_S = 30.0
_POLL_S = 0.1
_PLAIN_STATUS_PERIOD_S = 5.0


def supervise(
    nodes: Sequence[NodeProcess],
    namespace: str,
    main_node: str,
    console: Console,
    robots: Sequence[str] = (),
) -> int:
    """Runs the nodes under a status line until Ctrl-C or until `main_node` is done.

    Args:
        nodes: The processes.
        namespace: Where they are.
        main_node: The process whose end is the end; empty: none.
        console: The terminal.
        robots: Names of the robots that share the namespace; none: it is one robot's.

    Returns:
        Exit status: 1 when a node failed.
    """
    # SIGINT as well: a shell's background job, for one, is started with it ignored.
    ending = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as `nohup` leaves it
        ending.append(signal.SIGHUP)
    for number in ending:
        signal.signal(number, _interrupt)
    rclpy.init(args=[], signal_handler_options=rclpy.signals.SignalHandlerOptions.NO)
    listener = status.StatusListener(namespace, robots)
    executor = SingleThreadedExecutor()
    executor.add_node(listener)
    supervisor = Supervisor(nodes, lambda text: console.print(Text(text), soft_wrap=True))
    try:
        if any(node.name == RECORDER for node in nodes):
            _start_recording(supervisor, executor, listener, main_node, console)
        supervisor.start()
        with Live(console=console, auto_refresh=False, transient=True) as live:
            _watch(supervisor, executor, listener, main_node, live, console)
    except KeyboardInterrupt:
        pass
    finally:
        # A second Ctrl-C must not leave nodes behind.
        for number in ending:
            signal.signal(number, signal.SIG_IGN)
        console.print("stopping")
        supervisor.stop()
        if listener.is_there:
            _print(listener.summary(), console)
        executor.shutdown()
        listener.destroy_node()
        rclpy.try_shutdown()
    return int(supervisor.failed)


def _start_recording(
    supervisor: Supervisor,
    executor: SingleThreadedExecutor,
    listener: status.StatusListener,
    main_node: str,
    console: Console,
) -> None:
    """Starts the recorder, then the robot, which stands still until the recorder hears it."""

    def spin_until(condition: Callable[[], bool], reason: str) -> None:
        deadline_s = time.monotonic() + _RECORDER_TIMEOUT_S
        while not condition():
            executor.spin_once(timeout_sec=_POLL_S)
            supervisor.poll()
            if RECORDER in supervisor.ended or _is_over(supervisor, main_node):
                return
            if time.monotonic() > deadline_s:
                console.print(f"{reason}; going on: the recording may lack the start")
                return

    supervisor.start([RECORDER])
    spin_until(lambda: bool(listener.board.values(RECORDER)), "the recorder does not report")
    supervisor.start([main_node])
    spin_until(
        lambda: "/joint_states" in (listener.board.text(RECORDER, "topics_heard") or ""),
        "the recorder does not hear the robot",
    )


def _watch(
    supervisor: Supervisor,
    executor: SingleThreadedExecutor,
    listener: status.StatusListener,
    main_node: str,
    live: Live,
    console: Console,
) -> None:
    ticks = 0
    while supervisor.is_any_running:
        executor.spin_once(timeout_sec=_POLL_S)
        supervisor.poll()
        if _is_over(supervisor, main_node):
            return
        ticks += 1
        if console.is_terminal:
            live.update(listener.panel(), refresh=True)
        elif ticks % round(_PLAIN_STATUS_PERIOD_S / _POLL_S) == 0:
            _print(listener.line(), console)


def _print(text: str, console: Console) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def _is_over(supervisor: Supervisor, main_node: str) -> bool:
    """Whether the main node has ended, or a node without which there is nothing to do."""
    ended = supervisor.ended
    return main_node in ended or any(
        status == START_FAILED and name.rpartition("/")[2] in ESSENTIAL
        for name, status in ended.items()
    )


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt
