# SPDX-License-Identifier: Apache-2.0
"""Lets other nodes reset, pause, step and pace the simulation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future

from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_srvs.srv import SetBool, Trigger

from humanoid_mujoco_ros.ros import topics
from humanoid_mujoco_ros.simulation.physics_loop import LoopConfig, PhysicsLoop
from humanoid_mujoco_ros.simulation.realtime_loop import RealTimeLoop

_REQUEST_TIMEOUT_S = 2.0
"""Longest wait of a service for the physics thread, which answers between two ticks."""
_FACTOR = "real_time_factor"


class LoopControl:
    """Services simulation/reset, pause and step, and the parameter real_time_factor."""

    def __init__(self, node: Node, loop: PhysicsLoop, reset: Callable[[], Future[bool]]) -> None:
        """Creates the services on `node`.

        Args:
            node: Owns the services.
            loop: The loop that they speak to.
            reset: Starts a new episode of what the services belong to.
        """
        self._loop = loop
        self._reset = reset
        node.create_service(Trigger, "simulation/reset", self.on_reset)
        node.create_service(SetBool, topics.PAUSE, self.on_pause)
        node.create_service(Trigger, "simulation/step", self.on_step)
        node.add_on_set_parameters_callback(self.check_parameters)
        node.add_post_set_parameters_callback(self.on_parameters)

    def on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Starts a new episode."""
        return _serve(self._reset(), response, "back in an initial state", "")

    def on_pause(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        """Stops or resumes time; it succeeds as well when that was so already."""
        now = "paused" if request.data else "running"
        already = f"the simulation was {now} already"
        future = self._loop.pause() if request.data else self._loop.resume()
        response = _serve(future, response, now, already)
        response.success = response.success or response.message == already
        return response

    def on_step(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Advances one control tick while paused."""
        refused = "the simulation is running; pause it first (simulation/pause)"
        return _serve(self._loop.step(), response, "advanced one control period", refused)

    def check_parameters(self, changes: Sequence[Parameter]) -> SetParametersResult:
        """Refuses a real_time_factor that is of no use."""
        for change in changes:
            if change.name != _FACTOR:
                continue
            if not isinstance(self._loop, RealTimeLoop):
                reason = "in lockstep time runs as fast as commands come"
                return SetParametersResult(successful=False, reason=reason)
            try:
                LoopConfig(real_time_factor=change.value)
            except (TypeError, ValueError) as error:
                return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def on_parameters(self, changes: Sequence[Parameter]) -> None:
        """Takes over another real_time_factor, which has been checked."""
        for change in changes:
            if change.name == _FACTOR and isinstance(self._loop, RealTimeLoop):
                self._loop.set_real_time_factor(change.value)


def _serve(
    future: Future[bool], response: Trigger.Response, done: str, refused: str
) -> Trigger.Response:
    try:
        response.success = future.result(_REQUEST_TIMEOUT_S)
    except (RuntimeError, TimeoutError) as error:
        response.success = False
        response.message = str(error) or "the physics thread did not answer"
    else:
        response.message = done if response.success else refused
    return response
