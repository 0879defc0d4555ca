# SPDX-License-Identifier: Apache-2.0
"""Makes a robot of an MJCF file: finds it in its world, and adds what a physical one would have."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np

from humanoid_mujoco_ros.robot.card import RobotCard, drives_of
from humanoid_mujoco_ros.robot.errors import ModelError
from humanoid_mujoco_ros.robot.mjcf_files import check_files
from humanoid_mujoco_ros.robot.motors import add_drives, driven_names, free_name

BASE_LINK = "base_link"
"""ROS name of the root link (REP-120); its frame is the frame of the root body."""
ODOM_FRAME = "odom"
"""Frame in which the robot moves (REP-105)."""
IMU_LINK = "imu_link"
"""Frame of the IMU (REP-145)."""
SOLE_LINKS = {"left": "l_sole", "right": "r_sole"}
"""Frames under the feet (REP-120)."""

MESH_SUFFIXES = (".stl", ".obj")
"""Mesh files that both MuJoCo and RViz read."""

_CONTACT_FIELDS = sum(
    1 << kind.value
    for kind in (
        mujoco.mjtConDataField.mjCONDATA_FORCE,
        mujoco.mjtConDataField.mjCONDATA_TORQUE,
        mujoco.mjtConDataField.mjCONDATA_POS,
    )
)
_NET_FORCE = 3
"""MJCF's reduce="netforce" of the contact sensor: all contacts as one wrench at their centre."""
_FREE, _SLIDE, _HINGE = (
    mujoco.mjtJoint.mjJNT_FREE,
    mujoco.mjtJoint.mjJNT_SLIDE,
    mujoco.mjtJoint.mjJNT_HINGE,
)


@dataclass(frozen=True)
class Foot:
    """A foot with a contact sensor."""

    side: str
    """left or right."""
    body: str
    """Name of the body."""
    sensor: str
    """Name of the contact sensor."""
    site: str
    """Name of the site that is the sole."""


@dataclass
class Draft:
    """A robot with the additions of its card, before it is compiled."""

    spec: mujoco.MjSpec
    root: mujoco.MjsBody
    """The robot's root body."""
    base_joints: tuple[str, ...]
    """Names of the joints that the base has in the world; they are none of the robot's."""
    imu_site: str
    accelerometer: str
    gyro: str
    feet: tuple[Foot, ...]
    own_soles: frozenset[str]
    """Names of the soles that the file itself has."""


@dataclass
class Assembly:
    """A robot, compiled, and the names of what was added to it."""

    mj: mujoco.MjModel
    root: str
    """Name of the robot's root body."""
    base_joints: tuple[str, ...]
    """As in the draft."""
    imu_site: str
    accelerometer: str
    gyro: str
    feet: tuple[Foot, ...]
    mesh_files: dict[int, Path]
    """File of each mesh, by MuJoCo id, that shows it as MuJoCo does but for its `mesh_scale`."""


def draft(path: Path, card: RobotCard) -> Draft:
    """Reads an MJCF file and makes the additions of a card.

    Raises:
        ModelError: MuJoCo cannot load the file, or something that the card names is not in it.
    """
    spec = _loaded(path)
    _name_all(spec)
    root = _root(spec, card, path)
    if any(body.name == ODOM_FRAME for body in _bodies(root)):
        raise ModelError(
            f"{path}: a body of the robot is called {ODOM_FRAME}, as the frame that it moves in; "
            "give it another name"
        )
    drives = drives_of(card, [j.name for j in _joints(root) if j.type == _HINGE])
    base_joints = _base_joints(root, driven_names(spec) | {n for n, d in drives.items() if d.kp})
    hinges = [j for j in _joints(root) if j.name not in base_joints]
    _check_hinges(hinges, path)
    for joint in hinges:
        armature = drives[joint.name].armature if joint.name in drives else None
        if armature is not None:
            joint.armature = armature
    if card.actuation == "position":
        add_drives(spec, [joint.name for joint in hinges], drives)
    _add_floor(spec, root, card)
    site = _imu_site(root, card, path)
    sensors = {sensor.name for sensor in spec.sensors}
    names = [free_name(name, sensors) for name in ("imu_accelerometer", "imu_gyro")]
    for kind, name in zip(
        (mujoco.mjtSensor.mjSENS_ACCELEROMETER, mujoco.mjtSensor.mjSENS_GYRO), names, strict=True
    ):
        spec.add_sensor(name=name, type=kind, objtype=mujoco.mjtObj.mjOBJ_SITE, objname=site)
    own_sites = {site.name for body in _bodies(root) for site in body.sites}
    feet = _add_feet(spec, root, card, path, sensors)
    own_soles = frozenset(own_sites & {foot.site for foot in feet})
    return Draft(spec, root, base_joints, site, names[0], names[1], feet, own_soles)


