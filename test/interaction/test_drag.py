# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from following import follow

from humanoid_mujoco_ros.interaction.drag import Drag
from humanoid_mujoco_ros.interaction.spring import SpringConfig, pull
from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.model import ModelError, RobotModel
from humanoid_mujoco_ros.robot.posed_model import PosedModel
from humanoid_mujoco_ros.robot.vectors import VectorError
from humanoid_mujoco_ros.simulation.simulation import Simulation

SPRING = SpringConfig(stiffness=200.0, damping=0.0)
GRAB = np.array([0.0, 0.05, 0.1])
TARGET = np.array([0.4, 0.1, 1.5])


@pytest.fixture
def simulation():
    return Simulation(RobotModel())


@pytest.fixture
def posed(simulation):
    posed = PosedModel(simulation.robot)
    follow(posed, simulation.state())
    return posed


@pytest.fixture
def drag(posed):
    return Drag(posed, SPRING, timeout_s=2.0)


def grab(drag, client="ann", now_s=0.0):
    drag.grab(client, "torso", GRAB, TARGET, rotation.IDENTITY, now_s)


def test_nothing_held_pulls_nothing(drag):
    drag.move("ann", TARGET, rotation.IDENTITY, 0.0)
    assert drag.pull() is None
    assert drag.link is None
    assert drag.client is None


def test_the_target_stays_while_the_link_moves(drag, posed, simulation):
    grab(drag)
    before = drag.pull()
    for _ in range(20):
        follow(posed, simulation.step(np.zeros(17)))
    after = drag.pull()
    position, quaternion = posed.link_pose("torso")
    expected = pull(
        SPRING,
        target_world=TARGET,
        grab_point=GRAB,
        link_position=position,
        link_quaternion_wxyz=quaternion,
        point_velocity=np.zeros(3),
    )
    np.testing.assert_allclose(after.force_world, expected.force_world)
    assert np.linalg.norm(after.force_world - before.force_world) > 1.0


def test_a_handle_that_is_only_moved_leaves_the_link_free_to_turn(drag, posed):
    grab(drag)
    drag.move("ann", TARGET + 0.1, rotation.IDENTITY, 0.1)
    wrench = drag.pull().wrench
    np.testing.assert_allclose(wrench.torque, np.cross(GRAB, wrench.force))


def test_a_turned_handle_turns_the_link_by_as_much(posed):
    drag = Drag(posed, SpringConfig(angular_stiffness=10.0, angular_damping=0.0), 2.0)
    _, quaternion = posed.link_pose("torso")
    point = posed.link_pose("torso")[0] + rotation.rotate(quaternion, GRAB)
    drag.grab("ann", "torso", GRAB, point, rotation.IDENTITY, 0.0)
    turn = rotation.from_axis_angle((0.0, 0.0, 1.0), 0.7)
    drag.move("ann", point, turn, 0.1)
    before = drag.pull()
    torque = rotation.rotate(quaternion, before.wrench.torque - np.cross(GRAB, before.wrench.force))
    np.testing.assert_allclose(torque, (0.0, 0.0, 7.0), atol=1e-9)
    # There, the torque ends.
    joints = np.zeros(17)
    posed.set_pose(posed.link_pose("torso")[0], rotation.multiply(turn, quaternion), joints)
    after = drag.pull().wrench
    np.testing.assert_allclose(after.torque - np.cross(GRAB, after.force), 0.0, atol=1e-9)


def test_release_is_for_the_one_who_holds(drag):
    grab(drag)
    drag.release("bob")
    assert drag.link == "torso"
    drag.move("bob", TARGET, rotation.IDENTITY, 0.5)
    drag.release("ann")
    assert drag.client == "bob"
    drag.release("bob")
    assert drag.pull() is None


def test_a_silent_client_is_lost_after_the_timeout(drag):
    grab(drag, now_s=10.0)
    drag.move("ann", TARGET, rotation.IDENTITY, 11.0)
    assert not drag.is_client_lost(12.9)
    drag.keep("bob", 12.9)
    drag.keep("ann", 12.5)
    assert not drag.is_client_lost(14.4)
    assert drag.is_client_lost(14.6)
    assert drag.link  # so that its owner can say what it lets go of
    drag.release()
    assert not drag.is_client_lost(14.7)


