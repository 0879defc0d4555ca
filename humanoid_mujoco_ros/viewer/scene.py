# SPDX-License-Identifier: Apache-2.0
"""The 3D scene: the robot, the floor, the forces, the trail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import viser
from numpy.typing import ArrayLike, NDArray

from humanoid_mujoco_ros.interaction.arrow import Arrow
from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.robot.posed_model import PosedModel
from humanoid_mujoco_ros.viewer import shapes
from humanoid_mujoco_ros.viewer.camera import FollowPoint
from humanoid_mujoco_ros.viewer.force_arrows import HIDDEN_BELOW_GROUND, ForceArrows
from humanoid_mujoco_ros.viewer.trail import Trail

Float64Array = NDArray[np.float64]

CAMERA_POSITION = (2.2, -2.45, 1.5)
CAMERA_LOOK_AT = (0.0, 0.0, 0.85)
CAMERA_FOV_RAD = 0.75

_SKY = np.array([206.0, 222.0, 240.0])
_HORIZON = np.array([244.0, 247.0, 250.0])
_FLOOR = (226, 231, 237)
_GRID_SECTION_M = 2.0
_TRAIL_COLOR = (40, 95, 200)


@dataclass
class SceneOptions:
    """What a person can switch on and off."""

    contacts: bool = True
    """Draw the forces on the feet."""
    trail: bool = True
    """Draw where the robot went."""


class Scene:
    """Draws the robot as its posed model says.

    Attributes:
        follow: The point that everything is drawn relative to.
        options: What is drawn.
        batch_handles: viser's node of each batch, for mouse callbacks.
    """

    def __init__(self, server: viser.ViserServer, robot: RobotModel) -> None:
        """Adds everything to the server's scene."""
        self.follow = FollowPoint()
        self.options = SceneOptions()
        self._server = server
        self._trail = Trail()
        _light(server)
        self._grid = _floor(server.scene)
        posed = PosedModel(robot)
        self.batch_handles = [
            (batch, _add_batch(server.scene, batch, posed)) for batch in shapes.batches(robot)
        ]
        self._forces = ForceArrows(server.scene)
        self._trail_line = server.scene.add_line_segments(
            "/trail", HIDDEN_BELOW_GROUND, _TRAIL_COLOR, thickness=0.03
        )

    def show(
        self,
        posed: PosedModel,
        contacts: Sequence[Arrow],
        force: Arrow | None,
        target: Float64Array | None,
        period_s: float,
    ) -> None:
        """Draws one frame.

        Args:
            posed: The robot.
            contacts: The ground's forces on the feet.
            force: The push under way.
            target: (3,) [m] in odom, where a dragged point is pulled to.
            period_s: Time since the last frame.
        """
        base = posed.body_positions[1]
        has_jumped = self.follow.update(base, period_s)
        origin = self.follow.position
        with self._server.atomic():
            for batch, handle in self.batch_handles:
                positions, quaternions = batch.poses(posed)
                handle.batched_positions = (positions - origin).astype(np.float32)
                handle.batched_wxyzs = quaternions.astype(np.float32)
            # The floor looks the same everywhere: nobody sees it move back by whole sections.
            self._grid.position = (*(-np.mod(origin[:2], _GRID_SECTION_M)), 0.0)
            shown = contacts if self.options.contacts else ()
            self._forces.show(shown, force, target, origin)
            self._show_trail(base, has_jumped=has_jumped)

    def to_odom(self, point: ArrayLike) -> Float64Array:
        """A point of the scene (3,) [m] in odom."""
        return np.asarray(point, dtype=np.float64) + self.follow.position

    def clear_trail(self) -> None:
        """Forgets where the robot went."""
        self._trail.clear()
        self._trail_line.visible = False

    def _show_trail(self, base: Float64Array, *, has_jumped: bool) -> None:
        if has_jumped:
            self.clear_trail()
        has_grown = self._trail.add(base)
        if has_grown:
            segments = self._trail.segments()
            if len(segments):
                # The oldest pieces fade into the floor.
                weight = np.linspace(0.0, 1.0, len(segments) + 1)[:, None] ** 0.5
                ends = (1 - weight) * np.array(_FLOOR) + weight * np.array(_TRAIL_COLOR)
                self._trail_line.points = segments.astype(np.float32)
                self._trail_line.colors = np.stack((ends[:-1], ends[1:]), axis=1).astype(np.uint8)
        self._trail_line.visible = self.options.trail and not self._trail.is_empty
        x, y, _ = self.follow.position
        self._trail_line.position = (-x, -y, 0.004)


def _floor(api: viser.SceneApi) -> viser.GridHandle:
    return api.add_grid(
        "/floor",
        width=60.0,
        height=60.0,
        cell_size=0.5,
        cell_thickness=1.0,
        cell_color=(205, 212, 221),
        section_size=_GRID_SECTION_M,
        section_thickness=1.4,
        section_color=(172, 182, 196),
        plane_color=_FLOOR,
        plane_opacity=1.0,
        shadow_opacity=0.25,
        fade_distance=32.0,
        fade_strength=1.5,
    )


def _add_batch(
    api: viser.SceneApi, batch: shapes.Batch, posed: PosedModel
) -> viser.BatchedMeshHandle:
    positions, quaternions = batch.poses(posed)
    return api.add_batched_meshes_simple(
        f"/robot/{batch.name}",
        np.asarray(batch.mesh.vertices, dtype=np.float32),
        np.asarray(batch.mesh.faces, dtype=np.uint32),
        batched_positions=positions,
        batched_wxyzs=quaternions,
        batched_scales=batch.scales,
        batched_colors=batch.colors,
        lod="off",
    )


def _light(server: viser.ViserServer) -> None:
    api = server.scene
    server.initial_camera.position = CAMERA_POSITION
    server.initial_camera.look_at = CAMERA_LOOK_AT
    server.initial_camera.fov = CAMERA_FOV_RAD
    # The upper half of the picture is sky; the floor fades into the horizon.
    height = 256
    weight = np.clip(np.linspace(0.0, 1.9, height), 0.0, 1.0)[:, None, None]
    sky = (1 - weight) * _SKY + weight * _HORIZON
    api.set_background_image(np.broadcast_to(sky, (height, 4, 3)).astype(np.uint8), format="png")
    red, green, blue = _HORIZON.astype(int).tolist()
    api.configure_fog(near=9.0, far=30.0, color=(red, green, blue))
    api.configure_environment_map(None)
    api.configure_default_lights(enabled=False)
    api.add_light_hemisphere(
        "/lights/sky", sky_color=(235, 243, 255), ground_color=(150, 150, 160), intensity=1.5
    )
    # A directional light shines from its position on the scene's origin, where the robot is kept.
    api.add_light_directional(
        "/lights/sun",
        color=(255, 246, 232),
        intensity=2.2,
        cast_shadow=True,
        position=(3.0, -2.0, 6.0),
    )
    api.add_light_directional(
        "/lights/fill", color=(214, 228, 255), intensity=0.7, position=(-4.0, -3.0, 3.0)
    )
