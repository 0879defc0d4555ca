# SPDX-License-Identifier: Apache-2.0
"""The control loop: steps the simulation in a thread of its own.

What the two modes have in common; `RealTimeLoop` and `LockstepLoop` say when the next tick comes.
"""

from __future__ import annotations

import math
import threading
import time
import traceback
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.robot.ranges import bounded, check_ranges
from humanoid_mujoco_ros.robot.state import RobotState, Wrench
from humanoid_mujoco_ros.simulation.inbox import Inbox
from humanoid_mujoco_ros.simulation.simulation import BaseMotion, Simulation

Float64Array = NDArray[np.float64]
Peers = frozenset[Hashable]
Result = TypeVar("Result")

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


@dataclass(frozen=True)
class LoopStatus:
    """A snapshot of the loop."""

    paused: bool = False
    stopped: bool = False
    """Paused in an initial state, by `halt`, and no tick since."""
    watchdog: Literal["waiting", "ok", "timeout"] = "waiting"
    """waiting: no command yet; timeout: none for too long, so the effort is zero."""
    ticks: int = 0
    """Control ticks so far."""
    overruns: int = 0
    """Ticks that began more than a period late (realtime)."""
    command_waits: int = 0
    """Ticks that waited for a late command (realtime)."""
    command_waited_s: float = 0.0
    """Wall time that those ticks waited, in all."""
    divergences: int = 0
    """Resets because MuJoCo reported a bad state."""
    last_divergence: str | None = None
    """What MuJoCo reported last; None when it never did."""
    latencies_s: tuple[float, ...] = ()
    """Time from each state to the command that followed it, since the last snapshot."""
    error: str | None = None
    """Why the loop makes no progress; None when all is well."""


class OnState(Protocol):
    """Called in the loop's thread with each state; must return at once."""

    def __call__(self, state: RobotState, *, ask: bool) -> None:
        """Takes a state; `ask` tells whether a policy is asked for a command."""


