# SPDX-License-Identifier: Apache-2.0
"""The vectorised environment against plain MuJoCo and Gymnasium."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from humanoid_mujoco_ros.policy.observation import INPUT_NAME, block, observe_data
from humanoid_mujoco_ros.robot.model import HEALTHY_HEIGHT_M, ModelConfig, RobotModel
from humanoid_mujoco_ros.training.environment import EnvironmentConfig, VectorEnvironment
from humanoid_mujoco_ros.training.task import Task, humanoid_v4_reward

CALM = EnvironmentConfig(unpushed_fraction=1.0, delayed_fraction=0.0, ramp_fraction=0.0)


class PlainHumanoidV4(Task):
    """Humanoid-v4's reward and nothing else."""

    name = "plain"

    def reward(self, state):
        return humanoid_v4_reward(state.com_velocity[:, 0], state.action)


def started(robot, config, n=1, task=None, **options):
    """An environment whose episodes start from one state, a little off the reference pose."""
    environment = VectorEnvironment(robot, task or PlainHumanoidV4(), n, config, **options)
    random = np.random.default_rng(9)
    qpos = robot.mj.qpos0 + random.uniform(-0.01, 0.01, robot.mj.nq)
    qvel = random.uniform(-0.01, 0.01, robot.mj.nv)
    environment.set_state(qpos, qvel)
    return environment, (qpos, qvel)


@pytest.fixture(scope="module", params=[("RK4", 0.0025, 4), ("Euler", 0.005, 2)])
def robot(request) -> RobotModel:
    integrator, timestep_s, steps = request.param
    return RobotModel(
        ModelConfig(timestep_s=timestep_s, steps_per_control=steps, integrator=integrator)
    )


def reference(robot: RobotModel, qpos, qvel, actions, forces=None):
    """The same episode in one MjData: states and observations after each step."""
    data = mujoco.MjData(robot.mj)
    data.qpos[:], data.qvel[:] = qpos, qvel
    mujoco.mj_forward(robot.mj, data)
    rows = []
    for i, action in enumerate(actions):
        data.ctrl[:] = action
        if forces is not None:
            data.qfrc_applied[:2] = forces[i]
        mujoco.mj_step(robot.mj, data, nstep=robot.card.steps_per_control)
        rows.append((data.qpos.copy(), observe_data(data, mask_cfrc_ext=True)))
    return rows


def test_transition_equals_a_plain_mujoco_loop(robot):
    environment = VectorEnvironment(robot, PlainHumanoidV4(), 3, CALM, seed=5)
    random = np.random.default_rng(1)
    starts = (
        robot.mj.qpos0 + random.uniform(-0.01, 0.01, (3, robot.mj.nq)),
        random.uniform(-0.01, 0.01, (3, robot.mj.nv)),
    )
    first, _ = environment.set_state(*starts)
    actions = np.random.default_rng(0).uniform(-0.4, 0.4, (12, 3, robot.mj.nu))
    steps = [environment.step(action) for action in actions]
    assert np.array_equal(first[:, :22], starts[0][:, 2:])
    for i in range(3):
        for step, (_, observed) in zip(
            steps, reference(robot, starts[0][i], starts[1][i], actions[:, i]), strict=True
        ):
            np.testing.assert_array_equal(step.observation[i], observed)


def test_contact_forces_are_masked(robot):
    environment, _ = started(robot, CALM, 2)
    step = environment.step(np.zeros((2, robot.mj.nu)))
    assert not step.observation[:, block(robot.mj, "cfrc_ext").slice].any()


def test_a_delayed_command_acts_one_period_late(robot):
    config = EnvironmentConfig(unpushed_fraction=1.0, delayed_fraction=1.0, ramp_fraction=0.0)
    environment, start = started(robot, config)
    actions = np.random.default_rng(1).uniform(-0.4, 0.4, (6, robot.mj.nu))
    for action in actions:
        environment.step(action[None])
    late = np.concatenate((np.zeros((1, robot.mj.nu)), actions[:-1]))
    expected, _ = reference(robot, *start, late)[-1]
    np.testing.assert_array_equal(environment.state.qpos[0], expected)


def test_torques_ramp_in_where_an_episode_says_so(robot):
    config = EnvironmentConfig(
        unpushed_fraction=1.0, delayed_fraction=0.0, ramp_fraction=1.0, ramp_s=(0.1, 0.1)
    )
    environment, start = started(robot, config)
    action = np.full((1, robot.mj.nu), 0.1)
    for _ in range(12):
        environment.step(action)
    scale = np.minimum(np.arange(12) * 0.01 / 0.1, 1.0)
    expected, _ = reference(robot, *start, scale[:, None] * action)[-1]
    np.testing.assert_allclose(environment.state.qpos[0], expected, atol=1e-9)


def test_a_push_is_a_force_at_the_root_for_its_duration(robot):
    config = EnvironmentConfig(
        push_start_n=200.0,
        push_range_n=0.0,
        push_duration_s=(0.05, 0.05),
        push_interval_s=(0.03, 0.03),
        unpushed_fraction=0.0,
        delayed_fraction=0.0,
        ramp_fraction=0.0,
    )
    environment, start = started(robot, config)
    planned = environment.state.push_n[0].copy()
    assert environment.state.push_in_s[0] == pytest.approx(0.03)
    actions = np.zeros((8, robot.mj.nu))
    for action in actions:
        environment.step(action[None])
    forces = np.zeros((8, 2))
    forces[3:] = planned
    expected, _ = reference(robot, *start, actions, forces)[-1]
    np.testing.assert_allclose(environment.state.qpos[0], expected, atol=1e-9)
    assert 40.0 <= np.linalg.norm(planned) <= 200.0
    assert environment.pushes == 1


