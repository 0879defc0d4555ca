# SPDX-License-Identifier: Apache-2.0
"""The pad that drives the robot: buttons that command a velocity while they are held."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import viser
from numpy.typing import NDArray
from viser import Icon

from humanoid_mujoco_ros.viewer.inbox import ActionInbox
from humanoid_mujoco_ros.viewer.readings import Readings

Float64Array = NDArray[np.float64]

HOLD_HZ = 10.0
"""How often a browser says that a button is held."""
HOLD_TIMEOUT_S = 0.6
"""After so long without a word the button was left, or the page is lost."""
_SPEEDS = ("slow", "normal", "fast")
_FACTORS = {"slow": 0.4, "normal": 0.8, "fast": 1.2}
_BUTTONS = (
    ("Forward", Icon.ARROW_UP, (1.0, 0.0, 0.0)),
    ("Back", Icon.ARROW_DOWN, (-0.5, 0.0, 0.0)),
    ("Turn left", Icon.CORNER_UP_LEFT, (0.0, 0.0, 1.0)),
    ("Turn right", Icon.CORNER_UP_RIGHT, (0.0, 0.0, -1.0)),
    ("Step left", Icon.ARROW_LEFT, (0.0, 0.4, 0.0)),
    ("Step right", Icon.ARROW_RIGHT, (0.0, -0.4, 0.0)),
)
"""Label, icon, and vx, vy [m/s], yaw rate [rad/s] at factor one."""


class HeldVelocity:
    """The velocity of the button that is held, and a zero once it is not any more.

    Times are those of the steady clock [s].
    """

    def __init__(self) -> None:
        """Nothing is held."""
        self._velocity: Float64Array | None = None
        self._held_s = 0.0

    def hold(self, velocity: Float64Array, now_s: float) -> None:
        """Takes the velocity (3,) of a button that is held now."""
        self._velocity, self._held_s = velocity, now_s

    def release(self) -> None:
        """Lets go of the button now."""
        self._held_s = -np.inf

    def take(self, now_s: float) -> Float64Array | None:
        """What to command now; zeros once after the release; None: nothing."""
        if self._velocity is None:
            return None
        if now_s - self._held_s > HOLD_TIMEOUT_S:
            self._velocity = None
            return np.zeros(3)
        return self._velocity


class PadFolder:
    """Buttons to hold, shown while the policy follows commands."""

    def __init__(
        self,
        gui: viser.GuiApi,
        hold: Callable[[Float64Array], None],
        release: Callable[[], None],
        inbox: ActionInbox,
    ) -> None:
        """Adds the folder.

        Args:
            gui: Of the page.
            hold: Takes the velocity (3,) of a held button, again and again.
            release: Called when a button is released.
            inbox: Takes it to the node's thread.
        """
        self._folder = gui.add_folder("Drive", visible=False)
        with self._folder:
            speed = gui.add_dropdown("Speed", _SPEEDS, initial_value="normal")
            for label, icon, direction in _BUTTONS:
                button = gui.add_button(label, icon=icon, hint="Hold to drive; release to stop")
                _listen(button, np.array(direction), speed, hold, inbox)
                _on_release(button, release, inbox)

    def show(self, readings: Readings) -> None:
        """Shows the buttons where they have an effect."""
        self._folder.visible = bool(readings.takes_commands and readings.is_policy_active)


def _listen(
    button: viser.GuiButtonHandle,
    direction: Float64Array,
    speed: viser.GuiDropdownHandle[str],
    hold: Callable[[Float64Array], None],
    inbox: ActionInbox,
) -> None:
    @button.on_hold(callback_hz=HOLD_HZ)
    async def _(_: object) -> None:
        factor = _FACTORS.get(speed.value, 0.0)
        inbox.post("drive", partial(hold, factor * direction))


def _on_release(
    button: viser.GuiButtonHandle, release: Callable[[], None], inbox: ActionInbox
) -> None:
    # A browser says that a button was clicked when it is released over it.
    @button.on_click
    async def _(_: object) -> None:
        inbox.post("drive", release)
