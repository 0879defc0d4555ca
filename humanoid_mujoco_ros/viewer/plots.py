# SPDX-License-Identifier: Apache-2.0
"""The figures over time, and the efforts of the joints."""

from __future__ import annotations

import numpy as np
import viser
from numpy.typing import NDArray
from viser import Icon, uplot

from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.viewer.history import History
from humanoid_mujoco_ros.viewer.markup import joints_html
from humanoid_mujoco_ros.viewer.readings import Readings

Float64Array = NDArray[np.float64]

_WINDOW_S = 30.0
_SAMPLES = 150
_HEIGHT_PX = 92
_WIDTH_PX = 250
_PLOTS = (
    ("Body height (m)", "body_height_m", "#266ed6", (0.0, 1.6)),
    ("Forward speed (m/s)", "forward_speed_m_s", "#e8702a", (-0.5, 2.0)),
    ("Control rate (Hz)", "control_rate_hz", "#1f9d55", (0.0, 110.0)),
    ("Observation → command (ms)", "latency_ms", "#8a4fd0", (0.0, 5.0)),
    ("Real-time factor", "real_time_factor", "#00838f", (0.0, 1.2)),
)
"""Title, field of Readings, colour, and the smallest range of each plot."""


class Plots:
    """A panel of its own on the left."""

    def __init__(self, gui: viser.GuiApi, robot: RobotModel) -> None:
        """Adds the panel."""
        panel = gui.add_panel()
        with panel.add_tab("Plots", Icon.CHART_LINE):
            self._plots = [
                (field, _add_plot(gui, title, color, span)) for title, field, color, span in _PLOTS
            ]
        with panel.add_tab("Joint efforts", Icon.ACTIVITY):
            self._joints = gui.add_html("")
        panel.dock_left()
        panel.set_width(_WIDTH_PX)
        self.choose(robot)

    def choose(self, robot: RobotModel) -> None:
        """Begins again with a robot, whose figures and efforts come from now on."""
        self._robot = robot
        self._history = History(tuple(field for _, field, _, _ in _PLOTS), _WINDOW_S, _SAMPLES)
        self.show_joints(np.full(len(robot.joints), np.nan))

    def add(self, now_s: float, readings: Readings) -> None:
        """Keeps a sample of each figure; `now_s` is the steady clock's time."""
        values = {field: getattr(readings, field) for _, field, _, _ in _PLOTS}
        self._history.add(now_s, values)

    def draw(self) -> None:
        """Redraws the plots."""
        for field, plot in self._plots:
            plot.data = self._history.series(field)

    def show_joints(self, efforts: Float64Array) -> None:
        """Shows the efforts (n,) [N·m] of the joints; NaN: not measured."""
        self._joints.content = joints_html(self._robot.joints, efforts, self._robot.effort_limits)


def _axis(size_px: int) -> uplot.Axis:
    grid = uplot.Axis_Grid(stroke="rgba(128, 138, 150, 0.25)", width=1)
    ticks = uplot.Axis_Ticks(show=False)
    return uplot.Axis(size=size_px, font="10px sans-serif", grid=grid, ticks=ticks)


def _add_plot(
    gui: viser.GuiApi, title: str, color: str, span: tuple[float, float]
) -> viser.GuiUplotHandle:
    points = uplot.Series_Points(show=False)
    return gui.add_uplot(
        data=(np.empty(0), np.empty(0)),
        series=(
            uplot.Series(label="s"),
            uplot.Series(label=title, stroke=color, width=1.6, points=points),
        ),
        title=title,
        scales={
            "x": uplot.Scale(time=False, range=(-_WINDOW_S, 0.0)),
            "y": uplot.Scale(
                range={
                    "min": {"pad": 0.05, "soft": span[0], "mode": 1},
                    "max": {"pad": 0.05, "soft": span[1], "mode": 1},
                }
            ),
        },
        axes=(_axis(26), _axis(38)),
        legend=uplot.Legend(show=False),
        cursor=uplot.Cursor(show=False),
        height=_HEIGHT_PX,
        padding=(4, 12, 0, 0),
    )
