# SPDX-License-Identifier: Apache-2.0
"""The task `rise` and its battery: what is trained is what is deployed, and what counts as up."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from humanoid_mujoco_ros.policy import locate, policy_file
from humanoid_mujoco_ros.policy.controller import Controller
from humanoid_mujoco_ros.policy.measurement import from_state
from humanoid_mujoco_ros.robot.model import ModelConfig, ModelError, RobotModel
from humanoid_mujoco_ros.training import rise_battery
from humanoid_mujoco_ros.training.batch import BatchSimulation
from humanoid_mujoco_ros.training.environment import EnvironmentConfig, VectorEnvironment
from humanoid_mujoco_ros.training.pose_drives import default_pose
from humanoid_mujoco_ros.training.postures import LYING_M, flat_states, squats
from humanoid_mujoco_ros.training.tasks import rise
from humanoid_mujoco_ros.training.tasks.rise import Rise

CALM = EnvironmentConfig(
    episode_s=1e6, unpushed_fraction=1.0, delayed_fraction=0.0, ramp_fraction=0.0
)
ON_THE_BACK = np.array((np.cos(np.pi / 4), 0.0, -np.sin(np.pi / 4), 0.0))
ON_THE_BELLY = np.array((np.cos(np.pi / 4), 0.0, np.sin(np.pi / 4), 0.0))
ON_THE_SIDE = np.array((np.cos(np.pi / 4), np.sin(np.pi / 4), 0.0, 0.0))


@pytest.fixture(scope="module")
def robot() -> RobotModel:
    return RobotModel(ModelConfig(timestep_s=0.005, steps_per_control=2, integrator="Euler"))


@pytest.fixture(autouse=True)
def few_postures(monkeypatch):
    monkeypatch.setattr(rise, "LYING_STATES", 40)
    monkeypatch.setattr(rise, "SQUATS", 40)


def test_the_deployed_controller_reads_and_does_what_was_trained(robot):
    task = Rise()
    environment = VectorEnvironment(robot, task, 4, CALM, seed=3)
    environment.reset()
    observed = environment.observe()
    card = task.card(robot)
    seen, actions = [], iter(np.random.default_rng(0).uniform(-0.3, 0.3, (20, 4, robot.mj.nu)))

    def network(values):
        seen.append(values)
        return next(actions).astype(np.float32)

    controller = Controller(card, network, (4,))
    order = robot.joint_order(card.joints)
    low, high = robot.mj.actuator_ctrlrange.T
    for _ in range(20):
        measurement = from_state(environment.state.qpos, environment.state.qvel, order)
        controls = controller.efforts(measurement, np.zeros((4, 3))) / robot.gear[order]
        np.testing.assert_allclose(seen[-1], observed, atol=2e-5)
        action = controller.last_action
        expected = task.controls(environment.state, action)
        np.testing.assert_allclose(np.clip(controls, low, high), expected, atol=1e-9)
        observed = environment.step(action).observation


def test_a_lift_carries_the_robot(robot):
    """A force as large as its weight leaves a robot that touches nothing where it is."""
    weight_n = float(robot.mj.body_subtreemass[1]) * 9.81
    simulation = BatchSimulation(robot, 2)
    qpos = np.tile(robot.mj.qpos0, (2, 1))
    qpos[:, 2] = 10.0
    simulation.start(np.arange(2), qpos, np.zeros((2, robot.mj.nv)))
    simulation.lift_n[:] = weight_n, 0.0
    for _ in range(20):
        simulation.step(np.zeros((2, robot.mj.nu)))
    assert abs(simulation.subtree_com[0, 1, 2] - simulation.subtree_com[1, 1, 2]) > 0.15
    falls_m = 10.0 - simulation.qpos[:, 2]
    assert falls_m[1] > 0.15
    assert abs(falls_m[0]) < 0.05


def test_help_is_taken_away_while_those_who_are_helped_rise(robot):
    task = Rise()
    task.prepare(robot, 4, np.random.default_rng(0))
    risen = {"helped": 10.0, "helped_risen": 9.0, "unhelped": 5.0, "unhelped_risen": 1.0}
    for _ in range(30):
        figures = task.adapt(risen, 0.0)
    assert figures["level"] > 10 * max(rise.LEVEL_STEPS)
    assert figures["unhelped_risen"] == pytest.approx(0.2)
    before = task.level
    for _ in range(30):
        task.adapt({**risen, "helped_risen": 0.0}, 0.0)
    assert task.level < before


def test_episodes_start_on_the_ground_in_squats_and_on_the_feet(robot):
    task = Rise()
    environment = VectorEnvironment(robot, task, 400, CALM, seed=0)
    environment.reset()
    lies = environment.state.qpos[:, 2] < LYING_M
    assert 0.5 < lies.mean() < 0.75
    is_alone = task.lift(environment.state) == 0
    assert 0.1 < is_alone[lies].mean() < 0.3
    assert is_alone[~lies].mean() > 0.5


def test_a_robot_without_its_feet_is_refused():
    hopper = RobotModel(ModelConfig(robot="hopper"))
    with pytest.raises(ModelError, match="geoms left_foot and right_foot, not by 'hopper"):
        Rise().prepare(hopper, 1, np.random.default_rng(0))


def test_squats_stand_on_their_feet(robot):
    standing = default_pose(robot.action_joints, Rise().knee_rad)
    data = mujoco.MjData(robot.mj)
    soles = [robot.mj.geom(f"{side}_foot").id for side in ("left", "right")]
    poses = squats(robot, standing, 40, np.random.default_rng(0))
    for pose in poses:
        data.qpos[:] = pose
        mujoco.mj_kinematics(robot.mj, data)
        lowest = min(data.geom_xpos[g, 2] - robot.mj.geom_size[g, 0] for g in soles)
        assert lowest == pytest.approx(0.005)
    assert poses[:, 2].min() < 0.9 < 1.2 < poses[:, 2].max()


def test_flat_robots_lie_on_the_back_or_the_belly_and_are_hardly_bent(robot):
    states = flat_states(robot, 40, np.random.default_rng(0))
    assert states.shape == (40, robot.mj.nq + robot.mj.nv)
    assert set(rise_battery.posture(states[:, 3:7]).tolist()) == {"back", "belly"}
    assert states[:, 2].max() < LYING_M
    assert np.abs(states[:, 7:]).max() < 0.05


def test_postures_are_told_apart():
    found = rise_battery.posture(np.array((ON_THE_BACK, ON_THE_BELLY, ON_THE_SIDE)))
    assert found.tolist() == ["back", "belly", "side"]


def test_robots_that_are_thrown_down_lie():
    robot = RobotModel()
    qpos, qvel = rise_battery.thrown_down(robot, 12, seed=5, threads=1)
    assert robot.fall_rule.is_fallen(qpos[:, 2], qpos[:, 3:7]).all()
    assert np.abs(qvel[:, :3]).max() < 1.0
    other, _ = rise_battery.thrown_down(robot, 12, seed=6, threads=1)
    assert not np.allclose(qpos[:, 7:], other[:, 7:])


def test_a_robot_that_stands_is_up_after_a_second_and_one_that_lies_never():
    """`steer` stands, and gets nobody up."""
    robot = RobotModel()
    steer = policy_file.load(locate.find("steer"), robot)
    qpos = np.tile(robot.start_qpos, (2, 1))
    qpos[1, 2], qpos[1, 3:7] = 0.12, ON_THE_BACK
    start = qpos, np.zeros((2, robot.mj.nv))
    risen = rise_battery.get_up(robot, steer, start, threads=1)
    assert risen.after_s[0] == pytest.approx(1.0, abs=1.0)
    assert np.isinf(risen.after_s[1])
    assert risen.stays.tolist() == [True, False]
    assert risen.share(10.0) == 50.0
    assert risen.share(10.0, risen.posture == "back") == 0.0
