# SPDX-License-Identifier: Apache-2.0
"""Checked vectors: every number that comes from outside is counted and finite before it is used."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Float64Array = NDArray[np.float64]


class VectorError(ValueError):
    """A vector is refused; the message says why."""


def checked_vector(
    values: Sequence[float] | Float64Array, expected: int, what: str
) -> Float64Array:
    """`values` as an array (expected,).

    Args:
        values: What a message brought.
        expected: How many values there must be.
        what: Name of the vector, for the error.

    Raises:
        VectorError: The number of values is another, or one is not finite.
    """
    vector = np.array(values, dtype=np.float64)
    if vector.shape != (expected,):
        raise VectorError(f"{what} has {vector.size} values, expected {expected}")
    finite = np.isfinite(vector)
    if not finite.all():
        index = int(np.flatnonzero(~finite)[0])
        raise VectorError(f"{what} is not finite: value {index} is {vector[index]}")
    return vector
