# SPDX-License-Identifier: Apache-2.0
"""The input terms: named functions of which a policy's input is made.

One table serves training, simulation and hardware. A term reads the robot's measurement, the
velocity command and the policy's own memory (its last action, its gait clock); none reads where the
robot is, or a heading whose zero a robot could not know.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.policy.measurement import BaseSource, Measurement
from humanoid_mujoco_ros.robot import rotation

Float64Array = NDArray[np.float64]


class TermError(ValueError):
    """A policy's input cannot be made; the message says why."""


@dataclass(frozen=True, eq=False)
class TermInputs:
    """All that terms may read, of one robot or a batch (...)."""

    measurement: Measurement
    """By the policy's joints."""
    command: Float64Array
    """(..., 3) wanted velocity of the base: x, y [m/s] in the heading frame, yaw rate [rad/s]."""
    default_joint_positions: Float64Array
    """(n,) [rad] the pose from which joint positions count."""
    last_action: Float64Array
    """(..., actions) what the network returned last, unscaled; zero at first."""
    phases: Float64Array
    """(..., legs) [rad] of the gait clock; NaN while it is hidden."""
    velocity_error: Float64Array = field(default_factory=lambda: np.zeros(3))
    """(..., 3) command minus the base's velocity, low-pass filtered."""
    hold_error: Float64Array = field(default_factory=lambda: np.zeros(3))
    """(..., 3) from the base to the place, and the heading, to hold while standing [m, m, rad]."""


@dataclass(frozen=True)
class Sizes:
    """What the sizes of terms depend on."""

    joints: int
    legs: int
    """Number of phases of the gait clock."""
    observation: int
    """Number of values on `observation`."""


@dataclass(frozen=True)
class Term:
    """A row of the table."""

    name: str
    size: Callable[[Sizes], int]
    """Number of values."""
    unit: str
    frame: str
    source: str
    """What has to measure it on a robot: imu, joints, odom, the command or the policy itself."""
    compute: Callable[[TermInputs], Float64Array]
    """(..., size) of the inputs."""

    @property
    def base(self) -> BaseSource:
        """The least that has to measure the base."""
        if "odom" in self.source or self.source == "simulation":
            return "odom"
        return "imu" if self.source == "imu" else "none"


def projected_gravity(quaternion_wxyz: Float64Array) -> Float64Array:
    """Direction of gravity (..., 3) in the base, a unit vector: (0, 0, -1) when upright."""
    w, x, y, z = np.moveaxis(quaternion_wxyz, -1, 0)
    # The third row of the rotation matrix, turned round.
    return np.stack(
        (2.0 * (w * y - x * z), -2.0 * (w * x + y * z), 2.0 * (x * x + y * y) - 1.0), axis=-1
    )


def heading_frame(quaternion_wxyz: Float64Array, vector_world: Float64Array) -> Float64Array:
    """A vector (..., 3) of the world in the frame that is turned by the base's yaw alone."""
    w, x, y, z = np.moveaxis(quaternion_wxyz, -1, 0)
    cosine, sine = w * w + x * x - y * y - z * z, 2.0 * (w * z + x * y)
    length = np.maximum(np.hypot(cosine, sine), 1e-12)
    cosine, sine = cosine / length, sine / length
    vx, vy, vz = np.moveaxis(vector_world, -1, 0)
    return np.stack((cosine * vx + sine * vy, cosine * vy - sine * vx, vz), axis=-1)


def _humanoid_v5(v4: Float64Array, joints: int) -> Float64Array:
    """Humanoid-v4 without what is always zero: the world's rows and the root's actuator forces."""
    head = 2 * joints + 11  # height, orientation, joints; velocities
    bodies = (v4.shape[-1] - head - (joints + 6)) // 22
    cinert, cvel = head, head + 10 * bodies
    actuator = cvel + 6 * bodies
    contact = actuator + joints + 6
    kept = np.r_[:head, cinert + 10 : cvel, cvel + 6 : actuator, actuator + 6 : contact,
                 contact + 6 : v4.shape[-1]]  # fmt: skip
    v5: Float64Array = v4[..., kept]
    return v5


def _planar_clipped(observation: Float64Array, joints: int) -> Float64Array:
    """The state of a robot in a plane, with velocities within ± 10."""
    state = observation[..., : 2 * joints + 5].copy()
    first = joints + 2  # after height, pitch and the joints
    state[..., first:] = np.clip(state[..., first:], -10.0, 10.0)
    return state


