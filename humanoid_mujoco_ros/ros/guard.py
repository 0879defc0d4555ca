# SPDX-License-Identifier: Apache-2.0
"""Nodes that go on when a callback raises: whatever comes from outside, no node ends by it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rclpy.logging
from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import SetParameters, SetParametersAtomically
from rclpy.clock import Clock, ClockType
from rclpy.logging import LoggingSeverity
from rclpy.node import Node
from rclpy.service import Service
from rclpy.subscription import Subscription
from rclpy.timer import Timer

from humanoid_mujoco_ros.ros.bounded_log import BoundedLog, Logger
from humanoid_mujoco_ros.ros.decoding import decode
from humanoid_mujoco_ros.ros.health import shortened


class CallbackErrors:
    """Counts what the callbacks of a node raised and logs each kind once."""

    def __init__(self, get_logger: Callable[[], Logger]) -> None:
        """Starts at zero."""
        self._log = BoundedLog(get_logger)
        self._reported = 0
        self.count = 0
        self.last: str | None = None

    def add(self, where: str, error: Exception) -> str:
        """Notes what was raised; returns it in one line."""
        self.count += 1
        self.last = shortened(f"{where}: {describe(error)}")
        self._log.error(self.last)
        return self.last

    def take(self) -> str | None:
        """What was raised since the last call; None: nothing."""
        new, self._reported = self.count - self._reported, self.count
        return f"{new} callbacks failed: {self.last}" if new else None


def describe(error: Exception) -> str:
    """Type, text and place of an exception."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    file = "" if trace is None else Path(trace.tb_frame.f_code.co_filename).name
    place = "" if trace is None else f" ({file}:{trace.tb_lineno})"
    return f"{type(error).__name__}: {error}{place}"


class GuardedNode(Node):
    """A node in which every subscription, timer and service is guarded.

    What a callback raises is counted in `callback_errors`, and the node goes on. A service whose
    callback raised answers that it failed.

    Attributes:
        callback_errors: What the callbacks raised.
        subnodes: Nodes that are spun with this one and end with it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Takes what Node takes."""
        self.callback_errors = CallbackErrors(self.get_logger)
        self.subnodes: list[GuardedNode] = []
        super().__init__(*args, **kwargs)
        # rcl writes what a call of get_type_description asks for, however long, for each call.
        rclpy.logging.set_logger_level("rcl", LoggingSeverity.FATAL)
        # A managed node makes its services without create_service.
        for service in self.services:
            if not hasattr(service.callback, "__wrapped__"):
                service.callback = _guard_service(self, service.callback, service.srv_name)

    def destroy_node(self) -> None:
        """As Node's; the nodes that belong to this one go first."""
        for node in self.subnodes:
            node.destroy_node()
        super().destroy_node()

    def create_subscription(
        self, msg_type: Any, topic: str, callback: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Subscription:
        """As Node's, for a callback of one argument; what is no such message is told as well."""
        if not kwargs.get("raw", False):
            callback = _decoded(callback, msg_type)
            kwargs["raw"] = True
        guarded = _guard(self.callback_errors, callback, topic)
        return super().create_subscription(msg_type, topic, guarded, *args, **kwargs)

    def create_timer(
        self, timer_period_sec: float, callback: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Timer:
        """As Node's."""
        return super().create_timer(
            timer_period_sec, _guard(self.callback_errors, callback, "timer"), *args, **kwargs
        )

    def create_steady_timer(self, period_s: float, callback: Callable[[], None]) -> Timer:
        """A timer on the steady clock, which simulated time and a set clock leave alone."""
        return self.create_timer(period_s, callback, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def create_service(
        self, srv_type: Any, srv_name: str, callback: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Service:
        """As Node's."""
        guarded = _guard_service(self, callback, srv_name)
        return super().create_service(srv_type, srv_name, guarded, *args, **kwargs)

    def guarded(self, callback: Callable[..., Any], where: str) -> Callable[..., Any]:
        """A callback, such as that of a future, that notes what it raises."""
        return _guard(self.callback_errors, callback, where)

    def on_service_error(self, where: str, request: Any, response: Any, error: Exception) -> None:
        """Notes what a service raised and makes `response` tell of it."""
        _refuse(request, response, self.callback_errors.add(where, error))


def _guard(errors: CallbackErrors, callback: Callable[..., Any], where: str) -> Callable[..., Any]:
    @functools.wraps(callback)
    def guarded(*args: Any) -> Any:
        try:
            return callback(*args)
        except Exception as error:
            errors.add(where, error)

    return guarded


def _decoded(callback: Callable[[Any], Any], message_type: Any) -> Callable[[bytes], Any]:
    """The callback for serialised messages."""

    def on_bytes(data: bytes) -> Any:
        return callback(decode(data, message_type))

    return on_bytes


def _guard_service(
    node: GuardedNode, callback: Callable[..., Any], where: str
) -> Callable[..., Any]:
    @functools.wraps(callback)
    async def guarded_coroutine(request: Any, response: Any) -> Any:
        try:
            return await callback(request, response)
        except Exception as error:
            node.on_service_error(where, request, response, error)
            return response

    @functools.wraps(callback)
    def guarded(request: Any, response: Any) -> Any:
        try:
            return callback(request, response)
        except Exception as error:
            node.on_service_error(where, request, response, error)
            return response

    return guarded_coroutine if inspect.iscoroutinefunction(callback) else guarded


def _refuse(request: Any, response: Any, reason: str) -> None:
    """Makes the answer of a service a refusal, as far as its type can tell."""
    failed = SetParametersResult(successful=False, reason=reason)
    if isinstance(response, SetParameters.Response):
        missing = len(request.parameters) - len(response.results)
        response.results = [*response.results, *[failed] * missing]
    elif isinstance(response, SetParametersAtomically.Response):
        response.result = failed
    else:
        if hasattr(response, "success"):
            response.success = False
        if hasattr(response, "message"):
            response.message = reason
