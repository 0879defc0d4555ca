# SPDX-License-Identifier: Apache-2.0
"""The page as a whole: serves it, draws it, and turns what people do on it into wrenches."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence

import numpy as np
import viser
from numpy.typing import NDArray

from humanoid_mujoco_ros.interaction.arrow import Arrow, contact_arrow
from humanoid_mujoco_ros.interaction.drag import Drag
from humanoid_mujoco_ros.interaction.push import MeasuredPush, PushPlan
from humanoid_mujoco_ros.interaction.spring import Pull, SpringConfig
from humanoid_mujoco_ros.robot.posed_model import PosedModel
from humanoid_mujoco_ros.robot.state import Wrench
from humanoid_mujoco_ros.robot.vectors import VectorError
from humanoid_mujoco_ros.viewer.actions import PolicyActions, SimulationActions
from humanoid_mujoco_ros.viewer.config import ViewerConfig
from humanoid_mujoco_ros.viewer.gate import Gate
from humanoid_mujoco_ros.viewer.heartbeat import Heartbeat
from humanoid_mujoco_ros.viewer.inbox import ActionInbox, Faults
from humanoid_mujoco_ros.viewer.mouse_drag import MouseDrag
from humanoid_mujoco_ros.viewer.pad import HeldVelocity
from humanoid_mujoco_ros.viewer.panel import Operations, Panel
from humanoid_mujoco_ros.viewer.readings import Readings
from humanoid_mujoco_ros.viewer.scene import Scene
from humanoid_mujoco_ros.viewer.server import serve, stop
from humanoid_mujoco_ros.viewer.shapes import Batch

Float64Array = NDArray[np.float64]

_LOST_CLIENT_S = 2.0
"""A browser that holds the robot and does not answer for this long has lost it."""
_READINGS_PERIOD_S = 0.2


class Page:
    """What the browsers see. Every method is called in the node's thread.

    Attributes:
        frames: Number of frames drawn so far.
        faults: Counts what browsers ask for in vain.
    """

    def __init__(
        self,
        config: ViewerConfig,
        spring: SpringConfig,
        posed: PosedModel,
        policies: Sequence[str],
        simulation: SimulationActions,
        policy: PolicyActions,
    ) -> None:
        """Serves the page.

        Args:
            config: Address and frame rate.
            spring: How hard the mouse pulls.
            posed: The robot; the caller keeps it up to date.
            policies: Names of the policies that fit the robot.
            simulation: Carries out what people ask of the simulation.
            policy: Carries out what people ask of the policy.

        Raises:
            ViewError: The address cannot be served on.
        """
        self.frames = 0
        self.faults = Faults()
        self._config = config
        self._posed = posed
        self._inbox = ActionInbox(self.faults)
        self._held = HeldVelocity()
        self._foot_wrenches: dict[str, Wrench] = {}
        self._feet = {side: foot for side, foot, _ in posed.robot.foot_sensors}
        self._arrow: Arrow | None = None
        self._last_frame_s = time.monotonic()
        self._readings_s = 0.0
        self._gate = Gate(config, self.faults.add)
        self._server = serve(config, self._gate, self.faults)
        self._heartbeat = Heartbeat(self._on_alive)
        try:
            self._scene = Scene(self._server, posed.robot)
            operations = Operations(
                simulation, policy, self.push, self._hold, self._held.release, self.let_go
            )
            self._panel = Panel(
                self._server, posed.robot, policies, self._scene, operations, self._inbox
            )
        except BaseException:
            self.close()
            raise
        self._push = MeasuredPush(posed)
        self._drag = MouseDrag(posed, Drag(posed, spring, _LOST_CLIENT_S), self._scene.to_odom)
        for batch, handle in self._scene.batch_handles:
            self._listen_to_mouse(batch, handle)

    @property
    def url(self) -> str:
        """Address for a browser on this machine, without the token."""
        host = "localhost" if self._config.host in ("127.0.0.1", "0.0.0.0") else self._config.host
        return f"http://{host}:{self._config.port}"

    @property
    def secret_links(self) -> tuple[str, ...]:
        """Links with the token, here and elsewhere; none when only this machine can reach it."""
        query = f"?token={self._gate.token}"
        elsewhere = f"http://{socket.gethostname()}:{self._config.port}"
        return () if self._gate.token is None else (f"{self.url}/{query}", f"{elsewhere}/{query}")

    @property
    def client_count(self) -> int:
        """How many browsers show the page."""
        return len(self._server.get_clients())

    def close(self) -> None:
        """Ends the server; the browsers say that they lost it."""
        self._heartbeat.close()
        stop(self._server)

    def on_foot_wrench(self, side: str, wrench: Wrench) -> None:
        """Takes the ground's wrench on the "left" or "right" foot, in the foot's frame."""
        self._foot_wrenches[side] = wrench

    def on_state(self, stamp_ns: int) -> dict[str, Wrench]:
        """Takes the robot's next state, which the posed model has.

        Returns:
            Link → wrench at its origin, in its frame, that acts on it from now.
        """
        wrenches: dict[str, Wrench] = {}
        self._arrow = None
        push = self._push.update(stamp_ns)
        if push is not None:
            self._arrow = push.arrow
            wrenches[push.link] = push.wrench
        link, pull = self._drag.link, self._pull()
        if link is not None and pull is not None:
            self._arrow = Arrow(pull.point_world, pull.force_world)
            other = wrenches.get(link, Wrench(np.zeros(3), np.zeros(3)))
            wrenches[link] = Wrench(
                other.force + pull.wrench.force, other.torque + pull.wrench.torque
            )
        return wrenches

    def draw(self, readings: Callable[[], Readings], efforts: Callable[[], Float64Array]) -> None:
        """Does what people asked for and draws the next frame.

        Args:
            readings: Called a few times a second.
            efforts: Called as often; returns (n,) [N·m] by joint, NaN where not measured.
        """
        self._inbox.run()
        if self._drag.client is None:
            self._heartbeat.watch(None)
        now_s = time.monotonic()
        period_s, self._last_frame_s = now_s - self._last_frame_s, now_s
        if now_s - self._readings_s >= _READINGS_PERIOD_S:
            self._readings_s = now_s
            with self._server.atomic():
                self._panel.show(readings(), efforts(), self._push.outcomes)
        self.frames += 1
        contacts = [
            arrow
            for side, wrench in self._foot_wrenches.items()
            if (arrow := contact_arrow(*self._posed.link_pose(self._feet[side]), wrench))
        ]
        self._scene.show(self._posed, contacts, self._arrow, self._drag.target, period_s)

    def push(self, plan: PushPlan) -> None:
        """Starts a measured push.

        Raises:
            ModelError: There is no such link.
        """
        self._push.start(plan)

    def velocity(self) -> Float64Array | None:
        """What to command now: (3,) vx, vy [m/s], yaw rate [rad/s]; None: nobody drives."""
        return self._held.take(time.monotonic())

    def let_go(self) -> None:
        """Ends whatever the page does to the robot."""
        self._push.cancel()
        self._drag.release()
        self._arrow = None

    def robot_lost(self) -> None:
        """Clears what only a robot that is seen can have."""
        self._foot_wrenches.clear()
        self.let_go()

    def _hold(self, velocity: Float64Array) -> None:
        self._held.hold(velocity, time.monotonic())

    def _pull(self) -> Pull | None:
        try:
            return self._drag.pull(time.monotonic())
        except VectorError as error:  # the robot says that it is beyond all bounds
            self.faults.add(error)
            self._drag.release()
            return None

    def _listen_to_mouse(self, batch: Batch, handle: viser.BatchedMeshHandle) -> None:
        # A coroutine keeps the phases in order, and hands over to the node's thread at once.
        @handle.on_drag("left")
        async def _(event: viser.SceneNodeDragEvent[viser.BatchedMeshHandle]) -> None:
            self._inbox.post(
                (event.client_id, event.phase),
                lambda: self._on_drag(batch, event, time.monotonic()),
            )

    def _on_drag(
        self,
        batch: Batch,
        event: viser.SceneNodeDragEvent[viser.BatchedMeshHandle],
        now_s: float,
    ) -> None:
        client = str(event.client_id)
        match event.phase:
            case "start":
                geom = batch.geom(event.instance_index)
                point, mouse = event.start_position, event.end_position
                self._drag.start(client, geom, point, mouse, now_s)
                self._heartbeat.watch(event.client)
            case "update":
                self._drag.move(client, event.end_position, now_s)
            case "end":
                self._drag.end(client)

    def _on_alive(self, client: viser.ClientHandle) -> None:
        name, now_s = str(client.client_id), time.monotonic()
        self._inbox.post((client.client_id, "alive"), lambda: self._drag.hear(name, now_s))
