# SPDX-License-Identifier: Apache-2.0
"""Operates the simulation and the policy through their services."""

from __future__ import annotations

import time
from collections.abc import Coroutine, Generator
from dataclasses import dataclass
from typing import Any

from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.client import Client
from rclpy.node import Node
from rclpy.task import Future
from std_srvs.srv import SetBool, Trigger

from humanoid_mujoco_ros.viewer.actions import Say

_TIMEOUT_S = 3.0
_LOAD_TIMEOUT_S = 120.0
"""Configuring may download a checkpoint."""

Steps = Coroutine["_Call", Any, str]
"""Awaits one service call after another; returns what to say in the end."""


class RemoteError(RuntimeError):
    """A service refused or did not answer; the message says which and why."""


@dataclass(frozen=True, eq=False)
class _Call:
    """A service call to be made; awaiting it gives the response."""

    client: Client
    request: Any
    timeout_s: float

    def __await__(self) -> Generator[_Call, Any, Any]:
        return (yield self)


class Caller:
    """Makes service calls without blocking; all of it in the executor's thread.

    Actions of one topic replace each other: a person who stops the policy while it is being loaded
    wants it stopped, so the loading goes no further.
    """

    def __init__(self) -> None:
        """Calls nothing yet."""
        self._running: dict[str, _Action] = {}

    def run(self, topic: str, steps: Steps, say: Say) -> None:
        """Carries out the steps of an action, then says how it ended.

        Args:
            topic: What the action is about; an earlier action of the topic ends here.
            steps: Awaits service calls.
            say: Takes how it ended, unless a later action replaced it.
        """
        if topic in self._running:
            self._running.pop(topic).abandon()
        action = self._running[topic] = _Action(steps, say)
        action.advance()

    def check_timeouts(self) -> None:
        """Gives up the calls that were not answered in time; to be called now and then."""
        for topic, action in list(self._running.items()):
            action.check_timeout()
            if action.is_over and self._running.get(topic) is action:
                del self._running[topic]


class _Action:
    """Steps under way, and the call that they wait for."""

    def __init__(self, steps: Steps, say: Say) -> None:
        self.is_over = False
        self._steps = steps
        self._say = say
        self._call: _Call | None = None
        self._future: Future | None = None
        self._deadline_s = 0.0

    def advance(self, response: Any = None) -> None:
        """Goes on to the next call."""
        try:
            self._make(self._steps.send(response))
        except StopIteration as end:
            self._end(end.value, is_error=False)
        except RemoteError as error:
            self._end(str(error), is_error=True)
        except Exception as error:  # what came was no proper response
            self._end(f"{type(error).__name__}: {error}", is_error=True)

    def check_timeout(self) -> None:
        """Ends the action when its call was not answered in time."""
        if self._call is not None and time.monotonic() > self._deadline_s:
            name = self._call.client.srv_name
            self.abandon()
            self._say(f"{name} did not answer", is_error=True)

    def abandon(self) -> None:
        """Ends the action without a word; a call under way may still be carried out."""
        call, future, self._call, self._future = self._call, self._future, None, None
        if call is not None and future is not None:
            call.client.remove_pending_request(future)
        self._steps.close()
        self.is_over = True

    def _make(self, call: _Call) -> None:
        if not call.client.service_is_ready():
            raise RemoteError(f"there is no {call.client.srv_name}")
        self._deadline_s = time.monotonic() + call.timeout_s
        future = call.client.call_async(call.request)
        self._call, self._future = call, future
        future.add_done_callback(self._on_done)

    def _on_done(self, future: Future) -> None:
        if future is self._future:  # else it was abandoned
            self._call, self._future = None, None
            self.advance(future.result())

    def _end(self, text: str, *, is_error: bool) -> None:
        self._steps.close()
        self.is_over = True
        self._say(text, is_error=is_error)