def assemble(path: Path, card: RobotCard) -> Assembly:
    """Reads an MJCF file and compiles it with the additions of a card.

    Raises:
        ModelError: MuJoCo cannot load the file, or something that the card names is not in it.
    """
    d = draft(path, card)
    root_name = d.root.name
    mj = compiled(d.spec, path)
    for foot in d.feet:
        if foot.site not in d.own_soles:
            _place_sole(mj, foot)
    files = _mesh_files(d.spec, mj)
    return Assembly(
        mj, root_name, d.base_joints, d.imu_site, d.accelerometer, d.gyro, d.feet, files
    )


def _loaded(path: Path) -> mujoco.MjSpec:
    check_files(path)
    try:
        return mujoco.MjSpec.from_file(str(path))
    except Exception as error:  # MuJoCo raises ValueError, KeyError and its own errors
        raise ModelError(f"MuJoCo cannot load {path}: {_line(error)}") from error


def compiled(spec: mujoco.MjSpec, path: Path) -> mujoco.MjModel:
    """Compiles a model that was made of the file at `path`.

    Raises:
        ModelError: MuJoCo cannot compile it.
    """
    try:
        with warnings.catch_warnings():
            # Old attributes in a file are for its author, not for the one who runs the robot.
            warnings.filterwarnings("ignore", message=".*deprecated")
            return spec.compile()
    except Exception as error:
        raise ModelError(f"MuJoCo cannot load {path}: {_line(error)}") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def _joints(root: mujoco.MjsBody) -> list[mujoco.MjsJoint]:
    return list(root.find_all(mujoco.mjtObj.mjOBJ_JOINT))


def _bodies(root: mujoco.MjsBody) -> list[mujoco.MjsBody]:
    return [root, *root.find_all(mujoco.mjtObj.mjOBJ_BODY)]


def _name_all(spec: mujoco.MjSpec) -> None:
    """Names the bodies, joints and actuators that have no name, which ROS cannot do without."""
    for kind, things in (
        ("body", spec.bodies),
        ("joint", spec.joints),
        ("actuator", spec.actuators),
    ):
        taken = {thing.name for thing in things if thing.name}
        for number, thing in enumerate(things):
            if not thing.name:
                thing.name = free_name(f"{kind}_{number}", taken)


def _root(spec: mujoco.MjSpec, card: RobotCard, path: Path) -> mujoco.MjsBody:
    """The body in the world that the robot hangs from."""
    trees = list(spec.worldbody.bodies)
    names = ", ".join(tree.name for tree in trees)
    if card.base is not None:
        for tree in trees:
            if tree.name == card.base:
                return tree
        raise ModelError(
            f"robot {card.name}: base '{card.base}' is no body in the world of {path}; "
            f"these are {names or 'none'}"
        )
    driven = driven_names(spec)
    with_motors = [t for t in trees if any(j.name in driven for j in _joints(t))]
    free = [t for t in trees if any(j.type == _FREE for j in t.joints)]
    with_joints = [t for t in trees if any(j.type != _FREE for j in _joints(t))]
    # The robot is the tree with the free joint and the motors; other trees are props.
    for group in (
        [t for t in with_motors if t in free],
        with_motors,
        [t for t in with_joints if t in free],
        with_joints,
    ):
        if len(group) == 1:
            return group[0]
        if group:
            robots = ", ".join(tree.name for tree in group)
            raise ModelError(
                f"{path} has {len(group)} bodies in the world that may be the robot, {robots}; "
                "a card's base can name one"
            )
    raise ModelError(f"{path} has no joints: no body in its world ({names or 'none'}) is a robot")


