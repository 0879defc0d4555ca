# SPDX-License-Identifier: Apache-2.0
"""The 3D scene: the robot, the floor, the forces, the trail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import viser
from numpy.typing import ArrayLike, NDArray

from humanoid_mujoco_ros.interaction.arrow import Arrow
from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.model import BASE_LINK, RobotModel
from humanoid_mujoco_ros.robot.posed_model import PosedModel
from humanoid_mujoco_ros.simulation.placement import Placement
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
    """The floor, the light and the point that the camera follows.

    Attributes:
        server: Of the page.
        follow: The point that everything is drawn relative to, in the world.
        options: What is drawn.
    """

    def __init__(self, server: viser.ViserServer) -> None:
        """Adds everything to the server's scene."""
        self.server = server
        self.follow = FollowPoint()
        self.options = SceneOptions()
        _light(server)
        self._grid = _floor(server.scene)

    def follow_robot(self, base_position: Float64Array, period_s: float) -> None:
        """Keeps the robot whose base is there, (3,) [m] in the world, in the middle.

        Args:
            base_position: (3,) [m] in the world.
            period_s: Time since the last frame.
        """
        self.follow.update(base_position, period_s)
        # The floor looks the same everywhere: nobody sees it move back by whole sections.
        origin = self.follow.position
        self._grid.position = (*(-np.mod(origin[:2], _GRID_SECTION_M)), 0.0)


class RobotScene:
    """Draws a robot as its posed model says, with the forces on it and its trail.

    Attributes:
        batch_handles: viser's node of each batch, for mouse callbacks.
    """

    def __init__(self, scene: Scene, robot: RobotModel, name: str, placement: Placement) -> None:
        """Adds the robot to the scene.

        Args:
            scene: The scene.
            robot: Its shapes.
            name: Its name among several; empty: it is alone.
            placement: Where its odom frame lies in the world.
        """
        self._scene = scene
        self._placement = placement
        self._trail = Trail()
        api = scene.server.scene
        path = f"/{name}" if name else ""
        posed = PosedModel(robot)
        self.batch_handles = [
            (batch, _add_batch(api, f"{path}/robot/{batch.name}", batch, posed))
            for batch in shapes.batches(robot)
        ]
        self._forces = ForceArrows(api, path)
        self._trail_line = api.add_line_segments(
            f"{path}/trail", HIDDEN_BELOW_GROUND, _TRAIL_COLOR, thickness=0.03
        )

    def show(
        self,
        posed: PosedModel,
        contacts: Sequence[Arrow],
        force: Arrow | None,
        target: Float64Array | None,
    ) -> None:
        """Draws one frame.

        Args:
            posed: The robot.
            contacts: The ground's forces on the feet, in odom.
            force: The push under way, in odom.
            target: (3,) [m] in odom, where a dragged point is pulled to.
        """
        origin, placement = self._scene.follow.position, self._placement
        for batch, handle in self.batch_handles:
            positions, quaternions = batch.poses(posed)
            handle.batched_positions = (self.to_world(positions) - origin).astype(np.float32)
            turned = rotation.multiply(placement.quaternion_wxyz, quaternions)
            handle.batched_wxyzs = turned.astype(np.float32)
        shown = contacts if self._scene.options.contacts else ()
        self._forces.show(
            [self._arrow_to_world(arrow) for arrow in shown],
            None if force is None else self._arrow_to_world(force),
            None if target is None else self.to_world(target),
            origin,
        )
        self._show_trail(self.to_world(posed.link_pose(BASE_LINK)[0]))

    def to_world(self, points: Float64Array) -> Float64Array:
        """Points (..., 3) [m] in odom, seen in the world."""
        return self._placement.to_world(points)

    def to_odom(self, point: ArrayLike) -> Float64Array:
        """A point of the scene (3,) [m] in odom."""
        in_world = np.asarray(point, dtype=np.float64) + self._scene.follow.position
        return self._placement.to_odom(in_world)

    def _arrow_to_world(self, arrow: Arrow) -> Arrow:
        return Arrow(self.to_world(arrow.start), self._placement.turn_to_world(arrow.force))

    def _show_trail(self, base: Float64Array) -> None:
        if self._trail.add(base):
            segments = self._trail.segments()
            if len(segments):
                # The oldest pieces fade into the floor.
                weight = np.linspace(0.0, 1.0, len(segments) + 1)[:, None] ** 0.5
                ends = (1 - weight) * np.array(_FLOOR) + weight * np.array(_TRAIL_COLOR)
                self._trail_line.points = segments.astype(np.float32)
                self._trail_line.colors = np.stack((ends[:-1], ends[1:]), axis=1).astype(np.uint8)
        self._trail_line.visible = self._scene.options.trail and not self._trail.is_empty
        x, y, _ = self._scene.follow.position
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
    api: viser.SceneApi, path: str, batch: shapes.Batch, posed: PosedModel
) -> viser.BatchedMeshHandle:
    positions, quaternions = batch.poses(posed)
    return api.add_batched_meshes_simple(
        path,
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
