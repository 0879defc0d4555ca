# SPDX-License-Identifier: Apache-2.0
"""The control loop that keeps wall time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace

from humanoid_mujoco_ros.policy.watchdog import timeout_of
from humanoid_mujoco_ros.simulation.physics_loop import LoopConfig, PhysicsLoop
from humanoid_mujoco_ros.simulation.robot_port import Float64Array, Listener, RobotPort
from humanoid_mujoco_ros.simulation.world import World

_REPEAT_S = 0.03
"""A state is repeated so often in slow motion, so that no policy reports a silent robot."""
_NO_WAIT_S = 1.0
"""After a wait in vain the last command is held for this time, unless answers come in time again: a
policy may answer every second state on purpose, or be stuck."""


@dataclass
class _Patience:
    """What the loop knows of how a robot's policy keeps time."""

    was_answered: bool = False
    """The last state was answered in time."""
    no_wait_until_s: float = -math.inf
    """No command is waited for until then, on the steady clock."""


class RealTimeLoop(PhysicsLoop):
    """Ticks at the control rate of wall time and holds the last command.

    A policy whose command is late is waited for, up to `command_wait_s`. Time that is lost, by that
    or by a busy machine, stays lost: a robot cannot hurry. Nodes that command at a rate
    of their own, without listening to observations, are not waited for.
    """

    def __init__(self, world: World, config: LoopConfig, listeners: Sequence[Listener]) -> None:
        """Prepares the loop; see PhysicsLoop."""
        super().__init__(world, config, listeners)
        self._deadline_s = math.inf
        self._patience = {port: _Patience() for port in self.ports}
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
        return self.inbox.request(
            lambda: self._set_pace(replace(self._config, real_time_factor=factor))
        )

    def step(self) -> Future[bool]:
        """Advances a paused loop by one control tick; False when it is not paused."""
        return self.advance()

    # What follows runs in the loop's thread.

    def _loop(self) -> None:
        self._publish(ask=True)
        self._deadline_s = time.monotonic() + self._period_s
        while not self._is_over():
            self.inbox.serve()
            if not self._steps:
                self._wait_for_tick()
            if self.inbox.is_closed:
                return
            if self._is_standing() or not self._wait_for_answers():
                self._publish(ask=True)
            else:
                self._tick()

    def _is_standing(self) -> bool:
        is_holding = self._config.hold_until_command and any(
            mailbox.command is None for mailbox in self._mailboxes
        )
        return not self._steps and (self._status.paused or is_holding)

    def change(
        self, ports: Sequence[RobotPort], action: Callable[[], None], done: Future[bool]
    ) -> bool:
        """Changes robots' states now."""
        self._apply(action, done)
        for port in ports:
            port.publish(ask=True)
        return True

    def _next_command(self, port: RobotPort) -> Float64Array | None:
        command = port.mailbox.take_command()
        if command is None:
            return None
        if time.monotonic() - command.time_s > self._command_timeout_s:
            port.watchdog = "timeout"
            return None
        port.watchdog = "ok"
        return command.values

    def _wait_for_tick(self) -> None:
        """Waits for the next tick, serving requests; in slow motion it repeats the state."""
        while not self.inbox.is_closed:
            now_s = time.monotonic()
            remaining_s = self._deadline_s - now_s
            if remaining_s <= 0:
                break
            # Evenly spread; up to _REPEAT_S the next tick comes first.
            interval_s = self._period_s / math.ceil(self._period_s / _REPEAT_S)
            asked_s = min(mailbox.asked_time_s for mailbox in self._mailboxes)
            repeat_s = asked_s + interval_s - now_s
            if repeat_s <= 0 and remaining_s > interval_s / 2:
                self._publish(ask=True)
                continue
            self.inbox.wait(min(remaining_s, repeat_s) if repeat_s > 0 else remaining_s)
            self.inbox.serve()
            if self._steps:
                # A single step has no pace.
                self._deadline_s = time.monotonic() + self._period_s
                return
        now_s = time.monotonic()
        if now_s - self._deadline_s > self._period_s:
            self._update(overruns=self._status.overruns + 1)
            self._deadline_s = now_s
        self._deadline_s += self._period_s

    def _wait_for_answers(self) -> bool:
        """Waits for commands that are late; then the next tick is a whole period away.

        Returns:
            Whether to tick. False when the simulation was paused meanwhile.
        """
        start_s = now_s = time.monotonic()
        ends_s = {port: self._end_of_wait_s(port, start_s) for port in self.ports}
        late = [port for port in self.ports if ends_s[port] > start_s]
        if not late:
            return True
        end_s = max(ends_s[port] for port in late)
        mailboxes = [port.mailbox for port in late]
        while now_s < end_s and not self.inbox.is_closed and not self._is_standing():
            if self.inbox.wait_for_answers(mailboxes, end_s - now_s):
                break
            self.inbox.serve()
            now_s = time.monotonic()
        now_s = time.monotonic()
        for port in late:
            patience = self._patience[port]
            patience.was_answered = port.mailbox.has_answer
            if not patience.was_answered:
                patience.no_wait_until_s = now_s + _NO_WAIT_S
        self._deadline_s = now_s + self._period_s
        self._update(
            command_waits=self._status.command_waits + 1,
            command_waited_s=self._status.command_waited_s + now_s - start_s,
        )
        return not self._is_standing()

    def _end_of_wait_s(self, port: RobotPort, now_s: float) -> float:
        """Until when a robot's command is waited for; in the past if it is not."""
        patience, mailbox = self._patience[port], port.mailbox
        was_answered, patience.was_answered = patience.was_answered, mailbox.has_answer
        if patience.was_answered:
            if was_answered:
                patience.no_wait_until_s = -math.inf
            return -math.inf
        command, wait_s = mailbox.command, self._config.command_wait_s
        if command is None or not wait_s or now_s < patience.no_wait_until_s:
            return -math.inf
        end_s = min(now_s + wait_s, command.time_s + self._command_timeout_s)
        if end_s <= now_s or not port.policies():
            patience.no_wait_until_s = now_s + _NO_WAIT_S
            return -math.inf
        return end_s

    def _set_pace(self, config: LoopConfig) -> bool:
        self._config = config
        self._period_s = self._world.control_period_s / config.real_time_factor
        timeout_s = timeout_of(config.command_timeout_s, self._world.control_period_s)
        self._command_timeout_s = timeout_s / min(1.0, config.real_time_factor)
        # The next tick is neither as far off as at the old pace, nor late because of the new one.
        now_s = time.monotonic()
        self._deadline_s = min(max(self._deadline_s, now_s), now_s + self._period_s)
        return True