def _base_joints(root: mujoco.MjsBody, driven: set[str]) -> tuple[str, ...]:
    """Names of the joints by which the root body moves in the world, if no motor turns them."""
    joints = list(root.joints)
    if any(j.type in (_FREE, _SLIDE) for j in joints) or not any(j.name in driven for j in joints):
        for joint in joints:
            if joint.name in driven:
                raise ModelError(
                    f"joint '{joint.name}' moves the base and is driven; "
                    "a base that slides or flies by motors cannot be used"
                )
        return tuple(joint.name for joint in joints)
    return ()


def _check_hinges(joints: list[mujoco.MjsJoint], path: Path) -> None:
    for joint in joints:
        if joint.type != _HINGE:
            kind = str(joint.type).rpartition("mjJNT_")[2].partition(":")[0].lower()
            raise ModelError(
                f"{path}: joint '{joint.name}' is a {kind} joint; "
                "the joints of a robot must be hinges"
            )
    if not joints:
        raise ModelError(f"{path} has no joints: its robot has a base, and nothing that moves")


def _add_floor(spec: mujoco.MjSpec, root: mujoco.MjsBody, card: RobotCard) -> None:
    """Adds a plane at height 0 where the card wants it, or where nothing carries the robot."""
    wanted = card.floor
    if wanted is None:
        is_free = any(j.type == _FREE for j in root.joints)
        wanted = is_free and not any(_is_ground(geom) for geom in spec.worldbody.geoms)
    if wanted:
        spec.worldbody.add_geom(
            name=free_name("floor", {geom.name for geom in spec.geoms}),
            type=mujoco.mjtGeom.mjGEOM_PLANE,
            size=[40, 40, 0.1],
            rgba=[0.8, 0.9, 0.8, 1],
        )


def _is_ground(geom: mujoco.MjsGeom) -> bool:
    return bool(geom.contype or geom.conaffinity)


def _imu_site(root: mujoco.MjsBody, card: RobotCard, path: Path) -> str:
    """Name of the IMU's site, which is added to the base if the model has none."""
    sites = {site.name: site for body in _bodies(root) for site in body.sites}
    if card.imu_site is not None:
        if card.imu_site not in sites:
            raise ModelError(
                f"robot {card.name}: imu_site '{card.imu_site}' is not in {path}; "
                f"the robot's sites are {', '.join(name for name in sites if name) or 'none'}"
            )
        return card.imu_site
    if IMU_LINK in sites:
        return IMU_LINK
    # A body of that name, as converters from URDF make of a fixed link, is where the IMU is.
    place = next((body for body in _bodies(root) if body.name == IMU_LINK), root)
    return _add_site(root, place, IMU_LINK)


def _add_site(root: mujoco.MjsBody, body: mujoco.MjsBody, wanted: str) -> str:
    """Adds a site at a body's origin, under a free name."""
    taken = {site.name for site in _top(root).find_all(mujoco.mjtObj.mjOBJ_SITE)}
    name = free_name(wanted, taken)
    body.add_site(name=name)
    return name


def _top(body: mujoco.MjsBody) -> mujoco.MjsBody:
    return body.parent or body


