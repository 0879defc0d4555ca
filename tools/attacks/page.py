# SPDX-License-Identifier: Apache-2.0
"""A browser that lies: values out of range, drags to nowhere, garbage."""

from __future__ import annotations

import contextlib
import time

from raw_browser import RawBrowser
from websockets.exceptions import WebSocketException

from attacks.mutations import FLOATS, NO_FLOATS, TEXTS
from attacks.stage import Stage

_VALUES = (*FLOATS, *NO_FLOATS, *TEXTS, True, False, None, [], {}, -1, 10**18)
_PER_S = 200
_ACTIONS = 3


def attack_page(stage: Stage, duration_s: float) -> int:
    """Sends bogus values to the page's server; returns how many.

    A connection that the server closes is opened again.
    """
    sent, end_s = 0, time.monotonic() + duration_s
    while time.monotonic() < end_s:
        with contextlib.suppress(OSError, WebSocketException):
            browser = RawBrowser(stage.page_port)
            while not browser.values and time.monotonic() < end_s:
                browser.listen()
            while time.monotonic() < end_s:
                _lie(stage, browser)
                sent += 1
                stage.spin(1 / _PER_S)
            browser.close()
    return sent


def _lie(stage: Stage, browser: RawBrowser) -> None:
    choice, action = stage.mutator.choice, stage.mutator.random.randrange(_ACTIONS)
    if action == 0 and browser.values:
        browser.set(choice(sorted(browser.values)), choice(_VALUES))
    elif action == 1:
        points = [[choice(FLOATS + NO_FLOATS) for _ in range(3)] for _ in range(2)]
        browser.drag(
            choice(("start", "update", "end", "bogus")), choice((0, -1, 99, None)), *points
        )
    else:
        browser.socket.send(stage.mutator.random.randbytes(choice((0, 1, 64, 5000))))
