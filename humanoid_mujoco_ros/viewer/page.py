# SPDX-License-Identifier: Apache-2.0
"""The page as a whole: serves it, draws it, and turns what people do on it into wrenches."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence

import viser

from humanoid_mujoco_ros.viewer.config import ViewerConfig
from humanoid_mujoco_ros.viewer.folders import RobotChoice, ViewFolder
from humanoid_mujoco_ros.viewer.gate import Gate
from humanoid_mujoco_ros.viewer.heartbeat import Heartbeat
from humanoid_mujoco_ros.viewer.inbox import ActionInbox, Faults
from humanoid_mujoco_ros.viewer.markup import score_html
from humanoid_mujoco_ros.viewer.panel import Operations, Panel, arrange
from humanoid_mujoco_ros.viewer.plots import Plots
from humanoid_mujoco_ros.viewer.robot_view import RobotSource, RobotView
from humanoid_mujoco_ros.viewer.scene import Scene
from humanoid_mujoco_ros.viewer.server import serve, stop

_READINGS_PERIOD_S = 0.2


class Page:
    """What the browsers see. Every method is called in the node's thread.

    Attributes:
        robots: What people see of each robot and do to it.
        frames: Number of frames drawn so far.
        faults: Counts what browsers ask for in vain.
    """

    def __init__(self, config: ViewerConfig, sources: Sequence[RobotSource]) -> None:
        """Serves the page.

        Args:
            config: Address and frame rate.
            sources: The robots. The panel is that of the first until a person chooses another.

        Raises:
            ViewError: The address cannot be served on.
        """
        self.frames = 0
        self.faults = Faults()
        self._config = config
        self._inbox = ActionInbox(self.faults)
        self._last_frame_s = time.monotonic()
        self._readings_s = 0.0
        self._gate = Gate(config, self.faults.add)
        self._server = serve(config, self._gate, self.faults)
        self._heartbeat = Heartbeat(self._on_alive)
        try:
            self._build(sources)
        except BaseException:
            self.close()
            raise

    def _build(self, sources: Sequence[RobotSource]) -> None:
        gui = self._server.gui
        robots = {source.posed.robot.card.name for source in sources}
        arrange(gui, ", ".join(sorted(robots)).replace("_", " ").capitalize())
        self._scene = Scene(self._server)
        self.robots = [self._add_robot(number, source) for number, source in enumerate(sources)]
        self._score = gui.add_html("", visible=False)
        self._shown_score: str | None = None
        self._choice: RobotChoice | None = None
        if len(sources) > 1:
            names = [source.name for source in sources]
            self._choice = RobotChoice(gui, names, self._inbox, self._choose)
        self._plots = Plots(gui, sources[0].posed.robot)
        self._panels = [self._add_panel(view) for view in self.robots]
        ViewFolder(gui, self._scene.follow, self._scene.options)
        self._chosen = 0
        self._show_chosen()
        self._followed = self.chosen

    def _add_robot(self, number: int, source: RobotSource) -> RobotView:
        def on_grab(client: viser.ClientHandle) -> None:
            self._heartbeat.watch(client)
            self._choose(number)

        return RobotView(self._scene, source, self._inbox, self.faults, on_grab)

    def _add_panel(self, view: RobotView) -> Panel:
        source = view.source
        operations = Operations(
            source.simulation, source.policy, view.push, view.hold, view.release, view.let_go
        )
        return Panel(self._server.gui, source, operations, self._plots, self._inbox)

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

    @property
    def chosen(self) -> RobotView:
        """The robot that the panel is about."""
        return self.robots[self._chosen]

    def draw(self) -> None:
        """Does what people asked for and draws the next frame."""
        self._inbox.run()
        if not any(view.is_held for view in self.robots):
            self._heartbeat.watch(None)
            # Not before: the scene must not move away under the mouse.
            self._followed = self.chosen
        now_s = time.monotonic()
        period_s, self._last_frame_s = now_s - self._last_frame_s, now_s
        chosen = self.chosen
        if now_s - self._readings_s >= _READINGS_PERIOD_S:
            self._readings_s = now_s
            source = chosen.source
            with self._server.atomic():
                self._panels[self._chosen].show(
                    source.readings(), source.efforts(), chosen.outcomes
                )
        self.frames += 1
        with self._server.atomic():
            self._scene.follow_robot(self._followed.position, period_s)
            for view in self.robots:
                view.draw()

    def show_score(self, score: str | None) -> None:
        """Shows the score of a bout above all else; None: there is none."""
        if score != self._shown_score:
            self._shown_score = score
            self._score.visible = score is not None
            self._score.content = score_html(score)

    def _choose(self, number: int) -> None:
        """Shows the panel of a robot, and follows it."""
        if number != self._chosen:
            self._chosen = number
            self._plots.choose(self.chosen.source.posed.robot)
            self._show_chosen()

    def _show_chosen(self) -> None:
        for number, panel in enumerate(self._panels):
            panel.is_visible = number == self._chosen
        if self._choice is not None:
            self._choice.show(self._chosen)

    def _on_alive(self, client: viser.ClientHandle) -> None:
        name, now_s = str(client.client_id), time.monotonic()

        def hear() -> None:
            for view in self.robots:
                view.hear(name, now_s)

        self._inbox.post((client.client_id, "alive"), hear)
