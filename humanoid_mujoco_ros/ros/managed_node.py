# SPDX-License-Identifier: Apache-2.0
"""Managed nodes that answer every lifecycle call and stay stopped once a person stopped them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rclpy.logging
from lifecycle_msgs.srv import ChangeState
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.logging import LoggingSeverity

from humanoid_mujoco_ros.policy.stop_record import StopRecord
from humanoid_mujoco_ros.ros.bounded_log import BoundedLog
from humanoid_mujoco_ros.ros.guard import GuardedNode
from humanoid_mujoco_ros.ros.health import shortened


class ManagedNode(GuardedNode, LifecycleNode):
    """A managed node with work that is loaded, started, stopped and unloaded.

    A lifecycle call that does not apply is refused, and the node goes on.

    Attributes:
        error: Why the work could not be loaded at the last attempt; None: it could.
    """

    def __init__(self, node_name: str, **kwargs: Any) -> None:
        """Is unconfigured; takes what LifecycleNode takes."""
        self._stops = StopRecord(None)
        self._is_active = False
        self.error: str | None = None
        super().__init__(node_name, **kwargs)
        # One line of ours replaces the three that it writes for each such call.
        rclpy.logging.set_logger_level("rcl_lifecycle", LoggingSeverity.FATAL)
        self._refused = BoundedLog(self.get_logger)

    def load(self) -> str:
        """Prepares the work; returns what is loaded, for the log.

        Raises:
            ValueError: It cannot be done; the message says why.
        """
        raise NotImplementedError

    def start(self) -> None:
        """Begins with the work."""
        raise NotImplementedError

    def stop(self) -> None:
        """Ends the work, if it has begun."""
        raise NotImplementedError

    def unload(self) -> None:
        """Forgets what was loaded."""
        raise NotImplementedError

    @property
    def stopped_by(self) -> str | None:
        """The lifecycle call that stopped the work, and when; None: none did."""
        return self._stops.stopped_by

    @property
    def inactivity(self) -> str | None:
        """Why no work is done, for the diagnostics; None: it is done."""
        if self._is_active:
            return None
        by = "" if self.stopped_by is None else f": stopped by {self.stopped_by}"
        return f"not active{by}"

    def begin(self, run_directory: str, *, autostart: bool) -> None:
        """Takes up its role in a run.

        Args:
            run_directory: Folder of the run, in which a stop is kept for the next process of this
                node; empty: none is.
            autostart: Load the work and start it, unless it was stopped in this run.

        Raises:
            ValueError: It cannot be loaded; the message says why.
        """
        if run_directory:
            name = self.get_fully_qualified_name().strip("/").replace("/", ".")
            self._stops = StopRecord(Path(run_directory).expanduser() / f"{name}.stopped")
        if not autostart:
            return
        if self.trigger_configure() != TransitionCallbackReturn.SUCCESS:
            raise ValueError(self.error)
        if self.stopped_by is None:
            self.trigger_activate()
        else:
            self.get_logger().info(f"not activated: stopped by {self.stopped_by}")

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Loads the work."""
        try:
            self.get_logger().info(shortened(self.load()))
        except ValueError as error:
            self.error = str(error)
            self.get_logger().error(shortened(error))
            return TransitionCallbackReturn.FAILURE
        self.error = None
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Starts the work."""
        self._remember(self._stops.clear)
        self._is_active = True
        return self._attempt(self.start)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stops the work."""
        return self._attempt(functools.partial(self._stop, "deactivate"))

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unloads the work."""
        return self._attempt(self.unload)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stops the work for good."""
        return self._attempt(functools.partial(self._stop, "shutdown"))

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stops the work after a call that failed half-way."""
        return self._attempt(functools.partial(self._stop, "a lifecycle call that failed"))

    def on_service_error(self, where: str, request: Any, response: Any, error: Exception) -> None:
        """Refuses a lifecycle call that does not apply; notes every other error."""
        is_call = isinstance(request, ChangeState.Request)
        if is_call and isinstance(error, rclpy_implementation.RCLError):
            wanted = request.transition.label or f"transition {request.transition.id}"
            self._refused.info(f"lifecycle: {wanted} does not apply now; nothing is changed")
            response.success = False
            return
        super().on_service_error(where, request, response, error)

    def _attempt(self, step: Callable[[], None]) -> TransitionCallbackReturn:
        """Does it; rclpy itself would say nothing of an exception."""
        try:
            step()
        except Exception as error:
            self.callback_errors.add("lifecycle", error)
            return TransitionCallbackReturn.ERROR
        return TransitionCallbackReturn.SUCCESS

    def _stop(self, by: str) -> None:
        self._is_active = False
        try:
            self.stop()
        finally:
            self._remember(functools.partial(self._stops.stop, by))

    def _remember(self, change: Callable[[], None]) -> None:
        try:
            change()
        except OSError as error:
            self.get_logger().error(shortened(f"the next process will not know of this: {error}"))