class SimulationClient:
    """Pauses, steps and resets the simulation, and sets its speed."""

    def __init__(self, node: Node, world: Node, caller: Caller) -> None:
        """Looks for the services.

        Args:
            node: In the namespace of the robot.
            world: In that of the world, if the robot shares one; else the same.
            caller: Makes the calls.
        """
        self._caller = caller
        self._pause = node.create_client(SetBool, "simulation/pause")
        self._step = node.create_client(Trigger, "simulation/step")
        self._reset = node.create_client(Trigger, "simulation/reset")
        self._set_parameters = world.create_client(SetParameters, "simulation_node/set_parameters")

    @property
    def is_there(self) -> bool:
        """Whether there is a simulation."""
        return bool(self._reset.service_is_ready())

    def pause(self, say: Say) -> None:
        """Stops time."""
        self._ask(self._pause, SetBool.Request(data=True), say)

    def resume(self, say: Say) -> None:
        """Lets time go on."""
        self._ask(self._pause, SetBool.Request(data=False), say)

    def step(self, say: Say) -> None:
        """Advances one control period."""
        self._ask(self._step, Trigger.Request(), say)

    def reset(self, say: Say) -> None:
        """Starts a new episode."""
        self._ask(self._reset, Trigger.Request(), say)

    def set_speed(self, factor: float, say: Say) -> None:
        """Sets the real-time factor that the simulation aims at."""
        value = ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=factor)

        async def steps() -> str:
            await _set_parameter(self._set_parameters, "real_time_factor", value)
            return f"speed {factor:g}"

        self._caller.run("speed", steps(), say)

    def _ask(self, client: Client, request: Any, say: Say) -> None:
        async def steps() -> str:
            response = await _Call(client, request, _TIMEOUT_S)
            if not response.success:
                raise RemoteError(response.message)
            return str(response.message)

        self._caller.run(client.srv_name, steps(), say)


class PolicyClient:
    """Starts and stops the policy through policy_node's lifecycle, and exchanges it."""

    def __init__(self, node: Node, caller: Caller) -> None:
        """Looks for the services."""
        self._caller = caller
        self._get_state = node.create_client(GetState, "policy_node/get_state")
        self._change_state = node.create_client(ChangeState, "policy_node/change_state")
        self._set_parameters = node.create_client(SetParameters, "policy_node/set_parameters")

    @property
    def is_there(self) -> bool:
        """Whether there is a policy_node that would answer."""
        clients = (self._get_state, self._change_state, self._set_parameters)
        return all(client.service_is_ready() for client in clients)

    def start(self, say: Say) -> None:
        """Configures the policy if need be, and activates it."""
        self._caller.run("policy", self._started(), say)

    def stop(self, say: Say) -> None:
        """Deactivates the policy."""
        self._caller.run("policy", self._stopped(), say)

    def load(self, name: str, say: Say) -> None:
        """Replaces the policy by another and activates that."""
        self._caller.run("policy", self._loaded(name), say)

    async def _started(self) -> str:
        state = await self._state()
        if state == State.PRIMARY_STATE_UNCONFIGURED:
            await self._change(Transition.TRANSITION_CONFIGURE, "load the policy")
        if state != State.PRIMARY_STATE_ACTIVE:
            await self._change(Transition.TRANSITION_ACTIVATE, "start the policy")
        return "started"

    async def _stopped(self) -> str:
        if await self._state() == State.PRIMARY_STATE_ACTIVE:
            await self._change(Transition.TRANSITION_DEACTIVATE, "stop the policy")
        return "stopped"

    async def _loaded(self, name: str) -> str:
        value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=name)
        await _set_parameter(self._set_parameters, "policy", value, _LOAD_TIMEOUT_S)
        await self._started()
        return f"'{name}' is loaded"

    async def _state(self) -> int:
        response = await _Call(self._get_state, GetState.Request(), _TIMEOUT_S)
        return int(response.current_state.id)

    async def _change(self, transition: int, what: str) -> None:
        request = ChangeState.Request(transition=Transition(id=transition))
        response = await _Call(self._change_state, request, _LOAD_TIMEOUT_S)
        if not response.success:
            raise RemoteError(f"policy_node could not {what}; its diagnostics say why")


async def _set_parameter(
    client: Client, name: str, value: ParameterValue, timeout_s: float = _TIMEOUT_S
) -> None:
    request = SetParameters.Request(parameters=[Parameter(name=name, value=value)])
    response = await _Call(client, request, timeout_s)
    if not response.results[0].successful:
        node = client.srv_name.rpartition("/")[0]
        raise RemoteError(f"{node} refused {name}: {response.results[0].reason}")
