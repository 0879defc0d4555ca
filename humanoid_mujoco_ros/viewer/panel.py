# SPDX-License-Identifier: Apache-2.0
"""The panel: figures, plots, and what a person can do."""

from __future__ import annotations

import html
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import viser
from numpy.typing import NDArray
from viser import Icon, uplot

from humanoid_mujoco_ros.robot.model import BASE_LINK, RobotModel
from humanoid_mujoco_ros.viewer.history import History
from humanoid_mujoco_ros.viewer.motion import FollowPoint
from humanoid_mujoco_ros.viewer.push import DIRECTIONS, PushPlan
from humanoid_mujoco_ros.viewer.scene import SceneOptions
from humanoid_mujoco_ros.viewer.status import ERROR, Problem

Float64Array = NDArray[np.float64]

BRAND_COLOR = (38, 110, 214)
_RUNNING_BUTTONS = ("Pause", "Reset")
_PAUSED_BUTTONS = ("Resume", "Step", "Reset")
OTHER_POLICY = "file or hf://…"
_GOOD, _WARN, _BAD = "#1f9d55", "#d98200", "#d32f3f"
_PLOT_HEIGHT_PX = 92
_WINDOW_S = 30.0
_SLOWEST, _FASTEST = 0.1, 2.0
_ECHO_S = 2.5
"""So long after a person moved the slider, the simulation may still tell the speed before."""

HISTORY_NAMES = (
    "body height",
    "forward speed",
    "control rate",
    "latency",
    "real-time factor",
)


class Actions(Protocol):
    """What the panel asks for; called in the order of the clicks, in the node's thread."""

    def load_policy(self, name: str) -> None:
        """Loads a policy and starts it."""

    def start_policy(self) -> None:
        """Lets the policy command the robot."""

    def stop_policy(self) -> None:
        """Takes the joints' effort away."""

    def pause(self, paused: bool) -> None:
        """Stops or resumes simulated time."""

    def step(self) -> None:
        """Advances one control period."""

    def reset(self) -> None:
        """Starts a new episode."""

    def set_speed(self, factor: float) -> None:
        """Lets so many simulated seconds pass in a second."""

    def push(self, plan: PushPlan) -> None:
        """Pushes the robot."""


@dataclass(frozen=True)
class Figures:
    """What the panel shows; NaN and None where it is not known."""

    body_height_m: float = math.nan
    forward_speed_m_s: float = math.nan
    step_count: float = math.nan
    episode_return: float = math.nan
    control_rate_hz: float = math.nan
    latency_ms: float = math.nan
    """From the observation to its command, median of the last second."""
    real_time_factor: float = math.nan
    real_time_factor_target: float = math.nan
    """What the simulation aims at; it has no such aim in lockstep."""
    time_s: float = math.nan
    """The robot's."""
    policy: str = ""
    """Name of the policy that is loaded."""
    is_policy_active: bool | None = None
    """None: there is no policy_node."""
    is_paused: bool | None = None
    """None: there is no simulation."""
    is_pushable: bool = False
    """Whether anyone listens to external_wrench."""


