# SPDX-License-Identifier: Apache-2.0
"""Every robot that has a card, against MuJoCo and another library's URDF."""

import io
from pathlib import Path

import mujoco
import numpy as np
import pytest

from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.card import card_names, load_card
from humanoid_mujoco_ros.robot.link_tree import LinkTree
from humanoid_mujoco_ros.robot.model import ModelError, RobotModel
from humanoid_mujoco_ros.robot.posed_model import PosedModel
from humanoid_mujoco_ros.robot.urdf import urdf
from humanoid_mujoco_ros.simulation.simulation import Simulation, SimulationConfig

yourdfpy = pytest.importorskip("yourdfpy")

CARDS = Path(__file__).parents[2] / "config" / "robots"
JOINTS = {"ant": 8, "g1": 29, "go1": 12, "half_cheetah": 6, "hopper": 3, "humanoid": 17,
          "humanoid_v4": 17, "walker2d": 6}  # fmt: skip
MASSES_KG = {"g1": 33.34, "go1": 12.74, "half_cheetah": 14.0, "humanoid": 42.12}
PLANAR = ("half_cheetah", "hopper", "walker2d")


def load(name: str) -> RobotModel:
    try:
        return RobotModel(load_card(name, CARDS))
    except ModelError as error:
        if "is not installed" in str(error):
            pytest.skip(str(error))
        raise


@pytest.fixture(scope="module", params=card_names(CARDS))
def robot(request) -> RobotModel:
    return load(request.param)


def random_states(robot: RobotModel, count: int):
    """States all over the place, with the velocities that MuJoCo makes of them."""
    random = np.random.default_rng(3)
    data = mujoco.MjData(robot.mj)
    for _ in range(count):
        data.qpos[:] = random.uniform(-1, 1, robot.mj.nq)
        mujoco.mj_normalizeQuat(robot.mj, data.qpos)
        data.qvel[:] = random.uniform(-1, 1, robot.mj.nv)
        mujoco.mj_forward(robot.mj, data)
        yield data


def test_joints_motors_and_mass_are_the_robots(robot):
    assert len(robot.joints) == len(robot.driven_joints) == JOINTS[robot.card.name]
    assert (robot.effort_limits > 0).all()
    assert np.isfinite(robot.effort_limits).all()
    expected = MASSES_KG.get(robot.card.name)
    if expected is not None:
        assert robot.mj.body_mass.sum() == pytest.approx(expected, abs=0.01)


def test_links_are_where_mujoco_has_the_bodies(robot):
    tree = LinkTree(robot)
    for data in random_states(robot, 3):
        base = robot.base.pose(data.qpos)
        poses = tree.poses(*base, data.qpos[robot.qpos_indices])
        assert len(tree.body_ids) == len(robot.bodies)
        for link, body in tree.body_ids.items():
            np.testing.assert_allclose(poses[link][0], data.xpos[body], atol=1e-9)
            np.testing.assert_allclose(
                rotation.to_matrix(poses[link][1]), data.xmat[body].reshape(3, 3), atol=1e-9
            )
        for link in tree.links:
            position, axes = tree.mount(link).pose(data)
            np.testing.assert_allclose(position, poses[link][0], atol=1e-9)
            np.testing.assert_allclose(axes, rotation.to_matrix(poses[link][1]), atol=1e-9)


def test_another_librarys_forward_kinematics_and_mass_agree(robot):
    parsed = yourdfpy.URDF.load(io.BytesIO(urdf(robot).encode()), load_meshes=False)
    assert parsed.validate(), parsed.errors
    masses = [link.inertial.mass for link in parsed.link_map.values() if link.inertial]
    assert sum(masses) == pytest.approx(robot.mj.body_mass.sum())
    tree = LinkTree(robot)
    for data in random_states(robot, 3):
        parsed.update_cfg(dict(zip(robot.joints, data.qpos[robot.qpos_indices], strict=True)))
        position, quaternion = robot.base.pose(data.qpos)
        for link, body in tree.body_ids.items():
            pose = parsed.get_transform(link)
            there = position + rotation.rotate(quaternion, pose[:3, 3])
            np.testing.assert_allclose(there, data.xpos[body], atol=1e-7)
    for i, name in enumerate(robot.joints):
        assert parsed.joint_map[name].limit.effort == robot.effort_limits[i]


