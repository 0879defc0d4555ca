# SPDX-License-Identifier: Apache-2.0
"""Calls of every service of every node, with values that make no sense."""

from __future__ import annotations

import importlib
import time
from typing import Any

from rclpy.task import Future

from attacks.stage import Stage

_AT_ONCE = 20
"""Calls under way at the same time."""
_ANSWER_TIMEOUT_S = 30.0
_PAUSE_S = 0.01


class Calls:
    """Calls services and counts the answers.

    Attributes:
        made: Calls so far.
        answered: Answers so far.
    """

    def __init__(self, stage: Stage) -> None:
        """Finds the services."""
        self._stage = stage
        self._kinds = {name: _service(kind) for name, kind in sorted(stage.services().items())}
        self.made = self.answered = 0

    def run(self, duration_s: float) -> None:
        """Calls at random; waits for the answers at the end."""
        stage, open_calls = self._stage, list[Future]()
        clients = {name: stage.node.create_client(kind, name) for name, kind in self._kinds.items()}
        stage.until(lambda: all(client.service_is_ready() for client in clients.values()))
        end_s = time.monotonic() + duration_s
        while time.monotonic() < end_s:
            name = stage.mutator.choice(sorted(clients))
            request = stage.mutator.message(self._kinds[name].Request())
            open_calls.append(clients[name].call_async(request))
            self.made += 1
            stage.spin(_PAUSE_S)
            stage.until(lambda: sum(not f.done() for f in open_calls) < _AT_ONCE, _ANSWER_TIMEOUT_S)
        stage.until(lambda: all(future.done() for future in open_calls), _ANSWER_TIMEOUT_S)
        self.answered += sum(future.done() for future in open_calls)
        for client in clients.values():
            stage.node.destroy_client(client)


def _service(kind: str) -> Any:
    """The class of a service such as "std_srvs/srv/Trigger"."""
    package, _, name = kind.split("/")
    return getattr(importlib.import_module(f"{package}.srv"), name)
