# SPDX-License-Identifier: Apache-2.0
"""The point where other threads hand things over to the physics thread."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.robot.state import Wrench

Float64Array = NDArray[np.float64]
Result = TypeVar("Result")

_MAX_LATENCIES = 10_000
"""Kept when nobody collects them."""


@dataclass(frozen=True)
class JointCommand:
    """A command by joint and the time of its arrival."""

    values: Float64Array
    """(n,) [N·m], by joint."""
    time_s: float
    """On the steady clock."""


class Inbox:
    """Requests for the physics thread, and the mailboxes of the robots.

    Any thread may put; only the physics thread takes. It takes between two control ticks, so that
    nothing changes while the simulation steps.
    """

    def __init__(self) -> None:
        """Starts empty."""
        self._changed = threading.Condition(threading.Lock())
        self._requests: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._is_closed = False

    # For any thread.

    def mailbox(self) -> Mailbox:
        """A new mailbox, whose commands wake the physics thread while it waits for them."""
        return Mailbox(self._changed)

    def request(self, action: Callable[[], Result]) -> Future[Result]:
        """Has the physics thread run `action` between two ticks."""
        future: Future[Result] = Future()
        with self._changed:
            if self._is_closed:
                future.set_exception(RuntimeError("the simulation has ended"))
            else:
                self._requests.append((future, action))
                self._changed.notify_all()
        return future

    def promise(self, action: Callable[[Future[bool]], object]) -> Future[bool]:
        """Has the physics thread run `action`, which sees to it that the future gets its answer."""
        done: Future[bool] = Future()

        def forward(request: Future[Any]) -> None:
            error = request.exception()
            if error is not None:
                done.set_exception(error)

        self.request(lambda: action(done)).add_done_callback(forward)
        return done

    def close(self) -> None:
        """Wakes the physics thread for the last time; later requests are refused."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    @property
    def is_closed(self) -> bool:
        """Whether the loop is to end, or has ended."""
        return self._is_closed

    # For the physics thread.

    @property
    def has_requests(self) -> bool:
        """Whether a request waits for `serve`."""
        return bool(self._requests)

    def serve(self) -> None:
        """Runs the requests that wait."""
        while self._requests:
            future, action = self._requests.popleft()
            try:
                future.set_result(action())
            except Exception as error:
                future.set_exception(error)

    def wait(self, duration_s: float) -> None:
        """Waits; a request or the end cuts it short."""
        with self._changed:
            if not self._requests and not self._is_closed:
                self._changed.wait(duration_s)

    def wait_for_answers(self, mailboxes: Sequence[Mailbox], duration_s: float) -> bool:
        """Waits until each mailbox has an answer; a request or the end cuts it short.

        Returns:
            Whether each has an answer.
        """

        def are_answered() -> bool:
            return all(mailbox.has_answer for mailbox in mailboxes)

        with self._changed:
            if not are_answered():
                for mailbox in mailboxes:
                    mailbox.is_awaited = True
                self._changed.wait_for(
                    lambda: self._is_closed or self._requests or are_answered(), duration_s
                )
                for mailbox in mailboxes:
                    mailbox.is_awaited = False
            return are_answered()


class Mailbox:
    """The commands and wrenches for one robot; any thread may put, only the physics thread takes.

    Attributes:
        is_awaited: The physics thread waits for the command.
    """

    def __init__(self, changed: threading.Condition) -> None:
        """Starts empty; `changed` is what the physics thread waits on."""
        self._changed = changed
        self._command: JointCommand | None = None
        self._has_answer = False
        self.is_awaited = False
        self._wrenches: dict[str, tuple[Wrench, float]] = {}
        self._asked_time_s = time.monotonic()
        self._latencies_s: deque[float] = deque(maxlen=_MAX_LATENCIES)

    # For any thread.

    def put_command(self, values: Float64Array) -> None:
        """Hands over a command (n,), by joint; it answers the state published last."""
        now_s = time.monotonic()
        with self._changed:
            if not self._has_answer:
                self._latencies_s.append(now_s - self._asked_time_s)
            self._command = JointCommand(values, now_s)
            self._has_answer = True
            # In real time the physics thread sleeps on until its tick.
            if self.is_awaited:
                self._changed.notify_all()

    def put_wrench(self, link: str, wrench: Wrench) -> None:
        """Hands over an external wrench; a newer one for the same link replaces it."""
        with self._changed:
            self._wrenches[link] = (wrench, time.monotonic())

    def take_latencies(self) -> tuple[float, ...]:
        """Times from each state to its command [s], since the last call."""
        with self._changed:
            latencies = tuple(self._latencies_s)
            self._latencies_s.clear()
        return latencies

    # For the physics thread.

    @property
    def command(self) -> JointCommand | None:
        """The latest command; None before the first."""
        return self._command

    @property
    def has_answer(self) -> bool:
        """Whether a command came since the last one was taken."""
        return self._has_answer

    @property
    def asked_time_s(self) -> float:
        """When the last state was published, on the steady clock."""
        return self._asked_time_s

    def mark_asked(self) -> None:
        """Notes that a state is published now, which the next command answers."""
        self._asked_time_s = time.monotonic()

    def take_command(self) -> JointCommand | None:
        """The latest command, which then is no answer to a later state."""
        with self._changed:
            self._has_answer = False
            return self._command

    def take_wrenches(self) -> dict[str, tuple[Wrench, float]]:
        """The new wrenches by link, with the time of their arrival on the steady clock."""
        if not self._wrenches:
            return {}
        with self._changed:
            wrenches, self._wrenches = self._wrenches, {}
        return wrenches

    def forget(self) -> None:
        """Drops what belongs to the episode that ended: the answer and the wrenches."""
        with self._changed:
            self._has_answer = False
            self._wrenches.clear()