def test_a_measured_state_is_followed(robot):
    posed = PosedModel(robot)
    for data in random_states(robot, 3):
        position, quaternion = robot.base.pose(data.qpos)
        linear, angular = robot.base.twist(data.qpos, data.qvel, quaternion)
        posed.set_state(
            position,
            quaternion,
            linear,
            angular,
            data.qpos[robot.qpos_indices],
            data.qvel[robot.dof_indices],
            np.zeros(len(robot.joints)),
        )
        np.testing.assert_allclose(posed.body_positions, data.xpos, atol=1e-9)
        np.testing.assert_allclose(posed.geom_xmat.reshape(-1, 9), data.geom_xmat, atol=1e-9)
        for link in robot.bodies:
            body = robot.body_of_link(link)
            expected = np.empty(6)
            mujoco.mj_objectVelocity(
                robot.mj, data, mujoco.mjtObj.mjOBJ_XBODY, body, expected, flg_local=0
            )
            np.testing.assert_allclose(posed.angular_velocity(link), expected[:3], atol=1e-9)
            np.testing.assert_allclose(
                posed.point_velocity(link, data.xpos[body]), expected[3:], atol=1e-9
            )


def test_a_simulation_starts_upright_and_is_equal_bit_for_bit(robot):
    runs = []
    for _ in range(2):
        simulation = Simulation(robot, SimulationConfig(seed=1))
        state = simulation.state()
        assert not state.fallen
        height = robot.base.pose(robot.start_qpos)[0][2]
        assert state.base_position[2] == pytest.approx(height, abs=0.02)
        random = np.random.default_rng(1)
        for _ in range(20):
            push = random.uniform(-0.1, 0.1, len(robot.joints))
            is_effort = robot.actuation == "effort"
            command = push * robot.effort_limits if is_effort else robot.start_joints + push
            state = simulation.step(command)
        runs.append(state.qpos.tobytes() + state.qvel.tobytes())
        assert (np.abs(state.joint_efforts) <= robot.effort_limits + 1e-9).all()
    assert runs[0] == runs[1]


def test_odometry_is_the_world_pose_of_the_base(robot):
    simulation = Simulation(robot, SimulationConfig(seed=2))
    for data in random_states(robot, 3):
        state = simulation.set_state(data.qpos.copy(), data.qvel.copy())
        body = robot.base.body
        np.testing.assert_allclose(state.base_position, data.xpos[body], atol=1e-12)
        expected = np.empty(6)
        mujoco.mj_objectVelocity(
            robot.mj, data, mujoco.mjtObj.mjOBJ_XBODY, body, expected, flg_local=1
        )
        np.testing.assert_allclose(state.base_angular_velocity, expected[:3], atol=1e-12)
        np.testing.assert_allclose(state.base_linear_velocity, expected[3:], atol=1e-12)
        np.testing.assert_allclose(state.imu.angular_velocity, expected[:3], atol=1e-9)


@pytest.mark.parametrize("name", PLANAR)
def test_a_planar_robot_falls_forward_in_its_plane(name):
    robot = load(name)
    assert not robot.base.is_free
    assert {"rootx", "rootz", "rooty"}.isdisjoint(robot.joints)
    simulation = Simulation(robot, SimulationConfig(reset_noise_scale=0.0))
    for _ in range(50):
        state = simulation.step(robot.effort_limits * 0.3)
    assert state.base_position[1] == 0
    assert state.base_position[2] < robot.base.pose(robot.start_qpos)[0][2]


def test_the_quadruped_stands_in_its_drives_and_gets_up_from_limp():
    robot = load("go1")
    simulation = Simulation(robot, SimulationConfig(reset_noise_scale=0.0))
    for _ in range(250):
        state = simulation.step(robot.start_joints)
    assert not state.fallen
    assert state.base_position[2] > 0.2
    for _ in range(50):
        state = simulation.step(None)
    assert state.fallen
    assert state.base_position[2] < 0.1


def test_the_g1s_feet_carry_it():
    robot = load("g1")
    simulation = Simulation(robot, SimulationConfig(reset_noise_scale=0.0))
    for _ in range(15):
        state = simulation.step(robot.start_joints)
    force = sum(
        robot_axes(state, robot, side, wrench)[2] for side, wrench in state.foot_wrenches.items()
    )
    assert force == pytest.approx(robot.mj.body_mass.sum() * 9.81, rel=0.1)


def robot_axes(state, robot, side, wrench):
    """The force of a foot's wrench in the world."""
    posed = PosedModel(robot)
    posed.set_pose(state.base_position, state.base_quaternion_wxyz, state.joint_positions)
    foot = next(body for s, body, _ in robot.foot_sensors if s == side)
    return rotation.rotate(posed.link_pose(foot)[1], wrench.force)


def test_the_g1s_soles_touch_the_ground_when_it_stands_straight():
    robot = load("g1")
    data = mujoco.MjData(robot.mj)
    mujoco.mj_kinematics(robot.mj, data)
    for side, site in robot.sole_sites.items():
        geoms = [
            geom
            for geom in range(robot.mj.ngeom)
            if (robot.mj.geom(geom).name or "").startswith(f"{side}_foot")
        ]
        lowest = min(data.geom_xpos[g][2] - robot.mj.geom_size[g][0] for g in geoms)
        assert data.site(site).xpos[2] == pytest.approx(lowest, abs=1e-6)
