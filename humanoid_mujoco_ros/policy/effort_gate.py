# SPDX-License-Identifier: Apache-2.0
"""The gate that every effort command passes before it leaves policy_node."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.policy.config import PolicyConfig
from humanoid_mujoco_ros.policy.watchdog import Watchdog

Float64Array = NDArray[np.float64]

_MATCH_TIMEOUT_S = {"realtime": 1.0, "lockstep": 5.0}
"""How long the first answer waits for a robot that listens; in lockstep a lost one ends the run."""


class EffortGate:
    """Decides what is commanded when: the policy's efforts, zero effort, or nothing.

    Every method that returns a command returns efforts (n,) [N·m] to send now, or None. While it
    is started and nothing is wrong, each observation is answered by one command. Zero effort is
    sent once when it is stopped, when observations stop coming and when another node commands too,
    and as the answer to an observation that cannot be used. After each of these, and after the
    start, efforts fade in.

    Efforts fade in by the number of commands, so that the same observations give the same commands
    however fast they come. All other times are those of the steady clock that is passed in [s].

    Attributes:
        is_started: Whether the policy is to command.
        conflict: Why nothing is commanded although it is; None: no other node commands.
        watchdog: Follows the observations.
    """

    def __init__(
        self,
        limits: Float64Array,
        config: PolicyConfig,
        period_s: float,
        policy: Callable[[Sequence[float]], Float64Array],
        is_robot_listening: Callable[[], bool],
        on_refused: Callable[[Exception], None],
    ) -> None:
        """Is not started.

        Args:
            limits: (n,) [N·m], positive.
            config: Its ramp, its timeout and its mode.
            period_s: Time between two commands [s].
            policy: Efforts (n,) [N·m] that answer an observation; raises what makes it unusable.
            is_robot_listening: Whether a command would be heard.
            on_refused: Takes what `policy` raised.
        """
        self._limits = limits
        self._ramp = max(1, round(config.ramp_s / period_s))
        self._match_timeout_s = _MATCH_TIMEOUT_S[config.mode]
        self._policy = policy
        self._is_robot_listening = is_robot_listening
        self._on_refused = on_refused
        self._count = 0
        self._is_matched = False
        self._waiting_since_s: float | None = None
        self._waiting: Sequence[float] | None = None
        self.is_started = False
        self.conflict: str | None = None
        is_lockstep = config.mode == "lockstep"
        self.watchdog = Watchdog(0.0 if is_lockstep else config.observation_timeout_s)

    def start(self) -> None:
        """Lets commands through from the next observation on."""
        self.is_started = True
        self._is_matched = False
        self._waiting_since_s = self._waiting = None
        self._count = 0
        self.watchdog.restart()

    def stop(self) -> Float64Array | None:
        """Lets nothing through any more."""
        was_started, self.is_started = self.is_started, False
        return self._zero() if was_started else None

    def on_conflict(self, conflict: str | None) -> Float64Array | None:
        """Takes why another node is believed to command too; None: none does."""
        begins = conflict is not None and self.conflict is None
        self.conflict = conflict
        if not begins or not self.is_started:
            return None
        self._waiting = None
        return self._zero()

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
            return self._zero()
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
            return self._fade_in(self._policy(observation))
        except Exception as error:  # whatever it is, the last command must not stay in force
            self._on_refused(error)
            return self._zero()

    def _zero(self) -> Float64Array:
        self._count = 0
        return np.zeros_like(self._limits)

    def _fade_in(self, efforts: Float64Array) -> Float64Array:
        limited = np.clip(efforts, -self._limits, self._limits)
        if self._count < self._ramp:
            self._count += 1
            limited = limited * (self._count / self._ramp)
        return limited
