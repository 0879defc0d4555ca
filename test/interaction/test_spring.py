# SPDX-License-Identifier: Apache-2.0
import mujoco
import numpy as np
import pytest

from humanoid_mujoco_ros.interaction.spring import SpringConfig, pull, twist
from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.simulation.simulation import Simulation


def spring_pull(config, target, grab, position, quaternion, velocity):
    return pull(
        config,
        target_world=target,
        grab_point=grab,
        link_position=position,
        link_quaternion_wxyz=quaternion,
        point_velocity=velocity,
    )


def random_pulls(count: int, config: SpringConfig, spread: float = 0.3):
    random = np.random.default_rng(3)
    for _ in range(count):
        grab, position, velocity = random.normal(size=(3, 3))
        quaternion = rotation.normalized(random.normal(size=4))
        point = position + rotation.rotate(quaternion, grab)
        target = point + spread * random.normal(size=3)
        yield (
            spring_pull(config, target, grab, position, quaternion, velocity),
            target - point,
            velocity,
            (position, quaternion, grab),
        )


def test_the_force_is_the_slope_of_the_springs_energy():
    config = SpringConfig(stiffness=250.0, damping=0.0, max_force=1e9)
    target, step = np.array([0.3, -0.2, 1.1]), 1e-6

    def energy(position):
        point = position + grab
        return 0.5 * config.stiffness * np.sum((target - point) ** 2)

    grab, position = np.array([0.1, 0.2, -0.1]), np.array([0.5, 0.5, 1.0])
    force = spring_pull(config, target, grab, position, rotation.IDENTITY, np.zeros(3)).force_world
    slope = [(energy(position + e) - energy(position - e)) / (2 * step) for e in step * np.eye(3)]
    np.testing.assert_allclose(force, -np.array(slope), rtol=1e-6)


def test_stiffness_and_damping_make_the_force():
    config = SpringConfig(stiffness=100.0, damping=7.0, max_force=1e9)
    for result, stretch, velocity, _ in random_pulls(20, config):
        np.testing.assert_allclose(result.force_world, 100.0 * stretch - 7.0 * velocity)


def test_a_long_stretch_is_limited_without_a_change_of_direction():
    config = SpringConfig(stiffness=1e4, damping=10.0, max_force=300.0)
    for result, stretch, velocity, _ in random_pulls(20, config):
        wanted = 1e4 * stretch - 10.0 * velocity
        np.testing.assert_allclose(
            result.force_world, 300.0 * wanted / np.linalg.norm(wanted), rtol=1e-9
        )


def test_the_wrench_is_the_force_moved_to_the_links_origin():
    for result, _, _, (position, quaternion, _) in random_pulls(20, SpringConfig()):
        force = rotation.rotate(quaternion, result.wrench.force)
        torque = rotation.rotate(quaternion, result.wrench.torque)
        np.testing.assert_allclose(force, result.force_world, atol=1e-9)
        moment = np.cross(result.point_world - position, result.force_world)
        np.testing.assert_allclose(torque, moment, atol=1e-9)


def test_the_wrench_accelerates_the_joints_as_mujocos_force_at_the_point():
    robot = RobotModel()
    state = Simulation(robot).state()
    data = mujoco.MjData(robot.mj)
    data.qpos[:] = state.qpos
    mujoco.mj_forward(robot.mj, data)
    body = robot.mj.body("right_lower_arm").id
    pose, grab = (data.xpos[body], data.xquat[body]), np.array([0.05, 0.1, 0.15])
    result = spring_pull(SpringConfig(), data.xpos[body] + 1.0, grab, *pose, np.zeros(3))
    at_point, at_origin = np.zeros((2, robot.mj.nv))
    mujoco.mj_applyFT(
        robot.mj, data, result.force_world, np.zeros(3), result.point_world, body, at_point
    )
    axes = data.xmat[body].reshape(3, 3)
    mujoco.mj_applyFT(
        robot.mj,
        data,
        axes @ result.wrench.force,
        axes @ result.wrench.torque,
        data.xpos[body],
        body,
        at_origin,
    )
    np.testing.assert_allclose(at_origin, at_point, atol=1e-9)
    assert np.abs(at_point).max() > 1.0


@pytest.mark.parametrize(
    "field",
    [
        "stiffness",
        "damping",
        "max_force",
        "angular_stiffness",
        "angular_damping",
        "max_torque",
    ],
)
@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_a_spring_that_makes_no_sense_is_refused(field, value):
    with pytest.raises(ValueError, match=f"{field} must be finite and not negative"):
        SpringConfig(**{field: value})


def test_a_twist_turns_the_short_way_round():
    config = SpringConfig(angular_stiffness=10.0, angular_damping=0.0, max_torque=1e9)
    for angle in (-3.0, -0.5, 1e-9, 0.5, 3.0, 3.5):
        link = rotation.normalized((0.3, -0.2, 0.8, 0.1))
        target = rotation.multiply(rotation.from_axis_angle((0.0, 0.6, 0.8), angle), link)
        torque = twist(config, target, link, np.zeros(3))
        short = angle if abs(angle) < np.pi else angle - 2 * np.pi
        np.testing.assert_allclose(torque, 10.0 * short * np.array([0.0, 0.6, 0.8]), atol=1e-9)


def test_a_twist_is_damped_and_limited():
    config = SpringConfig(angular_stiffness=10.0, angular_damping=2.0, max_torque=5.0)
    velocity = np.array([0.1, -0.2, 0.3])
    torque = twist(config, rotation.IDENTITY, rotation.IDENTITY, velocity)
    np.testing.assert_allclose(torque, -2.0 * velocity)
    torque = twist(config, rotation.IDENTITY, rotation.IDENTITY, 100 * velocity)
    assert np.linalg.norm(torque) == pytest.approx(5.0)


def test_a_target_at_the_end_of_the_world_pulls_with_no_more_than_the_limit():
    identity = (1.0, 0.0, 0.0, 0.0)
    zero = np.zeros(3)
    force = spring_pull(
        SpringConfig(), (1e300, -1e300, 0.0), zero, zero, identity, zero
    ).force_world
    np.testing.assert_allclose(force, 300.0 / np.sqrt(2) * np.array((1.0, -1.0, 0.0)))
