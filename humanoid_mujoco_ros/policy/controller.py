# SPDX-License-Identifier: Apache-2.0
"""A policy at work: from a measurement and a velocity command to the joints' commands."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanoid_mujoco_ros.policy import terms
from humanoid_mujoco_ros.policy.card import COMMAND_AXES, PolicyCard
from humanoid_mujoco_ros.policy.measurement import Measurement
from humanoid_mujoco_ros.policy.steering import SteeringMemory

Float64Array = NDArray[np.float64]

STANDING_COMMAND = 0.01
"""Commands whose three numbers are all smaller mean: stand."""

Network = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Takes the input (..., n) and returns the action (..., joints)."""


class GaitClock:
    """The phases of the legs: they run while a command asks for a walk."""

    def __init__(self, card: PolicyCard) -> None:
        """Starts standing."""
        self._gait = card.gait
        self._step = 0.0
        if card.gait is not None:
            self._step = 2.0 * np.pi / (card.gait.period_s * card.control_rate_hz)
        self.reset()

    def reset(self) -> None:
        """Stands again."""
        self._phases: Float64Array | None = None

    @property
    def phases(self) -> Float64Array:
        """(legs,) [rad] within ± π; NaN while a standing policy sees no clock."""
        if self._gait is None:
            return np.zeros(0)
        if self._phases is None:
            standing = np.nan if self._gait.standing is None else self._gait.standing
            return np.full(len(self._gait.offsets), standing)
        return self._phases

    def advance(self, command: Float64Array) -> None:
        """Goes on by one control period under a command (3,); a walk starts at the offsets."""
        if self._gait is None or np.abs(command).max() < STANDING_COMMAND:
            self._phases = None
        elif self._phases is None:
            self._phases = np.array(self._gait.offsets)
        else:
            self._phases = np.mod(self._phases + self._step + np.pi, 2.0 * np.pi) - np.pi


class Controller:
    """Makes the policy's input, runs the network and turns its output into joint commands.

    It holds the policy's memory, so one object drives one robot, or one batch (...) of them.

    Attributes:
        card: What the policy reads and what its output means.
        clipped: Whether the last velocity command was beyond what the policy was trained for.
    """

    def __init__(self, card: PolicyCard, network: Network, batch: tuple[int, ...] = ()) -> None:
        """Prepares the policy; `network` must not learn of anything but its input.

        Args:
            card: What the policy reads and what its output means.
            network: Its network.
            batch: Leading dimensions of every measurement and command; one robot has none.
        """
        self.card = card
        self.clipped = False
        self._network = network
        self._rows = [(term, terms.TERMS[term.name].compute) for term in card.inputs]
        self._batch = batch
        self._clock = GaitClock(card)
        period_s = 1.0 / card.control_rate_hz
        self._steering = SteeringMemory(period_s, batch) if card.steers else None
        count = len(card.joints)
        self._default = np.array(card.default_joint_positions or np.zeros(count))
        self._scale = np.array(card.action.scale or np.ones(count))
        self._stiffness = np.array(card.stiffness or np.zeros(count))
        self._damping = np.array(card.damping or np.zeros(count))
        ranges = [card.command_ranges.get(axis, (-np.inf, np.inf)) for axis in COMMAND_AXES]
        self._lowest, self._highest = np.array(ranges).T
        self.reset()

    def reset(self) -> None:
        """Forgets: no last action, no history, a gait clock that stands."""
        self._last_action = np.zeros((*self._batch, len(self.card.joints)))
        self._last_command: Float64Array | None = None
        self._clock.reset()
        if self._steering is not None:
            self._steering.reset()
        self._histories: list[deque[Float64Array]] = [
            deque(maxlen=term.history) for term in self.card.inputs
        ]

    @property
    def last_action(self) -> Float64Array:
        """(..., joints) what `action` returned last; zero at first."""
        return self._last_action

    def input(self, measurement: Measurement, command: ArrayLike) -> Float64Array:
        """(n,) what the network reads now; it advances the gait clock and the histories.

        Args:
            measurement: The robot's, by the card's joints.
            command: (3,) vx, vy [m/s] in the heading frame, yaw rate [rad/s]; clipped to the card's
                ranges.

        Raises:
            TermError: A term needs what the measurement lacks.
        """
        wanted = np.asarray(command, dtype=np.float64)
        clipped = np.clip(wanted, self._lowest, self._highest)
        self.clipped = not np.array_equal(clipped, wanted)
        inputs = self._term_inputs(measurement, clipped)
        parts: list[Float64Array] = []
        for (term, compute), history in zip(self._rows, self._histories, strict=True):
            value = compute(inputs)
            if term.scale != 1.0:
                value = value * term.scale
            if term.history > 1:
                history.append(value)
                history.extendleft([history[0]] * (term.history - len(history)))
                value = np.concatenate(history, axis=-1)
            parts.append(value)
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)

    def _term_inputs(self, measurement: Measurement, command: Float64Array) -> terms.TermInputs:
        """What the terms read; the gait clock and the memory of a steering policy go on."""
        known = measurement, command, self._default, self._last_action
        if self._steering is None:
            self._clock.advance(command)
            return terms.TermInputs(*known, self._clock.phases)
        if self._last_command is not None:
            self._steering.advance(measurement, self._last_command)
        self._last_command = command
        memory = self._steering
        return terms.TermInputs(*known, memory.phases, memory.velocity_error, memory.hold_error)

    def action(self, measurement: Measurement, command: ArrayLike) -> Float64Array:
        """(..., joints) what the network returns, within the card's limit; unscaled."""
        values = self._network(self.input(measurement, command).astype(np.float32))
        action = np.asarray(values, dtype=np.float64)
        action = action.reshape(*self._batch, -1)
        limit = self.card.action.limit
        action = np.clip(action, -limit, limit)
        self._last_action = action
        return action

    def controls(self, measurement: Measurement, command: ArrayLike) -> Float64Array:
        """(..., joints) control of each joint's motor (action kind "effort")."""
        return self._scale * self.action(measurement, command)

    def targets(self, measurement: Measurement, command: ArrayLike) -> Float64Array:
        """(..., joints) position targets [rad] by the card's joints (action kind "position")."""
        return self._default + self._scale * self.action(measurement, command)

    def efforts(self, measurement: Measurement, command: ArrayLike) -> Float64Array:
        """(..., joints) [N·m] of the card's drives, closed here: for a robot driven by effort.

        They are not yet limited to what the robot's motors can do.
        """
        error = self.targets(measurement, command) - measurement.joint_positions
        return self._stiffness * error - self._damping * measurement.joint_velocities
