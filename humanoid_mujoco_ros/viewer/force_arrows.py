# SPDX-License-Identifier: Apache-2.0
"""The forces on the robot, drawn as arrows in the scene."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import viser
from numpy.typing import NDArray

from humanoid_mujoco_ros.interaction.arrow import PUSH_MIN_LENGTH_M, Arrow

Float64Array = NDArray[np.float64]

HIDDEN_BELOW_GROUND = np.array([[[0.0, 0.0, -100.0], [0.0, 0.0, -100.1]]])
"""(1, 2, 3) [m]: a line that nobody sees."""
_CONTACT_COLOR = (38, 166, 91)
_FORCE_COLOR = (220, 40, 60)
_CONTACTS = 2


class ForceArrows:
    """The ground's forces, the push or pull with its newtons, and the spring of a drag."""

    def __init__(self, api: viser.SceneApi, path: str) -> None:
        """Adds everything to a scene below `path`, out of sight."""
        self._contacts = api.add_arrows(
            f"{path}/contacts",
            np.repeat(HIDDEN_BELOW_GROUND, _CONTACTS, axis=0),
            _CONTACT_COLOR,
            shaft_radius=0.014,
            head_radius=0.036,
            head_length=0.08,
        )
        self._force = api.add_arrows(
            f"{path}/force",
            HIDDEN_BELOW_GROUND,
            _FORCE_COLOR,
            shaft_radius=0.02,
            head_radius=0.05,
            head_length=0.11,
        )
        self._newtons = api.add_label(
            f"{path}/newtons", "", visible=False, anchor="bottom-center", font_screen_scale=1.3
        )
        self._spring = api.add_line_segments(
            f"{path}/spring", HIDDEN_BELOW_GROUND, _FORCE_COLOR, thickness=0.008
        )

    def show(
        self,
        contacts: Sequence[Arrow],
        force: Arrow | None,
        target: Float64Array | None,
        origin: Float64Array,
    ) -> None:
        """Draws what acts on the robot now.

        Args:
            contacts: The ground's forces on the feet.
            force: The push or pull under way.
            target: (3,) [m] in the world, where a dragged point is pulled to.
            origin: (3,) [m] in the world, of the scene.
        """
        segments = np.repeat(HIDDEN_BELOW_GROUND, _CONTACTS, axis=0)
        for i, arrow in enumerate(contacts[:_CONTACTS]):
            segments[i] = arrow.segment() - origin
        self._contacts.points = segments.astype(np.float32)
        self._newtons.visible = force is not None
        pushed = spring = HIDDEN_BELOW_GROUND
        if force is not None:
            pushed = (force.segment(PUSH_MIN_LENGTH_M) - origin)[None]
            self._newtons.position = pushed[0, 1] + [0.0, 0.0, 0.06]
            self._newtons.text = f"{force.newtons:.0f} N"
            if target is not None:
                spring = (np.stack((force.start, target)) - origin)[None]
        self._force.points = pushed.astype(np.float32)
        self._spring.points = spring.astype(np.float32)
