# SPDX-License-Identifier: Apache-2.0
"""Starts and ends a node process."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Sequence

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import Executor, ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

_create_executor: Callable[[], Executor] = SingleThreadedExecutor
with contextlib.suppress(ImportError):  # before Jazzy's rclpy 7.1.4
    from rclpy.experimental import EventsExecutor

    _create_executor = EventsExecutor  # it costs half of the other per message

START_FAILED = 2
"""Exit status of a node that cannot start as it is configured: trying again would not help."""
_SWITCH_INTERVAL_S = 0.0005
"""Longest wait for the interpreter lock. Python's 5 ms is half a control period."""

_SPIN_TIMEOUT_S = 0.2


def run(create_node: Callable[[], Node], args: Sequence[str] | None = None) -> int:
    """Runs a node until it is told to stop, or says so itself by its attribute `is_done`.

    Args:
        create_node: Called once rclpy is initialised. A ValueError or a ROS parameter error is
            printed, without a traceback.
        args: Command line; None: sys.argv.

    Returns:
        Exit status: START_FAILED when the node could not start, else its `exit_status`, else 0.
    """
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    stop = threading.Event()
    # rclpy's own handlers end the context at once, and with it a node's last words.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    rclpy.init(
        args=None if args is None else list(args), signal_handler_options=SignalHandlerOptions.NO
    )
    executor = _create_executor()
    try:
        try:
            node = create_node()
        except (ValueError, ParameterException) as error:
            sys.stderr.write(f"error: {error}\n")
            return START_FAILED
        try:
            executor.add_node(node)
            while node.context.ok() and not stop.is_set() and not getattr(node, "is_done", False):
                # EventsExecutor.spin(), without a timeout, cannot be interrupted (rclpy 7.1.6).
                executor.spin_once(timeout_sec=_SPIN_TIMEOUT_S)
        except ExternalShutdownException:
            pass
        finally:
            node.destroy_node()
        return int(getattr(node, "exit_status", 0))
    finally:
        executor.shutdown()
        rclpy.try_shutdown()
