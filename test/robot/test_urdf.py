# SPDX-License-Identifier: Apache-2.0
import io
import struct
from pathlib import Path
from xml.etree import ElementTree

import mujoco
import numpy as np
import pytest

from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.link_tree import LinkTree
from humanoid_mujoco_ros.robot.model import ModelConfig, RobotModel
from humanoid_mujoco_ros.robot.urdf import VELOCITY_LIMIT_RAD_S, urdf

# Parses URDF without any code of ours, and does its own forward kinematics.
yourdfpy = pytest.importorskip("yourdfpy")

CROOKED_ROBOT = Path(__file__).parent / "crooked_robot.xml"


@pytest.fixture(params=["humanoid", "crooked robot"], scope="module")
def model(request: pytest.FixtureRequest) -> RobotModel:
    if request.param == "humanoid":
        return RobotModel()
    return RobotModel(ModelConfig(path=str(CROOKED_ROBOT), left_foot="", right_foot=""))


@pytest.fixture(scope="module")
def crooked() -> RobotModel:
    return RobotModel(ModelConfig(path=str(CROOKED_ROBOT), left_foot="", right_foot=""))


@pytest.fixture
def robot(model: RobotModel):
    return parsed(model)


def parsed(model: RobotModel):
    robot = yourdfpy.URDF.load(io.BytesIO(urdf(model).encode()), load_meshes=False)
    assert robot.validate(), robot.errors
    return robot


def random_joints(model: RobotModel, count: int):
    return np.random.default_rng(2).uniform(-np.pi, np.pi, (count, len(model.joints)))


def link_poses(robot, model: RobotModel, joints) -> dict[str, np.ndarray]:
    robot.update_cfg(dict(zip(model.joints, joints, strict=True)))
    return {link: robot.get_transform(link) for link in robot.link_map}


def mujocos_data(model: RobotModel, joints) -> mujoco.MjData:
    """MuJoCo's data with the base at the origin."""
    data = mujoco.MjData(model.mj)
    data.qpos[:7] = 0, 0, 0, 1, 0, 0, 0
    data.qpos[model.qpos_indices] = joints
    mujoco.mj_forward(model.mj, data)
    return data


def inside(points, shape) -> np.ndarray:
    """Which of the points (n, 3) in the frame of a shape of the URDF are inside it."""
    if shape.sphere is not None:
        return np.linalg.norm(points, axis=1) < shape.sphere.radius
    if shape.cylinder is not None:
        radius, length = shape.cylinder.radius, shape.cylinder.length
        return (np.hypot(points[:, 0], points[:, 1]) < radius) & (np.abs(points[:, 2]) < length / 2)
    return (np.abs(points) < np.asarray(shape.box.size) / 2).all(axis=1)


def inside_any(points, elements) -> np.ndarray:
    """Which of the points (n, 3) in the frame of a link are inside one of its elements."""
    result = np.zeros(len(points), dtype=bool)
    for element in elements:
        local = (points - element.origin[:3, 3]) @ element.origin[:3, :3]
        result |= inside(local, element.geometry)
    return result


def geom_type(mj: mujoco.MjModel, geom: int) -> mujoco.mjtGeom:
    return mujoco.mjtGeom(int(mj.geom_type[geom]))


def inside_geom(points, mj: mujoco.MjModel, geom: int) -> np.ndarray:
    """Which of the points (n, 3) in the frame of a body are inside a geom of MuJoCo's."""
    size, matrix = mj.geom_size[geom], np.empty(9)
    mujoco.mju_quat2Mat(matrix, mj.geom_quat[geom])
    local = (points - mj.geom_pos[geom]) @ matrix.reshape(3, 3)
    match geom_type(mj, geom):
        case mujoco.mjtGeom.mjGEOM_SPHERE:
            return np.linalg.norm(local, axis=1) < size[0]
        case mujoco.mjtGeom.mjGEOM_CAPSULE:
            along = np.clip(local[:, 2], -size[1], size[1])
            local[:, 2] -= along
            return np.linalg.norm(local, axis=1) < size[0]
        case mujoco.mjtGeom.mjGEOM_CYLINDER:
            radial = np.hypot(local[:, 0], local[:, 1])
            return (radial < size[0]) & (np.abs(local[:, 2]) < size[1])
        case mujoco.mjtGeom.mjGEOM_BOX:
            return (np.abs(local) < size).all(axis=1)
    raise AssertionError("no exact shape in URDF")


