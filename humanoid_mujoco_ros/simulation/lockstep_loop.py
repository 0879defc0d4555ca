# SPDX-License-Identifier: Apache-2.0
"""The control loop that waits for the command to every state."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future

from humanoid_mujoco_ros.simulation.physics_loop import (
    Float64Array,
    LoopConfig,
    OnState,
    Peers,
    PhysicsLoop,
)
from humanoid_mujoco_ros.simulation.simulation import Simulation

_POLL_S = 0.05
"""How often a wait looks for a policy that came or went."""


class LockstepLoop(PhysicsLoop):
    """Makes one tick for each command, as fast as commands come: one seed, one trajectory."""

    def __init__(
        self,
        simulation: Simulation,
        config: LoopConfig,
        on_state: OnState,
        policies: Callable[[], Peers],
    ) -> None:
        """Prepares the loop; see PhysicsLoop."""
        super().__init__(simulation, config, on_state, policies)
        self._asked: Peers = frozenset()
        self._waits_since_s: float | None = None
        self._looked_at_s = 0.0
        self._changes: list[tuple[Callable[[], None], Future[bool]]] = []

    # What follows runs in the loop's thread.

    def _loop(self) -> None:
        self._publish(ask=False)
        while not self._inbox.is_closed and not self._is_over():
            self._inbox.serve()
            if self._status.paused and not self._steps and not self._changes:
                self._waits_since_s = None
                self._inbox.wait(_POLL_S)
            elif self._wait_for_answer():
                self._answer()
            elif self._status.watchdog == "timeout" and self._config.duration_s:
                return  # nobody may be watching a run of fixed length

    def _change(self, action: Callable[[], None], done: Future[bool]) -> bool:
        self._changes.append((action, done))
        # The answer under way belongs to the old state; it is awaited and dropped.
        if not self._asked or self._status.error:
            self._make_changes(ask=bool(self._asked))
        return True

    def _make_changes(self, *, ask: bool) -> None:
        changes, self._changes = self._changes, []
        for action, done in changes:
            self._apply(action, done)
        self._publish(ask=ask)
        self._waits_since_s = None

    def _unanswered(self) -> list[Future[bool]]:
        changes, self._changes = self._changes, []
        return [*super()._unanswered(), *(done for _, done in changes)]

    def _next_command(self) -> Float64Array | None:
        command = self._inbox.take_command()
        self._update(watchdog="ok")
        return None if command is None else command.values

    def _answer(self) -> None:
        """Does what was waiting for the command."""
        if self._changes:
            self._make_changes(ask=True)
        else:
            self._tick()

    def _give_up(self) -> None:
        """Answers those who wait for a command that does not come."""
        if self._changes:
            self._make_changes(ask=bool(self._asked))
        for step in self._unanswered():
            step.set_exception(TimeoutError(self._status.error))

    def _wait_for_answer(self) -> bool:
        """Waits for the command that answers the state.

        A policy that appears while the state is unanswered is asked too, so one that was restarted
        goes on where its predecessor ended.

        Returns:
            Whether the command is there. False after a timeout, or when a request is to be served.
        """
        if self._waits_since_s is None:
            self._waits_since_s = time.monotonic()
        while not self._inbox.is_closed:
            if self._inbox.wait_for_answer(_POLL_S):
                self._waits_since_s = None
                self._update(error=None)
                return True
            # First, since requests may come without a pause.
            if self._asks_newcomers():
                self._waits_since_s = time.monotonic()
            elif time.monotonic() > self._waits_since_s + self._config.lockstep_timeout_s:
                self._waits_since_s = None
                self._update(
                    watchdog="waiting" if self._inbox.command is None else "timeout",
                    error="lockstep: no command answered the observation within "
                    f"{self._config.lockstep_timeout_s:g} s",
                )
                self._give_up()
                return False
            if self._inbox.has_requests:
                return False
        return False

    def _asks_newcomers(self) -> bool:
        """Asks policies that appeared since the last look, and says whether there are any."""
        now_s = time.monotonic()
        if now_s < self._looked_at_s + _POLL_S / 2:
            return False
        self._looked_at_s = now_s
        policies = self._policies()
        newcomers, self._asked = policies - self._asked, policies
        if newcomers:
            self._publish(ask=True)
        return bool(newcomers)
