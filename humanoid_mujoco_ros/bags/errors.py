# SPDX-License-Identifier: Apache-2.0
"""What goes wrong with bags, and how it is said on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable

_LONGEST = 300
"""Characters of an error's text: bags may hold names and values of any length."""


class BagError(ValueError):
    """A bag cannot be used; the message says why."""


def plain(text: str) -> str:
    """The text with control characters escaped: what a bag holds must not steer a terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def reason(error: BaseException) -> str:
    """One line, of limited length, that says what went wrong."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def exit_status(command: Callable[[], int]) -> int:
    """Runs a command on a bag; an unusable bag or file ends in one line and the status 2."""
    try:
        return command()
    except MemoryError:
        text = "there is not enough memory for this bag"
    except (BagError, OSError) as error:
        text = reason(error)
    print(f"error: {plain(text)}", file=sys.stderr)
    return 2
