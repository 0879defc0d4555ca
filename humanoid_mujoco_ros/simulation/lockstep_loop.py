# SPDX-License-Identifier: Apache-2.0
"""The control loop that waits for the command to every state."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from humanoid_mujoco_ros.simulation.physics_loop import LoopConfig, PhysicsLoop
from humanoid_mujoco_ros.simulation.robot_port import Float64Array, Listener, Peers, RobotPort
from humanoid_mujoco_ros.simulation.world import World

_POLL_S = 0.05
"""How often a wait looks for a policy that came or went."""
_Change = tuple[Sequence[RobotPort], Callable[[], None], Future[bool]]


class LockstepLoop(PhysicsLoop):
    """Makes one tick for each command, as fast as commands come: one seed, one trajectory.

    With several robots, a tick comes when each has its command.
    """

    def __init__(self, world: World, config: LoopConfig, listeners: Sequence[Listener]) -> None:
        """Prepares the loop; see PhysicsLoop."""
        super().__init__(world, config, listeners)
        self._asked: dict[RobotPort, Peers] = dict.fromkeys(self.ports, frozenset())
        self._waits_since_s: float | None = None
        self._looked_at_s = 0.0
        self._changes: list[_Change] = []

    # What follows runs in the loop's thread.

    def _loop(self) -> None:
        self._publish(ask=False)
        while not self.inbox.is_closed and not self._is_over():
            self.inbox.serve()
            if self._status.paused and not self._steps and not self._changes:
                self._waits_since_s = None
                self.inbox.wait(_POLL_S)
            elif self._wait_for_answers():
                self._answer()
            elif self._config.duration_s and any(p.watchdog == "timeout" for p in self.ports):
                return  # nobody may be watching a run of fixed length

    def change(
        self, ports: Sequence[RobotPort], action: Callable[[], None], done: Future[bool]
    ) -> bool:
        """Changes robots' states once their commands under way have come."""
        self._changes.append((ports, action, done))
        # The answer under way belongs to the old state; it is awaited and dropped.
        if not any(self._asked[port] for port in ports) or self._status.error:
            self._make_changes()
        return True

    def _make_changes(self) -> None:
        changes, self._changes = self._changes, []
        for _, action, done in changes:
            self._apply(action, done)
        for port in self.ports:
            if any(port in ports for ports, _, _ in changes):
                port.publish(ask=bool(self._asked[port]))
        self._waits_since_s = None

    def _unanswered(self) -> list[Future[bool]]:
        changes, self._changes = self._changes, []
        return [*super()._unanswered(), *(done for _, _, done in changes)]

    def _next_command(self, port: RobotPort) -> Float64Array | None:
        command = port.mailbox.take_command()
        port.watchdog = "ok"
        return None if command is None else command.values

    def _answer(self) -> None:
        """Does what was waiting for the commands."""
        if self._changes:
            self._make_changes()
        else:
            self._tick()

    def _give_up(self) -> None:
        """Answers those who wait for a command that does not come."""
        if self._changes:
            self._make_changes()
        for step in self._unanswered():
            step.set_exception(TimeoutError(self._status.error))

    def _awaited(self) -> list[RobotPort]:
        """The robots whose commands must come first: those that are to change, or all."""
        if not self._changes:
            return list(self.ports)
        return [port for port in self.ports if any(port in ports for ports, _, _ in self._changes)]

    def _wait_for_answers(self) -> bool:
        """Waits for the commands that answer the states.

        A policy that appears while the state is unanswered is asked too, so one that was restarted
        goes on where its predecessor ended.

        Returns:
            Whether the commands are there. False after a timeout, or when a request is to be
            served.
        """
        if self._waits_since_s is None:
            self._waits_since_s = time.monotonic()
        ports = self._awaited()
        mailboxes = [port.mailbox for port in ports]
        while not self.inbox.is_closed:
            if self.inbox.wait_for_answers(mailboxes, _POLL_S):
                self._waits_since_s = None
                self._update(error=None)
                return True
            # First, since requests may come without a pause.
            if self._asks_newcomers():
                self._waits_since_s = time.monotonic()
            elif time.monotonic() > self._waits_since_s + self._config.lockstep_timeout_s:
                self._waits_since_s = None
                self._report_silence([port for port in ports if not port.mailbox.has_answer])
                self._give_up()
                return False
            if self.inbox.has_requests:
                return False
        return False

    def _report_silence(self, silent: Sequence[RobotPort]) -> None:
        for port in silent:
            port.watchdog = "waiting" if port.mailbox.command is None else "timeout"
        names = ", ".join(port.name for port in silent if port.name)
        self._update(
            error=f"lockstep: no command answered the observation{' of ' if names else ''}{names} "
            f"within {self._config.lockstep_timeout_s:g} s"
        )

    def _asks_newcomers(self) -> bool:
        """Asks policies that appeared since the last look, and says whether there are any."""
        now_s = time.monotonic()
        if now_s < self._looked_at_s + _POLL_S / 2:
            return False
        self._looked_at_s = now_s
        is_any_new = False
        for port in self.ports:
            policies = port.policies()
            newcomers, self._asked[port] = policies - self._asked[port], policies
            if newcomers and not port.mailbox.has_answer:
                port.publish(ask=True)
                is_any_new = True
        return is_any_new
