# SPDX-License-Identifier: Apache-2.0
"""The page as a whole: serves it, draws it, and turns what people do on it into wrenches."""

from __future__ import annotations

import contextlib
import io
import queue
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import viser
from numpy.typing import NDArray

from humanoid_mujoco_ros.interaction.drag import Drag
from humanoid_mujoco_ros.interaction.spring import SpringConfig
from humanoid_mujoco_ros.policy import locate as policy_source
from humanoid_mujoco_ros.robot.posed_model import PosedModel
from humanoid_mujoco_ros.robot.state import Wrench
from humanoid_mujoco_ros.viewer.arrows import Arrow, contact_arrow
from humanoid_mujoco_ros.viewer.history import History
from humanoid_mujoco_ros.viewer.mouse_drag import MouseDrag
from humanoid_mujoco_ros.viewer.panel import HISTORY_NAMES, Actions, Figures, Panel
from humanoid_mujoco_ros.viewer.push import Push, PushPlan
from humanoid_mujoco_ros.viewer.scene import Scene
from humanoid_mujoco_ros.viewer.shapes import Batch
from humanoid_mujoco_ros.viewer.status import Problem

Float64Array = NDArray[np.float64]

_PING_PERIOD_S = 0.4
_PING_TIMEOUT_S = 1.0
_LOST_CLIENT_S = 2.0
"""A browser that holds the robot and does not answer for so long has lost it."""
_FIGURES_PERIOD_S = 0.2
_PLOTS_PERIOD_S = 0.5
_HISTORY_S = 30.0


class ViewError(ValueError):
    """The page cannot be served; the message says why."""


@dataclass(frozen=True)
class ViewerConfig:
    """The browser view."""

    host: str = "127.0.0.1"
    """Address to serve on; 0.0.0.0 lets other machines in, who can then push the robot."""
    port: int = 8080
    """Port of the page."""
    frame_rate_hz: float = 30.0
    """Frames per second that the browsers get, 1 to 60."""

    def __post_init__(self) -> None:
        """Checks the ranges.

        Raises:
            ValueError: A value is out of its range.
        """
        if not 1 <= self.frame_rate_hz <= 60:
            raise ValueError(f"frame_rate_hz must be within 1 and 60, not {self.frame_rate_hz}")
        if not 1 <= self.port <= 65535:
            raise ValueError(f"port must be within 1 and 65535, not {self.port}")


class _Server(viser.ViserServer):
    """viser's server without its tunnel: nobody shares a robot with the internet by a click."""

    def request_share_url(self, verbose: bool = True) -> str | None:
        return None