class Panel:
    """Builds the panel and keeps it up to date; every browser shows the same."""

    def __init__(
        self,
        server: viser.ViserServer,
        robot: RobotModel,
        policies: Sequence[str],
        actions: Actions,
        follow: FollowPoint,
        options: SceneOptions,
        post: Callable[[Callable[[], None]], None],
    ) -> None:
        """Adds everything to the server's GUI.

        Args:
            server: Of the page.
            robot: Its joints and links.
            policies: Names of the shipped policies.
            actions: Carries out what is asked.
            follow: Switched by a box.
            options: Switched by boxes.
            post: Has a function called in the node's thread.
        """
        self._gui = server.gui
        self._robot = robot
        self._actions = actions
        self._post = post
        self._gui.configure_theme(
            control_width="medium",
            show_logo=False,
            show_share_button=False,
            brand_color=BRAND_COLOR,
        )
        self._gui.set_panel_label("Humanoid")
        self._health = self._gui.add_html("")
        self._tiles = self._gui.add_html("")
        self._policies = policies
        self._is_policy_shown = False
        self._speed_chosen_s = -math.inf
        self._simulation_folder = self._gui.add_folder("Simulation", visible=False)
        self._build_simulation()
        self._policy_folder = self._gui.add_folder("Policy", visible=False)
        self._build_policy()
        self._build_push()
        self._build_view(follow, options)
        self._build_plots()
        self.show_figures(Figures(), [])
        self.show_joints(np.full(len(robot.joints), math.nan))

    # What the node shows.

    def show_figures(self, figures: Figures, problems: Sequence[Problem]) -> None:
        """Shows numbers, what is wrong, and which buttons make sense now."""
        self._health.content = _health_html(figures, problems)
        self._tiles.content = _tiles_html(figures)
        self._simulation_folder.visible = figures.is_paused is not None
        self._show_speed(figures.real_time_factor_target)
        self._time.options = _PAUSED_BUTTONS if figures.is_paused else _RUNNING_BUTTONS
        self._policy_folder.visible = figures.is_policy_active is not None
        self._start.visible = not figures.is_policy_active
        self._stop.visible = bool(figures.is_policy_active)
        self._push.disabled = not figures.is_pushable
        if figures.policy in self._policies and not self._is_policy_shown:
            self._is_policy_shown = True
            self._choice.value = figures.policy  # type: ignore[misc]

    def show_plots(self, history: History) -> None:
        """Redraws the plots."""
        for names, plot in self._plots:
            plot.data = history.series(*names)

    def show_joints(self, efforts: Float64Array) -> None:
        """Shows the efforts (n,) [N·m] of the joints; NaN: not measured."""
        self._joints.content = _joints_html(self._robot.joints, efforts, self._robot.effort_limits)

    def show_policy_note(self, text: str, is_error: bool = False) -> None:
        """Says how loading, starting or stopping a policy goes."""
        self._policy_note.content = _note_html(text, _BAD if is_error else "inherit")

    def show_simulation_note(self, text: str) -> None:
        """Says why the simulation refused something; empty when it did not."""
        self._simulation_note.content = _note_html(text, _BAD)

    def show_pushes(self, outcomes: Sequence[str]) -> None:
        """Lists the pushes, the latest first."""
        self._push_log.content = "".join(_note_html(text, "inherit") for text in reversed(outcomes))

    def _show_speed(self, target: float) -> None:
        self._speed.visible = math.isfinite(target)
        if self._speed.visible and time.monotonic() - self._speed_chosen_s > _ECHO_S:
            self._speed.value = min(max(target, _SLOWEST), _FASTEST)  # type: ignore[misc]

    def _choose_speed(self, factor: float) -> None:
        if factor == self._speed.value:  # else the slider has been moved on
            self._speed_chosen_s = time.monotonic()
            self._actions.set_speed(factor)

    # How it is built.

    def _build_simulation(self) -> None:
        with self._simulation_folder:
            self._time = self._gui.add_button_group(
                "Time",
                _PAUSED_BUTTONS,
                hint="Step: one control period. Reset: stand the robot up at the origin.",
            )
            self._speed = self._gui.add_slider(
                "Speed",
                min=_SLOWEST,
                max=_FASTEST,
                step=0.05,
                initial_value=1.0,
                visible=False,
                hint="Simulated seconds per second; 1 is real time",
            )
            self._simulation_note = self._gui.add_html("")
        actions = {
            "Pause": lambda: self._actions.pause(True),
            "Resume": lambda: self._actions.pause(False),
            "Step": self._actions.step,
            "Reset": self._actions.reset,
        }

        @self._time.on_click
        async def _(event: viser.GuiEvent[viser.GuiButtonGroupHandle]) -> None:
            self._post(actions[event.target.value])

        @self._speed.on_update
        async def _(event: viser.GuiEvent[viser.GuiSliderHandle[float]]) -> None:
            factor = float(event.target.value)  # the browser has integers too
            if event.client_id is not None:  # a person has moved it
                self._post(lambda: self._choose_speed(factor))

    def _build_policy(self) -> None:
        with self._policy_folder:
            self._start = self._gui.add_button("Start policy", icon=Icon.PLAYER_PLAY, color="green")
            self._stop = self._gui.add_button(
                "Stop policy",
                icon=Icon.PLAYER_STOP,
                color="red",
                hint="The joints lose their effort and the robot falls",
            )
            self._choice = choice = self._gui.add_dropdown(
                "Policy", (*self._policies, OTHER_POLICY)
            )
            address = self._gui.add_text(
                "Address",
                "",
                visible=not self._policies,
                hint="A checkpoint file on the machine of policy_node, or hf://owner/repo",
            )
            self._load = self._gui.add_button("Load", icon=Icon.UPLOAD)
            self._policy_note = self._gui.add_html("")

        @choice.on_update
        def _(_: object) -> None:
            address.visible = choice.value == OTHER_POLICY

        def load() -> None:
            name = address.value.strip() if choice.value == OTHER_POLICY else choice.value
            if name:
                self._actions.load_policy(name)
            else:
                self.show_policy_note("type a file or hf://owner/repo above", is_error=True)

        self._on_click(self._start, self._actions.start_policy)
        self._on_click(self._stop, self._actions.stop_policy)
        self._on_click(self._load, load)

    def _build_push(self) -> None:
        links = (BASE_LINK, *self._robot.bodies[1:])
        with self._gui.add_folder("Push"):
            direction = self._gui.add_dropdown(
                "Direction", tuple(DIRECTIONS), initial_value="left", hint="As the robot sees it"
            )
            force = self._gui.add_slider("Force (N)", min=10, max=600, step=10, initial_value=150)
            duration = self._gui.add_slider(
                "Time (s)", min=0.05, max=2.0, step=0.05, initial_value=0.2
            )
            link = self._gui.add_dropdown(
                "Link", links, hint="Pushed at its centre of mass; base_link is the torso"
            )
            self._push = self._gui.add_button("Push", icon=Icon.HAND_FINGER)
            self._push_log = self._gui.add_html("")
        self._on_click(
            self._push,
            lambda: self._actions.push(
                PushPlan(direction.value, float(force.value), float(duration.value), link.value)
            ),
        )

    def _build_view(self, follow: FollowPoint, options: SceneOptions) -> None:
        with self._gui.add_folder("View"):
            follows = self._gui.add_checkbox(
                "Follow", follow.is_on, hint="Keep the robot in the middle"
            )
            contacts = self._gui.add_checkbox("Ground forces", options.contacts)
            trail = self._gui.add_checkbox("Trail", options.trail)
            self._gui.add_html(
                _note_html(
                    "Drag a body part with the left mouse button to pull it. Elsewhere: left turns "
                    "the view, right moves it, the wheel zooms.",
                    "inherit",
                )
            )

        @follows.on_update
        def _(_: object) -> None:
            follow.is_on = follows.value

        @contacts.on_update
        def _(_: object) -> None:
            options.contacts = contacts.value

        @trail.on_update
        def _(_: object) -> None:
            options.trail = trail.value

    def _build_plots(self) -> None:
        panel = self._gui.add_panel()
        self._plots = []
        with panel.add_tab("Plots", Icon.CHART_LINE):
            for title, name, color, smallest_span in (
                ("Body height (m)", "body height", "#266ed6", (0.0, 1.6)),
                ("Forward speed (m/s)", "forward speed", "#e8702a", (-0.5, 2.0)),
                ("Control rate (Hz)", "control rate", "#1f9d55", (0.0, 110.0)),
                ("Observation → command (ms)", "latency", "#8a4fd0", (0.0, 5.0)),
                ("Real-time factor", "real-time factor", "#00838f", (0.0, 1.2)),
            ):
                self._plots.append(((name,), self._add_plot(title, color, smallest_span)))
        with panel.add_tab("Joint efforts", Icon.ACTIVITY):
            self._joints = self._gui.add_html("")
        panel.dock_left()
        panel.set_width(250)
        self._gui.main_panel.dock_right()
        self._gui.main_panel.set_width(325)

    def _add_plot(self, title: str, color: str, span: tuple[float, float]) -> viser.GuiUplotHandle:
        def axis(size_px: int) -> uplot.Axis:
            grid = uplot.Axis_Grid(stroke="rgba(128, 138, 150, 0.25)", width=1)
            ticks = uplot.Axis_Ticks(show=False)
            return uplot.Axis(size=size_px, font="10px sans-serif", grid=grid, ticks=ticks)

        return self._gui.add_uplot(
            data=(np.empty(0), np.empty(0)),
            series=(
                uplot.Series(label="s"),
                uplot.Series(
                    label=title, stroke=color, width=1.6, points=uplot.Series_Points(show=False)
                ),
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
            axes=(axis(26), axis(38)),
            legend=uplot.Legend(show=False),
            cursor=uplot.Cursor(show=False),
            height=_PLOT_HEIGHT_PX,
            padding=(4, 12, 0, 0),
        )

    def _on_click(self, button: viser.GuiButtonHandle, action: Callable[[], None]) -> None:
        @button.on_click
        async def _(_: object) -> None:
            self._post(action)


def number(value: float, template: str) -> str:
    """A figure as text; a dash when it is not known."""
    return template.format(value) if math.isfinite(value) else "–"


def _tiles_html(figures: Figures) -> str:
    tiles = (
        ("Height", number(figures.body_height_m, "{:.2f}"), "m"),
        ("Forward", number(figures.forward_speed_m_s, "{:.2f}"), "m/s"),
        ("Steps", number(figures.step_count, "{:.0f}"), ""),
        ("Return", number(figures.episode_return, "{:.0f}"), ""),
        ("Control", number(figures.control_rate_hz, "{:.1f}"), "Hz"),
        ("Latency", number(figures.latency_ms, "{:.1f}"), "ms"),
        ("Real time", number(figures.real_time_factor, "{:.2f}"), "×"),
        ("Time", number(figures.time_s, "{:.1f}"), "s"),
    )
    cells = "".join(
        f'<div data-figure="{label}" style="background:rgba(128,140,155,.12);border-radius:6px;'
        'padding:.25em .5em;min-width:0">'
        f'<div style="font-size:.68em;opacity:.65">{label}</div>'
        f'<div style="font-size:1.05em;font-weight:600;font-variant-numeric:tabular-nums;'
        f'white-space:nowrap">{value}<span style="font-size:.65em;font-weight:400;opacity:.65">'
        f" {unit}</span></div></div>"
        for label, value, unit in tiles
    )
    return (
        '<div style="display:grid;grid-template-columns:repeat(4,minmax(0,1fr));gap:.3em;'
        f'margin:0 .6em .6em">{cells}</div>'
    )


def _health_html(figures: Figures, problems: Sequence[Problem]) -> str:
    lines = "".join(
        _banner(_BAD if problem.level == ERROR else _WARN, problem.text) for problem in problems[:4]
    )
    if figures.is_paused:
        lines += _banner(_WARN, "paused")
    elif figures.is_policy_active:
        lines += _banner(_GOOD, f"policy '{figures.policy}' is in control")
    elif not problems:
        lines = _banner(_GOOD, "robot seen")
    return f'<div data-health="" style="margin:.2em .6em .5em">{lines}</div>'


def _banner(color: str, text: str) -> str:
    return (
        f'<div style="border-left:4px solid {color};background:{color}1c;border-radius:4px;'
        f'padding:.3em .6em;margin-bottom:.25em;font-size:.82em">{html.escape(text)}</div>'
    )


def _note_html(text: str, color: str) -> str:
    if not text:
        return ""
    return (
        f'<div style="font-size:.76em;line-height:1.35;margin:.1em .9em .3em;color:{color};'
        f'opacity:.85">{html.escape(text)}</div>'
    )


def _joints_html(joints: Sequence[str], efforts: Float64Array, limits: Float64Array) -> str:
    rows = []
    for joint, effort, limit in zip(joints, efforts, limits, strict=True):
        fraction = float(np.clip(effort / limit, -1.0, 1.0)) if math.isfinite(effort) else 0.0
        left, width = 50 + 50 * min(fraction, 0.0), 50 * abs(fraction)
        color = _BAD if abs(fraction) > 0.98 else "#266ed6"
        rows.append(
            '<div style="width:38%;overflow:hidden;text-overflow:ellipsis">'
            f"{html.escape(joint)}</div>"
            '<div style="flex:1;position:relative;height:9px;background:rgba(128,140,155,.16);'
            'border-radius:3px"><div style="position:absolute;left:50%;width:1px;height:100%;'
            'background:rgba(128,140,155,.6)"></div>'
            f'<div style="position:absolute;left:{left:.1f}%;width:{width:.1f}%;height:100%;'
            f'background:{color};border-radius:3px"></div></div>'
            '<div style="width:18%;text-align:right;font-variant-numeric:tabular-nums">'
            f"{number(float(effort), '{:.0f}')}</div>"
        )
    lines = "".join(
        f'<div style="display:flex;align-items:center;gap:.4em;height:1.55em">{row}</div>'
        for row in rows
    )
    return (
        f'<div data-joints="" style="font-size:.72em;margin:.5em .7em">{lines}'
        '<div style="opacity:.65;margin-top:.4em">N·m; a full bar is the joint\'s limit</div></div>'
    )
