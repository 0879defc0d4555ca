# SPDX-License-Identifier: Apache-2.0
"""The robot's geoms as batches of equal meshes, which a browser draws in one go each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import mujoco
import numpy as np
import trimesh
from numpy.typing import ArrayLike, NDArray

from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.robot.posed_model import PosedModel

Float64Array = NDArray[np.float64]
Color = tuple[int, int, int]

SEGMENTS = 32
"""Corners of a round mesh; spheres and cylinders share them, so that capsules have no seam."""

_SHELL = (232, 236, 242)
_ACCENT = (232, 84, 16)
_DARK = (62, 70, 84)


class ShapeError(ValueError):
    """There is no such shape; the message says which there are."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Instances of one mesh, each fixed to a body."""

    name: str
    """Kind of the mesh."""
    mesh: trimesh.Trimesh
    """What every instance looks like at scale one."""
    geoms: NDArray[np.intp]
    """(n,) MuJoCo's id of each instance's geom."""
    bodies: NDArray[np.intp]
    """(n,) MuJoCo's id of each instance's body."""
    positions: Float64Array
    """(n, 3) [m] in the body's frame."""
    quaternions: Float64Array
    """(n, 4) in the body's frame."""
    scales: Float64Array
    """(n, 3) of the mesh along its own axes."""
    colors: NDArray[np.uint8]
    """(n, 3) red, green, blue."""

    def geom(self, instance: int | None) -> int:
        """MuJoCo's id of an instance's geom.

        Raises:
            ShapeError: There is no such instance.
        """
        if instance is None or not 0 <= instance < len(self.geoms):
            raise ShapeError(f"'{self.name}' has {len(self.geoms)} instances, no {instance}")
        return int(self.geoms[instance])

    def poses(self, posed: PosedModel) -> tuple[Float64Array, Float64Array]:
        """Positions (n, 3) [m] and quaternions (n, 4) of the instances in the world."""
        quaternions = posed.body_quaternions_wxyz[self.bodies]
        positions = posed.body_positions[self.bodies]
        return (
            positions + rotation.rotate(quaternions, self.positions),
            rotation.multiply(quaternions, self.quaternions),
        )


def batches(robot: RobotModel) -> list[Batch]:
    """The visible geoms of the robot's bodies; those of the world, such as the floor, are not.

    Spheres, capsules, cylinders, ellipsoids, boxes and meshes are drawn; other kinds are left out.
    """
    m = robot.mj
    meshes = {"sphere": sphere(), "tube": tube(), "disc": disc(), "box": box()}
    parts: dict[str, list[tuple[int, Float64Array, Float64Array]]] = defaultdict(list)
    for geom in _visible_geoms(m):
        size = m.geom_size[geom]
        match mujoco.mjtGeom(m.geom_type[geom]):
            case mujoco.mjtGeom.mjGEOM_SPHERE:
                parts["sphere"].append((geom, np.zeros(3), np.full(3, size[0])))
            case mujoco.mjtGeom.mjGEOM_ELLIPSOID:
                parts["sphere"].append((geom, np.zeros(3), size.copy()))
            case mujoco.mjtGeom.mjGEOM_CAPSULE | mujoco.mjtGeom.mjGEOM_CYLINDER as kind:
                radius, half_length = size[:2]
                end = np.array([0.0, 0.0, half_length])
                parts["tube"].append((geom, np.zeros(3), np.array([radius, radius, half_length])))
                is_capsule = kind == mujoco.mjtGeom.mjGEOM_CAPSULE
                for side in (-end, end):
                    cap = "sphere" if is_capsule else "disc"
                    parts[cap].append((geom, side, np.full(3, radius)))
            case mujoco.mjtGeom.mjGEOM_BOX:
                parts["box"].append((geom, np.zeros(3), size.copy()))
            case mujoco.mjtGeom.mjGEOM_MESH:
                name = f"mesh_{m.geom_dataid[geom]}"
                meshes.setdefault(name, _model_mesh(m, m.geom_dataid[geom]))
                parts[name].append((geom, np.zeros(3), np.ones(3)))
    colors = _colors(m)
    return [_batch(m, name, meshes[name], colors, instances) for name, instances in parts.items()]


def _visible_geoms(m: mujoco.MjModel) -> list[int]:
    return [g for g in range(m.ngeom) if m.geom_bodyid[g] != 0 and m.geom_rgba[g, 3] != 0]


