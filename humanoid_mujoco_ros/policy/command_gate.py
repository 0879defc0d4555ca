# SPDX-License-Identifier: Apache-2.0
"""The gate that every command to the joints passes before it leaves policy_node."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.policy.config import PolicyConfig
from humanoid_mujoco_ros.policy.watchdog import Watchdog, timeout_of

Float64Array = NDArray[np.float64]
Answer = Callable[[Sequence[float]], Float64Array]
"""From an observation to values (n,), in the order of the commands."""

_MATCH_TIMEOUT_S = {"realtime": 1.0, "lockstep": 5.0}
"""How long the first answer waits for a robot that listens; in lockstep a lost one ends the run."""


class Ramp(ABC):
    """How commands of one kind begin and end, and the ranges that they keep to."""

    def __init__(self, ranges: Float64Array) -> None:
        """Takes the least and greatest command (n, 2) of each joint."""
        self._low, self._high = ranges.T
        self._from: Float64Array = np.zeros_like(self._low)

    @abstractmethod
    def rest(self) -> Float64Array | None:
        """The command (n,) that ends them; None: they just end."""

    @abstractmethod
    def start(self, observation: Sequence[float]) -> None:
        """Begins at an observation."""

    def go_on_from(self, commands: Float64Array) -> None:
        """Begins at commands (n,) that are in force."""
        self._from = commands

    def blend(self, commands: Float64Array, share: float) -> Float64Array:
        """What is sent (n,) for `commands` (n,) when a share of the ramp, 0 to 1, is over."""
        limited: Float64Array = np.clip(commands, self._low, self._high)
        if share < 1.0:
            limited = self._from + share * (limited - self._from)
        return limited


class EffortRamp(Ramp):
    """Efforts [N·m] grow from zero and end with zero."""

    def rest(self) -> Float64Array | None:
        """Zero effort."""
        zero: Float64Array = np.zeros_like(self._low)
        return zero

    def start(self, observation: Sequence[float]) -> None:
        """Efforts begin at zero, whatever was observed."""
        self._from = np.zeros_like(self._low)


class PositionRamp(Ramp):
    """Positions [rad] go from the measured pose to the commanded one.

    They end without a last command: the drives, or the simulation's, know what to do without one.
    """

    def __init__(self, ranges: Float64Array, measured: Answer) -> None:
        """Takes the joints' ranges (n, 2), and what finds their positions in an observation."""
        super().__init__(ranges)
        self._measured = measured

    def rest(self) -> Float64Array | None:
        """Nothing."""
        return None

    def start(self, observation: Sequence[float]) -> None:
        """Begins at the pose in which the robot is."""
        self._from = self._measured(observation)


class CommandGate:
    """Decides what is commanded when: what the policy answers, rest, or nothing.

    Every method that returns a command returns values (n,) to send now, or None. While it is
    started and nothing is wrong, each observation is answered by one command. The ramp's `rest` is
    sent once when it is stopped, when observations stop coming and when another node commands too,
    and as the answer to an observation that cannot be used. After each of these, and after the
    start, commands begin with the ramp. Where another policy takes over, the ramp leads from the
    last command to its first ones.

    The ramp goes by the number of commands, so that the same observations give the same commands
    however fast they come. All other times are those of the steady clock that is passed in [s].

    Attributes:
        is_started: Whether the policy is to command.
        conflict: Why nothing is commanded although it is; None: no other node commands.
        watchdog: Follows the observations.
    """

    def __init__(
        self,
        ramp: Ramp,
        config: PolicyConfig,
        period_s: float,
        policy: Answer,
        is_robot_listening: Callable[[], bool],
        on_refused: Callable[[Exception], None],
    ) -> None:
        """Is not started.

        Args:
            ramp: How commands begin and end.
            config: The time of the ramp, its timeout and its mode.
            period_s: Time between two commands [s].
            policy: Commands (n,) that answer an observation; raises what makes it unusable.
            is_robot_listening: Whether a command would be heard.
            on_refused: Takes what `policy` raised.
        """
        self._ramp = ramp
        self._ramp_count = max(1, round(config.ramp_s / period_s))
        self._match_timeout_s = _MATCH_TIMEOUT_S[config.mode]
        self._policy = policy
        self._is_robot_listening = is_robot_listening
        self._on_refused = on_refused
        self._count = 0
        self._last: Float64Array | None = None
        self._is_matched = False
        self._waiting_since_s: float | None = None
        self._waiting: Sequence[float] | None = None
        self.is_started = False
        self.conflict: str | None = None
        is_lockstep = config.mode == "lockstep"
        timeout_s = timeout_of(config.observation_timeout_s, period_s)
        self.watchdog = Watchdog(0.0 if is_lockstep else timeout_s)

    def start(self) -> None:
        """Lets commands through from the next observation on."""
        self.is_started = True
        self._is_matched = False
        self._waiting_since_s = self._waiting = self._last = None
        self._count = 0
        self.watchdog.restart()

    def stop(self) -> Float64Array | None:
        """Lets nothing through any more."""
        was_started, self.is_started = self.is_started, False
        return self._rest() if was_started else None

    def switch(self) -> None:
        """Another policy answers from now on."""
        if self._last is not None:
            self._ramp.go_on_from(self._last)
            self._count = 0

    def on_conflict(self, conflict: str | None) -> Float64Array | None:
        """Takes why another node is believed to command too; None: none does."""
        begins = conflict is not None and self.conflict is None
        self.conflict = conflict
        if not begins or not self.is_started:
            return None
        self._waiting = None
        return self._rest()

    def on_observation(self, observation: Sequence[float], now_s: float) -> Float64Array | None:
        """Takes an observation, which waits if the robot does not listen yet."""
        if not self.is_started:
            return None
        self.watchdog.feed(now_s)
        if self.conflict is not None:
            return None
        self._waiting = observation
        return self._answer(now_s)

    def on_tick(self, now_s: float) -> Float64Array | None:
        """Notices that observations stop coming; answers the one that waits for the robot."""
        if not self.is_started or self.conflict is not None:
            return None
        if self.watchdog.check(now_s):
            self._waiting = None
            return self._rest()
        return self._answer(now_s)

    def _answer(self, now_s: float) -> Float64Array | None:
        """Answers the observation that waits, unless its answer would not be heard."""
        if self._waiting is None:
            return None
        if self._waiting_since_s is None:
            self._waiting_since_s = now_s
        is_late = now_s - self._waiting_since_s >= self._match_timeout_s
        self._is_matched = self._is_matched or is_late or self._is_robot_listening()
        if not self._is_matched:
            return None
        observation, self._waiting = self._waiting, None
        try:
            return self._ramped(observation)
        except Exception as error:  # whatever it is, the last command must not stay in force
            self._on_refused(error)
            return self._rest()

    def _rest(self) -> Float64Array | None:
        self._count = 0
        self._last = None
        return self._ramp.rest()

    def _ramped(self, observation: Sequence[float]) -> Float64Array:
        commands = self._policy(observation)
        if self._last is None:
            self._ramp.start(observation)
        self._count = min(self._count + 1, self._ramp_count)
        self._last = self._ramp.blend(commands, self._count / self._ramp_count)
        return self._last
