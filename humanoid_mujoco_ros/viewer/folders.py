# SPDX-License-Identifier: Apache-2.0
"""The folders of the panel: what a person can do.

Each folder shows what it can, and posts what a person asks for to the inbox. Browsers may send any
value, so every value is checked here or by what it is handed to.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from functools import partial

import viser
from viser import Icon

from humanoid_mujoco_ros.interaction.push import (
    DIRECTIONS,
    DURATION_RANGE_S,
    FORCE_RANGE_N,
    PushPlan,
)
from humanoid_mujoco_ros.robot.model import BASE_LINK, RobotModel
from humanoid_mujoco_ros.viewer.actions import PolicyActions, SimulationActions
from humanoid_mujoco_ros.viewer.camera import FollowPoint
from humanoid_mujoco_ros.viewer.inbox import ActionInbox
from humanoid_mujoco_ros.viewer.markup import note_html
from humanoid_mujoco_ros.viewer.readings import Readings
from humanoid_mujoco_ros.viewer.scene import SceneOptions

OTHER_POLICY = "file or hf://…"
_RUNNING_BUTTONS = ("Pause", "Reset")
_PAUSED_BUTTONS = ("Resume", "Step", "Reset")
_SPEED_RANGE = (0.1, 2.0)
_ECHO_S = 2.5
"""Time after a person has moved the slider in which the simulation may still tell the old speed."""


class RobotChoice:
    """Says which of several robots the panel is about."""

    def __init__(
        self,
        gui: viser.GuiApi,
        names: Sequence[str],
        inbox: ActionInbox,
        choose: Callable[[int], None],
    ) -> None:
        """Adds the choice.

        Args:
            gui: Of the page.
            names: The robots.
            inbox: Takes a choice to the node's thread.
            choose: Takes the number of the robot there.
        """
        self._names = tuple(names)
        self._dropdown = _add_dropdown(
            gui, "Robot", self._names, hint="Or click a robot: the panel is about that one"
        )

        @self._dropdown.on_update
        async def _(event: viser.GuiEvent[viser.GuiDropdownHandle[str]]) -> None:
            name = event.target.value
            if event.client_id is not None and name in self._names:  # a person has chosen it
                inbox.post("robot", partial(choose, self._names.index(name)))

    def show(self, number: int) -> None:
        """Shows which robot is chosen."""
        self._dropdown.value = self._names[number]  # type: ignore[misc]


class SimulationFolder:
    """Time and speed of a simulation."""

    def __init__(
        self,
        gui: viser.GuiApi,
        actions: SimulationActions,
        inbox: ActionInbox,
        on_reset: Callable[[], None],
    ) -> None:
        """Adds the folder, which is shown once there is a simulation.

        Args:
            gui: Of the page.
            actions: Carries out what a person asks for.
            inbox: Takes it to the node's thread.
            on_reset: Called there before a reset.
        """
        self._actions = actions
        self._on_reset = on_reset
        self._speed_chosen_s = -math.inf
        self._folder = gui.add_folder("Simulation", visible=False)
        with self._folder:
            self._time = gui.add_button_group(
                "Time",
                _PAUSED_BUTTONS,
                hint="Step: one control period. Reset: stand the robot up at the origin.",
            )
            self._speed = _add_slider(
                gui, "Speed", _SPEED_RANGE, 0.05, 1.0, "Simulated seconds per second"
            )
            self._note = gui.add_html("")
        self._speed.visible = False
        buttons: dict[str, Callable[[], None]] = {
            "Pause": partial(actions.pause, self.say),
            "Resume": partial(actions.resume, self.say),
            "Step": partial(actions.step, self.say),
            "Reset": self._reset,
        }

        @self._time.on_click
        async def _(event: viser.GuiEvent[viser.GuiButtonGroupHandle]) -> None:
            name = event.target.value
            if name in buttons:
                inbox.post(("time", name), buttons[name])

        @self._speed.on_update
        async def _(event: viser.GuiEvent[viser.GuiSliderHandle[float]]) -> None:
            if event.client_id is not None:  # a person has moved it
                inbox.post("speed", self._choose_speed)

    def show(self, readings: Readings) -> None:
        """Shows the buttons that make sense now, and the speed."""
        self._folder.visible = readings.is_paused is not None
        self._time.options = _PAUSED_BUTTONS if readings.is_paused else _RUNNING_BUTTONS
        target = readings.real_time_factor_target
        self._speed.visible = math.isfinite(target)
        if self._speed.visible and time.monotonic() - self._speed_chosen_s > _ECHO_S:
            self._speed.value = _within(_SPEED_RANGE, target)  # type: ignore[misc]

    def say(self, text: str, *, is_error: bool) -> None:
        """Says why the simulation refused something."""
        self._note.content = note_html(text if is_error else None, is_error=True)

    def _reset(self) -> None:
        self._on_reset()
        self._actions.reset(self.say)

    def _choose_speed(self) -> None:
        self._speed_chosen_s = time.monotonic()
        self._actions.set_speed(_within(_SPEED_RANGE, float(self._speed.value)), self.say)


class PolicyFolder:
    """Starts, stops and exchanges the policy."""

    def __init__(
        self, gui: viser.GuiApi, policies: Sequence[str], actions: PolicyActions, inbox: ActionInbox
    ) -> None:
        """Adds the folder, which is shown once there is a policy_node."""
        self._policies = policies
        self._actions = actions
        self._is_policy_shown = False
        self._folder = gui.add_folder("Policy", visible=False)
        with self._folder:
            self._start = gui.add_button("Start policy", icon=Icon.PLAYER_PLAY, color="green")
            self._stop = gui.add_button(
                "Stop policy",
                icon=Icon.PLAYER_STOP,
                color="red",
                hint="The joints lose their effort and the robot falls",
            )
            self._choice = _add_dropdown(gui, "Policy", (*policies, OTHER_POLICY))
            self._address = gui.add_text(
                "Address",
                "",
                visible=not policies,
                hint="A checkpoint file on the machine of policy_node, or hf://owner/repo",
            )
            load = gui.add_button("Load", icon=Icon.UPLOAD)
            self._note = gui.add_html("")

        @self._choice.on_update
        async def _(_: object) -> None:
            self._address.visible = self._choice.value == OTHER_POLICY

        _on_click(self._start, inbox, partial(actions.start, self.say))
        _on_click(self._stop, inbox, partial(actions.stop, self.say))
        _on_click(load, inbox, self._load)

    def show(self, readings: Readings) -> None:
        """Shows the buttons that make sense now, and at first the policy that is loaded."""
        self._folder.visible = readings.is_policy_active is not None
        self._start.visible = not readings.is_policy_active
        self._stop.visible = bool(readings.is_policy_active)
        policy = readings.policy
        if policy is not None and policy in self._policies and not self._is_policy_shown:
            self._is_policy_shown = True
            self._choice.value = policy  # type: ignore[misc]

    def say(self, text: str, *, is_error: bool) -> None:
        """Says how loading, starting or stopping a policy goes."""
        self._note.content = note_html(text, is_error=is_error)

    def _load(self) -> None:
        choice = self._choice.value
        name = self._address.value.strip() if choice == OTHER_POLICY else choice
        if name:
            self.say(f"loading '{name}' …", is_error=False)
            self._actions.load(name, self.say)
        else:
            self.say("type a file or hf://owner/repo above", is_error=True)


class PushFolder:
    """A measured push, and what came of the last ones."""

    def __init__(
        self,
        gui: viser.GuiApi,
        robot: RobotModel,
        push: Callable[[PushPlan], None],
        inbox: ActionInbox,
    ) -> None:
        """Adds the folder.

        Args:
            gui: Of the page.
            robot: Its links.
            push: Carries out a push.
            inbox: Takes it to the node's thread.
        """
        links = (BASE_LINK, *robot.bodies[1:])
        with gui.add_folder("Push"):
            direction = _add_dropdown(
                gui, "Direction", tuple(DIRECTIONS), "left", "As the robot sees it"
            )
            force = _add_slider(gui, "Force (N)", FORCE_RANGE_N, 10.0, 150.0)
            duration = _add_slider(gui, "Time (s)", DURATION_RANGE_S, 0.05, 0.2)
            link = _add_dropdown(
                gui, "Link", links, hint="Pushed at its centre of mass; base_link is the torso"
            )
            self._push = gui.add_button("Push", icon=Icon.HAND_FINGER)
            self._log = gui.add_html("")

        def click() -> None:
            chosen = direction.value, float(force.value), float(duration.value), link.value
            push(PushPlan(*chosen))

        _on_click(self._push, inbox, click)

    def show(self, readings: Readings) -> None:
        """Offers the push where something would feel it."""
        self._push.disabled = not readings.is_pushable

    def show_outcomes(self, outcomes: Sequence[str]) -> None:
        """Lists the pushes, the latest first."""
        self._log.content = "".join(note_html(text) for text in reversed(outcomes))


class ViewFolder:
    """What is drawn."""

    def __init__(self, gui: viser.GuiApi, follow: FollowPoint, options: SceneOptions) -> None:
        """Adds the folder."""
        with gui.add_folder("View"):
            follows = gui.add_checkbox("Follow", follow.is_on, hint="Keep the robot in the middle")
            contacts = gui.add_checkbox("Ground forces", options.contacts)
            trail = gui.add_checkbox("Trail", options.trail)
            gui.add_html(
                note_html(
                    "Drag a body part with the left mouse button to pull it. Elsewhere: left turns "
                    "the view, right moves it, the wheel zooms."
                )
            )

        @follows.on_update
        async def _(_: object) -> None:
            follow.is_on = follows.value

        @contacts.on_update
        async def _(_: object) -> None:
            options.contacts = contacts.value

        @trail.on_update
        async def _(_: object) -> None:
            options.trail = trail.value


def _add_slider(
    gui: viser.GuiApi,
    label: str,
    limits: tuple[float, float],
    step: float,
    initial: float,
    hint: str | None = None,
) -> viser.GuiSliderHandle[float]:
    """A slider that goes back into its range whatever a browser sets."""
    low, high = limits
    slider = gui.add_slider(label, low, high, step, initial, hint=hint)

    @slider.on_update
    async def _(_: object) -> None:
        slider.value = _within(limits, slider.value)  # type: ignore[misc]

    return slider


def _add_dropdown(
    gui: viser.GuiApi,
    label: str,
    options: tuple[str, ...],
    initial: str | None = None,
    hint: str | None = None,
) -> viser.GuiDropdownHandle[str]:
    """A choice that goes back to the first option when a browser sets none of them."""
    dropdown = gui.add_dropdown(label, options, initial_value=initial or options[0], hint=hint)

    @dropdown.on_update
    async def _(_: object) -> None:
        if dropdown.value not in options:
            dropdown.value = options[0]  # type: ignore[misc]

    return dropdown


def _on_click(
    button: viser.GuiButtonHandle, inbox: ActionInbox, action: Callable[[], None]
) -> None:
    @button.on_click
    async def _(_: object) -> None:
        inbox.post(button.label, action)


def _within(limits: tuple[float, float], value: float) -> float:
    return min(max(value, limits[0]), limits[1])
