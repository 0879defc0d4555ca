# SPDX-License-Identifier: Apache-2.0
"""The control loop that waits for the command to every state."""

from __future__ import annotations

import time
from collections.abc import Callable

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
        self._steps_due = 0
        self._is_reset_due = False

    # What follows runs in the loop's thread.

    def _loop(self) -> None:
        self._publish(ask=False)
        while not self._inbox.is_closed and not self._is_over():
            self._inbox.serve()
            if self._status.paused and not self._steps_due and not self._is_reset_due:
                self._inbox.wait(_POLL_S)
            elif self._wait_for_answer():
                self._answer()
            elif self._status.watchdog == "timeout" and self._config.duration_s:
                return  # nobody may be watching a run of fixed length

    def _step_paused(self) -> None:
        self._steps_due += 1

    def _reset(self) -> bool:
        if self._asked and not self._status.error:
            # The answer under way belongs to the old state; it is awaited and dropped.
            self._is_reset_due = True
        else:
            self._begin_episode()
            self._publish(ask=bool(self._asked))
        return True

    def _next_command(self) -> Float64Array | None:
        command = self._inbox.take_command()
        self._update(watchdog="ok")
        return None if command is None else command.values

    def _answer(self) -> None:
        """Does what was waiting for the command."""
        if self._is_reset_due:
            self._is_reset_due = False
            self._begin_episode()
            self._publish(ask=True)
        else:
            self._steps_due = max(0, self._steps_due - 1)
            self._tick()

    def _wait_for_answer(self) -> bool:
        """Waits for the command that answers the state.

        A policy that appears while the state is unanswered is asked too, so one that was restarted
        goes on where its predecessor ended.

        Returns:
            Whether the command is there. False after a timeout, or when a request is to be served.
        """
        deadline_s = time.monotonic() + self._config.lockstep_timeout_s
        while not self._inbox.is_closed:
            if self._inbox.wait_for_answer(_POLL_S):
                self._update(error=None)
                return True
            if self._inbox.has_requests:
                return False
            policies = self._policies()
            newcomers, self._asked = policies - self._asked, policies
            if newcomers:
                self._publish(ask=True)
                deadline_s = time.monotonic() + self._config.lockstep_timeout_s
            elif time.monotonic() > deadline_s:
                self._update(
                    watchdog="waiting" if self._inbox.command is None else "timeout",
                    error="lockstep: no command answered the observation within "
                    f"{self._config.lockstep_timeout_s:g} s",
                )
                return False
        return False
