"""Starts and ends a node process."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Sequence

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import Executor, ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

try:
    from rclpy.experimental import EventsExecutor
except ImportError:  # before Jazzy's rclpy 7.1.4
    EventsExecutor = None

_SWITCH_INTERVAL_S = 0.0005
"""Longest wait for the interpreter lock. Python's 5 ms is half a control period."""

_SPIN_TIMEOUT_S = 0.2


def create_executor() -> Executor:
    """An executor that costs little per message, where this ROS has one."""
    return EventsExecutor() if EventsExecutor is not None else SingleThreadedExecutor()


def run(create_node: Callable[[], Node], args: Sequence[str] | None = None) -> int:
    """Runs a node until it is told to stop.

    Args:
        create_node: Called once rclpy is initialised. A ValueError or a ROS parameter error is
            printed, without a traceback.
        args: Command line; None: sys.argv.

    Returns:
        Exit status: 1 when the node could not start, else the node's `exit_status`, else 0.
    """
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    stop = threading.Event()
    # rclpy's own handlers end the context at once, and with it a node's last words.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    executor = create_executor()
    try:
        try:
            node = create_node()
        except (ValueError, ParameterException) as error:
            sys.stderr.write(f"error: {error}\n")
            return 1
        try:
            executor.add_node(node)
            while node.context.ok() and not stop.is_set():
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
