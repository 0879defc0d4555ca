# SPDX-License-Identifier: Apache-2.0
"""The input terms: named functions of which a policy's input is made.

One table serves training, simulation and hardware. A term reads the robot's measurement, the
velocity command and the policy's own memory (its last action, its gait clock); none reads where the
robot is, or a heading whose zero a robot could not know.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.policy.measurement import Measurement
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


def _whole_observation(inputs: TermInputs) -> Float64Array:
    if inputs.measurement.observation is None:
        raise TermError("the robot's whole observation is not known here")
    return inputs.measurement.observation


def _humanoid_v5(inputs: TermInputs) -> Float64Array:
    """Humanoid-v4 without what is always zero: the world's rows and the root's actuator forces."""
    m = inputs.measurement
    n, v4 = m.joint_count, _whole_observation(inputs)
    head = 2 * n + 11  # height, orientation, joints; velocities
    bodies = (v4.shape[-1] - head - (n + 6)) // 22
    cinert, cvel = head, head + 10 * bodies
    actuator = cvel + 6 * bodies
    contact = actuator + n + 6
    kept = np.r_[:head, cinert + 10 : cvel, cvel + 6 : actuator, actuator + 6 : contact,
                 contact + 6 : v4.shape[-1]]  # fmt: skip
    v5: Float64Array = v4[..., kept]
    return v5


def _positions_velocities(inputs: TermInputs) -> Float64Array:
    """Qpos without the horizontal position, then qvel: all of the state but the efforts."""
    observation = _whole_observation(inputs)
    state: Float64Array = observation[..., : -inputs.measurement.joint_count]
    return state


def _clipped_velocities(inputs: TermInputs) -> Float64Array:
    """The same with velocities within ± 10, as Walker2d-v4 and Hopper-v4 have them."""
    state = _positions_velocities(inputs).copy()
    first = inputs.measurement.joint_count + 2  # after height, pitch and the joints
    state[..., first:] = np.clip(state[..., first:], -10.0, 10.0)
    return state


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
    Term("humanoid_v4", lambda s: s.observation, "", "", "simulation",
         _whole_observation),
    Term("humanoid_v5", lambda s: s.observation - 28, "", "", "simulation", _humanoid_v5),
    Term("ant_v4", lambda s: 2 * s.joints + 11, "", "", "odom, joints", _positions_velocities),
    Term("half_cheetah_v4", lambda s: 2 * s.joints + 5, "", "", "odom, joints",
         _positions_velocities),
    Term("walker2d_v4", lambda s: 2 * s.joints + 5, "", "", "odom, joints", _clipped_velocities),
    Term("hopper_v4", lambda s: 2 * s.joints + 5, "", "", "odom, joints", _clipped_velocities),
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
