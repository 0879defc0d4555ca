# SPDX-License-Identifier: Apache-2.0
"""Makes malformed messages, bytes and files of good ones, the same ones for the same seed."""

from __future__ import annotations

import contextlib
import copy
import random
import sys
from collections.abc import Callable, Sequence
from typing import Any

from rclpy.serialization import serialize_message

from humanoid_mujoco_ros.bags.message_types import message_class

FLOATS = (0.0, -0.0, 1.0, -1.0, 60.0, 1e-320, 1e6, 1e300, -1e308, sys.float_info.max)
NO_FLOATS = (float("nan"), float("inf"), float("-inf"))
INTEGERS = (0, 1, -1, 2, 5, 99, 127, -128, 255, 2**15, 2**31 - 1, -(2**31), 2**32 - 1, 2**63 - 1)
TEXTS = ("", " ", "n/a", "nan", "1e999", "bogus", "/", "~", "../../..", "a" * 300, "\x1b[31mred")
SIZES = (0, 1, 3, 16, 18, 377, 5000)
_LONG = 100_000
_SELDOM = 0.003
"""Share of values that are very long: each costs as much as hundreds of others."""
_MAX_DEPTH = 6
_UNFIT = (AssertionError, AttributeError, OverflowError, SystemError, TypeError, ValueError)
"""Raised where a value does not fit a field at all."""


class Mutator:
    """Spoils what it is given.

    Attributes:
        names: Texts that mean something to a node: joints, links, frames, parameters, nodes.
    """

    def __init__(self, seed: int) -> None:
        """Starts a sequence of random numbers of its own."""
        self.random = random.Random(seed)
        self.names: list[str] = []

    def message(self, sample: Any) -> Any:
        """A copy of a message in which one to four fields are replaced."""
        while True:
            spoiled = copy.deepcopy(sample)
            for _ in range(self.random.randint(1, 4)):
                fields = self._fields(spoiled)
                if not fields:  # the request of a service that wants to know nothing
                    return spoiled
                owner, field, kind = self.random.choice(fields)
                with contextlib.suppress(*_UNFIT):
                    setattr(owner, field, self._value(kind, getattr(owner, field)))
            with contextlib.suppress(*_UNFIT):  # such a message cannot be sent
                serialize_message(spoiled)
                return spoiled

    def serialized(self, sample: Any) -> bytes:
        """A spoiled message as bytes; a third of them are mutilated as well."""
        data = bytes(serialize_message(self.message(sample)))
        return padded(data if self.random.random() < 2 / 3 else self.mutilated(data))

    def mutilated(self, data: bytes) -> bytes:
        """Bytes of which a few are changed, cut off, repeated or put in."""
        result = bytearray(data)
        for _ in range(self.random.randint(1, 6)):
            at = self.random.randrange(len(result) + 1)
            action = self.random.randrange(6)
            if action == 0:
                del result[at:]
            elif action == 1:
                result[at:at] = self.random.randbytes(self.random.randint(1, 40))
            elif action == 2:
                result[at:at] = result[max(0, at - 64) : at]
            elif action == 3:
                result[at : at + 4] = self.random.choice(
                    (b"\xff" * 4, b"\0" * 4, b"\xff\xff\xff\x7f")
                )
            else:
                result[at : at + 1] = bytes([self.random.randrange(256)])
        return bytes(result)

    def _fields(self, message: Any, depth: int = 0) -> list[tuple[Any, str, str]]:
        """Owner, name and type of every field of a message and of those in it."""
        found = []
        for field, kind in message.get_fields_and_field_types().items():
            found.append((message, field, kind))
            value = getattr(message, field)
            inner = value[:3] if isinstance(value, list) else [value]
            for part in inner:
                if hasattr(part, "get_fields_and_field_types") and depth < _MAX_DEPTH:
                    found += self._fields(part, depth + 1)
        return found

    def _value(self, kind: str, old: Any = None, depth: int = 0) -> Any:
        """A value of a field's type, as bad as the type allows."""
        if kind.startswith("sequence<"):
            return self._sequence(kind[9:-1].split(",")[0].strip(), old, depth)
        if kind.endswith("]"):
            kind, size = kind[:-1].split("[")
            return [self._value(kind, depth=depth) for _ in range(int(size))]
        scalars: dict[str, Callable[[], Any]] = {
            "boolean": lambda: self.random.random() < 0.5,
            "octet": lambda: bytes([self.random.randrange(256)]),
            "string": self.text,
        }
        if kind in scalars:
            return scalars[kind]()
        if kind in ("double", "float"):
            return self.random.choice(FLOATS + NO_FLOATS)
        if "/" not in kind:
            return self.random.choice(INTEGERS)
        part = message_class("/msg/".join(kind.split("/")))()
        if depth < _MAX_DEPTH:
            for field, inner in part.get_fields_and_field_types().items():
                with contextlib.suppress(*_UNFIT):
                    setattr(part, field, self._value(inner, depth=depth + 1))
        return part

    def _sequence(self, kind: str, old: Any, depth: int) -> list[Any]:
        """A sequence that is too short, too long, empty, or has one bad element."""
        values = list(old or [])
        action = self.random.randrange(3)
        if values and action == 0:
            return values[: self.random.randrange(len(values))]
        if values and action == 1:
            values[self.random.randrange(len(values))] = self._value(kind, depth=depth)
            return values
        if "/" in kind:
            return [self._value(kind, depth=depth + 1) for _ in range(self.random.randrange(4))]
        size = _LONG if self.random.random() < _SELDOM else self.random.choice(SIZES)
        return [self._value(kind, depth=depth)] * size

    def text(self) -> str:
        """A text that means something, or one that should not be there."""
        if self.random.random() < _SELDOM:
            return "x" * _LONG
        return self.random.choice(
            self.names if self.names and self.random.random() < 0.6 else TEXTS
        )

    def choice(self, values: Sequence[Any]) -> Any:
        """One of the values."""
        return self.random.choice(values)


def padded(data: bytes) -> bytes:
    """Bytes to a length at which DDS adds none itself, so that they are known when they return."""
    return data + bytes(-len(data) % 4)