class PhysicsLoop(ABC):
    """Owns the simulation once started; every public method may be called from any thread."""

    def __init__(
        self,
        simulation: Simulation,
        config: LoopConfig,
        on_state: OnState,
        policies: Callable[[], Peers],
    ) -> None:
        """Prepares the loop.

        Args:
            simulation: The simulation to step. Nothing else may touch it while the loop runs.
            config: Rates and timeouts.
            on_state: Takes each state.
            policies: Identifies the policies that would answer a state now.
        """
        self._simulation = simulation
        self._config = config
        self._on_state = on_state
        self._policies = policies
        self._inbox = Inbox()
        self._steps: deque[Future[bool] | None] = deque()
        """Ticks to make although time stands still; None: nobody waits for it."""
        self._wrench_times_s: dict[str, float] = {}
        self._fall_time_ns: int | None = None
        self._status = LoopStatus()
        self._state = simulation.state()
        self._start_ns = self._state.time_ns
        self._thread = threading.Thread(target=self._run, name="physics", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread and waits for it."""
        self._inbox.close()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def finished(self) -> bool:
        """The loop has ended: it was stopped or its duration is over."""
        return not self._thread.is_alive()

    @property
    def has_ended(self) -> bool:
        """The loop takes no more requests."""
        return self._inbox.is_closed

    @property
    def robot(self) -> RobotModel:
        """The robot that is simulated."""
        return self._simulation.robot

    @property
    def status(self) -> LoopStatus:
        """The status, without latencies."""
        return self._status

    @property
    def real_time_factor(self) -> float:
        """Simulated seconds per wall second that the loop aims at; NaN: as fast as it can."""
        return math.nan

    def command(self, values: Float64Array) -> None:
        """Takes a command (n,), by joint, checked by the caller; see `Simulation.step`."""
        self._inbox.put_command(values)

    def push(self, link: str, wrench: Wrench) -> None:
        """Applies an external wrench to `link`, in its frame, until it times out.

        Raises:
            ModelError: There is no such link.
            VectorError: The wrench is not finite or too large.
        """
        self._simulation.check_external_wrench(link, wrench)
        self._inbox.put_wrench(link, wrench)

    def pause(self) -> Future[bool]:
        """Stops time; False when it stood still already."""
        return self._inbox.request(lambda: self._set_paused(paused=True))

    def resume(self) -> Future[bool]:
        """Lets time run; False when it ran already."""
        return self._inbox.request(lambda: self._set_paused(paused=False))

    def step(self) -> Future[bool]:
        """Advances a paused loop by one control tick; False when it is not paused.

        In lockstep the tick comes as soon as the state's command is there.
        """
        return self._inbox.request(self._single_step)

    def advance(self) -> Future[bool]:
        """As `step`, but answers once the tick is over; a TimeoutError if no command comes for it.

        A robot that a policy drives gets its command in real time, too.
        """
        return self._promise(lambda done: self._single_step(done))

    def withdraw(self, step: Future[bool]) -> None:
        """Takes back a step of `advance` that has not been made; its answer then is False."""
        self._inbox.request(lambda: self._withdraw(step))

    def restart(self) -> Future[bool]:
        """As `reset`, but answers once the new episode has begun."""
        return self._promise(lambda done: self._change(self._begin_episode, done))

    def halt(self) -> Future[bool]:
        """Pauses and starts a new episode; False when that was so already."""
        return self._promise(self._halt)

    def place_base(self, motion: BaseMotion) -> Future[bool]:
        """Puts the base elsewhere, in lockstep once the command under way has come.

        The answer is a ValueError where the base cannot be there.
        """
        return self._promise(lambda done: self._change(lambda: self._place_base(motion), done))

    def start_at(self, qpos: Float64Array) -> Future[bool]:
        """Begins later episodes at `qpos` (nq,), before noise; the first one too before `start`."""
        if self._thread.ident is None:
            self._simulation.start_qpos = qpos
            self._begin_episode()
        return self._inbox.request(lambda: self._start_at(qpos))

    def read(self, reading: Callable[[Simulation], Result]) -> Future[Result]:
        """What `reading` finds in the simulation between two ticks; it must change nothing."""
        return self._inbox.request(lambda: reading(self._simulation))

    def reset(self) -> Future[bool]:
        """Starts a new episode; in lockstep once the command under way has come."""
        return self._inbox.request(self._reset)

    def take_status(self) -> LoopStatus:
        """The status, with the latencies collected since the last call."""
        return replace(self._status, latencies_s=self._inbox.take_latencies())

    # What follows runs in the loop's thread.

    @abstractmethod
    def _loop(self) -> None:
        """Publishes the first state and ticks until the inbox closes or the duration is over."""

    @abstractmethod
    def _next_command(self) -> Float64Array | None:
        """The command (n,) of the next tick, see `Simulation.step`; None: there is none."""

    @abstractmethod
    def _change(self, action: Callable[[], None], done: Future[bool]) -> bool:
        """Changes the state, now or after the command under way, and publishes it."""

    def _reset(self) -> bool:
        return self._change(self._begin_episode, Future())

    def _promise(self, action: Callable[[Future[bool]], object]) -> Future[bool]:
        """Has the physics thread run `action`, which sees to it that the future gets its answer."""
        done: Future[bool] = Future()

        def forward(request: Future[Any]) -> None:
            error = request.exception()
            if error is not None:
                done.set_exception(error)

        self._inbox.request(lambda: action(done)).add_done_callback(forward)
        return done

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
        self._inbox.close()
        self._inbox.serve()
        for promise in self._unanswered():
            promise.set_exception(RuntimeError("the simulation has ended"))

    def _is_over(self) -> bool:
        duration_ns = self._config.duration_s * 1e9
        return duration_ns > 0 and self._state.time_ns - self._start_ns >= duration_ns

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
        self._change(self._stop, done)

    def _stop(self) -> None:
        self._begin_episode()
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

    def _place_base(self, motion: BaseMotion) -> None:
        self._state = self._simulation.place_base(motion)
        self._inbox.take_command()  # it is no answer to this state
        self._update(stopped=False)

    def _start_at(self, qpos: Float64Array) -> bool:
        self._simulation.start_qpos = qpos
        return True

    def _begin_episode(self) -> None:
        self._state = self._simulation.reset()
        self._fall_time_ns = None
        self._wrench_times_s.clear()
        self._inbox.forget()

    def _tick(self) -> None:
        command = self._next_command()
        self._update_wrenches()
        try:
            self._state = self._simulation.step(command)
        except FloatingPointError as error:
            self._update(divergences=self._status.divergences + 1, last_divergence=str(error))
            self._begin_episode()
        self._update(ticks=self._status.ticks + 1, stopped=False)
        self._reset_after_fall()
        self._publish(ask=True)
        step = self._steps.popleft() if self._steps else None
        if step is not None:
            step.set_result(True)

    def _update_wrenches(self) -> None:
        for link, (wrench, time_s) in self._inbox.take_wrenches().items():
            self._simulation.set_external_wrench(link, wrench)
            self._wrench_times_s[link] = time_s
        if not self._wrench_times_s:
            return
        now_s = time.monotonic()
        for link, time_s in list(self._wrench_times_s.items()):
            if now_s - time_s > self._config.wrench_timeout_s:
                self._simulation.set_external_wrench(link, None)
                del self._wrench_times_s[link]

    def _reset_after_fall(self) -> None:
        if not self._state.fallen:
            self._fall_time_ns = None
            return
        if self._fall_time_ns is None:
            self._fall_time_ns = self._state.time_ns
        fallen_ns = self._state.time_ns - self._fall_time_ns
        if fallen_ns >= self._fall_reset_s() * 1e9:
            self._begin_episode()

    def _fall_reset_s(self) -> float:
        """Simulated time from a fall to the reset; inf: there is none."""
        if self._config.on_fall == "stay":
            return np.inf
        if self._config.on_fall == "recover" and self._simulation.robot.card.recovery:
            return self._config.recovery_timeout_s
        return self._config.fall_reset_delay_s

    def _publish(self, *, ask: bool) -> None:
        self._inbox.mark_asked()
        self._on_state(self._state, ask=ask)

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
