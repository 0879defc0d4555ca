# SPDX-License-Identifier: Apache-2.0
"""What a control loop has for each of its robots."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.robot.state import RobotState, Wrench
from humanoid_mujoco_ros.simulation.simulation import BaseMotion, Simulation
from humanoid_mujoco_ros.simulation.world import Member

if TYPE_CHECKING:
    from humanoid_mujoco_ros.simulation.physics_loop import PhysicsLoop

Float64Array = NDArray[np.float64]
Peers = frozenset[Hashable]
Result = TypeVar("Result")


class OnState(Protocol):
    """Called in the loop's thread with each state; must return at once."""

    def __call__(self, state: RobotState, *, ask: bool) -> None:
        """Takes a state; `ask` tells whether a policy is asked for a command."""


@dataclass(frozen=True)
class Listener:
    """Whom the loop tells of a robot's states."""

    on_state: OnState
    """Takes each state."""
    policies: Callable[[], Peers] = frozenset
    """Identifies the policies that would answer a state now."""


@dataclass(frozen=True)
class LoopStatus:
    """A snapshot of the loop."""

    paused: bool = False
    stopped: bool = False
    """Paused in an initial state, by `halt`, and no tick since."""
    ticks: int = 0
    """Control ticks so far."""
    overruns: int = 0
    """Ticks that began more than a period late (realtime)."""
    command_waits: int = 0
    """Ticks that waited for a late command (realtime)."""
    command_waited_s: float = 0.0
    """Wall time that those ticks waited, in all."""
    error: str | None = None
    """Why the loop makes no progress; None when all is well."""


@dataclass(frozen=True)
class RobotStatus(LoopStatus):
    """A snapshot of the loop, and of one robot in it."""

    watchdog: Literal["waiting", "ok", "timeout"] = "waiting"
    """waiting: no command yet; timeout: none for too long, so the effort is zero."""
    divergences: int = 0
    """Resets because MuJoCo reported a bad state."""
    last_divergence: str | None = None
    """What MuJoCo reported last; None when it never did."""
    latencies_s: tuple[float, ...] = ()
    """Time from each state to the command that followed it, since the last snapshot."""


class RobotPort:
    """One robot of a loop: its commands, pushes and requests, its watchdog and its episodes."""

    def __init__(self, loop: PhysicsLoop, member: Member, listener: Listener) -> None:
        """Prepares the port.

        Args:
            loop: Steps the robot.
            member: The robot and its simulation.
            listener: Whom to tell of its states.

        Attributes:
            name: The robot's name in its world.
            mailbox: What came for the robot.
            watchdog: See RobotStatus.
            state: The state after the last tick.
        """
        self.name = member.name
        self.mailbox = loop.inbox.mailbox()
        self.watchdog: Literal["waiting", "ok", "timeout"] = "waiting"
        self.state = member.simulation.state()
        self._loop = loop
        self._simulation = member.simulation
        self._listener = listener
        self._divergences = 0
        self._last_divergence: str | None = None
        self._wrench_times_s: dict[str, float] = {}
        self._fall_time_ns: int | None = None

    # For any thread.

    @property
    def robot(self) -> RobotModel:
        """The robot that is simulated."""
        return self._simulation.robot

    def command(self, values: Float64Array) -> None:
        """Takes a command (n,), by joint, checked by the caller; see `Simulation.step`."""
        self.mailbox.put_command(values)

    def push(self, link: str, wrench: Wrench) -> None:
        """Applies an external wrench to `link`, in its frame, until it times out.

        Raises:
            ModelError: There is no such link.
            VectorError: The wrench is not finite or too large.
        """
        self._simulation.check_external_wrench(link, wrench)
        self.mailbox.put_wrench(link, wrench)

    def reset(self) -> Future[bool]:
        """Starts a new episode; in lockstep once the command under way has come."""
        return self._loop.inbox.request(
            lambda: self._loop.change([self], self.begin_episode, Future())
        )

    def restart(self) -> Future[bool]:
        """As `reset`, but answers once the new episode has begun."""
        return self._loop.inbox.promise(
            lambda done: self._loop.change([self], self.begin_episode, done)
        )

    def place_base(self, motion: BaseMotion) -> Future[bool]:
        """Puts the base elsewhere, in lockstep once the command under way has come.

        The answer is a ValueError where the base cannot be there.
        """
        return self._loop.inbox.promise(
            lambda done: self._change(lambda: self._place_base(motion), done)
        )

    def start_at(self, qpos: Float64Array) -> Future[bool]:
        """Begins later episodes at `qpos` (nq,), before noise."""
        return self._loop.inbox.request(lambda: self._start_at(qpos))

    def read(self, reading: Callable[[Simulation], Result]) -> Future[Result]:
        """What `reading` finds in the simulation between two ticks; it must change nothing."""
        return self._loop.inbox.request(lambda: reading(self._simulation))

    def take_status(self) -> RobotStatus:
        """The status, with the latencies collected since the last call."""
        return RobotStatus(
            **vars(self._loop.status),
            watchdog=self.watchdog,
            divergences=self._divergences,
            last_divergence=self._last_divergence,
            latencies_s=self.mailbox.take_latencies(),
        )

    # For the physics thread.

    def policies(self) -> Peers:
        """Identifies the policies that would answer a state now."""
        return self._listener.policies()

    def publish(self, *, ask: bool) -> None:
        """Hands out the state; `ask` tells whether a policy is asked for a command."""
        self.mailbox.mark_asked()
        self._listener.on_state(self.state, ask=ask)

    def begin_episode(self) -> None:
        """Puts the robot into a new initial state."""
        self.state = self._simulation.reset()
        self._fall_time_ns = None
        self._wrench_times_s.clear()
        self.mailbox.forget()

    def take_result(self, result: RobotState | FloatingPointError) -> None:
        """Takes what a tick made of the robot; where its simulation broke down, it is reset."""
        if isinstance(result, FloatingPointError):
            self._divergences += 1
            self._last_divergence = str(result)
            self.begin_episode()
        else:
            self.state = result

    def fallen_for_ns(self) -> int | None:
        """Simulated time since the robot fell; None while it stands. To be asked each tick."""
        if not self.state.fallen:
            self._fall_time_ns = None
            return None
        if self._fall_time_ns is None:
            self._fall_time_ns = self.state.time_ns
        return self.state.time_ns - self._fall_time_ns

    def update_wrenches(self, timeout_s: float) -> None:
        """Lets new wrenches act, and ends those that were not renewed for `timeout_s`."""
        for link, (wrench, time_s) in self.mailbox.take_wrenches().items():
            self._simulation.set_external_wrench(link, wrench)
            self._wrench_times_s[link] = time_s
        if not self._wrench_times_s:
            return
        now_s = time.monotonic()
        for link, time_s in list(self._wrench_times_s.items()):
            if now_s - time_s > timeout_s:
                self._simulation.set_external_wrench(link, None)
                del self._wrench_times_s[link]

    def _change(self, action: Callable[[], None], done: Future[bool]) -> bool:
        return self._loop.change([self], action, done)

    def _place_base(self, motion: BaseMotion) -> None:
        self.state = self._simulation.place_base(motion)
        self.mailbox.take_command()  # it is no answer to this state
        self._loop.leave_start()

    def _start_at(self, qpos: Float64Array) -> bool:
        self._simulation.start_qpos = qpos
        return True
