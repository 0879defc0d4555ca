# SPDX-License-Identifier: Apache-2.0
"""Starts and ends a node process."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import Executor, ExternalShutdownException, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

from humanoid_mujoco_ros.ros.guard import GuardedNode, describe
from humanoid_mujoco_ros.ros.health import shortened

create_executor: Callable[[], Executor] = SingleThreadedExecutor
with contextlib.suppress(ImportError):  # before Jazzy's rclpy 7.1.4
    from rclpy.experimental import EventsExecutor

    create_executor = EventsExecutor  # it costs half of the other per message

START_FAILED = 2
"""Exit status of a node that cannot start as it is configured: trying again would not help."""
SWITCH_INTERVAL_S = 0.0005
"""Longest wait for the interpreter lock. Python's 5 ms is half a control period."""

_SPIN_TIMEOUT_S = 0.2
_PAUSE_AFTER_ERROR_S = 0.01
"""So that an executor that fails at once, again and again, leaves the processor to others."""


def run(create_node: Callable[[], GuardedNode], args: Sequence[str] | None = None) -> int:
    """Runs a node until it is told to stop, or says so itself by its attribute `is_done`.

    Whatever its callbacks raise, it goes on.

    Args:
        create_node: Called once rclpy is initialised. A ValueError or a ROS parameter error is
            printed, without a traceback.
        args: Command line; None: sys.argv.

    Returns:
        Exit status: START_FAILED when the node could not start, else its `exit_status`, else 0.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    stop = threading.Event()
    # rclpy's own handlers end the context at once, and with it a node's last words.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # nohup ignores SIGHUP.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda *_: stop.set())
    rclpy.init(
        args=None if args is None else list(args), signal_handler_options=SignalHandlerOptions.NO
    )
    executor = create_executor()
    try:
        try:
            node = create_node()
        except (ValueError, ParameterException) as error:
            sys.stderr.write(f"error: {error}\n")
            return START_FAILED
        executor.add_node(node)
        try:
            while node.context.ok() and not stop.is_set() and not getattr(node, "is_done", False):
                _spin_once(executor, node)
        except ExternalShutdownException:
            pass
        finally:
            _destroy(node)
        return int(getattr(node, "exit_status", 0))
    finally:
        executor.shutdown()
        rclpy.try_shutdown()


def _spin_once(executor: Executor, node: GuardedNode) -> None:
    try:
        # EventsExecutor.spin(), without a timeout, cannot be interrupted (rclpy 7.1.6).
        executor.spin_once(timeout_sec=_SPIN_TIMEOUT_S)
    except ExternalShutdownException:
        raise
    except Exception as error:  # not a callback's: those are guarded
        node.callback_errors.add("executor", error)
        time.sleep(_PAUSE_AFTER_ERROR_S)


def _destroy(node: GuardedNode) -> None:
    try:
        node.destroy_node()
    except Exception as error:  # the process ends anyway, and orderly
        sys.stderr.write(shortened(f"error: at the end: {describe(error)}") + "\n")