VECTORS: dict[str, Callable[[Float64Array, int], Float64Array]] = {
    "humanoid_v4": lambda observation, joints: observation,
    "humanoid_v5": _humanoid_v5,
    "ant_v4": lambda observation, joints: observation[..., : 2 * joints + 11],
    "half_cheetah_v4": lambda observation, joints: observation[..., : 2 * joints + 5],
    "walker2d_v4": _planar_clipped,
    "hopper_v4": _planar_clipped,
}
"""Gymnasium's observations: (..., size) of a robot's whole `observation` and its joints' number."""


def _gymnasium(name: str) -> Callable[[TermInputs], Float64Array]:
    """The term that gives one of `VECTORS`."""

    def compute(inputs: TermInputs) -> Float64Array:
        if inputs.measurement.observation is None:
            raise TermError("the robot's whole observation is not known here")
        return VECTORS[name](inputs.measurement.observation, inputs.measurement.joint_count)

    return compute


def _phase(inputs: TermInputs) -> Float64Array:
    first = inputs.phases[..., :1]
    phase: Float64Array = np.nan_to_num(np.concatenate((np.sin(first), np.cos(first)), axis=-1))
    return phase


_ROWS = (
    Term("base_height", lambda s: 1, "m", "world", "odom", lambda i: i.measurement.height),
    Term("base_lin_vel", lambda s: 3, "m/s", "heading", "odom",
         lambda i: heading_frame(i.measurement.quaternion_wxyz, i.measurement.linear_velocity)),
    Term("base_lin_vel_body", lambda s: 3, "m/s", "base", "odom",
         lambda i: rotation.rotate(rotation.conjugate(i.measurement.quaternion_wxyz),
                                   i.measurement.linear_velocity)),
    Term("base_ang_vel", lambda s: 3, "rad/s", "base", "imu",
         lambda i: i.measurement.angular_velocity),
    Term("projected_gravity", lambda s: 3, "", "base", "imu",
         lambda i: projected_gravity(i.measurement.quaternion_wxyz)),
    Term("command", lambda s: 3, "m/s, rad/s", "heading", "command", lambda i: i.command),
    Term("command_lin_vel", lambda s: 2, "m/s", "heading", "command",
         lambda i: i.command[..., :2]),
    Term("command_yaw_rate", lambda s: 1, "rad/s", "heading", "command",
         lambda i: i.command[..., 2:]),
    Term("velocity_error", lambda s: 3, "m/s, rad/s", "heading", "odom, command",
         lambda i: i.velocity_error),
    Term("hold_error", lambda s: 3, "m, rad", "heading", "odom, command",
         lambda i: i.hold_error),
    Term("joint_pos", lambda s: s.joints, "rad", "joint", "joints",
         lambda i: i.measurement.joint_positions - i.default_joint_positions),
    Term("joint_vel", lambda s: s.joints, "rad/s", "joint", "joints",
         lambda i: i.measurement.joint_velocities),
    Term("joint_effort", lambda s: s.joints, "N m", "joint", "joints",
         lambda i: i.measurement.joint_efforts),
    Term("last_action", lambda s: s.joints, "", "", "policy", lambda i: i.last_action),
    Term("phase", lambda s: 2, "", "", "policy", _phase),
    Term("phase_sin", lambda s: s.legs, "", "", "policy",
         lambda i: np.nan_to_num(np.sin(i.phases))),
    Term("phase_cos", lambda s: s.legs, "", "", "policy",
         lambda i: np.nan_to_num(np.cos(i.phases))),
    Term("humanoid_v4", lambda s: s.observation, "", "", "simulation", _gymnasium("humanoid_v4")),
    Term("humanoid_v5", lambda s: s.observation - 28, "", "", "simulation",
         _gymnasium("humanoid_v5")),
    Term("ant_v4", lambda s: 2 * s.joints + 11, "", "", "odom, joints", _gymnasium("ant_v4")),
    Term("half_cheetah_v4", lambda s: 2 * s.joints + 5, "", "", "odom, joints",
         _gymnasium("half_cheetah_v4")),
    Term("walker2d_v4", lambda s: 2 * s.joints + 5, "", "", "odom, joints",
         _gymnasium("walker2d_v4")),
    Term("hopper_v4", lambda s: 2 * s.joints + 5, "", "", "odom, joints",
         _gymnasium("hopper_v4")),
)  # fmt: skip

TERMS: dict[str, Term] = {term.name: term for term in _ROWS}
"""Every input term by its name."""


def find(name: str) -> Term:
    """The term of that name.

    Raises:
        TermError: There is none; the message lists those there are.
    """
    try:
        return TERMS[name]
    except KeyError:
        raise TermError(
            f"there is no input term '{name[:100]}'; the terms are {', '.join(TERMS)}"
        ) from None