def _batch(
    m: mujoco.MjModel,
    name: str,
    mesh: trimesh.Trimesh,
    colors: Mapping[int, Color],
    parts: Sequence[tuple[int, Float64Array, Float64Array]],
) -> Batch:
    geoms = np.array([geom for geom, _, _ in parts], dtype=np.intp)
    offsets = np.array([offset for _, offset, _ in parts])
    quaternions = m.geom_quat[geoms]
    return Batch(
        name=name,
        mesh=mesh,
        geoms=geoms,
        bodies=m.geom_bodyid[geoms].astype(np.intp),
        positions=m.geom_pos[geoms] + rotation.rotate(quaternions, offsets),
        quaternions=quaternions,
        scales=np.array([scale for _, _, scale in parts]),
        colors=np.array([colors[geom] for geom in geoms], dtype=np.uint8),
    )


def _colors(m: mujoco.MjModel) -> dict[int, Color]:
    """Geom → colour: the model's, or, where it has one for everything, two along each limb.

    Then the bodies at the ends of the limbs are dark.
    """
    geoms = _visible_geoms(m)
    own = {geom: _own_color(m, geom) for geom in geoms}
    if len(set(own.values())) > 1:
        return own
    depth = np.zeros(m.nbody, dtype=int)
    for body in range(1, m.nbody):  # a parent comes before its children
        depth[body] = depth[m.body_parentid[body]] + 1
    parents = set(m.body_parentid.tolist())
    by_body = [
        (_SHELL, _ACCENT)[(depth[body] - 1) % 2] if body in parents else _DARK
        for body in range(m.nbody)
    ]
    return {geom: by_body[m.geom_bodyid[geom]] for geom in geoms}


def _own_color(m: mujoco.MjModel, geom: int) -> Color:
    material = m.geom_matid[geom]
    rgba = m.mat_rgba[material] if material >= 0 else m.geom_rgba[geom]
    red, green, blue = np.round(255 * rgba[:3]).astype(int).tolist()
    return red, green, blue


def snap_to_surface(m: mujoco.MjModel, geom: int, point_in_geom: Float64Array) -> Float64Array:
    """The point of a sphere's or capsule's surface nearest to a point.

    Of other geoms it is the nearest point of the box around them.

    A browser shows the robot as it was some frames ago, so a point clicked on a moving robot comes
    to lie off the surface.

    Args:
        m: Model.
        geom: Id.
        point_in_geom: (3,) [m] in the geom's frame.
    """
    kind, size = mujoco.mjtGeom(m.geom_type[geom]), m.geom_size[geom]
    if kind not in (mujoco.mjtGeom.mjGEOM_SPHERE, mujoco.mjtGeom.mjGEOM_CAPSULE):
        center, half_size = m.geom_aabb[geom, :3], m.geom_aabb[geom, 3:]
        return np.clip(point_in_geom, center - half_size, center + half_size)
    half_length = size[1] if kind == mujoco.mjtGeom.mjGEOM_CAPSULE else 0.0
    axis_point = np.array([0.0, 0.0, np.clip(point_in_geom[2], -half_length, half_length)])
    direction = point_in_geom - axis_point
    distance = float(np.linalg.norm(direction))
    if distance < 1e-9:
        return point_in_geom
    surface: Float64Array = axis_point + direction * (size[0] / distance)
    return surface


def sphere() -> trimesh.Trimesh:
    """A sphere of radius one, its poles on the z axis."""
    polar = np.linspace(0.0, np.pi, SEGMENTS // 2 + 1)
    return _revolved(np.stack((np.sin(polar), -np.cos(polar)), axis=-1))


def tube() -> trimesh.Trimesh:
    """An open cylinder of radius one from z = -1 to 1."""
    return _revolved([[1.0, -1.0], [1.0, 1.0]])


def disc() -> trimesh.Trimesh:
    """A disc of radius one with two faces, in z = 0."""
    front = _revolved([[0.0, 0.0], [1.0, 0.0]])
    back = front.copy()
    back.invert()
    return trimesh.Trimesh(
        np.vstack((front.vertices, back.vertices)),
        np.vstack((front.faces, back.faces + len(front.vertices))),
        process=False,
    )


def box() -> trimesh.Trimesh:
    """A box from -1 to 1 along each axis, with sharp edges."""
    mesh: trimesh.Trimesh = trimesh.creation.box(extents=(2.0, 2.0, 2.0))
    mesh.unmerge_vertices()
    return mesh


def _revolved(profile: ArrayLike) -> trimesh.Trimesh:
    """The surface that a line (n, 2) of radius and z sweeps around the z axis."""
    mesh: trimesh.Trimesh = trimesh.creation.revolve(profile, sections=SEGMENTS)
    return mesh


def _model_mesh(m: mujoco.MjModel, mesh: int) -> trimesh.Trimesh:
    vertices = slice(m.mesh_vertadr[mesh], m.mesh_vertadr[mesh] + m.mesh_vertnum[mesh])
    faces = slice(m.mesh_faceadr[mesh], m.mesh_faceadr[mesh] + m.mesh_facenum[mesh])
    return trimesh.Trimesh(m.mesh_vert[vertices], m.mesh_face[faces], process=False)
