# SPDX-License-Identifier: Apache-2.0
"""The robot's URDF, made from its MuJoCo model.

What URDF can say is said exactly: the tree of links, joint origins, axes, limits, damping and dry
friction, masses and inertias, spheres, boxes and cylinders. Some shapes it lacks, or RViz does:

- a capsule becomes a cylinder and two spheres (RViz draws no capsule);
- an ellipsoid becomes a capsule along its longest axis, as long, and of the same mean thickness;
- a mesh is its file (STL, OBJ) where it is; one without a file becomes the box around it;
- any other shape becomes the box around it.

MuJoCo's armature, springs, tendons and contact parameters have no place in a URDF.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.appearance import drawn_geoms, geom_rgba
from humanoid_mujoco_ros.robot.link_tree import LinkJoint, LinkTree
from humanoid_mujoco_ros.robot.model import RobotModel

Array = NDArray[np.float64]

VELOCITY_LIMIT_RAD_S = 100.0
"""Velocity limit of every joint, beyond what a walk reaches: URDF demands one, MuJoCo has none."""
UNLIMITED_EFFORT_N_M = 1e6
"""Effort limit of a joint whose drive has none: URDF demands one."""


def urdf(model: RobotModel, tree: LinkTree | None = None) -> str:
    """The URDF document of a robot, with the links and joints of its `LinkTree`.

    Numbers carry full precision: forward kinematics agrees with MuJoCo's to rounding.

    Args:
        model: The robot.
        tree: Its links, where they are at hand.
    """
    tree = tree or LinkTree(model)
    robot = ElementTree.Element("robot", name=model.name)
    materials: dict[str, str] = {}
    drawn = drawn_geoms(model.mj)
    links = [_link(model, link, tree.body_ids.get(link), drawn, materials) for link in tree.links]
    for rgba, name in materials.items():
        material = ElementTree.SubElement(robot, "material", name=name)
        ElementTree.SubElement(material, "color", rgba=rgba)
    robot.extend(links)
    robot.extend(_joint(model, joint) for joint in tree.joints)
    ElementTree.indent(robot)
    return '<?xml version="1.0"?>\n' + ElementTree.tostring(robot, encoding="unicode") + "\n"


@dataclass(frozen=True)
class _Shape:
    """A shape that URDF and RViz know, in the frame of its link."""

    kind: str
    dimensions: dict[str, str]
    position: Array
    quaternion_wxyz: Array


def _link(
    model: RobotModel,
    name: str,
    body: int | None,
    drawn: frozenset[int],
    materials: dict[str, str],
) -> ElementTree.Element:
    """One link; the colours of its `drawn` geoms join `materials`, rgba to name."""
    mj = model.mj
    link = ElementTree.Element("link", name=name)
    if body is None:
        return link
    if mj.body_mass[body] > 0:
        inertial = ElementTree.SubElement(link, "inertial")
        # MuJoCo keeps the principal moments of inertia and the frame of their axes.
        _origin(inertial, mj.body_ipos[body], mj.body_iquat[body])
        ElementTree.SubElement(inertial, "mass", value=_text(mj.body_mass[body]))
        ixx, iyy, izz = (_text(moment) for moment in mj.body_inertia[body])
        moments = {"ixx": ixx, "ixy": "0", "ixz": "0", "iyy": iyy, "iyz": "0", "izz": izz}
        ElementTree.SubElement(inertial, "inertia", moments)
    first = int(mj.body_geomadr[body])
    geoms = range(first, first + int(mj.body_geomnum[body]))
    for geom in geoms:
        if geom not in drawn:
            continue
        rgba = _text(geom_rgba(mj, geom))
        material = materials.setdefault(rgba, f"color_{len(materials) + 1}")
        for shape in _shapes(model, geom):
            visual = _shape_element(link, "visual", shape)
            ElementTree.SubElement(visual, "material", name=material)
    for geom in geoms:
        if mj.geom_contype[geom] or mj.geom_conaffinity[geom]:
            for shape in _shapes(model, geom):
                _shape_element(link, "collision", shape)
    return link


def _joint(model: RobotModel, joint: LinkJoint) -> ElementTree.Element:
    """One joint of the tree."""
    element = ElementTree.Element("joint", name=joint.name, type="fixed")
    _origin(element, joint.position, joint.quaternion_wxyz)
    ElementTree.SubElement(element, "parent", link=joint.parent)
    ElementTree.SubElement(element, "child", link=joint.child)
    if joint.joint is None or joint.axis is None:
        return element
    i = model.joints.index(joint.joint)
    dof = model.dof_indices[i]
    ElementTree.SubElement(element, "axis", xyz=_text(joint.axis))
    effort = min(model.effort_limits[i], UNLIMITED_EFFORT_N_M)
    limit = {"effort": _text(effort), "velocity": _text(VELOCITY_LIMIT_RAD_S)}
    lower, upper = model.position_limits[i]
    if np.isfinite(lower) and np.isfinite(upper):
        element.set("type", "revolute")
        limit = {"lower": _text(lower), "upper": _text(upper), **limit}
    else:
        element.set("type", "continuous")
    ElementTree.SubElement(element, "limit", limit)
    ElementTree.SubElement(
        element,
        "dynamics",
        damping=_text(model.mj.dof_damping[dof]),
        friction=_text(model.mj.dof_frictionloss[dof]),
    )
    return element


def _shapes(model: RobotModel, geom: int) -> Iterator[_Shape]:
    """The shapes that make up a geom, in the frame of its body."""
    mj = model.mj
    position, quaternion = mj.geom_pos[geom], mj.geom_quat[geom]
    size = mj.geom_size[geom]
    match mujoco.mjtGeom(int(mj.geom_type[geom])):
        case mujoco.mjtGeom.mjGEOM_SPHERE:
            yield _Shape("sphere", {"radius": _text(size[0])}, position, quaternion)
        case mujoco.mjtGeom.mjGEOM_CAPSULE:
            yield from _capsule(position, quaternion, radius=size[0], half_length=size[1])
        case mujoco.mjtGeom.mjGEOM_CYLINDER:
            yield _cylinder(position, quaternion, radius=size[0], half_length=size[1])
        case mujoco.mjtGeom.mjGEOM_BOX:
            yield _Shape("box", {"size": _text(2 * size)}, position, quaternion)
        case mujoco.mjtGeom.mjGEOM_ELLIPSOID:
            longest = int(np.argmax(size))
            radius = float(np.sqrt(np.prod(np.delete(size, longest))))
            # A quarter turn that lays z, the axis of a capsule, along the longest axis.
            turn_axis = ((0.0, 1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0))[longest]
            along = rotation.multiply(quaternion, rotation.from_axis_angle(turn_axis, np.pi / 2))
            yield from _capsule(position, along, radius, half_length=size[longest] - radius)
        case mujoco.mjtGeom.mjGEOM_MESH if int(mj.geom_dataid[geom]) in model.mesh_files:
            mesh = int(mj.geom_dataid[geom])
            # MuJoCo has moved the mesh to its centre of mass and turned it to its main axes.
            turn = rotation.multiply(quaternion, rotation.conjugate(mj.mesh_quat[mesh]))
            origin = position - rotation.rotate(turn, mj.mesh_pos[mesh])
            file = model.mesh_files[mesh].as_uri()
            scale = _text(mj.mesh_scale[mesh].round(9))
            yield _Shape("mesh", {"filename": file, "scale": scale}, origin, turn)
        case _:
            center, half_sizes = np.split(mj.geom_aabb[geom], 2)
            origin = position + rotation.rotate(quaternion, center)
            yield _Shape("box", {"size": _text(2 * half_sizes)}, origin, quaternion)


def _capsule(
    position: Array, quaternion: Array, radius: float, half_length: float
) -> Iterator[_Shape]:
    """A capsule along z; `half_length` [m] is that of its straight part."""
    if half_length > 0:
        yield _cylinder(position, quaternion, radius, half_length)
    for end in (half_length, -half_length) if half_length > 0 else (0.0,):
        tip = position + rotation.rotate(quaternion, (0.0, 0.0, end))
        yield _Shape("sphere", {"radius": _text(radius)}, tip, quaternion)


def _cylinder(position: Array, quaternion: Array, radius: float, half_length: float) -> _Shape:
    dimensions = {"radius": _text(radius), "length": _text(2 * half_length)}
    return _Shape("cylinder", dimensions, position, quaternion)


def _shape_element(link: ElementTree.Element, tag: str, shape: _Shape) -> ElementTree.Element:
    element = ElementTree.SubElement(link, tag)
    _origin(element, shape.position, shape.quaternion_wxyz)
    geometry = ElementTree.SubElement(element, "geometry")
    ElementTree.SubElement(geometry, shape.kind, shape.dimensions)
    return element


def _origin(parent: ElementTree.Element, position: Array, quaternion_wxyz: Array) -> None:
    rpy = rotation.to_rpy(quaternion_wxyz)
    ElementTree.SubElement(parent, "origin", xyz=_text(position), rpy=_text(rpy))


def _text(values: ArrayLike) -> str:
    """Numbers as URDF wants them: separated by spaces, digits enough to read back the same."""
    numbers = np.atleast_1d(np.asarray(values, dtype=np.float64)) + 0.0  # -0 becomes 0
    return " ".join(repr(float(number)) for number in numbers)