def test_forward_kinematics_of_another_library_agree_with_mujocos(model, robot):
    for joints in random_joints(model, 100):
        poses = link_poses(robot, model, joints)
        data = mujocos_data(model, joints)
        for name in model.bodies:
            body = model.mj.body(name).id
            np.testing.assert_allclose(poses[name][:3, 3], data.xpos[body], rtol=0, atol=1e-9)
            np.testing.assert_allclose(
                poses[name][:3, :3], data.xmat[body].reshape(3, 3), rtol=0, atol=1e-9
            )


def test_every_link_of_the_urdf_is_in_tf_at_the_same_pose(model, robot):
    tree = LinkTree(model)
    assert set(robot.link_map) == set(tree.links)
    for joints in random_joints(model, 20):
        expected = tree.poses(np.zeros(3), rotation.IDENTITY, joints)
        for link, pose in link_poses(robot, model, joints).items():
            position, quaternion = expected[link]
            np.testing.assert_allclose(pose[:3, 3], position, rtol=0, atol=1e-9)
            np.testing.assert_allclose(
                pose[:3, :3], rotation.to_matrix(quaternion), rtol=0, atol=1e-9
            )


def test_there_is_one_root_and_every_link_is_reached_from_it(robot):
    parent_of = {joint.child: joint.parent for joint in robot.robot.joints}
    assert len(parent_of) == len(robot.robot.joints) == len(robot.link_map) - 1
    assert set(robot.link_map) - set(parent_of) == {"base_link"}
    for link in robot.link_map:
        ancestor = link
        for _ in robot.link_map:
            ancestor = parent_of.get(ancestor, ancestor)
        assert ancestor == "base_link"


def test_names_are_unique(robot):
    assert len({joint.name for joint in robot.robot.joints}) == len(robot.robot.joints)
    assert len({link.name for link in robot.robot.links}) == len(robot.robot.links)


def test_base_link_has_no_inertia(robot):
    assert robot.link_map["base_link"].inertial is None


def test_mass_agrees_for_every_body_and_in_total(model, robot):
    masses = {name: link.inertial.mass for name, link in robot.link_map.items() if link.inertial}
    assert masses == {
        model.bodies[i - 1]: model.mj.body_mass[i]
        for i in range(1, model.mj.nbody)
        if model.mj.body_mass[i] > 0
    }
    assert sum(masses.values()) == pytest.approx(mujoco.mj_getTotalmass(model.mj), abs=1e-9)


def test_the_humanoid_weighs_42_kg():
    masses = [link.inertial.mass for link in parsed(RobotModel()).robot.links if link.inertial]
    assert sum(masses) == pytest.approx(42.1, abs=0.1)


def test_center_of_mass_and_inertia_about_it_agree_at_random_postures(model, robot):
    for joints in random_joints(model, 10):
        poses = link_poses(robot, model, joints)
        parts = []
        for name, link in robot.link_map.items():
            if link.inertial is not None:
                frame = poses[name] @ link.inertial.origin
                turned = frame[:3, :3] @ link.inertial.inertia @ frame[:3, :3].T
                parts.append((link.inertial.mass, frame[:3, 3], turned))
        mass = sum(m for m, _, _ in parts)
        center = sum(m * c for m, c, _ in parts) / mass
        inertia = np.zeros((3, 3))
        for m, c, turned in parts:
            r = c - center
            inertia += turned + m * (r @ r * np.eye(3) - np.outer(r, r))

        data = mujocos_data(model, joints)
        np.testing.assert_allclose(center, data.subtree_com[1], rtol=0, atol=1e-9)
        # MuJoCo's composite inertia of the root's subtree, about its centre of mass.
        xx, yy, zz, xy, xz, yz, mx, my, mz, m = data.crb[1]
        assert m == pytest.approx(mass)
        np.testing.assert_allclose((mx, my, mz), 0, atol=1e-9)
        np.testing.assert_allclose(
            inertia, [[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]], rtol=0, atol=1e-9
        )


