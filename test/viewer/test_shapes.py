# SPDX-License-Identifier: Apache-2.0
"""The meshes that the browser draws are MuJoCo's geoms."""

import mujoco
import numpy as np
import pytest

from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.model import ModelConfig, RobotModel
from humanoid_mujoco_ros.robot.posed_model import PosedModel
from humanoid_mujoco_ros.viewer import shapes

ROBOT_OF_EVERY_SHAPE = """
<mujoco>
  <asset>
    <mesh name="pyramid" vertex="0 0 0  1 0 0  0 1 0  0 0 1" scale="0.1 0.1 0.1"/>
  </asset>
  <worldbody>
    <geom type="plane" size="5 5 0.1"/>
    <body name="trunk" pos="0 0 1">
      <freejoint/>
      <geom type="box" size="0.1 0.2 0.05" pos="0.1 0 0.2" euler="10 20 30"/>
      <geom type="ellipsoid" size="0.1 0.2 0.05" euler="0 40 0"/>
      <geom type="mesh" mesh="pyramid" pos="0.2 0.1 0"/>
      <body name="limb" pos="0.1 0.2 0.3" euler="0 90 20">
        <joint name="hinge" type="hinge" axis="0 1 0"/>
        <geom type="cylinder" size="0.03 0.2" pos="0 0 0.2"/>
        <geom type="capsule" size="0.04" fromto="0 0 0 0.1 0.2 0.3"/>
        <geom type="sphere" size="0.07" pos="0 0.3 0"/>
      </body>
    </body>
  </worldbody>
  <actuator><motor joint="hinge" ctrlrange="-1 1"/></actuator>
</mujoco>
"""


@pytest.fixture
def robot(tmp_path):
    path = tmp_path / "robot.xml"
    path.write_text(ROBOT_OF_EVERY_SHAPE)
    return RobotModel(ModelConfig(path=str(path), left_foot="", right_foot=""))


@pytest.mark.parametrize(("name", "volume"), [("sphere", 4 / 3 * np.pi), ("box", 8.0)])
def test_closed_meshes_are_watertight_and_face_outwards(name, volume):
    mesh = getattr(shapes, name)()
    mesh.merge_vertices()
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(volume, rel=0.02)


def test_a_box_has_sharp_edges():
    mesh = shapes.box()
    assert len(mesh.vertices) == 36
    np.testing.assert_allclose(np.abs(mesh.vertex_normals).max(axis=1), 1.0)


def test_a_tube_faces_outwards_and_fits_the_sphere():
    tube = shapes.tube()
    radial = tube.triangles_center * [1, 1, 0]
    assert (np.sum(tube.face_normals * radial, axis=1) > 0.9).all()
    assert tube.area == pytest.approx(4 * np.pi, rel=0.01)
    ring = tube.vertices[np.isclose(tube.vertices[:, 2], 1)][:, :2]
    sphere = shapes.sphere().vertices
    equator = sphere[np.abs(sphere[:, 2]) < 1e-6][:, :2]
    assert len(equator) == shapes.SEGMENTS
    distances = np.linalg.norm(ring[:, None] - equator[None], axis=-1)
    np.testing.assert_allclose(distances.min(axis=1), 0.0, atol=1e-6)


def test_a_disc_has_a_front_and_a_back():
    disc = shapes.disc()
    assert sorted({round(float(z)) for z in disc.face_normals[:, 2]}) == [-1, 1]
    assert disc.area == pytest.approx(2 * np.pi, rel=0.01)


def surface_points(robot, posed):
    """Geom → world points (v, 3) of everything drawn for it."""
    points = {}
    for batch in shapes.batches(robot):
        positions, quaternions = batch.poses(posed)
        for i, geom in enumerate(batch.geoms):
            local = batch.mesh.vertices * batch.scales[i]
            world = rotation.rotate(quaternions[i], local) + positions[i]
            points.setdefault(int(geom), []).append(world)
    return {geom: np.concatenate(parts) for geom, parts in points.items()}


def test_every_geom_is_drawn_where_mujoco_has_it(robot):
    posed = PosedModel(robot)
    turn = rotation.normalized([0.8, 0.2, -0.3, 0.5])
    posed.set_pose([1.0, 2.0, 3.0], turn, [0.7])
    points = surface_points(robot, posed)
    m = robot.mj
    drawn = [geom for geom in range(m.ngeom) if m.geom_bodyid[geom] != 0]
    assert sorted(points) == drawn
    for geom, world in points.items():
        local = (world - posed.geom_xpos[geom]) @ posed.geom_xmat[geom]
        aabb = m.geom_aabb[geom]
        np.testing.assert_allclose(local.min(axis=0), aabb[:3] - aabb[3:], atol=1e-3)
        np.testing.assert_allclose(local.max(axis=0), aabb[:3] + aabb[3:], atol=1e-3)


def colors_by_body(robot):
    found = {}
    for batch in shapes.batches(robot):
        for body, color in zip(batch.bodies, batch.colors.tolist(), strict=True):
            found.setdefault(robot.mj.body(body).name, set()).add(tuple(color))
    return found


def test_a_robot_of_one_colour_gets_two_along_each_limb_and_dark_ends():
    colors = colors_by_body(RobotModel())
    assert {len(of_body) for of_body in colors.values()} == {1}
    assert len(set.union(*colors.values())) == 3
    assert colors["torso"] == colors["pelvis"] != colors["lwaist"] == colors["left_thigh"]
    assert colors["left_foot"] == colors["right_foot"] == colors["left_lower_arm"]
    assert colors["left_foot"] not in (colors["torso"], colors["lwaist"])


def test_a_robot_of_several_colours_keeps_them(tmp_path):
    path = tmp_path / "colourful.xml"
    path.write_text(ROBOT_OF_EVERY_SHAPE.replace('type="box"', 'type="box" rgba="1 0.5 0 1"'))
    robot = RobotModel(ModelConfig(path=str(path), left_foot="", right_foot=""))
    assert colors_by_body(robot) == {
        "trunk": {(255, 128, 0), (128, 128, 128)},
        "limb": {(128, 128, 128)},
    }


def test_a_point_beside_a_capsule_snaps_to_its_surface():
    m = mujoco.MjModel.from_xml_string(
        '<mujoco><worldbody><geom type="capsule" size="0.1 0.5"/>'
        '<geom type="box" size="1 1 1"/></worldbody></mujoco>'
    )
    for point, expected in (
        ([0.3, 0.0, 0.2], [0.1, 0.0, 0.2]),
        ([0.02, 0.0, -0.1], [0.1, 0.0, -0.1]),
        ([0.0, 0.0, 0.9], [0.0, 0.0, 0.6]),
    ):
        np.testing.assert_allclose(shapes.snap_to_surface(m, 0, np.array(point)), expected)
    for point, expected in (([0.2, 0.0, 0.9], [0.2, 0.0, 0.9]), ([1e6, 0.0, -9.0], [1, 0, -1])):
        np.testing.assert_allclose(shapes.snap_to_surface(m, 1, np.array(point)), expected)


def test_an_instance_that_is_not_there_is_refused():
    batch = shapes.batches(RobotModel())[0]
    assert batch.geom(0) == batch.geoms[0]
    for instance in (None, -1, len(batch.geoms)):
        with pytest.raises(shapes.ShapeError, match=f"instances, no {instance}"):
            batch.geom(instance)
