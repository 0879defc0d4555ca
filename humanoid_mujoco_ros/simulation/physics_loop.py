# SPDX-License-Identifier: Apache-2.0
"""The control loop: steps the simulation in a thread of its own, in real time or in lockstep."""

from __future__ import annotations

import math
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.robot.state import RobotState, Wrench
from humanoid_mujoco_ros.simulation.simulation import Simulation

Float64Array = NDArray[np.float64]
Peers = frozenset[Hashable]

_POLL_S = 0.05
"""How often a lockstep wait looks for a policy that came or went."""
_REPEAT_S = 0.03
"""Realtime: a state is repeated so often in slow motion, or a policy takes the robot for silent."""


@dataclass(frozen=True)
class LoopConfig:
    """How simulated time relates to commands and to wall time."""

    mode: Literal["realtime", "lockstep"] = "realtime"
    """realtime: keeps wall time and holds the last command; lockstep: waits for each command."""
    real_time_factor: float = 1.0
    """Simulated seconds per wall second (realtime)."""
    command_timeout_s: float = 0.1
    """Zero effort when no command came for so long on the steady clock (realtime)."""
    lockstep_timeout_s: float = 5.0
    """An observation that no command answers for so long is an error (lockstep)."""
    wrench_timeout_s: float = 0.2
    """An external wrench ends so long after its last message, on the steady clock."""
    on_fall: Literal["reset", "stay"] = "reset"
    """What happens after a fall."""
    fall_reset_delay_s: float = 3.0
    """Simulated time between a fall and the reset."""
    hold_until_command: bool = True
    """Physics stands still at the first state until the first command comes (realtime)."""
    duration_s: float = 0.0
    """Simulated time after which the loop ends; 0: never."""

    def __post_init__(self) -> None:
        """Checks the ranges.

        Raises:
            ValueError: A value is out of its range.
        """
        for name in (
            "real_time_factor",
            "command_timeout_s",
            "lockstep_timeout_s",
            "wrench_timeout_s",
        ):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")
        if not 1e-4 <= self.real_time_factor <= 1e4:
            raise ValueError(
                f"real_time_factor must be within 0.0001 and 10000, not {self.real_time_factor}"
            )
        for name in ("fall_reset_delay_s", "duration_s"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, not {getattr(self, name)}")


@dataclass(frozen=True)
class LoopStatus:
    """A snapshot of the loop."""

    paused: bool = False
    watchdog: Literal["waiting", "ok", "timeout"] = "waiting"
    """waiting: no command yet; timeout: none for too long, so the effort is zero."""
    ticks: int = 0
    """Control ticks so far."""
    overruns: int = 0
    """Ticks that began more than a period late (realtime)."""
    divergences: int = 0
    """Resets because MuJoCo reported a bad state."""
    last_divergence: str = ""
    """What MuJoCo reported; empty when it never did."""
    latencies_s: tuple[float, ...] = ()
    """Time from each state to the command that followed it, since the last snapshot."""
    error: str = ""
    """Why the loop makes no progress; empty when all is well."""


class PhysicsLoop:
    """Owns the simulation once started; every method may be called from any thread."""

    def __init__(
        self,
        simulation: Simulation,
        config: LoopConfig,
        on_state: Callable[[RobotState, bool], None],
        policies: Callable[[], Peers] = frozenset,
    ) -> None:
        """Prepares the loop.

        Args:
            simulation: Whom to step. Nobody else may touch it while the loop runs.
            config: Mode, rates and timeouts.
            on_state: Called in the loop's thread with each state and whether a policy is asked
                for a command; must return at once.
            policies: Identifies the policies that would answer now (lockstep).
        """
        self._simulation = simulation
        self._on_state = on_state
        self._policies = policies
        self._deadline_s = math.inf
        self._set_pace(config)
        self._zero = np.zeros(len(simulation.robot.joints))
        self._wake = threading.Condition(threading.RLock())
        self._requests: deque[tuple[Future[bool], Callable[[], bool]]] = deque()
        self._command = self._zero
        self._command_time_s: float | None = None
        self._command_is_fresh = False
        self._wrench_times_s: dict[str, float] = {}
        self._new_wrenches: dict[str, tuple[Wrench, float]] = {}
        self._steps_due = 0
        self._is_reset_due = False
        self._asked: Peers = frozenset()
        self._asked_time_s = 0.0
        self._fall_time_ns: int | None = None
        self._latencies_s: list[float] = []
        self._status = LoopStatus()
        self._stopping = threading.Event()
        self._state = simulation.state()
        self._start_ns = self._state.time_ns
        self._thread = threading.Thread(target=self._run, name="physics", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread and waits for it."""
        with self._wake:
            self._stopping.set()
            self._wake.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def finished(self) -> bool:
        """The loop has ended: it was stopped or its duration is over."""
        return not self._thread.is_alive()

    def command(self, efforts: Float64Array) -> None:
        """Takes a command (n,) [N·m] by joint, checked by the caller."""
        now_s = time.monotonic()
        with self._wake:
            if not self._command_is_fresh:
                self._latencies_s.append(now_s - self._asked_time_s)
            self._command = efforts
            self._command_time_s = now_s
            self._command_is_fresh = True
            if self._config.mode == "lockstep":
                self._wake.notify_all()

    def push(self, link: str, wrench: Wrench) -> None:
        """Applies an external wrench to `link`, in its frame, until it times out.

        Raises:
            ModelError: There is no such link.
        """
        self._simulation.tree.mount(link)  # refuses an unknown link
        with self._wake:
            self._new_wrenches[link] = (wrench, time.monotonic())

    def pause(self, paused: bool) -> Future[bool]:
        """Stops or resumes time; False when that was so already."""
        return self._request(lambda: self._set_paused(paused))

    def step(self) -> Future[bool]:
        """Advances a paused loop by one control tick; False when it is not paused.

        In lockstep the tick comes as soon as the state's command is there.
        """
        return self._request(self._single_step)

    def reset(self) -> Future[bool]:
        """Starts a new episode; in lockstep once the command under way has come."""
        return self._request(self._reset)

    @property
    def real_time_factor(self) -> float:
        """Simulated seconds per wall second that the loop aims at (realtime)."""
        return self._config.real_time_factor

    def set_real_time_factor(self, factor: float) -> Future[bool]:
        """Changes the pace from now on (realtime).

        Raises:
            ValueError: The factor is out of its range.
        """
        config = replace(self._config, real_time_factor=factor)
        return self._request(lambda: self._set_pace(config))

    def take_status(self) -> LoopStatus:
        """The status, with the latencies collected since the last call."""
        with self._wake:
            latencies, self._latencies_s = self._latencies_s, []
            return replace(self._status, latencies_s=tuple(latencies))

    # What follows runs in the loop's thread.

    def _run(self) -> None:
        try:
            self._loop()
        except Exception as error:  # or the node would go on without a robot
            traceback.print_exc()
            self._update(error=f"the simulation broke down: {type(error).__name__}: {error}")
        self._stopping.set()
        self._serve_requests()

    def _loop(self) -> None:
        ask = self._config.mode == "realtime"
        self._publish(ask)
        self._deadline_s = time.monotonic() + self._period_s
        while not self._stopping.is_set():
            self._serve_requests()
            if self._config.mode == "lockstep":
                if self._status.paused and not self._steps_due and not self._is_reset_due:
                    self._sleep(_POLL_S)
                elif self._await_command():
                    self._answer()
                elif self._status.watchdog == "timeout" and self._config.duration_s:
                    break  # nobody may be watching a run of fixed length
            else:
                self._wait_for_tick()
                if self._stopping.is_set():
                    break
                if self._status.paused or self._is_holding():
                    self._publish(ask=True)
                else:
                    self._tick()
            duration_ns = self._config.duration_s * 1e9
            if duration_ns and self._state.time_ns - self._start_ns >= duration_ns:
                break

    def _request(self, action: Callable[[], bool]) -> Future[bool]:
        """Has the loop's thread run `action` between two ticks."""
        future: Future[bool] = Future()
        with self._wake:
            if self._stopping.is_set():
                future.set_exception(RuntimeError("the simulation has ended"))
            else:
                self._requests.append((future, action))
                self._wake.notify_all()
        return future

    def _serve_requests(self) -> None:
        while self._requests:
            future, action = self._requests.popleft()
            try:
                future.set_result(action())
            except Exception as error:
                future.set_exception(error)

    def _set_paused(self, paused: bool) -> bool:
        if self._status.paused == paused:
            return False
        self._update(paused=paused)
        return True

    def _single_step(self) -> bool:
        if not self._status.paused:
            return False
        if self._config.mode == "lockstep":
            self._steps_due += 1
        else:
            self._tick()
        return True

    def _reset(self) -> bool:
        if self._config.mode == "lockstep" and self._asked and not self._status.error:
            # The answer under way belongs to the old state; it is awaited and dropped.
            self._is_reset_due = True
        else:
            self._begin_episode()
            self._publish(ask=self._config.mode == "realtime" or bool(self._asked))
        return True

    def _answer(self) -> None:
        """Lockstep: does what was waiting for the command."""
        if self._is_reset_due:
            self._is_reset_due = False
            self._begin_episode()
            self._publish(ask=True)
        else:
            self._steps_due = max(0, self._steps_due - 1)
            self._tick()

    def _begin_episode(self) -> None:
        self._state = self._simulation.reset()
        self._fall_time_ns = None
        self._wrench_times_s.clear()
        with self._wake:
            self._new_wrenches.clear()
            self._command_is_fresh = False

    def _is_holding(self) -> bool:
        return self._config.hold_until_command and self._command_time_s is None

    def _tick(self) -> None:
        efforts = self._efforts()
        self._update_wrenches()
        try:
            self._state = self._simulation.step(efforts)
        except FloatingPointError as error:
            self._update(divergences=self._status.divergences + 1, last_divergence=str(error))
            self._begin_episode()
        self._update(ticks=self._status.ticks + 1)
        self._reset_after_fall()
        self._publish(ask=True)

    def _efforts(self) -> Float64Array:
        with self._wake:
            self._command_is_fresh = False
            efforts, time_s = self._command, self._command_time_s
        if self._config.mode == "realtime":
            if time_s is None:
                return self._zero
            if time.monotonic() - time_s > self._command_timeout_s:
                self._update(watchdog="timeout")
                return self._zero
        self._update(watchdog="ok")
        return efforts

    def _update_wrenches(self) -> None:
        if not self._new_wrenches and not self._wrench_times_s:
            return
        with self._wake:
            new, self._new_wrenches = self._new_wrenches, {}
        for link, (wrench, time_s) in new.items():
            self._simulation.set_external_wrench(link, wrench)
            self._wrench_times_s[link] = time_s
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
        if self._config.on_fall == "reset" and fallen_ns >= self._config.fall_reset_delay_s * 1e9:
            self._begin_episode()

    def _await_command(self) -> bool:
        """Lockstep: waits for the command that answers the state.

        A policy that appears while the state is unanswered is asked too, so one that was restarted
        goes on where its predecessor ended.

        Returns:
            Whether the command is there. False after a timeout, or when a request is to be served.
        """
        deadline_s = time.monotonic() + self._config.lockstep_timeout_s
        while not self._stopping.is_set():
            with self._wake:
                if not self._command_is_fresh and not self._requests:
                    self._wake.wait(_POLL_S)
                if self._command_is_fresh:
                    self._update(error="")
                    return True
                if self._requests:
                    return False
            policies = self._policies()
            newcomers, self._asked = policies - self._asked, policies
            if newcomers:
                self._publish(ask=True)
                deadline_s = time.monotonic() + self._config.lockstep_timeout_s
            elif time.monotonic() > deadline_s:
                self._update(
                    watchdog="timeout" if self._command_time_s is not None else "waiting",
                    error="lockstep: no command answered the observation within "
                    f"{self._config.lockstep_timeout_s:g} s",
                )
                return False
        return False

    def _publish(self, ask: bool) -> None:
        self._asked_time_s = time.monotonic()
        self._on_state(self._state, ask)

    def _sleep(self, duration_s: float) -> None:
        with self._wake:
            if not self._requests and not self._stopping.is_set():
                self._wake.wait(duration_s)

    def _wait_for_tick(self) -> None:
        """Waits for the next tick, serving requests; in slow motion it repeats the state."""
        while not self._stopping.is_set():
            now_s = time.monotonic()
            remaining_s = self._deadline_s - now_s
            if remaining_s <= 0:
                break
            # Evenly spread; up to _REPEAT_S the next tick comes first.
            interval_s = self._period_s / math.ceil(self._period_s / _REPEAT_S)
            repeat_s = self._asked_time_s + interval_s - now_s
            if repeat_s <= 0 and remaining_s > interval_s / 2:
                self._publish(ask=True)
                continue
            self._sleep(min(remaining_s, repeat_s) if repeat_s > 0 else remaining_s)
            self._serve_requests()
        now_s = time.monotonic()
        if now_s - self._deadline_s > self._period_s:
            # Lost time is not made up for: a robot that hurries is no robot.
            self._update(overruns=self._status.overruns + 1)
            self._deadline_s = now_s
        self._deadline_s += self._period_s

    def _set_pace(self, config: LoopConfig) -> bool:
        self._config = config
        self._period_s = self._simulation.robot.control_period_s / config.real_time_factor
        self._command_timeout_s = config.command_timeout_s / min(1.0, config.real_time_factor)
        # The next tick is neither as far off as at the old pace, nor late because of the new one.
        now_s = time.monotonic()
        self._deadline_s = min(max(self._deadline_s, now_s), now_s + self._period_s)
        return True

    def _update(self, **changes: object) -> None:
        if any(getattr(self._status, name) != value for name, value in changes.items()):
            with self._wake:
                self._status = replace(self._status, **changes)  # type: ignore[arg-type]
