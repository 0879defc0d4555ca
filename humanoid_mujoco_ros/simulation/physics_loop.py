# SPDX-License-Identifier: Apache-2.0
"""The control loop: steps the world in a thread of its own.

What the two modes have in common; `RealTimeLoop` and `LockstepLoop` say when the next tick comes.
"""

from __future__ import annotations

import math
import threading
import traceback
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Literal

from humanoid_mujoco_ros.robot.ranges import bounded, check_ranges
from humanoid_mujoco_ros.simulation.inbox import Inbox
from humanoid_mujoco_ros.simulation.robot_port import (
    Float64Array,
    Listener,
    LoopStatus,
    RobotPort,
)
from humanoid_mujoco_ros.simulation.world import World

WRENCH_TIMEOUT_S = 0.2
"""How long an external wrench acts after its last message, unless the parameter says otherwise."""
_SHORTEST_S = 1e-3
"""Timeouts below it would be shorter than a control period of any robot."""


@dataclass(frozen=True)
class LoopConfig:
    """How simulated time relates to commands and to wall time."""

    mode: Literal["realtime", "lockstep"] = "realtime"
    """realtime: keeps wall time and holds the last command; lockstep: waits for each command."""
    real_time_factor: float = bounded(1.0, 1e-4, 1e4)
    """Simulated seconds per wall second (realtime)."""
    command_timeout_s: float = bounded(0.1, _SHORTEST_S)
    """Zero effort after this time without a command, on the steady clock (realtime)."""
    command_wait_s: float = bounded(0.05, 0.0)
    """Longest wait on the steady clock for a late command of a policy that answers every state:
    a slow policy then costs time, not balance. 0: never wait, hold the last command (realtime)."""
    lockstep_timeout_s: float = bounded(5.0, _SHORTEST_S)
    """An observation that no command answers within this time is an error (lockstep)."""
    wrench_timeout_s: float = bounded(WRENCH_TIMEOUT_S, _SHORTEST_S)
    """An external wrench ends this time after its last message, on the steady clock."""
    on_fall: Literal["reset", "recover", "stay"] = "reset"
    """What happens after a fall. recover: the recovery that the robot's card names gets it up, or
    it is reset after recovery_timeout; a robot without a recovery is reset as with reset."""
    fall_reset_delay_s: float = bounded(3.0, 0.0)
    """Simulated time between a fall and the reset."""
    recovery_timeout_s: float = bounded(20.0, 0.0)
    """Simulated time that a fallen robot has to get up."""
    hold_until_command: bool = True
    """Physics stands still at the first state until the first command comes (realtime)."""
    duration_s: float = bounded(0.0, 0.0)
    """Simulated time after which the loop ends; 0: never."""

    def __post_init__(self) -> None:
        """Checks the ranges.

        Raises:
            ValueError: A value is out of its range.
        """
        check_ranges(self)


