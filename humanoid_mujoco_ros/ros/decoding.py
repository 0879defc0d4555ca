# SPDX-License-Identifier: Apache-2.0
"""Decodes serialised messages, and says so when they are none.

rclpy drops a message that cannot be decoded without a word to the node, and the libraries below it
write up to thirteen lines to stderr for each: any neighbour could flood the log.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator
from typing import Any

from rclpy.serialization import deserialize_message

_STDERR = 2


class DecodingError(ValueError):
    """Bytes that are no message of the type that was expected."""


def decode(data: bytes, message_type: Any) -> Any:
    """The message of `message_type` that `data` is.

    Raises:
        DecodingError: It is none.
    """
    try:
        with _without_stderr():
            return deserialize_message(data, message_type)
    except Exception as error:  # RMWError, UnicodeDecodeError, MemoryError, SystemError
        name = f"{message_type.__module__.split('.')[0]}/{message_type.__name__}"
        raise DecodingError(f"{len(data)} bytes are no {name}") from error


@contextlib.contextmanager
def _without_stderr() -> Iterator[None]:
    """Keeps C code from writing to stderr.

    A line that another thread writes within these microseconds is lost as well.
    """
    try:
        stderr = os.dup(_STDERR)
    except OSError:  # it is closed
        yield
        return
    try:
        os.dup2(_nowhere(), _STDERR)
        yield
    finally:
        os.dup2(stderr, _STDERR)
        os.close(stderr)


@functools.cache
def _nowhere() -> int:
    """A descriptor of the null device, for as long as the process lives."""
    return os.open(os.devnull, os.O_WRONLY)