def test_an_unknown_link_cannot_be_grabbed(drag):
    with pytest.raises(ModelError, match="link 'tail' is not in the model"):
        drag.grab("ann", "tail", GRAB, TARGET, rotation.IDENTITY, 0.0)


def test_a_carried_handle_pulls_in_the_links_frame_and_is_not_braked_by_a_walk():
    robot = RobotModel()
    posed = PosedModel(robot)
    turned = rotation.from_axis_angle((0.0, 0.0, 1.0), np.pi / 2)
    still = np.zeros(len(robot.joints))
    posed.set_state((3.0, 1.0, 1.4), turned, (2.0, 0.0, 0.0), np.zeros(3), still, still, still)
    drag = Drag(posed, SpringConfig(), timeout_s=1.0, is_handle_carried=True)
    drag.grab("person", "torso", np.zeros(3), np.zeros(3), rotation.IDENTITY, 0.0)
    np.testing.assert_allclose(drag.pull().wrench.force, 0.0, atol=1e-9)
    drag.move("person", (0.25, 0.0, 0.0), rotation.IDENTITY, 0.0)
    np.testing.assert_allclose(drag.pull().wrench.force, (100.0, 0.0, 0.0), atol=1e-9)
    np.testing.assert_allclose(drag.pull().force_world, (0.0, 100.0, 0.0), atol=1e-9)


def test_a_carried_handle_turns_the_link_from_where_it_is():
    posed = PosedModel(RobotModel())
    drag = Drag(posed, SpringConfig(), timeout_s=1.0, is_handle_carried=True)
    drag.grab("person", "torso", np.zeros(3), np.zeros(3), rotation.IDENTITY, 0.0)
    quarter = rotation.from_axis_angle((1.0, 0.0, 0.0), 0.5)
    drag.move("person", np.zeros(3), quarter, 0.0)
    # Half a radian at 60 N·m/rad, about the link's own x axis.
    np.testing.assert_allclose(drag.pull().wrench.torque, (30.0, 0.0, 0.0), atol=1e-9)


def test_a_turn_is_the_handles_whatever_its_orientation_at_the_grab(posed):
    """Turned about the world's z axis, a handle that lay askew turns the link about that axis."""
    drag = Drag(posed, SpringConfig(angular_stiffness=10.0, angular_damping=0.0), 2.0)
    position, quaternion = posed.link_pose("torso")
    askew = rotation.from_axis_angle((1.0, 0.0, 0.0), 1.1)
    turn = rotation.from_axis_angle((0.0, 0.0, 1.0), 0.7)
    drag.grab("ann", "torso", np.zeros(3), position, askew, 0.0)
    drag.move("ann", position, rotation.multiply(turn, askew), 0.1)
    torque = rotation.rotate(quaternion, drag.pull().wrench.torque)
    np.testing.assert_allclose(torque, (0.0, 0.0, 7.0), atol=1e-9)


@pytest.mark.parametrize("number", [np.nan, np.inf, 1e308, -2e6])
def test_a_handle_beyond_all_bounds_is_refused_and_stays_where_it_is(drag, number):
    with pytest.raises(VectorError, match="handle position"):
        drag.grab("ann", "torso", GRAB, [number, 0.0, 0.0], rotation.IDENTITY, 0.0)
    assert drag.link is None
    grab(drag)
    before = drag.pull()
    with pytest.raises(VectorError, match="handle position"):
        drag.move("ann", [0.0, number, 0.0], rotation.IDENTITY, 0.1)
    np.testing.assert_array_equal(drag.pull().force_world, before.force_world)


def test_an_orientation_that_is_not_finite_is_refused(drag):
    grab(drag)
    with pytest.raises(VectorError, match="handle orientation is not finite"):
        drag.move("ann", TARGET, [1.0, np.nan, 0.0, 0.0], 0.1)
    with pytest.raises(VectorError, match="grab point is not finite"):
        drag.grab("ann", "torso", [np.inf, 0.0, 0.0], TARGET, rotation.IDENTITY, 0.2)
