# SPDX-License-Identifier: Apache-2.0
"""The spring between the robot and the mouse."""

import numpy as np
import pytest

from humanoid_mujoco_ros.interaction.drag import Drag
from humanoid_mujoco_ros.interaction.spring import SpringConfig
from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.robot.posed_model import PosedModel
from humanoid_mujoco_ros.robot.vectors import VectorError
from humanoid_mujoco_ros.viewer.mouse_drag import MouseDrag

SPRING = SpringConfig(stiffness=100.0, damping=0.0, max_force=1000.0)


class Stage:
    """A robot that stands in a scene whose origin lies somewhere else."""

    def __init__(self):
        self.origin = np.array([10.0, -4.0, 0.0])
        self.posed = PosedModel(RobotModel())
        self.stand([10.0, -4.0, 1.4])
        self.drag = MouseDrag(
            self.posed, Drag(self.posed, SPRING, timeout_s=2.0), lambda p: p + self.origin
        )

    def stand(self, position):
        joints = np.zeros(len(self.posed.robot.joints))
        self.posed.set_pose(position, rotation.normalized([0.97, 0.1, 0.1, 0.2]), joints)

    def surface_point(self, geom_name):
        """A geom's id and a point of the scene on its surface."""
        model = self.posed.robot.mj
        geom = model.geom(geom_name).id
        axis = self.posed.geom_xmat[geom][:, 0]
        return geom, self.posed.geom_xpos[geom] + axis * model.geom_size[geom, 0] - self.origin


@pytest.fixture
def stage():
    return Stage()


@pytest.mark.parametrize(
    ("geom_name", "link"), [("head", "base_link"), ("right_shin1", "right_shin")]
)
def test_the_very_point_is_pulled_towards_the_mouse(stage, geom_name, link):
    geom, point = stage.surface_point(geom_name)
    mouse = point + [0.1, 0.2, 0.3]
    stage.drag.start("a", geom, point, mouse, 0.0)
    pull = stage.drag.pull(0.1)
    assert stage.drag.link == link
    np.testing.assert_allclose(pull.point_world, point + stage.origin, atol=1e-9)
    np.testing.assert_allclose(pull.force_world, [10.0, 20.0, 30.0], atol=1e-9)


def test_a_point_that_the_robot_has_left_meanwhile_is_taken_from_its_surface(stage):
    geom, point = stage.surface_point("head")
    stage.stand([10.02, -4.0, 1.4])
    stage.drag.start("a", geom, point, point, 0.0)
    pull = stage.drag.pull(0.0)
    radius = stage.posed.robot.mj.geom_size[geom, 0]
    assert np.linalg.norm(pull.point_world - stage.posed.geom_xpos[geom]) == pytest.approx(radius)


def test_the_mouse_keeps_its_place_in_a_scene_that_moves_along(stage):
    geom, point = stage.surface_point("head")
    stage.drag.start("a", geom, point, point + [0.1, 0.0, 0.0], 0.0)
    before = stage.drag.pull(0.0).force_world
    stage.stand([11.0, -4.0, 1.4])
    stage.origin = np.array([11.0, -4.0, 0.0])
    np.testing.assert_allclose(stage.drag.pull(0.0).force_world, before, atol=1e-9)


def test_only_the_browser_that_holds_moves_and_releases(stage):
    geom, point = stage.surface_point("head")
    stage.drag.start("a", geom, point, point, 0.0)
    stage.drag.move("b", point + [1.0, 0.0, 0.0], 0.0)
    stage.drag.end("b")
    np.testing.assert_allclose(stage.drag.pull(0.0).force_world, 0.0, atol=1e-9)
    stage.drag.move("a", point + [1.0, 0.0, 0.0], 0.0)
    assert np.linalg.norm(stage.drag.pull(0.0).force_world) == pytest.approx(100.0)
    stage.drag.end("a")
    assert stage.drag.pull(0.0) is None


def test_a_browser_that_is_not_heard_loses_the_robot(stage):
    geom, point = stage.surface_point("head")
    stage.drag.start("a", geom, point, point, 0.0)
    assert stage.drag.pull(1.9) is not None
    stage.drag.hear("b", 1.9)
    stage.drag.hear("a", 1.9)
    assert stage.drag.pull(3.8) is not None
    assert stage.drag.pull(4.0) is None
    assert stage.drag.client is None


@pytest.mark.parametrize("number", [np.nan, -np.inf, 1e300])
def test_a_mouse_beyond_all_bounds_is_refused(stage, number):
    geom, point = stage.surface_point("head")
    with pytest.raises(VectorError):
        stage.drag.start("a", geom, point, [number, 0.0, 0.0], 0.0)
    assert stage.drag.client is None
    stage.drag.start("a", geom, point, point + [0.1, 0.0, 0.0], 0.0)
    before = stage.drag.pull(0.0).force_world
    with pytest.raises(VectorError):
        stage.drag.move("a", [0.0, 0.0, number], 0.0)
    np.testing.assert_array_equal(stage.drag.pull(0.0).force_world, before)


def test_a_point_far_from_the_body_is_taken_from_its_surface(stage):
    geom, point = stage.surface_point("head")
    stage.drag.start("a", geom, point + [1e5, 0.0, 0.0], point, 0.0)
    radius = stage.posed.robot.mj.geom_size[geom, 0]
    pulled = stage.drag.pull(0.0).point_world
    assert np.linalg.norm(pulled - stage.posed.geom_xpos[geom]) == pytest.approx(radius)