def test_limits_are_the_models(model, robot):
    for i, name in enumerate(model.joints):
        joint = robot.joint_map[name]
        lower, upper = model.position_limits[i]
        if np.isfinite(lower):
            assert joint.type == "revolute"
            assert (joint.limit.lower, joint.limit.upper) == (lower, upper)
        else:
            assert joint.type == "continuous"
            assert joint.limit.lower is None
        assert joint.limit.effort == model.effort_limits[i]
        assert joint.limit.velocity == VELOCITY_LIMIT_RAD_S


def test_the_joints_that_move_are_the_models(model, robot):
    assert set(robot.actuated_joint_names) == set(model.joints)


def test_the_humanoids_limits_are_those_it_is_known_for():
    robot = parsed(RobotModel())
    knee = robot.joint_map["right_knee"]
    assert (knee.limit.lower, knee.limit.upper) == pytest.approx(np.radians((-160, -2)))
    assert knee.limit.effort == pytest.approx(80)
    assert robot.joint_map["left_hip_y"].limit.effort == pytest.approx(120)
    assert robot.joint_map["left_elbow"].limit.effort == pytest.approx(10)


def test_limits_mean_mujocos_joint_positions_where_a_reference_angle_is_set(crooked):
    swing = parsed(crooked).joint_map["swing"]
    assert (swing.limit.lower, swing.limit.upper) == pytest.approx(np.radians((-60, 80)))


def test_damping_and_dry_friction_are_the_models(crooked):
    robot = parsed(crooked)
    swing, twist = (robot.joint_map[name].dynamics for name in ("swing", "twist"))
    assert (float(swing.damping), float(swing.friction)) == (2.0, 0.3)
    assert (float(twist.damping), float(twist.friction)) == (0.0, 0.0)


def test_shapes_fill_the_space_that_mujocos_geoms_fill(model, robot):
    mj = model.mj
    approximated = (mujoco.mjtGeom.mjGEOM_ELLIPSOID, mujoco.mjtGeom.mjGEOM_MESH)
    compared = 0
    for body in range(1, mj.nbody):
        geoms = [g for g in range(mj.ngeom) if mj.geom_bodyid[g] == body]
        if any(geom_type(mj, g) in approximated for g in geoms):
            continue
        link = robot.link_map[model.bodies[body - 1]]
        shown = [g for g in geoms if mj.geom_group[g] < 3 and mj.geom_rgba[g, 3] > 0]
        touching = [g for g in geoms if mj.geom_contype[g] or mj.geom_conaffinity[g]]
        points = np.random.default_rng(3).uniform(-0.6, 0.6, (100_000, 3))
        for elements, sources in ((link.visuals, shown), (link.collisions, touching)):
            expected = np.zeros(len(points), dtype=bool)
            for geom in sources:
                expected |= inside_geom(points, mj, geom)
            assert expected.any() == bool(sources)
            np.testing.assert_array_equal(inside_any(points, elements), expected)
            compared += len(sources)
    assert compared > 0


def test_a_capsule_is_a_cylinder_and_two_spheres():
    shin = parsed(RobotModel()).link_map["right_shin"]
    spheres = [v.geometry.sphere for v in shin.visuals if v.geometry.sphere is not None]
    (cylinder,) = (v.geometry.cylinder for v in shin.visuals if v.geometry.cylinder is not None)
    assert [sphere.radius for sphere in spheres] == pytest.approx([0.049, 0.049])
    assert (cylinder.radius, cylinder.length) == pytest.approx((0.049, 0.3))


