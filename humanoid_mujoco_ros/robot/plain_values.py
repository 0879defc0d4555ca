# SPDX-License-Identifier: Apache-2.0
"""Reads the plain values of a card that a person or another program wrote, each with its place.

Every function takes the value and where it is from, and raises PlainValueError if it is of another
kind: what came, and what was expected.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any


class PlainValueError(ValueError):
    """A value is of another kind than expected; the message says why in one line."""


def shown(value: object) -> str:
    """A value in an error: one short line."""
    text = " ".join(str(value).split())
    return f"'{text[:57]}...'" if len(text) > 60 else f"'{text}'"


def section(value: object, where: str, known: Iterable[str]) -> dict[str, Any]:
    """Keys, all of them known, and values."""
    known = list(known)
    if not isinstance(value, dict):
        raise PlainValueError(f"{where} is {shown(value)}, expected keys such as {known[0]}")
    for key in value:
        if key not in known:
            raise PlainValueError(f"{where} has no key {shown(key)}; it has {', '.join(known)}")
    return value


def number(value: object, where: str, low: float = -math.inf, high: float = math.inf) -> float:
    """A number within a range."""
    found: float | None = None
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        try:  # YAML takes 1e-3, without a point, for a text
            found = float(value)
        except (ValueError, OverflowError):
            found = None
    if found is None or math.isnan(found):
        raise PlainValueError(f"{where} is {shown(value)}, expected a number")
    if not low <= found <= high:
        raise PlainValueError(f"{where} is {found:g}, expected {low:g} to {high:g}")
    return found


def numbers(value: object, where: str) -> tuple[float, ...]:
    """A list of numbers."""
    if not isinstance(value, list | tuple):
        raise PlainValueError(f"{where} is {shown(value)}, expected a list of numbers")
    return tuple(number(item, f"{where}[{i}]") for i, item in enumerate(value))


def text(value: object, where: str) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value:
        raise PlainValueError(f"{where} is {shown(value)}, expected a text")
    return value


def texts(value: object, where: str) -> tuple[str, ...]:
    """A list of texts."""
    if not isinstance(value, list | tuple):
        raise PlainValueError(f"{where} is {shown(value)}, expected a list of names")
    return tuple(text(item, f"{where}[{i}]") for i, item in enumerate(value))


def integer(value: object, where: str) -> int:
    """A whole number."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise PlainValueError(f"{where} is {shown(value)}, expected a whole number")
    return value


def truth(value: object, where: str) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise PlainValueError(f"{where} is {shown(value)}, expected true or false")
    return value


def choice(value: object, where: str, known: tuple[str, ...]) -> str:
    """One of the known texts."""
    if value not in known:
        raise PlainValueError(f"{where} is {shown(value)}, expected {' or '.join(known)}")
    return str(value)


def patterns(value: object, where: str) -> dict[str, Any]:
    """Patterns of joints and values."""
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise PlainValueError(f"{where} is {shown(value)}, expected joint patterns")
    return value