class PhysicsLoop(ABC):
    """Owns the world once started; every public method may be called from any thread.

    Attributes:
        ports: For each robot of the world, in its order.
        inbox: Requests for the physics thread.
    """

    def __init__(self, world: World, config: LoopConfig, listeners: Sequence[Listener]) -> None:
        """Prepares the loop.

        Args:
            world: The robots to step. Nothing else may touch them while the loop runs.
            config: Rates and timeouts.
            listeners: For each robot whom to tell of its states.
        """
        self._world = world
        self._config = config
        self.inbox = Inbox()
        self._steps: deque[Future[bool] | None] = deque()
        """Ticks to make although time stands still; None: nobody waits for it."""
        self._status = LoopStatus()
        self.ports = tuple(
            RobotPort(self, member, listener)
            for member, listener in zip(world.members, listeners, strict=True)
        )
        self._mailboxes = [port.mailbox for port in self.ports]
        self._start_ns = self._time_ns
        self._thread = threading.Thread(target=self._run, name="physics", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread and waits for it."""
        self.inbox.close()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def finished(self) -> bool:
        """The loop has ended: it was stopped or its duration is over."""
        return not self._thread.is_alive()

    @property
    def has_ended(self) -> bool:
        """The loop takes no more requests."""
        return self.inbox.is_closed

    @property
    def status(self) -> LoopStatus:
        """The status of the loop; each port tells that of its robot as well."""
        return self._status

    @property
    def real_time_factor(self) -> float:
        """Simulated seconds per wall second that the loop aims at; NaN: as fast as it can."""
        return math.nan

    def pause(self) -> Future[bool]:
        """Stops time; False when it stood still already."""
        return self.inbox.request(lambda: self._set_paused(paused=True))

    def resume(self) -> Future[bool]:
        """Lets time run; False when it ran already."""
        return self.inbox.request(lambda: self._set_paused(paused=False))

    def step(self) -> Future[bool]:
        """Advances a paused loop by one control tick; False when it is not paused.

        In lockstep the tick comes as soon as the states' commands are there.
        """
        return self.inbox.request(self._single_step)

    def advance(self) -> Future[bool]:
        """As `step`, but answers once the tick is over; a TimeoutError if no command comes for it.

        A robot that a policy drives gets its command in real time, too.
        """
        return self.inbox.promise(lambda done: self._single_step(done))

    def withdraw(self, step: Future[bool]) -> None:
        """Takes back a step of `advance` that has not been made; its answer then is False."""
        self.inbox.request(lambda: self._withdraw(step))

    def reset(self) -> Future[bool]:
        """Starts a new episode of each robot, in lockstep once the commands under way have come."""
        return self.inbox.request(lambda: self.change(self.ports, self._begin_episodes, Future()))

    def halt(self) -> Future[bool]:
        """Pauses and starts new episodes; False when that was so already."""
        return self.inbox.promise(self._halt)

    # What follows runs in the loop's thread.

    @abstractmethod
    def _loop(self) -> None:
        """Publishes the first state and ticks until the inbox closes or the duration is over."""

    @abstractmethod
    def _next_command(self, port: RobotPort) -> Float64Array | None:
        """The command (n,) of a robot's next tick, see `Simulation.step`; None: there is none."""

    @abstractmethod
    def change(
        self, ports: Sequence[RobotPort], action: Callable[[], None], done: Future[bool]
    ) -> bool:
        """Changes robots' states, now or after the commands under way, and publishes them."""

    def leave_start(self) -> None:
        """Notes that a robot is not in an initial state any more."""
        self._update(stopped=False)

    def _unanswered(self) -> list[Future[bool]]:
        """Takes the promises that nothing will answer any more."""
        steps = [step for step in self._steps if step is not None]
        self._steps = deque(step for step in self._steps if step is None)
        return steps

    def _run(self) -> None:
        try:
            self._loop()
        except Exception as error:  # or the node would go on without a robot
            traceback.print_exc()
            text = " ".join(str(error).split())  # MuJoCo's have several lines
            self._update(error=f"the simulation broke down: {type(error).__name__}: {text}")
        self.inbox.close()
        self.inbox.serve()
        for promise in self._unanswered():
            promise.set_exception(RuntimeError("the simulation has ended"))

    @property
    def _time_ns(self) -> int:
        return self.ports[0].state.time_ns

    def _is_over(self) -> bool:
        duration_ns = self._config.duration_s * 1e9
        return duration_ns > 0 and self._time_ns - self._start_ns >= duration_ns

    def _set_paused(self, *, paused: bool) -> bool:
        if self._status.paused == paused and not self._status.stopped:
            return False
        self._update(paused=paused, stopped=False)
        return True

    def _halt(self, done: Future[bool]) -> None:
        if self._status.stopped:
            done.set_result(False)
            return
        self._update(paused=True)
        self.change(self.ports, self._stop, done)

    def _stop(self) -> None:
        self._begin_episodes()
        self._update(paused=True, stopped=True)

    def _single_step(self, done: Future[bool] | None = None) -> bool:
        if self._status.paused:
            self._steps.append(done)
        elif done is not None:
            done.set_result(False)
        return self._status.paused

    def _withdraw(self, step: Future[bool]) -> None:
        if step in self._steps:
            self._steps.remove(step)
            step.set_result(False)

    def _begin_episodes(self) -> None:
        for port in self.ports:
            port.begin_episode()

    def _tick(self) -> None:
        commands = [self._next_command(port) for port in self.ports]
        for port in self.ports:
            port.update_wrenches(self._config.wrench_timeout_s)
        results = self._world.step(commands)
        for port, result in zip(self.ports, results, strict=True):
            port.take_result(result)
            self._reset_after_fall(port)
        self._update(ticks=self._status.ticks + 1, stopped=False)
        self._publish(ask=True)
        step = self._steps.popleft() if self._steps else None
        if step is not None:
            step.set_result(True)

    def _reset_after_fall(self, port: RobotPort) -> None:
        fallen_ns = port.fallen_for_ns()
        if fallen_ns is not None and fallen_ns >= self._fall_reset_s(port) * 1e9:
            port.begin_episode()

    def _fall_reset_s(self, port: RobotPort) -> float:
        """Simulated time from a robot's fall to its reset; inf: there is none."""
        if self._config.on_fall == "stay":
            return math.inf
        if self._config.on_fall == "recover" and port.robot.card.recovery:
            return self._config.recovery_timeout_s
        return self._config.fall_reset_delay_s

    def _publish(self, *, ask: bool) -> None:
        for port in self.ports:
            port.publish(ask=ask)

    @staticmethod
    def _apply(action: Callable[[], None], done: Future[bool]) -> None:
        try:
            action()
        except ValueError as error:
            done.set_exception(error)
        else:
            done.set_result(True)

    def _update(self, **changes: object) -> None:
        # Only this thread writes; the others read the whole snapshot at once.
        if any(getattr(self._status, name) != value for name, value in changes.items()):
            self._status = replace(self._status, **changes)  # type: ignore[arg-type]
