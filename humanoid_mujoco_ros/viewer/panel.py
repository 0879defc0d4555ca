# SPDX-License-Identifier: Apache-2.0
"""The panel: figures, plots, and folders with what a person can do."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import viser
from numpy.typing import NDArray

from humanoid_mujoco_ros.interaction.push import PushPlan
from humanoid_mujoco_ros.viewer.actions import PolicyActions, SimulationActions
from humanoid_mujoco_ros.viewer.folders import (
    PolicyFolder,
    PushFolder,
    SimulationFolder,
)
from humanoid_mujoco_ros.viewer.inbox import ActionInbox
from humanoid_mujoco_ros.viewer.markup import health_html, tiles_html
from humanoid_mujoco_ros.viewer.pad import PadFolder
from humanoid_mujoco_ros.viewer.plots import Plots
from humanoid_mujoco_ros.viewer.readings import Readings
from humanoid_mujoco_ros.viewer.robot_view import RobotSource

Float64Array = NDArray[np.float64]

BRAND_COLOR = (38, 110, 214)
_WIDTH_PX = 325
_PLOTS_PERIOD_S = 0.5


@dataclass(frozen=True)
class Operations:
    """What carries out what a person asks for, in the node's thread."""

    simulation: SimulationActions
    policy: PolicyActions
    push: Callable[[PushPlan], None]
    drive: Callable[[Float64Array], None]
    """Takes the velocity of a button of the pad that is held."""
    stop: Callable[[], None]
    """Called when it is released."""
    on_reset: Callable[[], None]
    """Called before a reset of the simulation."""


def arrange(gui: viser.GuiApi, title: str) -> None:
    """Gives the page its colours and its panel a place and a title."""
    gui.configure_theme(
        control_width="medium",
        show_logo=False,
        show_share_button=False,
        brand_color=BRAND_COLOR,
    )
    gui.set_panel_label(title)
    gui.main_panel.dock_right()
    gui.main_panel.set_width(_WIDTH_PX)


class Panel:
    """Builds the part of the panel that is about a robot, and keeps it up to date.

    Every browser shows the same.
    """

    def __init__(
        self,
        gui: viser.GuiApi,
        source: RobotSource,
        operations: Operations,
        plots: Plots,
        inbox: ActionInbox,
    ) -> None:
        """Adds everything to the page's GUI.

        Args:
            gui: Of the page.
            source: The robot. One of several has a folder of its own.
            operations: Carry out what a person asks for.
            plots: Of the page.
            inbox: Takes it to the node's thread.
        """
        self._plots = plots
        self._plots_s = 0.0
        self._folder = gui.add_folder(source.name) if source.name else None
        robot = source.posed.robot
        with self._folder or contextlib.nullcontext():
            self._health = gui.add_html("")
            self._tiles = gui.add_html("")
            # The folders from top to bottom.
            self._simulation = SimulationFolder(
                gui, operations.simulation, inbox, operations.on_reset
            )
            self._policy = PolicyFolder(gui, source.policies, operations.policy, inbox)
            self._pad = PadFolder(gui, operations.drive, operations.stop, inbox)
            self._push = PushFolder(gui, robot, operations.push, inbox)
        self._show_readings(Readings())

    @property
    def is_visible(self) -> bool:
        """Whether it is shown, among those of several robots."""
        return self._folder is None or bool(self._folder.visible)

    @is_visible.setter
    def is_visible(self, value: bool) -> None:
        if self._folder is not None:
            self._folder.visible = value

    def show(self, readings: Readings, efforts: Float64Array, outcomes: Sequence[str]) -> None:
        """Shows the state of the graph.

        Args:
            readings: Numbers, and what is wrong.
            efforts: (n,) [N·m] by joint; NaN where not measured.
            outcomes: What came of the last pushes.
        """
        self._show_readings(readings)
        self._push.show_outcomes(outcomes)
        self._plots.show_joints(efforts)
        now_s = time.monotonic()
        self._plots.add(now_s, readings)
        if now_s - self._plots_s >= _PLOTS_PERIOD_S:
            self._plots_s = now_s
            self._plots.draw()

    def _show_readings(self, readings: Readings) -> None:
        self._health.content = health_html(readings)
        self._tiles.content = tiles_html(readings)
        for folder in (self._simulation, self._policy, self._pad, self._push):
            folder.show(readings)
