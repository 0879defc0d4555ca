# SPDX-License-Identifier: Apache-2.0
"""Rotations as unit quaternions in MuJoCo's order, wxyz, on numpy arrays.

Every function broadcasts over leading dimensions. The rotation of a child frame in its parent turns
a vector's components from child to parent: `rotate(quaternion, vector_child)` is `vector_parent`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

IDENTITY: Array = np.array([1.0, 0.0, 0.0, 0.0])
"""The rotation that changes nothing; read-only."""
IDENTITY.setflags(write=False)


def multiply(first: ArrayLike, second: ArrayLike) -> Array:
    """The product first ∘ second: `second` acts first, or is relative to the frame `first`.

    Args:
        first: (..., 4) quaternions.
        second: (..., 4) quaternions.

    Returns:
        (..., 4), not normalised.
    """
    w1, x1, y1, z1 = _components(first)
    w2, x2, y2, z2 = _components(second)
    return _joined(
        (
            w1 * w2 - x1 * x2 - y1 * y2 - z1 * z2,
            w1 * x2 + x1 * w2 + y1 * z2 - z1 * y2,
            w1 * y2 - x1 * z2 + y1 * w2 + z1 * x2,
            w1 * z2 + x1 * y2 - y1 * x2 + z1 * w2,
        )
    )


def conjugate(quaternion: ArrayLike) -> Array:
    """The inverse of a unit quaternion (..., 4)."""
    return np.asarray(quaternion, dtype=np.float64) * (1.0, -1.0, -1.0, -1.0)


def normalized(quaternion: ArrayLike) -> Array:
    """The quaternion (..., 4) scaled to length one; zeros become the identity, as in MuJoCo."""
    q = np.asarray(quaternion, dtype=np.float64)
    length = np.linalg.norm(q, axis=-1, keepdims=True)
    return np.where(length > 0, q / np.where(length > 0, length, 1.0), IDENTITY)


def rotate(quaternion: ArrayLike, vector: ArrayLike) -> Array:
    """The vector (..., 3) turned by the unit quaternion (..., 4)."""
    w, x, y, z = _components(quaternion)
    vx, vy, vz = _components(vector)
    # v + 2 w (u x v) + 2 u x (u x v), with u the vector part.
    tx = 2.0 * (y * vz - z * vy)
    ty = 2.0 * (z * vx - x * vz)
    tz = 2.0 * (x * vy - y * vx)
    return _joined(
        (
            vx + w * tx + y * tz - z * ty,
            vy + w * ty + z * tx - x * tz,
            vz + w * tz + x * ty - y * tx,
        )
    )


def from_axis_angle(axis: ArrayLike, angle: ArrayLike) -> Array:
    """The quaternion (..., 4) of a turn by angle (...) [rad] about a unit vector, axis (..., 3)."""
    half = 0.5 * np.asarray(angle, dtype=np.float64)[..., None]
    vector = np.asarray(axis, dtype=np.float64) * np.sin(half)
    scalar = np.broadcast_to(np.cos(half), (*vector.shape[:-1], 1))
    return np.concatenate((scalar, vector), axis=-1)


def to_matrix(quaternion: ArrayLike) -> Array:
    """The matrix (..., 3, 3) of a unit quaternion (..., 4): `matrix @ v` is `rotate(q, v)`."""
    q = np.asarray(quaternion, dtype=np.float64)
    columns = rotate(q[..., None, :], np.eye(3))
    return np.swapaxes(columns, -1, -2)


def to_rpy(quaternion: ArrayLike) -> Array:
    """Roll, pitch, yaw (..., 3) [rad] of a unit quaternion (..., 4), URDF's convention.

    The rotation is yaw about z, then pitch about the new y, then roll about the newer x, which is
    Rz(yaw) Ry(pitch) Rx(roll). The three angles together reproduce the rotation to rounding at any
    pitch; at ±90°, where yaw and roll are one and the same, yaw and roll alone mean nothing.
    """
    m = to_matrix(quaternion)
    yaw = np.arctan2(m[..., 1, 0], m[..., 0, 0])
    # What remains after the yaw is taken off is Ry(pitch) Rx(roll): reading pitch and roll from it
    # cancels the error that yaw has near ±90° of pitch.
    sin, cos = np.sin(yaw), np.cos(yaw)
    pitch = np.arctan2(-m[..., 2, 0], cos * m[..., 0, 0] + sin * m[..., 1, 0])
    roll = np.arctan2(
        sin * m[..., 0, 2] - cos * m[..., 1, 2], cos * m[..., 1, 1] - sin * m[..., 0, 1]
    )
    return _joined((roll, pitch, yaw))


def heading(quaternion: ArrayLike) -> Any:
    """Yaw (...) [rad] of a body's x axis in the world, from its orientation (..., 4).

    Of a single quaternion it is a float, which numpy's types cannot say.
    """
    x, y, _ = _components(rotate(quaternion, (1.0, 0.0, 0.0)))
    return np.arctan2(y, x)


def forward_speed(quaternion: ArrayLike, velocity_world: ArrayLike) -> Any:
    """Horizontal speed (...) [m/s] along a body's heading; of a single body it is a float.

    Args:
        quaternion: (..., 4) of the body.
        velocity_world: (..., 2) or (..., 3) [m/s].
    """
    yaw, velocity = heading(quaternion), np.asarray(velocity_world, dtype=np.float64)
    return velocity[..., 0] * np.cos(yaw) + velocity[..., 1] * np.sin(yaw)


def _components(values: ArrayLike) -> Iterator[Array]:
    array = np.asarray(values, dtype=np.float64)
    return (array[..., i] for i in range(array.shape[-1]))


def _joined(components: tuple[Array, ...]) -> Array:
    joined = np.empty((*components[0].shape, len(components)))
    for i, component in enumerate(components):
        joined[..., i] = component
    return joined
