# SPDX-License-Identifier: Apache-2.0
"""Ranges of numbers, which a configuration's fields carry as metadata."""

from __future__ import annotations

import dataclasses
import math
from typing import Any


def bounded(default: Any, minimum: float, maximum: float = math.inf) -> Any:
    """A field of a dataclass with a default and the range of its values, both ends included."""
    return dataclasses.field(default=default, metadata={"minimum": minimum, "maximum": maximum})


def check_ranges(config: Any) -> None:
    """Checks every field of a dataclass that was made by `bounded`.

    Raises:
        ValueError: A value is out of its range or not a number; the message says which.
    """
    for field in dataclasses.fields(config):
        if "minimum" not in field.metadata:
            continue
        low, high = field.metadata["minimum"], field.metadata["maximum"]
        value = getattr(config, field.name)
        if low <= value <= high:
            continue
        if low > 0 and not value > 0:
            raise ValueError(f"{field.name} must be positive, not {value}")
        if low == 0 and not value >= 0:
            raise ValueError(f"{field.name} must not be negative, not {value}")
        raise ValueError(f"{field.name} must be within {low:g} and {high:g}, not {value}")
