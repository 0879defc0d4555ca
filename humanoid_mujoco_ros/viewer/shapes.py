# SPDX-License-Identifier: Apache-2.0
"""The robot's geoms as batches of equal meshes, which a browser draws in one go each."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.robot.posed_model import PosedModel

Float64Array = NDArray[np.float64]

SEGMENTS = 32
"""Corners of a round mesh; spheres and cylinders share them, so that capsules have no seam."""

_SHELL = (232, 236, 242)
_ACCENT = (232, 84, 16)
_DARK = (62, 70, 84)
PALETTE = {
    "torso": _SHELL,
    "lwaist": _DARK,
    "pelvis": _SHELL,
    "right_thigh": _ACCENT,
    "left_thigh": _ACCENT,
    "right_shin": _SHELL,
    "left_shin": _SHELL,
    "right_foot": _DARK,
    "left_foot": _DARK,
    "right_upper_arm": _ACCENT,
    "left_upper_arm": _ACCENT,
    "right_lower_arm": _SHELL,
    "left_lower_arm": _SHELL,
}
"""Colours of Gymnasium's humanoid by body, where the model itself has one for everything."""
_GEOM_COLORS = {"uwaist": _DARK, "right_hand": _DARK, "left_hand": _DARK}


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles."""

    vertices: NDArray[np.float32]
    """(v, 3) [m]."""
    faces: NDArray[np.uint32]
    """(f, 3) indices of vertices, counter-clockwise seen from outside."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Instances of one mesh, each fixed to a body."""

    name: str
    """Kind of the mesh."""
    mesh: Mesh
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
    for geom in range(m.ngeom):
        if m.geom_bodyid[geom] == 0 or m.geom_rgba[geom, 3] == 0:
            continue
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
    return [_batch(m, name, meshes[name], instances) for name, instances in parts.items()]


def _batch(
    m: mujoco.MjModel, name: str, mesh: Mesh, parts: list[tuple[int, Float64Array, Float64Array]]
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
        colors=np.array([color(m, geom) for geom in geoms], dtype=np.uint8),
    )


def color(m: mujoco.MjModel, geom: int) -> tuple[int, int, int]:
    """Colour of a geom: the palette's for a body of Gymnasium's humanoid, else the model's."""
    body = m.body(m.geom_bodyid[geom]).name
    is_gymnasium_humanoid = all(m.body(i).name in PALETTE for i in range(1, m.nbody))
    if is_gymnasium_humanoid:
        return _GEOM_COLORS.get(m.geom(geom).name, PALETTE[body])
    material = m.geom_matid[geom]
    rgba = m.mat_rgba[material] if material >= 0 else m.geom_rgba[geom]
    red, green, blue = np.round(255 * rgba[:3]).astype(int).tolist()
    return red, green, blue


def snap_to_surface(m: mujoco.MjModel, geom: int, point_in_geom: Float64Array) -> Float64Array:
    """The point of a sphere's or capsule's surface nearest to a point; of other geoms, the point.

    A browser shows the robot as it was some frames ago, so a point clicked on a moving robot comes
    to lie off the surface.

    Args:
        m: Model.
        geom: Id.
        point_in_geom: (3,) [m] in the geom's frame.
    """
    kind, size = mujoco.mjtGeom(m.geom_type[geom]), m.geom_size[geom]
    if kind not in (mujoco.mjtGeom.mjGEOM_SPHERE, mujoco.mjtGeom.mjGEOM_CAPSULE):
        return point_in_geom
    half_length = size[1] if kind == mujoco.mjtGeom.mjGEOM_CAPSULE else 0.0
    axis_point = np.array([0.0, 0.0, np.clip(point_in_geom[2], -half_length, half_length)])
    direction = point_in_geom - axis_point
    distance = float(np.linalg.norm(direction))
    if distance < 1e-9:
        return point_in_geom
    surface: Float64Array = axis_point + direction * (size[0] / distance)
    return surface


def sphere() -> Mesh:
    """A sphere of radius one, its poles on the z axis."""
    rings = SEGMENTS // 2
    polar = np.linspace(0.0, np.pi, rings + 1)
    azimuth = np.linspace(0.0, 2 * np.pi, SEGMENTS, endpoint=False)
    radius, z = np.sin(polar)[1:-1, None], np.cos(polar)[1:-1, None]
    middle = np.stack(
        (
            radius * np.cos(azimuth),
            radius * np.sin(azimuth),
            np.broadcast_to(z, (rings - 1, SEGMENTS)),
        ),
        axis=-1,
    ).reshape(-1, 3)
    north, south = len(middle), len(middle) + 1
    faces = list(_strip(rings - 1))
    last = (rings - 2) * SEGMENTS
    for i in range(SEGMENTS):
        j = (i + 1) % SEGMENTS
        faces += [(north, i, j), (south, last + j, last + i)]
    return _mesh(np.vstack((middle, [0, 0, 1], [0, 0, -1])), faces)


def tube() -> Mesh:
    """An open cylinder of radius one from z = -1 to 1."""
    circle = _circle()
    top, bottom = circle + np.array([0, 0, 1]), circle - np.array([0, 0, 1])
    return _mesh(np.vstack((top, bottom)), list(_strip(2)))


def disc() -> Mesh:
    """A disc of radius one with two faces, in z = 0."""
    faces = []
    for i in range(SEGMENTS):
        j = (i + 1) % SEGMENTS
        faces += [(SEGMENTS, i, j), (2 * SEGMENTS + 1, SEGMENTS + 1 + j, SEGMENTS + 1 + i)]
    side = np.vstack((_circle(), np.zeros(3)))
    return _mesh(np.vstack((side, side)), faces)


def box() -> Mesh:
    """A box from -1 to 1 along each axis."""
    vertices: list[Float64Array] = []
    faces: list[tuple[int, int, int]] = []
    for axis in range(3):
        for sign in (1.0, -1.0):
            u, v = np.eye(3)[(axis + 1) % 3], np.eye(3)[(axis + 2) % 3]
            normal = sign * np.eye(3)[axis]
            start = len(vertices)
            vertices += [
                normal + a * u * sign + b * v for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))
            ]
            faces += [(start, start + 1, start + 2), (start, start + 2, start + 3)]
    return _mesh(np.array(vertices), faces)


def _circle() -> Float64Array:
    angle = np.linspace(0.0, 2 * np.pi, SEGMENTS, endpoint=False)
    return np.stack((np.cos(angle), np.sin(angle), np.zeros(SEGMENTS)), axis=-1)


def _strip(rings: int) -> list[tuple[int, int, int]]:
    """Faces between neighbouring rings of SEGMENTS vertices, the first ring on top."""
    faces = []
    for ring in range(rings - 1):
        for i in range(SEGMENTS):
            j = (i + 1) % SEGMENTS
            upper, lower = ring * SEGMENTS, (ring + 1) * SEGMENTS
            faces += [(upper + i, lower + i, lower + j), (upper + i, lower + j, upper + j)]
    return faces


def _mesh(vertices: Float64Array, faces: list[tuple[int, int, int]]) -> Mesh:
    return Mesh(vertices.astype(np.float32), np.array(faces, dtype=np.uint32))


def _model_mesh(m: mujoco.MjModel, mesh: int) -> Mesh:
    vertices = slice(m.mesh_vertadr[mesh], m.mesh_vertadr[mesh] + m.mesh_vertnum[mesh])
    faces = slice(m.mesh_faceadr[mesh], m.mesh_faceadr[mesh] + m.mesh_facenum[mesh])
    return Mesh(m.mesh_vert[vertices].astype(np.float32), m.mesh_face[faces].astype(np.uint32))
