# SPDX-License-Identifier: Apache-2.0
"""What policies that follow velocity commands remember, and the clock to which they step.

Velocities and commands are (..., 3): x, y [m/s] in the heading frame, yaw rate [rad/s].
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanoid_mujoco_ros.policy import terms
from humanoid_mujoco_ros.policy.measurement import Measurement

Float64Array = NDArray[np.float64]

ERROR_TIME_S = 0.5
"""Time constant of `velocity_error`."""
HOLD_LIMIT = np.array((0.3, 0.3, 0.5))
"""`hold_error` stays within ± this [m, m, rad]: further off, the place to hold comes along."""
LEAST_COMMAND = np.array((0.05, 0.05, 0.08))
"""A command whose parts all lie within ± this is none."""
SPEED_TIME_S = 0.1
"""Time constant of the speed that the next two are compared with."""
START_SPEED_M_S = 0.45
"""Without a command, a robot that is faster begins to step."""
STOP_SPEED_M_S = 0.25
"""Without a command, a robot that is slower at the end of a step stands."""


def base_velocity(measurement: Measurement) -> Float64Array:
    """(..., 3) how the base moves, in the terms of a command."""
    linear = terms.heading_frame(measurement.quaternion_wxyz, measurement.linear_velocity)
    up = -terms.projected_gravity(measurement.quaternion_wxyz)
    turn = (up * measurement.angular_velocity).sum(axis=-1)
    return np.concatenate((linear[..., :2], turn[..., None]), axis=-1)


class SteeringMemory:
    """What a policy, or a batch of them (...), remembers from one control period to the next.

    Attributes:
        velocity: (..., 3) of the base at the last `advance`.
        velocity_error: (..., 3) command minus velocity, low-pass filtered.
        hold_error: (..., 3) while standing: from the base to where it began to stand, in the
            heading frame, and the same of its heading [m, m, rad]; while stepping zero.
        stepping: (...) whether the gait clock runs.
        phase: (...) [rad] of the gait clock, within 0 and 2 pi: the left foot is to stand in the
            first half, the right foot in the second.
    """

    def __init__(self, period_s: float, batch: tuple[int, ...] = ()) -> None:
        """Starts standing; `period_s` is the time between two calls of `advance`."""
        self._period_s = period_s
        self._batch = batch
        self.reset()

    def reset(self, ids: Any = ...) -> None:
        """Forgets all, of the robots `ids` of a batch."""
        if ids is ...:
            self.velocity = np.zeros((*self._batch, 3))
            self.velocity_error = np.zeros((*self._batch, 3))
            self.hold_error = np.zeros((*self._batch, 3))
            self._smooth_velocity = np.zeros((*self._batch, 2))
            self.stepping = np.zeros(self._batch, dtype=bool)
            self.phase = np.zeros(self._batch)
            return
        for values in (
            self.velocity,
            self.velocity_error,
            self.hold_error,
            self._smooth_velocity,
            self.stepping,
            self.phase,
        ):
            values[ids] = 0

    @property
    def phases(self) -> Float64Array:
        """(..., 2) [rad] of the left and right leg; NaN while standing."""
        both = np.stack((self.phase, self.phase + np.pi), axis=-1)
        return np.where(self.stepping[..., None], both, np.nan)

    def advance(self, measurement: Measurement, command: ArrayLike) -> None:
        """A control period has passed.

        Args:
            measurement: After it.
            command: (..., 3) that was to be followed in it.
        """
        period = self._period_s
        wanted = np.asarray(command, dtype=np.float64)
        self.velocity = base_velocity(measurement)
        error = wanted - self.velocity
        self.velocity_error = self.velocity_error + (error - self.velocity_error) * (
            period / ERROR_TIME_S
        )
        self._smooth_velocity = self._smooth_velocity + (
            self.velocity[..., :2] - self._smooth_velocity
        ) * (period / SPEED_TIME_S)
        self._advance_hold()
        self._advance_clock(wanted)

    def _advance_hold(self) -> None:
        """The place to hold moves and turns past the base."""
        dx, dy, turn = np.moveaxis(self.velocity * self._period_s, -1, 0)
        x, y, yaw = np.moveaxis(self.hold_error, -1, 0)
        passed = np.stack((x + turn * y - dx, y - turn * x - dy, yaw - turn), axis=-1)
        held = np.clip(passed, -HOLD_LIMIT, HOLD_LIMIT)
        self.hold_error = np.where(self.stepping[..., None], 0.0, held)

    def _advance_clock(self, command: Float64Array) -> None:
        """Stepping starts by a command or a push; it ends without both, at the end of a step."""
        commanded = (np.abs(command) > LEAST_COMMAND).any(axis=-1)
        speed = np.hypot(self._smooth_velocity[..., 0], self._smooth_velocity[..., 1])
        starts = ~self.stepping & (commanded | (speed > START_SPEED_M_S))
        # The foot on the side to which the robot goes swings first.
        sideways = self._smooth_velocity[..., 1] + command @ np.array((0.0, 0.5, 0.1))
        phase = np.where(starts, np.where(sideways > 0, np.pi, 0.0), self.phase)
        stepping = self.stepping | starts
        strides_per_s = np.minimum(1.15 + 0.45 * np.abs(command[..., 0]), 1.8)
        advanced = phase + np.where(stepping, 2 * np.pi * self._period_s * strides_per_s, 0.0)
        step_ends = np.floor(advanced / np.pi) != np.floor(phase / np.pi)
        self.phase = advanced % (2 * np.pi)
        self.stepping = stepping & ~(step_ends & ~commanded & (speed < STOP_SPEED_M_S))