class View:
    """What the browsers see. Every method is called in the node's thread.

    Attributes:
        frames: How many were drawn.
    """

    def __init__(
        self, config: ViewerConfig, spring: SpringConfig, posed: PosedModel, actions: Actions
    ) -> None:
        """Serves the page.

        Args:
            config: Address and frame rate.
            spring: How hard the mouse pulls.
            posed: The robot; the caller keeps it up to date.
            actions: Carries out what the panel asks for.

        Raises:
            ViewError: The address cannot be served on.
        """
        self.frames = 0
        self._config = config
        self._posed = posed
        self._actions = actions
        self._posted: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._foot_wrenches: dict[str, Wrench] = {}
        self._feet = {side: foot for side, foot, _ in posed.robot.foot_sensors}
        self._arrow: Arrow | None = None
        self._last_frame_s = time.monotonic()
        self._figures_s = 0.0
        self._plots_s = 0.0
        self._history = History(HISTORY_NAMES, _HISTORY_S, round(_HISTORY_S / _FIGURES_PERIOD_S))
        self._server = serve(config)
        try:
            self._scene = Scene(self._server, posed.robot)
            self._panel = Panel(
                self._server,
                posed.robot,
                list(policy_source.shipped_policies()),
                _PanelActions(self, actions),
                self._scene.follow,
                self._scene.options,
                self.post,
            )
        except BaseException:
            self.close()
            raise
        self._push = Push(posed)
        self._drag = MouseDrag(posed, Drag(posed, spring, _LOST_CLIENT_S), self._scene.to_odom)
        for batch, handle in self._scene.batch_handles:
            self._listen_to_mouse(batch, handle)

    @property
    def url(self) -> str:
        """Where the page is, for a browser on this machine."""
        host = "localhost" if self._config.host in ("127.0.0.1", "0.0.0.0") else self._config.host
        return f"http://{host}:{self._config.port}"

    @property
    def client_count(self) -> int:
        """How many browsers show the page."""
        return len(self._server.get_clients())

    @property
    def panel(self) -> Panel:
        """The panel, to say how an action went."""
        return self._panel

    def close(self) -> None:
        """Ends the server; the browsers say that they lost it."""
        with contextlib.redirect_stdout(io.StringIO()):
            self._server.stop()

    def post(self, action: Callable[[], None]) -> None:
        """Has `action` called with the next frame; may be called from any thread."""
        self._posted.put(action)

    def on_foot_wrench(self, side: str, wrench: Wrench) -> None:
        """Takes the ground's wrench on the "left" or "right" foot, in the foot's frame."""
        self._foot_wrenches[side] = wrench

    def on_state(self, stamp_ns: int) -> dict[str, Wrench]:
        """Takes the robot's next state, which the posed model has.

        Returns:
            Link → wrench at its origin, in its frame, that acts on it from now.
        """
        wrenches: dict[str, Wrench] = {}
        self._arrow = self._push.update(stamp_ns)
        if self._arrow is not None:
            wrenches[self._push.link] = self._push.wrench()
        link = self._drag.link
        pull = self._drag.pull(time.monotonic())
        if pull is not None:
            self._arrow = Arrow(pull.point_world, pull.force_world)
            pushed = wrenches.get(link, Wrench(np.zeros(3), np.zeros(3)))
            wrenches[link] = Wrench(
                pushed.force + pull.wrench.force, pushed.torque + pull.wrench.torque
            )
        return wrenches

    def draw(
        self,
        figures: Callable[[], tuple[Figures, list[Problem]]],
        efforts: Callable[[], Float64Array],
    ) -> None:
        """Does what people asked for and draws the next frame.

        Args:
            figures: Asked for a few times a second.
            efforts: (n,) [N·m] by joint, NaN where not measured; asked for likewise.
        """
        while True:
            try:
                action = self._posted.get_nowait()
            except queue.Empty:
                break
            action()
        now_s = time.monotonic()
        period_s, self._last_frame_s = now_s - self._last_frame_s, now_s
        if now_s - self._figures_s >= _FIGURES_PERIOD_S:
            self._figures_s = now_s
            self._show_figures(*figures(), efforts())
        self.frames += 1
        contacts = [
            arrow
            for side, wrench in self._foot_wrenches.items()
            if (arrow := contact_arrow(*self._posed.link_pose(self._feet[side]), wrench))
        ]
        self._scene.show(self._posed, contacts, self._arrow, self._drag.target, period_s)

    def push(self, plan: PushPlan) -> None:
        """Starts a measured push."""
        self._push.start(plan)

    def let_go(self) -> None:
        """Ends whatever the page does to the robot."""
        self._push.cancel()
        self._drag.release()
        self._arrow = None

    def robot_lost(self) -> None:
        """Clears what only a robot that is seen can have."""
        self._foot_wrenches.clear()
        self.let_go()

    def _show_figures(
        self, figures: Figures, problems: list[Problem], efforts: Float64Array
    ) -> None:
        now_s = time.monotonic()
        self._history.add(
            now_s,
            {
                "body height": figures.body_height_m,
                "forward speed": figures.forward_speed_m_s,
                "control rate": figures.control_rate_hz,
                "latency": figures.latency_ms,
                "real-time factor": figures.real_time_factor,
            },
        )
        with self._server.atomic():
            self._panel.show_figures(figures, problems)
            self._panel.show_joints(efforts)
            self._panel.show_pushes(self._push.outcomes)
            if now_s - self._plots_s >= _PLOTS_PERIOD_S:
                self._plots_s = now_s
                self._panel.show_plots(self._history)

    def _listen_to_mouse(self, batch: Batch, handle: viser.BatchedMeshHandle) -> None:
        # A coroutine keeps the phases in order, and hands over to the node's thread at once.
        @handle.on_drag("left")
        async def _(event: viser.SceneNodeDragEvent[viser.BatchedMeshHandle]) -> None:
            client = str(event.client_id)
            now_s = time.monotonic()
            if event.phase == "start" and event.instance_index is not None:
                geom = int(batch.geoms[event.instance_index])
                point, mouse = event.start_position, event.end_position
                self.post(lambda: self._drag.start(client, geom, point, mouse, now_s))
                threading.Thread(target=self._ping, args=(event.client,), daemon=True).start()
            elif event.phase == "update":
                self.post(lambda: self._drag.move(client, event.end_position, now_s))
            elif event.phase == "end":
                self.post(lambda: self._drag.end(client))

    def _ping(self, client: viser.ClientHandle) -> None:
        """Asks a browser for a sign of life as long as it holds the robot.

        It says nothing by itself while the mouse is still, and a page that hangs keeps its
        connection.
        """
        name = str(client.client_id)
        give_up_s = time.monotonic() + _LOST_CLIENT_S
        while self._drag.client == name or time.monotonic() < give_up_s:
            try:
                client.local_storage.get_item("alive", timeout=_PING_TIMEOUT_S)
            except (RuntimeError, TimeoutError):
                if self._drag.client != name:
                    return
                continue
            now_s = time.monotonic()
            self.post(lambda now_s=now_s: self._drag.hear(name, now_s))  # type: ignore[misc]
            time.sleep(_PING_PERIOD_S)


class _PanelActions:
    """The node's actions, and those that the view does itself."""

    def __init__(self, view: View, actions: Actions) -> None:
        self._view = view
        self._actions = actions
        self.load_policy = actions.load_policy
        self.start_policy = actions.start_policy
        self.stop_policy = actions.stop_policy
        self.pause = actions.pause
        self.step = actions.step
        self.set_speed = actions.set_speed

    def reset(self) -> None:
        self._view.let_go()
        self._actions.reset()

    def push(self, plan: PushPlan) -> None:
        self._view.push(plan)


def serve(config: ViewerConfig) -> viser.ViserServer:
    """Starts the server of the page.

    Raises:
        ViewError: The address is taken, or is not this machine's.
    """
    # viser would silently take the next free port.
    address = f"{config.host}:{config.port}"
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((config.host, config.port))
            # Another server may share the address without both listening; then this fails.
            probe.listen()
        except OSError as error:
            raise ViewError(
                f"the browser view cannot use {address}: {error.strerror or error}; "
                "choose another one with the parameter port"
            ) from error
    # viser prints a banner of its own.
    with contextlib.redirect_stdout(io.StringIO()):
        server = _Server(host=config.host, port=config.port, verbose=False)
    if server.get_port() != config.port:
        server.stop()
        raise ViewError(f"the browser view cannot use {address}: it was taken this moment")
    return server
