# SPDX-License-Identifier: Apache-2.0
"""A spring that pulls a link of the robot towards a point in the world."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.state import Wrench

Float64Array = NDArray[np.float64]


@dataclass(frozen=True)
class SpringConfig:
    """How hard a drag pulls."""

    stiffness: float = 400.0
    """Force per distance between the grab point and the target [N/m]."""
    damping: float = 30.0
    """Force against the grab point's velocity [N·s/m]."""
    max_force: float = 300.0
    """The force is never larger [N]."""
    angular_stiffness: float = 60.0
    """Torque per angle between the link and the orientation it is turned to [N·m/rad]."""
    angular_damping: float = 3.0
    """Torque against the angular velocity of a link that is turned [N·m·s/rad]."""
    max_torque: float = 40.0
    """The torque that turns a link is never larger [N·m]."""

    def __post_init__(self) -> None:
        """Checks the ranges.

        Raises:
            ValueError: A value is negative or not finite.
        """
        for field in dataclasses.fields(self):
            name, value = field.name, getattr(self, field.name)
            if not (np.isfinite(value) and value >= 0):
                raise ValueError(f"{name} must be finite and not negative, not {value}")


@dataclass(frozen=True)
class Pull:
    """What a spring does at one moment."""

    point_world: Float64Array
    """(3,) [m] where the grab point is, and the force acts."""
    force_world: Float64Array
    """(3,) [N]."""
    wrench: Wrench
    """The same at the link's origin, in the link's frame, as external_wrench wants it."""


def pull(
    config: SpringConfig,
    *,
    target_world: ArrayLike,
    grab_point: ArrayLike,
    link_position: ArrayLike,
    link_quaternion_wxyz: ArrayLike,
    point_velocity: ArrayLike,
) -> Pull:
    """The force of the spring between a point of a link and a target at rest in the world.

    force = stiffness × (target - point) - damping × velocity, shortened to max_force.

    Args:
        config: Of the spring.
        target_world: (3,) [m].
        grab_point: (3,) [m] in the link's frame.
        link_position: (3,) [m] of the link's origin in the world.
        link_quaternion_wxyz: (4,) of the link in the world.
        point_velocity: (3,) [m/s] of the grab point in the world.
    """
    grab = np.asarray(grab_point, dtype=np.float64)
    point = np.asarray(link_position) + rotation.rotate(link_quaternion_wxyz, grab)
    force = config.stiffness * (np.asarray(target_world) - point)
    force = force - config.damping * np.asarray(point_velocity)
    force = _limited(force, config.max_force)
    force_link = rotation.rotate(rotation.conjugate(link_quaternion_wxyz), force)
    return Pull(point, force, Wrench(force_link, np.cross(grab, force_link)))


def twist(
    config: SpringConfig,
    target_quaternion_wxyz: ArrayLike,
    link_quaternion_wxyz: ArrayLike,
    angular_velocity: ArrayLike,
) -> Float64Array:
    """The torque that turns a link towards an orientation, the short way round.

    torque = angular_stiffness × angle - angular_damping × angular velocity, up to max_torque.

    Args:
        config: Of the spring.
        target_quaternion_wxyz: (4,) unit, wanted for the link in the world.
        link_quaternion_wxyz: (4,) unit, of the link in the world.
        angular_velocity: (3,) [rad/s] of the link, in the world.

    Returns:
        (3,) [N·m] in the world.
    """
    error = rotation.multiply(target_quaternion_wxyz, rotation.conjugate(link_quaternion_wxyz))
    angle = _rotation_vector(error)
    torque = config.angular_stiffness * angle
    torque = torque - config.angular_damping * np.asarray(angular_velocity)
    return _limited(torque, config.max_torque)


def _limited(vector: Float64Array, size: float) -> Float64Array:
    """The finite vector, shortened to `size` if it is longer."""
    largest = float(np.abs(vector).max())
    if largest > size:  # the squares of huge numbers are infinite
        vector = vector * (size / largest)
    length = float(np.linalg.norm(vector))
    return vector * (size / length) if length > size else vector


def _rotation_vector(quaternion_wxyz: Float64Array) -> Float64Array:
    """Axis × angle (3,) [rad] of a unit quaternion, the angle within ±180°."""
    vector: Float64Array = quaternion_wxyz[1:]
    if quaternion_wxyz[0] < 0:
        vector = -vector
    sine = float(np.linalg.norm(vector))
    if sine < 1e-12:
        return 2.0 * vector
    scaled: Float64Array = vector * (2.0 * np.arctan2(sine, abs(quaternion_wxyz[0])) / sine)
    return scaled
