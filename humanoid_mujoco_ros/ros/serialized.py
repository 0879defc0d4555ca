# SPDX-License-Identifier: Apache-2.0
"""Messages as the bytes that go over the wire, without the objects that cost more than DDS.

A message whose strings and lengths never change has every number at a fixed place of its
serialised form (CDR, little endian: OMG DDSI-RTPS 2.5, 10.2).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Float64MultiArray

Float64Array = NDArray[np.float64]
Build = Callable[[Float64Array, Time], Any]
"""Makes a message of numbers (n,) and a stamp, the same one wherever it has one."""

_HEADER = 4
"""Bytes before the content; alignment counts from their end."""
_LITTLE_ENDIAN = b"\x00\x01"
_STAMPS = (Time(sec=0x51A7C0DE, nanosec=0x2BADF00D), Time(sec=7, nanosec=9))
_S = 1_000_000_000


class PatchedMessage:
    """One message, serialised once, whose numbers and stamp are written anew each time."""

    def __init__(self, build: Build, size: int) -> None:
        """Finds out where each number lies.

        Args:
            build: Makes the message. Every number of it that ever changes is one of its arguments,
                unchanged; everything else is constant.
            size: How many numbers it takes.

        Raises:
            ValueError: `build` does more than that.
        """
        random = np.random.default_rng(0)
        marks = random.uniform(1.0, 2.0, size)
        self._bytes = bytearray(serialize_message(build(marks, _STAMPS[0])))
        if self._bytes[:2] != _LITTLE_ENDIAN:
            raise ValueError("messages are serialised in another form than plain CDR")
        count = (len(self._bytes) - _HEADER) // 8
        self._numbers = np.frombuffer(self._bytes, "<f8", count, _HEADER)
        words = np.frombuffer(self._bytes, "<u4", (len(self._bytes) - _HEADER) // 4, _HEADER)
        stamp = _STAMPS[0]
        at = np.flatnonzero((words[:-1] == stamp.sec) & (words[1:] == stamp.nanosec))
        self._words, self._seconds, self._nanoseconds = words, at, at + 1
        places = {float(number): i for i, number in enumerate(self._numbers)}
        try:
            self._places = np.array([places[mark] for mark in marks.tolist()], dtype=np.intp)
        except KeyError:
            raise ValueError("the message does not hold the numbers as they are") from None
        others, stamp = random.uniform(-2.0, -1.0, size), _STAMPS[1]
        expected = build(others, stamp)
        patched = self.serialize(others, stamp.sec * _S + stamp.nanosec)
        # Not the bytes: those between the values may be any.
        if deserialize_message(patched, type(expected)) != expected:
            raise ValueError("the message holds more that changes than its numbers and its stamp")

    def serialize(self, numbers: Float64Array, time_ns: int) -> bytes:
        """The message with `numbers` (n,) and the stamp `time_ns` [ns]."""
        self._numbers[self._places] = numbers
        self._words[self._seconds] = time_ns // _S
        self._words[self._nanoseconds] = time_ns % _S
        return bytes(self._bytes)


class ArrayReader:
    """Reads the numbers of serialised Float64MultiArrays, of which one is like the next."""

    def __init__(self) -> None:
        """Knows none yet."""
        self._before = b""
        self._size = -1

    def read(self, data: bytes) -> Float64Array:
        """The numbers (n,) of a message.

        Raises:
            Exception: Whatever rclpy says of bytes that are no such message.
        """
        start = len(self._before)
        if len(data) == self._size and data[:start] == self._before:
            return np.frombuffer(data, "<f8", -1, start)
        numbers = np.array(deserialize_message(data, Float64MultiArray).data)
        start = len(data) - numbers.nbytes
        is_plain = data[:2] == _LITTLE_ENDIAN and np.array_equal(
            np.frombuffer(data, "<f8", -1, start), numbers, equal_nan=True
        )
        if is_plain and numbers.size:
            self._before, self._size = data[:start], len(data)
        return numbers