def test_an_ellipsoid_is_a_capsule_as_long_and_as_thick_on_average(crooked):
    robot, mj = parsed(crooked), crooked.mj
    visuals = robot.link_map["upper"].visuals
    (cylinder,) = (v for v in visuals if v.geometry.cylinder is not None)
    spheres = [v for v in visuals if v.geometry.sphere is not None]
    radius = np.sqrt(0.05 * 0.03)
    assert cylinder.geometry.cylinder.radius == pytest.approx(radius)
    geom = int(mj.body_geomadr[mj.body("upper").id])
    matrix = np.empty(9)
    mujoco.mju_quat2Mat(matrix, mj.geom_quat[geom])
    longest = matrix.reshape(3, 3)[:, 1]
    np.testing.assert_allclose(np.abs(cylinder.origin[:3, 2] @ longest), 1.0)
    for end, sphere in zip((1, -1), sorted(spheres, key=lambda s: -(s.origin[:3, 3] @ longest)),
                           strict=True):  # fmt: skip
        tip = sphere.origin[:3, 3] + end * radius * longest
        np.testing.assert_allclose(tip, mj.geom_pos[geom] + end * 0.2 * longest, atol=1e-9)


def test_a_mesh_without_a_file_is_the_box_around_it(crooked):
    robot, mj = parsed(crooked), crooked.mj
    (visual,) = robot.link_map["tip"].visuals
    geom = int(mj.body_geomadr[mj.body("tip").id])
    matrix = np.empty(9)
    mujoco.mju_quat2Mat(matrix, mj.geom_quat[geom])
    vertices = mj.mesh_vert @ matrix.reshape(3, 3).T + mj.geom_pos[geom]
    local = (vertices - visual.origin[:3, 3]) @ visual.origin[:3, :3]
    half_sizes = np.asarray(visual.geometry.box.size) / 2
    np.testing.assert_allclose(local.max(axis=0), half_sizes, atol=1e-6)
    np.testing.assert_allclose(local.min(axis=0), -half_sizes, atol=1e-6)


def triangles(path: Path, vertices) -> None:
    """Writes a binary STL file of a tetrahedron."""
    faces = ((0, 2, 1), (0, 1, 3), (0, 3, 2), (1, 2, 3))
    rows = [struct.pack("<12fH", 0, 0, 0, *np.ravel(vertices[list(f)]), 0) for f in faces]
    path.write_bytes(bytes(80) + struct.pack("<I", len(faces)) + b"".join(rows))


def model_with_geoms(tmp_path: Path, geoms: str, asset: str = "") -> RobotModel:
    path = tmp_path / "robot.xml"
    path.write_text(f"""
        <mujoco><asset>{asset}</asset><worldbody>
          <body name="base"><freejoint/><geom size=".1"/>
            <body name="leg" pos="0 0 -.3" euler="10 20 30"><joint name="hip"/>{geoms}</body></body>
        </worldbody>
        <actuator><motor joint="hip" ctrlrange="-1 1" ctrllimited="true"/></actuator></mujoco>""")
    return RobotModel(ModelConfig(path=str(path), left_foot="", right_foot=""))


@pytest.mark.parametrize("scale", ["1 1 1", "1 2 3", "-1 2 .5"])
def test_a_mesh_file_is_where_mujoco_has_the_mesh(tmp_path, scale):
    vertices = np.array([(0, 0, 0), (0.1, 0, 0), (0, 0.2, 0), (0, 0, 0.3)])
    triangles(tmp_path / "wedge.stl", vertices)
    mesh = f'<mesh name="wedge" file="wedge.stl" scale="{scale}"/>'
    geom = '<geom type="mesh" mesh="wedge" pos=".1 .2 .3" euler="5 6 7" mass="1"/>'
    model = model_with_geoms(tmp_path, geom, mesh)
    for element in (*(leg := parsed(model).link_map["leg"]).visuals, *leg.collisions):
        shape = element.geometry.mesh
        assert shape.filename == (tmp_path / "wedge.stl").resolve().as_uri()
        shown = element.origin[:3, 3] + (vertices * shape.scale) @ element.origin[:3, :3].T
        matrix = np.empty(9)
        geom_id = int(model.mj.body_geomadr[model.mj.body("leg").id])
        mujoco.mju_quat2Mat(matrix, model.mj.geom_quat[geom_id])
        there = model.mj.geom_pos[geom_id] + model.mj.mesh_vert @ matrix.reshape(3, 3).T
        for vertex in shown:
            assert np.linalg.norm(there - vertex, axis=1).min() < 1e-6
    assert len(leg.visuals) == len(leg.collisions) == 1