def _add_feet(
    spec: mujoco.MjSpec, root: mujoco.MjsBody, card: RobotCard, path: Path, sensors: set[str]
) -> tuple[Foot, ...]:
    """Adds a contact sensor and a sole to each foot."""
    bodies = {body.name: body for body in _bodies(root)}
    feet = []
    for side, wanted in (("left", card.left_foot), ("right", card.right_foot)):
        foot = f"{side}_foot" if wanted is None and f"{side}_foot" in bodies else wanted
        if not foot:
            continue
        if foot not in bodies:
            raise ModelError(
                f"{side}_foot '{foot}' is not in {path}; its bodies are {', '.join(bodies)}"
            )
        sole = SOLE_LINKS[side]
        own = any(site.name == sole for site in bodies[foot].sites)
        site = sole if own else _add_site(root, bodies[foot], sole)
        sensor = free_name(f"{side}_foot_contact", sensors)
        spec.add_sensor(
            name=sensor,
            type=mujoco.mjtSensor.mjSENS_CONTACT,
            objtype=mujoco.mjtObj.mjOBJ_BODY,
            objname=foot,
            intprm=[_CONTACT_FIELDS, _NET_FORCE, 1],
        )
        feet.append(Foot(side, foot, sensor, site))
    return tuple(feet)


def _mesh_files(spec: mujoco.MjSpec, mj: mujoco.MjModel) -> dict[int, Path]:
    """Files of the meshes that any reader of STL or OBJ places as MuJoCo does."""
    moved = {
        mesh.id for mesh in spec.meshes if any(mesh.refpos) or list(mesh.refquat) != [1, 0, 0, 0]
    }
    files = {}
    for mesh in range(mj.nmesh):
        start = int(mj.mesh_pathadr[mesh])
        if start < 0 or mesh in moved:
            continue
        path = Path(mj.paths[start:].split(b"\0", 1)[0].decode(errors="replace"))
        if path.suffix.lower() in MESH_SUFFIXES and path.is_file():
            files[mesh] = path.resolve()
    return files


def _place_sole(mj: mujoco.MjModel, foot: Foot) -> None:
    """Moves a sole that was added to the lowest point of the foot that stands level."""
    body = mj.body(foot.body).id
    first = int(mj.body_geomadr[body])
    geoms = range(first, first + int(mj.body_geomnum[body]))
    touching = [g for g in geoms if mj.geom_contype[g] or mj.geom_conaffinity[g]]
    lowest = min((lowest_point(mj, g) for g in touching or geoms), default=0.0)
    site = mj.site(foot.site).id
    mj.site_pos[site] = 0, 0, lowest
    mj.site_sameframe[site] = mujoco.mjtSameFrame.mjSAMEFRAME_NONE


def lowest_point(mj: mujoco.MjModel, geom: int) -> float:
    """Height [m] of the lowest point of a geom, along z of its body's frame."""
    matrix = np.empty(9)
    mujoco.mju_quat2Mat(matrix, mj.geom_quat[geom])
    down = np.abs(matrix[6:])
    size, z = mj.geom_size[geom], mj.geom_pos[geom, 2]
    match mujoco.mjtGeom(int(mj.geom_type[geom])):
        case mujoco.mjtGeom.mjGEOM_SPHERE:
            reach = size[0]
        case mujoco.mjtGeom.mjGEOM_CAPSULE:
            reach = size[0] + size[1] * down[2]
        case mujoco.mjtGeom.mjGEOM_CYLINDER:
            reach = size[0] * np.hypot(down[0], down[1]) + size[1] * down[2]
        case mujoco.mjtGeom.mjGEOM_BOX:
            reach = size @ down
        case mujoco.mjtGeom.mjGEOM_ELLIPSOID:
            reach = np.linalg.norm(size * down)
        case mujoco.mjtGeom.mjGEOM_MESH:
            mesh = int(mj.geom_dataid[geom])
            start = int(mj.mesh_vertadr[mesh])
            vertices = mj.mesh_vert[start : start + int(mj.mesh_vertnum[mesh])]
            return float(z + (vertices @ matrix[6:]).min())
        case _:
            center, half = np.split(mj.geom_aabb[geom], 2)
            return float(z + center @ matrix[6:] - half @ down)
    return float(z - reach)