def test_ended_episodes_restart_and_say_why(robot):
    config = EnvironmentConfig(episode_s=0.05, unpushed_fraction=1.0)
    environment = VectorEnvironment(robot, PlainHumanoidV4(), 4, config)
    start = np.tile(robot.mj.qpos0, (4, 1))
    start[1, 2] = 0.5
    environment.set_state(start, np.zeros(robot.mj.nv))
    step = environment.step(np.zeros((4, robot.mj.nu)))
    assert step.failed.tolist() == [False, True, False, False]
    assert HEALTHY_HEIGHT_M[0] < step.observation[1, 0] < HEALTHY_HEIGHT_M[1]
    for _ in range(4):
        step = environment.step(np.zeros((4, robot.mj.nu)))
    assert step.timed_out.tolist() == [True, False, True, True]
    assert step.last_observation.shape == (3, step.observation.shape[1])
    assert np.abs(step.last_observation[0] - step.observation[0]).max() > 1e-3


def test_the_first_episodes_end_at_different_times():
    config = EnvironmentConfig(episode_s=0.2, unpushed_fraction=1.0)
    robot = RobotModel()
    environment = VectorEnvironment(robot, PlainHumanoidV4(), 16, config)
    environment.reset()
    ends = [environment.step(np.zeros((16, robot.mj.nu))).timed_out.sum() for _ in range(20)]
    assert sum(ends) == 16
    assert max(ends) < 8


def test_the_feet_and_their_phases_are_followed():
    robot = RobotModel()
    environment, _ = started(robot, CALM)
    height = robot.mj.qpos0[2] + 0.3  # it hangs in the air
    qpos = robot.mj.qpos0.copy()
    qpos[2] = height
    environment.set_state(qpos, np.zeros(robot.mj.nv))
    for _ in range(5):
        environment.step(np.zeros((1, robot.mj.nu)))
    state = environment.state
    assert not state.standing.any()
    np.testing.assert_allclose(state.phase_s, 0.04)  # the first period saw them leave the ground
    data = mujoco.MjData(robot.mj)
    data.qpos[:] = state.qpos[0]
    mujoco.mj_kinematics(robot.mj, data)
    foot = robot.mj.body("left_foot")
    sole = data.geom_xpos[foot.geomadr[0], 2] - robot.mj.geom_size[foot.geomadr[0], 0]
    assert state.foot_height_m[0, 0] == pytest.approx(sole, abs=0.01)


@pytest.mark.filterwarnings("ignore:.*out of date:DeprecationWarning")
def test_reward_is_that_of_gymnasiums_humanoid_v4():
    gymnasium = pytest.importorskip("gymnasium")
    theirs = gymnasium.make("Humanoid-v4").unwrapped
    theirs.reset(seed=3)
    start = theirs.data.qpos.copy(), theirs.data.qvel.copy()
    robot = RobotModel(ModelConfig(timestep_s=0.003, steps_per_control=5))
    environment = VectorEnvironment(robot, PlainHumanoidV4(), 1, CALM)
    environment.set_state(*start)
    random = np.random.default_rng(0)
    for _ in range(15):
        action = random.uniform(-0.4, 0.4, robot.mj.nu)
        observed, reward, terminated, _, _ = theirs.step(action)
        ours = environment.step(action[None])
        assert ours.reward[0] == pytest.approx(reward, abs=1e-6)
        assert bool(ours.failed[0]) == terminated
        np.testing.assert_allclose(ours.observation[0, :292], observed[:292], atol=1e-8)


class HeightOnly(Task):
    """A task whose policy reads another vector."""

    name = "height"
    input_name = "height_and_time"

    def prepare(self, robot, n, random):
        super().prepare(robot, n, random)
        self.time = np.zeros(n)

    def start(self, ids):
        self.time[ids] = 0.0
        return super().start(ids)

    def advance(self, state):
        self.time += 1.0

    def observe(self, state):
        return np.column_stack((state.qpos[:, 2], self.time))

    def reward(self, state):
        return state.qpos[:, 2]

    def finished(self, state):
        return self.time >= 3


def test_the_task_says_what_a_policy_reads_and_when_it_is_done(robot):
    environment = VectorEnvironment(robot, HeightOnly(), 3, CALM)
    assert environment.task.input_name != INPUT_NAME
    first, _ = environment.reset()
    np.testing.assert_array_equal(first[:, 1], np.zeros(3))
    for count in (1, 2, 3):
        step = environment.step(np.zeros((3, robot.mj.nu)))
        assert step.observation.shape == (3, 2)
        assert step.finished.tolist() == [count == 3] * 3
        assert not step.failed.any()
    np.testing.assert_array_equal(step.observation[:, 1], np.zeros(3))  # it began again


def test_pushes_grow_while_few_falls_come_on_a_push_and_the_task_agrees():
    environment = VectorEnvironment(RobotModel(), PlainHumanoidV4(), 1, CALM)
    for _ in range(100):
        environment.adapt_pushes(0.0)
    grown = environment.push_level
    assert grown > 0.2
    environment.task.pushes_may_grow = False
    environment.adapt_pushes(0.0)
    assert environment.push_level == grown
    for _ in range(10):
        environment.adapt_pushes(2.0)
    assert environment.push_level < grown
