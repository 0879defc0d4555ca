# SPDX-License-Identifier: Apache-2.0
"""The services of simulation_interfaces, which simulators have in common.

Importing this needs the package simulation_interfaces.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import rclpy.task
import simulation_interfaces.srv
from rclpy.action import ActionServer, CancelResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from simulation_interfaces.action import SimulateSteps
from simulation_interfaces.msg import Result, SimulationState, SimulatorFeatures
from simulation_interfaces.srv import (
    GetSimulationState,
    GetSimulatorFeatures,
    ResetSimulation,
    SetSimulationState,
    StepSimulation,
)

from humanoid_mujoco_ros.ros.entity_services import FEATURES as ENTITY_FEATURES
from humanoid_mujoco_ros.ros.entity_services import EntityServices
from humanoid_mujoco_ros.ros.guard import GuardedNode
from humanoid_mujoco_ros.ros.service_result import Refusal, answer
from humanoid_mujoco_ros.simulation.physics_loop import PhysicsLoop
from humanoid_mujoco_ros.simulation.robot_port import RobotPort

FEATURES = (
    *ENTITY_FEATURES,
    SimulatorFeatures.SIMULATION_RESET,
    SimulatorFeatures.SIMULATION_RESET_STATE,
    SimulatorFeatures.SIMULATION_STATE_GETTING,
    SimulatorFeatures.SIMULATION_STATE_SETTING,
    SimulatorFeatures.SIMULATION_STATE_PAUSE,
    SimulatorFeatures.STEP_SIMULATION_SINGLE,
    SimulatorFeatures.STEP_SIMULATION_MULTIPLE,
    SimulatorFeatures.STEP_SIMULATION_ACTION,
)
"""What is announced, and nothing else works."""
UNSUPPORTED = {
    "delete_entity": "DeleteEntity",
    "get_available_worlds": "GetAvailableWorlds",
    "get_current_world": "GetCurrentWorld",
    "get_named_pose_bounds": "GetNamedPoseBounds",
    "get_spawnables": "GetSpawnables",
    "load_world": "LoadWorld",
    "set_entity_info": "SetEntityInfo",
    "spawn_entities": "SpawnEntities",
    "spawn_entity": "SpawnEntity",
    "unload_world": "UnloadWorld",
}
"""Services that only answer that they are not supported, and their types, as far as they exist."""
_NAMES = {
    SimulationState.STATE_STOPPED: "stopped",
    SimulationState.STATE_PLAYING: "playing",
    SimulationState.STATE_PAUSED: "paused",
}
_RUNNING = "the simulation is running; pause it first (set_simulation_state)"
_POLL_S = 0.2

Value = TypeVar("Value")


class SimulationServices(GuardedNode):
    """Serves them from a node and a thread of their own, so that no answer keeps commands waiting.

    The services and the action lie in the namespace of the simulation's node.
    """

    def __init__(self, owner: Node, loop: PhysicsLoop, port: RobotPort) -> None:
        """Creates the services and starts the thread.

        Args:
            owner: The simulation's node.
            loop: The loop that they speak to.
            port: The robot in it. Others may share its time; a reset is for this robot alone.
        """
        super().__init__(
            f"{owner.get_name()}_interfaces",
            namespace=owner.get_namespace(),
            context=owner.context,
            use_global_arguments=False,
            start_parameter_services=False,
        )
        self._loop = loop
        self._port = port
        prefix = owner.get_parameter("frame_prefix").value
        self._entities = EntityServices(self, port, prefix, self.settled)
        for name, service_type, callback in (
            ("get_simulator_features", GetSimulatorFeatures, self.on_get_features),
            ("get_simulation_state", GetSimulationState, self.on_get_state),
            ("set_simulation_state", SetSimulationState, self.on_set_state),
            ("reset_simulation", ResetSimulation, self.on_reset),
            ("step_simulation", StepSimulation, self.on_step),
        ):
            self.create_service(service_type, name, callback)
        for name, type_name in UNSUPPORTED.items():
            unsupported_type = getattr(simulation_interfaces.srv, type_name, None)
            if unsupported_type is not None:
                self.create_service(unsupported_type, name, self.on_unsupported)
        self._pending: dict[bytes, Future[bool]] = {}
        self._action = ActionServer(
            self,
            SimulateSteps,
            "simulate_steps",
            self.on_simulate_steps,
            cancel_callback=self.on_cancel,
        )
        self._services_executor = SingleThreadedExecutor(context=self.context)
        self._services_executor.add_node(self)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="interfaces", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the thread, then the node."""
        self._closing.set()
        self._services_executor.wake()
        self._thread.join()
        self._action.destroy()
        self._services_executor.shutdown()
        self.destroy_node()

    async def settled(self, future: Future[Value]) -> Value:
        """The answer of the physics thread, for which this thread does not stand still."""
        waiter = rclpy.task.Future(executor=self._services_executor)
        waiter.add_done_callback(lambda _: None)  # what wakes the executor
        future.add_done_callback(lambda _: waiter.set_result(None))
        await waiter
        return future.result()

    def on_service_error(self, where: str, request: Any, response: Any, error: Exception) -> None:
        """Answers a refusal with its code, and anything else with "operation failed"."""
        if isinstance(error, Refusal):
            answer(response, error.code, str(error))
        elif isinstance(error, ValueError | TimeoutError):
            answer(response, Result.RESULT_OPERATION_FAILED, str(error))
        elif self._loop.has_ended:
            answer(response, Result.RESULT_INCORRECT_STATE, str(error))
        else:
            line = self.callback_errors.add(where, error)
            answer(response, Result.RESULT_OPERATION_FAILED, line)

    def on_unsupported(self, _: Any, response: Any) -> Any:
        """Answers that there is no such feature."""
        return answer(
            response,
            Result.RESULT_FEATURE_UNSUPPORTED,
            "this simulator has no such feature; see get_simulator_features",
        )

    def on_get_features(
        self, _: GetSimulatorFeatures.Request, response: GetSimulatorFeatures.Response
    ) -> GetSimulatorFeatures.Response:
        """Lists what works."""
        response.features.features = sorted(FEATURES)
        response.features.custom_info = "humanoid_mujoco_ros: docs/simulation_interfaces.md"
        return response

    def on_get_state(
        self, _: GetSimulationState.Request, response: GetSimulationState.Response
    ) -> GetSimulationState.Response:
        """Tells whether time runs."""
        response.state.state = self._state()
        return answer(response)

    async def on_set_state(
        self, request: SetSimulationState.Request, response: SetSimulationState.Response
    ) -> SetSimulationState.Response:
        """Lets time run, stand still, or stand still at the start."""
        target = request.state.state
        actions: dict[int, Callable[[], Future[bool]]] = {
            SimulationState.STATE_STOPPED: self._loop.halt,
            SimulationState.STATE_PLAYING: self._loop.resume,
            SimulationState.STATE_PAUSED: self._loop.pause,
        }
        if target in actions:
            if await self.settled(actions[target]()):
                return answer(response)
            raise Refusal(
                SetSimulationState.Response.ALREADY_IN_TARGET_STATE,
                f"the simulation is {_NAMES[target]} already",
            )
        if target == SimulationState.STATE_QUITTING:
            raise Refusal(
                Result.RESULT_FEATURE_UNSUPPORTED,
                "the simulation ends with what started it, not by a call",
            )
        known = ", ".join(f"{name} ({number})" for number, name in _NAMES.items())
        raise Refusal(
            Result.RESULT_FEATURE_UNSUPPORTED, f"there is no state {target} here, but {known}"
        )

    async def on_reset(
        self, request: ResetSimulation.Request, response: ResetSimulation.Response
    ) -> ResetSimulation.Response:
        """Starts a new episode; time goes on."""
        scope = request.scope
        is_all = scope in (ResetSimulation.Request.SCOPE_DEFAULT, ResetSimulation.Request.SCOPE_ALL)
        if not is_all and scope != ResetSimulation.Request.SCOPE_STATE:
            raise Refusal(
                Result.RESULT_FEATURE_UNSUPPORTED,
                f"scope {scope} is not supported: only the state can be reset "
                f"({ResetSimulation.Request.SCOPE_STATE}), or all that can be (0); "
                "time never goes back, and nothing is spawned",
            )
        await self.settled(self._port.restart())
        note = "the robot is back in an initial state; time goes on" if is_all else ""
        return answer(response, message=note)

    async def on_step(
        self, request: StepSimulation.Request, response: StepSimulation.Response
    ) -> StepSimulation.Response:
        """Makes control ticks while time stands still."""
        self._check_paused()
        for done in range(request.steps):
            if not await self.settled(self._loop.advance()):
                raise Refusal(Result.RESULT_OPERATION_FAILED, _interrupted(done, request.steps))
        return answer(response)

    async def on_simulate_steps(self, goal: ServerGoalHandle) -> SimulateSteps.Result:
        """Makes control ticks while time stands still, and tells of each."""
        result, total = SimulateSteps.Result(), goal.request.steps
        try:
            self._check_paused()
            for done in range(total):
                if not await self._step_of(goal):
                    message = _interrupted(done, total)
                    if not goal.is_cancel_requested:
                        raise Refusal(Result.RESULT_OPERATION_FAILED, message)
                    goal.canceled()
                    return answer(result, Result.RESULT_OPERATION_FAILED, message)
                goal.publish_feedback(
                    SimulateSteps.Feedback(
                        completed_steps=done + 1, remaining_steps=total - done - 1
                    )
                )
        except Exception as error:
            self.on_service_error("simulate_steps", goal.request, result, error)
            goal.abort()
            return result
        goal.succeed()
        return answer(result)

    async def _step_of(self, goal: ServerGoalHandle) -> bool:
        if goal.is_cancel_requested:
            return False
        key = bytes(goal.goal_id.uuid)
        step = self._pending[key] = self._loop.advance()
        try:
            return await self.settled(step)
        finally:
            del self._pending[key]

    def on_cancel(self, goal: ServerGoalHandle) -> CancelResponse:
        """Takes back the step that the goal waits for."""
        step = self._pending.get(bytes(goal.goal_id.uuid))
        if step is not None:
            self._loop.withdraw(step)
        return CancelResponse.ACCEPT

    def _state(self) -> int:
        status = self._loop.status
        if status.stopped:
            return int(SimulationState.STATE_STOPPED)
        paused = SimulationState.STATE_PAUSED
        return int(paused if status.paused else SimulationState.STATE_PLAYING)

    def _check_paused(self) -> None:
        if self._loop.has_ended:
            raise Refusal(Result.RESULT_INCORRECT_STATE, "the simulation has ended")
        if not self._loop.status.paused:
            raise Refusal(Result.RESULT_OPERATION_FAILED, _RUNNING)

    def _run(self) -> None:
        with contextlib.suppress(ExternalShutdownException):
            while self.context.ok() and not self._closing.is_set():
                try:
                    self._services_executor.spin_once(timeout_sec=_POLL_S)
                except ExternalShutdownException:
                    raise
                except Exception as error:  # not a service's: those are guarded
                    self.callback_errors.add("executor", error)
                    self._closing.wait(0.01)


def _interrupted(done: int, total: int) -> str:
    return f"canceled, or resumed by someone else, after {done} of {total} steps"