def test_a_mesh_that_mujoco_moves_before_it_uses_it_is_the_box_around_it(tmp_path):
    vertices = np.array([(0, 0, 0), (0.1, 0, 0), (0, 0.2, 0), (0, 0, 0.3)])
    triangles(tmp_path / "wedge.stl", vertices)
    mesh = '<mesh name="wedge" file="wedge.stl" refpos="1 2 3"/>'
    model = model_with_geoms(tmp_path, '<geom type="mesh" mesh="wedge" mass="1"/>', mesh)
    (visual,) = parsed(model).link_map["leg"].visuals
    assert visual.geometry.mesh is None
    assert visual.geometry.box is not None


@pytest.mark.parametrize(
    ("masks", "collides"),
    [
        ('contype="1" conaffinity="0"', True),
        ('contype="0" conaffinity="1"', True),
        ('contype="0" conaffinity="0"', False),
    ],
)
def test_a_geom_with_either_mask_collides(tmp_path, masks, collides):
    model = model_with_geoms(tmp_path, f'<geom size=".1" {masks}/>')
    leg = parsed(model).link_map["leg"]
    assert len(leg.collisions) == collides
    assert len(leg.visuals) == 1


def test_geoms_of_hidden_groups_are_not_drawn_unless_there_are_no_others(tmp_path):
    model = model_with_geoms(tmp_path, '<geom size=".1" group="3"/><geom size=".2" group="2"/>')
    leg = parsed(model).link_map["leg"]
    assert [visual.geometry.sphere.radius for visual in leg.visuals] == [0.2]
    assert len(leg.collisions) == 2
    path = model.path
    hidden = path.read_text().replace('size=".1"', 'size=".1" group="4"').replace('="2"', '="3"')
    path.write_text(hidden.replace('group="4" group="3"', 'group="3"'))
    model = RobotModel(model.card)
    assert len(parsed(model).link_map["leg"].visuals) == 2


def test_a_drive_without_a_limit_has_a_number_in_the_urdf(tmp_path):
    model = model_with_geoms(tmp_path, '<geom size=".1"/>')
    path = model.path
    servo = '<position joint="hip" kp="10"/>'
    path.write_text(
        path.read_text().split("<actuator>")[0] + f"<actuator>{servo}</actuator></mujoco>"
    )
    model = RobotModel(model.card)
    assert np.isinf(model.effort_limits).all()
    assert parsed(model).joint_map["hip"].limit.effort == 1e6


def test_what_is_transparent_is_not_shown_and_what_touches_nothing_is_only_shown(crooked):
    trunk = parsed(crooked).link_map["trunk"]
    assert [v.geometry.sphere.radius for v in trunk.visuals if v.geometry.sphere] == [0.15]
    assert [c.geometry.sphere.radius for c in trunk.collisions if c.geometry.sphere] == [0.08]


def test_colors_are_the_models(crooked):
    robot = ElementTree.fromstring(urdf(crooked))
    colors = {
        material.get("name"): material.find("color").get("rgba")
        for material in robot.findall("material")
    }
    of_link = {
        link.get("name"): [colors[m.get("name")] for m in link.findall("visual/material")]
        for link in robot.findall("link")
    }
    assert of_link["trunk"] == ["1.0 0.0 0.0 1.0", "0.0 0.0 1.0 1.0"]  # its own, its material's
    assert set(of_link["lower"]) == {"0.5 0.5 0.5 1.0"}
    humanoid = ElementTree.fromstring(urdf(RobotModel()))
    assert [color.get("rgba") for color in humanoid.iter("color")] == ["0.8 0.6 0.4 1.0"]


def test_the_robot_has_the_models_name_and_the_document_is_always_the_same(model):
    assert urdf(model) == urdf(model)
    assert ElementTree.fromstring(urdf(model)).get("name") == model.name


def test_colors_have_names_that_the_whole_document_shares(model):
    robot = ElementTree.fromstring(urdf(model))
    names = [material.get("name") for material in robot.findall("material")]
    assert len(set(names)) == len(names)
    for material in robot.findall("link/visual/material"):
        assert material.get("name") in names
        assert len(material) == 0
