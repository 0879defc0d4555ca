# SPDX-License-Identifier: Apache-2.0
"""The control loop that keeps wall time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace

from humanoid_mujoco_ros.simulation.physics_loop import (
    Float64Array,
    LoopConfig,
    OnState,
    Peers,
    PhysicsLoop,
)
from humanoid_mujoco_ros.simulation.simulation import Simulation

_REPEAT_S = 0.03
"""A state is repeated so often in slow motion, so that no policy reports a silent robot."""
_NO_WAIT_S = 1.0
"""After a wait in vain the last command is held for so long, unless answers come in time again: a
policy may answer every second state on purpose, or be stuck."""


class RealTimeLoop(PhysicsLoop):
    """Ticks at the control rate of wall time and holds the last command.

    A policy whose command is late is waited for, up to `command_wait_s`. Time that is lost, by that
    or by a busy machine, stays lost: a robot that hurries is no robot. Nodes that command at a rate
    of their own, without listening to observations, are not waited for.
    """

    def __init__(
        self,
        simulation: Simulation,
        config: LoopConfig,
        on_state: OnState,
        policies: Callable[[], Peers],
    ) -> None:
        """Prepares the loop; see PhysicsLoop."""
        super().__init__(simulation, config, on_state, policies)
        self._deadline_s = math.inf
        self._was_answered = False
        self._no_wait_until_s = -math.inf
        self._set_pace(config)

    @property
    def real_time_factor(self) -> float:
        """Simulated seconds per wall second that the loop aims at."""
        return self._config.real_time_factor

    def set_real_time_factor(self, factor: float) -> Future[bool]:
        """Changes the pace from now on.

        Raises:
            ValueError: The factor is out of its range.
        """
        replace(self._config, real_time_factor=factor)  # refuses a bad factor at once
        return self._inbox.request(
            lambda: self._set_pace(replace(self._config, real_time_factor=factor))
        )

    # What follows runs in the loop's thread.

    def _loop(self) -> None:
        self._publish(ask=True)
        self._deadline_s = time.monotonic() + self._period_s
        while not self._is_over():
            self._inbox.serve()
            self._wait_for_tick()
            if self._inbox.is_closed:
                return
            if self._is_standing() or not self._wait_for_answer():
                self._publish(ask=True)
            else:
                self._tick()

    def _is_standing(self) -> bool:
        is_holding = self._config.hold_until_command and self._inbox.command is None
        return self._status.paused or is_holding

    def _step_paused(self) -> None:
        self._tick()

    def _reset(self) -> bool:
        self._begin_episode()
        self._publish(ask=True)
        return True

    def _next_command(self) -> Float64Array | None:
        command = self._inbox.take_command()
        if command is None:
            return None
        if time.monotonic() - command.time_s > self._command_timeout_s:
            self._update(watchdog="timeout")
            return None
        self._update(watchdog="ok")
        return command.values

    def _wait_for_tick(self) -> None:
        """Waits for the next tick, serving requests; in slow motion it repeats the state."""
        while not self._inbox.is_closed:
            now_s = time.monotonic()
            remaining_s = self._deadline_s - now_s
            if remaining_s <= 0:
                break
            # Evenly spread; up to _REPEAT_S the next tick comes first.
            interval_s = self._period_s / math.ceil(self._period_s / _REPEAT_S)
            repeat_s = self._inbox.asked_time_s + interval_s - now_s
            if repeat_s <= 0 and remaining_s > interval_s / 2:
                self._publish(ask=True)
                continue
            self._inbox.wait(min(remaining_s, repeat_s) if repeat_s > 0 else remaining_s)
            self._inbox.serve()
        now_s = time.monotonic()
        if now_s - self._deadline_s > self._period_s:
            self._update(overruns=self._status.overruns + 1)
            self._deadline_s = now_s
        self._deadline_s += self._period_s

    def _wait_for_answer(self) -> bool:
        """Waits for a command that is late; then the next tick is a whole period away.

        Returns:
            Whether to tick. False when the simulation was paused meanwhile.
        """
        was_answered, self._was_answered = self._was_answered, self._inbox.has_answer
        start_s = time.monotonic()
        if self._was_answered:
            if was_answered:
                self._no_wait_until_s = -math.inf
            return True
        command = self._inbox.command
        if command is None or not self._config.command_wait_s or start_s < self._no_wait_until_s:
            return True
        end_s = min(start_s + self._config.command_wait_s, command.time_s + self._command_timeout_s)
        if end_s <= start_s or not self._policies():
            self._no_wait_until_s = start_s + _NO_WAIT_S
            return True
        now_s = time.monotonic()
        while now_s < end_s and not self._inbox.is_closed and not self._status.paused:
            if self._inbox.wait_for_answer(end_s - now_s):
                break
            self._inbox.serve()
            now_s = time.monotonic()
        now_s = time.monotonic()
        self._was_answered = self._inbox.has_answer
        if not self._was_answered:
            self._no_wait_until_s = now_s + _NO_WAIT_S
        self._deadline_s = now_s + self._period_s
        self._update(
            command_waits=self._status.command_waits + 1,
            command_waited_s=self._status.command_waited_s + now_s - start_s,
        )
        return not self._status.paused

    def _set_pace(self, config: LoopConfig) -> bool:
        self._config = config
        self._period_s = self._simulation.robot.control_period_s / config.real_time_factor
        self._command_timeout_s = config.command_timeout_s / min(1.0, config.real_time_factor)
        # The next tick is neither as far off as at the old pace, nor late because of the new one.
        now_s = time.monotonic()
        self._deadline_s = min(max(self._deadline_s, now_s), now_s + self._period_s)
        return True
