# SPDX-License-Identifier: Apache-2.0
"""Operates the simulation and the policy through their services."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from functools import partial
from typing import Any

from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.client import Client
from rclpy.node import Node
from rclpy.task import Future
from std_srvs.srv import SetBool, Trigger

_TIMEOUT_S = 3.0
_LOAD_TIMEOUT_S = 120.0
"""Configuring may download a checkpoint."""

Say = Callable[[str, bool], None]
"""Takes a text for people and whether it is an error."""
Dialogue = Generator[tuple[Client, Any, float], Any, str]
"""Yields service, request and timeout; is sent the response; returns what to say in the end."""


class RemoteError(RuntimeError):
    """A service refused or did not answer; the message says which and why."""


class Caller:
    """Calls services one after another without blocking; all of it in the executor's thread."""

    def __init__(self) -> None:
        """Calls nothing yet."""
        self._deadlines: dict[Future, tuple[float, Client]] = {}

    def run(self, dialogue: Dialogue, say: Say) -> None:
        """Carries out a dialogue, then says how it ended."""
        self._advance(dialogue, say, None)

    def check_timeouts(self) -> None:
        """Gives up the calls that were not answered in time; to be called now and then."""
        now_s = time.monotonic()
        for future, (deadline_s, client) in list(self._deadlines.items()):
            if now_s > deadline_s:
                client.remove_pending_request(future)
                future.cancel()

    def _advance(self, dialogue: Dialogue, say: Say, response: Any) -> None:
        try:
            client, request, timeout_s = dialogue.send(response)
            self._call(dialogue, say, client, request, timeout_s)
        except StopIteration as end:
            say(end.value, False)
        except RemoteError as error:
            say(str(error), True)

    def _call(
        self, dialogue: Dialogue, say: Say, client: Client, request: Any, timeout_s: float
    ) -> None:
        if not client.service_is_ready():
            raise RemoteError(f"there is no {client.srv_name}")
        future = client.call_async(request)
        self._deadlines[future] = (time.monotonic() + timeout_s, client)
        future.add_done_callback(partial(self._on_done, dialogue, say, client))

    def _on_done(self, dialogue: Dialogue, say: Say, client: Client, future: Future) -> None:
        self._deadlines.pop(future, None)
        if future.cancelled():
            dialogue.close()
            say(f"{client.srv_name} did not answer", True)
        else:
            self._advance(dialogue, say, future.result())


class SimulationClient:
    """Pauses, steps and resets the simulation."""

    def __init__(self, node: Node, caller: Caller) -> None:
        """Looks for the services."""
        self._caller = caller
        self._pause = node.create_client(SetBool, "simulation/pause")
        self._step = node.create_client(Trigger, "simulation/step")
        self._reset = node.create_client(Trigger, "simulation/reset")

    def pause(self, paused: bool, say: Say) -> None:
        """Stops or resumes time."""
        self._caller.run(_ask(self._pause, SetBool.Request(data=paused)), say)

    def step(self, say: Say) -> None:
        """Advances one control period."""
        self._caller.run(_ask(self._step, Trigger.Request()), say)

    def reset(self, say: Say) -> None:
        """Starts a new episode."""
        self._caller.run(_ask(self._reset, Trigger.Request()), say)


class PolicyClient:
    """Starts, stops and exchanges the policy through policy_node's lifecycle."""

    def __init__(self, node: Node, caller: Caller) -> None:
        """Looks for the services."""
        self._caller = caller
        self._get_state = node.create_client(GetState, "policy_node/get_state")
        self._change_state = node.create_client(ChangeState, "policy_node/change_state")
        self._set_parameters = node.create_client(SetParameters, "policy_node/set_parameters")

    def start(self, say: Say) -> None:
        """Configures the policy if need be, and activates it."""
        self._caller.run(self._started(), say)

    def stop(self, say: Say) -> None:
        """Deactivates the policy."""
        self._caller.run(self._stopped(), say)

    def load(self, name: str, say: Say) -> None:
        """Replaces the policy by another and activates that."""
        self._caller.run(self._loaded(name), say)

    def _started(self) -> Dialogue:
        state = yield from self._state()
        if state == State.PRIMARY_STATE_UNCONFIGURED:
            yield from self._change(Transition.TRANSITION_CONFIGURE, "load the policy")
        if state != State.PRIMARY_STATE_ACTIVE:
            yield from self._change(Transition.TRANSITION_ACTIVATE, "start the policy")
        return "started"

    def _stopped(self) -> Dialogue:
        state = yield from self._state()
        if state == State.PRIMARY_STATE_ACTIVE:
            yield from self._change(Transition.TRANSITION_DEACTIVATE, "stop the policy")
        return "stopped"

    def _loaded(self, name: str) -> Dialogue:
        yield from self._stopped()
        state = yield from self._state()
        if state == State.PRIMARY_STATE_INACTIVE:
            yield from self._change(Transition.TRANSITION_CLEANUP, "let go of its policy")
        value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=name)
        request = SetParameters.Request(parameters=[Parameter(name="policy", value=value)])
        response = yield self._set_parameters, request, _TIMEOUT_S
        if not response.results[0].successful:
            raise RemoteError(f"policy_node refused '{name}': {response.results[0].reason}")
        yield from self._change(Transition.TRANSITION_CONFIGURE, f"load '{name}'")
        yield from self._change(Transition.TRANSITION_ACTIVATE, f"start '{name}'")
        return f"'{name}' is loaded"

    def _state(self) -> Generator[tuple[Client, Any, float], Any, int]:
        response = yield self._get_state, GetState.Request(), _TIMEOUT_S
        return int(response.current_state.id)

    def _change(
        self, transition: int, what: str
    ) -> Generator[tuple[Client, Any, float], Any, None]:
        request = ChangeState.Request(transition=Transition(id=transition))
        response = yield self._change_state, request, _LOAD_TIMEOUT_S
        if not response.success:
            raise RemoteError(f"policy_node could not {what}; its diagnostics say why")


def _ask(client: Client, request: Any) -> Dialogue:
    response = yield client, request, _TIMEOUT_S
    if not response.success:
        raise RemoteError(response.message)
    return str(response.message)
