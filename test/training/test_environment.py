# SPDX-License-Identifier: Apache-2.0
"""The vectorised environment against plain MuJoCo and Gymnasium."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from humanoid_mujoco_ros.policy.observation import INPUT_NAME, layout, observe_data
from humanoid_mujoco_ros.robot.model import ModelConfig, RobotModel
from humanoid_mujoco_ros.simulation.simulation import HEALTHY_HEIGHT_M
from humanoid_mujoco_ros.training.environment import EnvironmentConfig, VectorEnvironment
from humanoid_mujoco_ros.training.tasks import (
    TASKS,
    HumanoidV4Task,
    Transition,
    humanoid_v4_reset,
    humanoid_v4_reward,
    make_task,
)

CALM = EnvironmentConfig(unpushed_fraction=1.0, delayed_fraction=0.0, ramp_fraction=0.0)


class PlainHumanoidV4(HumanoidV4Task):
    """Humanoid-v4's reward and nothing else."""

    name = "plain"

    def __init__(self, robot, qpos=None, qvel=None):
        super().__init__(robot)
        self._start = qpos, qvel

    def reward(self, step: Transition):
        return humanoid_v4_reward(step.com_velocity[:, 0], step.action)

    def reset(self, robot, random, n):
        if self._start[0] is None:
            return humanoid_v4_reset(robot, random, n)
        return np.tile(self._start[0], (n, 1)), np.tile(self._start[1], (n, 1))


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
        mujoco.mj_step(robot.mj, data, nstep=robot.config.steps_per_control)
        rows.append((data.qpos.copy(), observe_data(data, mask_cfrc_ext=True)))
    return rows


def test_transition_equals_a_plain_mujoco_loop(robot):
    environment = VectorEnvironment(robot, PlainHumanoidV4(robot), 3, CALM, seed=5)
    first, _ = environment.reset()
    environment._age[:] = 0
    starts = environment._qpos.copy(), environment._qvel.copy()
    actions = np.random.default_rng(0).uniform(-0.4, 0.4, (12, 3, robot.mj.nu))
    steps = [environment.step(action) for action in actions]
    assert np.array_equal(first[:, :22], starts[0][:, 2:])
    for i in range(3):
        for step, (_, observed) in zip(
            steps, reference(robot, starts[0][i], starts[1][i], actions[:, i]), strict=True
        ):
            np.testing.assert_array_equal(step.observation[i], observed)


def test_contact_forces_are_masked(robot):
    environment = VectorEnvironment(robot, PlainHumanoidV4(robot), 2, CALM)
    environment.reset()
    step = environment.step(np.zeros((2, robot.mj.nu)))
    block = next(b for b in layout(robot.mj) if b.name == "cfrc_ext")
    assert not step.observation[:, block.slice].any()


def test_a_delayed_command_acts_one_period_late(robot):
    config = EnvironmentConfig(unpushed_fraction=1.0, delayed_fraction=1.0, ramp_fraction=0.0)
    environment = VectorEnvironment(robot, PlainHumanoidV4(robot), 1, config)
    environment.reset()
    environment._age[:] = 0
    start = environment._qpos[0].copy(), environment._qvel[0].copy()
    actions = np.random.default_rng(1).uniform(-0.4, 0.4, (6, robot.mj.nu))
    for action in actions:
        environment.step(action[None])
    late = np.concatenate((np.zeros((1, robot.mj.nu)), actions[:-1]))
    expected, _ = reference(robot, *start, late)[-1]
    np.testing.assert_array_equal(environment._qpos[0], expected)


def test_torques_ramp_in_where_an_episode_says_so(robot):
    config = EnvironmentConfig(
        unpushed_fraction=1.0, delayed_fraction=0.0, ramp_fraction=1.0, ramp_s=(0.1, 0.1)
    )
    environment = VectorEnvironment(robot, PlainHumanoidV4(robot), 1, config)
    environment.reset()
    environment._age[:] = 0
    start = environment._qpos[0].copy(), environment._qvel[0].copy()
    action = np.full((1, robot.mj.nu), 0.1)
    for _ in range(12):
        environment.step(action)
    scale = np.minimum(np.arange(12) * 0.01 / 0.1, 1.0)
    expected, _ = reference(robot, *start, scale[:, None] * action)[-1]
    np.testing.assert_allclose(environment._qpos[0], expected, atol=1e-9)


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
    environment = VectorEnvironment(robot, PlainHumanoidV4(robot), 1, config)
    environment.reset()
    environment._age[:] = 0
    start = environment._qpos[0].copy(), environment._qvel[0].copy()
    planned = environment._force[0].copy()
    actions = np.zeros((8, robot.mj.nu))
    for action in actions:
        environment.step(action[None])
    forces = np.zeros((8, 2))
    forces[3:] = planned
    expected, _ = reference(robot, *start, actions, forces)[-1]
    np.testing.assert_allclose(environment._qpos[0], expected, atol=1e-9)
    assert 40.0 <= np.linalg.norm(planned) <= 200.0
    assert environment.pushes == 1


def test_ended_episodes_restart_and_say_why(robot):
    config = EnvironmentConfig(episode_s=0.05, unpushed_fraction=1.0)
    environment = VectorEnvironment(robot, PlainHumanoidV4(robot), 4, config)
    environment.reset()
    environment._age[:] = 0
    environment._qpos[1, 2] = 0.5
    step = environment.step(np.zeros((4, robot.mj.nu)))
    assert step.failed.tolist() == [False, True, False, False]
    assert HEALTHY_HEIGHT_M[0] < step.observation[1, 0] < HEALTHY_HEIGHT_M[1]
    for _ in range(4):
        step = environment.step(np.zeros((4, robot.mj.nu)))
    assert step.timed_out.tolist() == [True, False, True, True]
    assert step.last_observation.shape == (3, step.observation.shape[1])
    assert np.abs(step.last_observation[0] - step.observation[0]).max() > 1e-3


def test_reward_is_that_of_gymnasiums_humanoid_v4():
    gymnasium = pytest.importorskip("gymnasium")
    gymnasium.logger.min_level = gymnasium.logger.ERROR
    theirs = gymnasium.make("Humanoid-v4").unwrapped
    theirs.reset(seed=3)
    start = theirs.data.qpos.copy(), theirs.data.qvel.copy()
    robot = RobotModel(ModelConfig(timestep_s=0.003, steps_per_control=5))
    environment = VectorEnvironment(robot, PlainHumanoidV4(robot, *start), 1, CALM)
    environment.reset()
    environment._age[:] = 0
    random = np.random.default_rng(0)
    for _ in range(15):
        action = random.uniform(-0.4, 0.4, robot.mj.nu)
        observed, reward, terminated, _, _ = theirs.step(action)
        ours = environment.step(action[None])
        assert ours.reward[0] == pytest.approx(reward, abs=1e-6)
        assert bool(ours.failed[0]) == terminated
        np.testing.assert_allclose(ours.observation[0, :292], observed[:292], atol=1e-8)


def test_walking_faster_than_the_cap_earns_nothing():
    robot = RobotModel()
    task = make_task("walk", robot, 1.5)
    qpos, qvel = humanoid_v4_reset(robot, np.random.default_rng(0), 3)
    speeds = np.column_stack(([1.0, 1.5, 2.5], np.zeros(3)))
    qpos[:], qvel[:] = qpos[0], qvel[0]
    step = Transition(qpos, qvel, np.zeros((3, robot.mj.nu)), speeds, 0.0 * speeds, np.zeros(3))
    slow, capped, fast = task.reward(step)
    assert capped == fast > slow


class HeightOnly(HumanoidV4Task):
    """A task whose policy reads another vector."""

    name = "height"
    input_name = "height_and_time"

    def __init__(self, robot):
        super().__init__(robot)
        self.reads = 0

    def observe(self, qpos, qvel, cinert, cvel, qfrc_actuator):
        self.reads += 1
        return np.column_stack((qpos[:, 2], np.full(len(qpos), self.reads)))

    def reward(self, step: Transition):
        return step.qpos[:, 2]


def test_the_task_says_what_a_policy_reads(robot):
    task = HeightOnly(robot)
    environment = VectorEnvironment(robot, task, 3, CALM)
    first, _ = environment.reset()
    np.testing.assert_array_equal(first, np.column_stack((environment._qpos[:, 2], np.ones(3))))
    step = environment.step(np.zeros((3, robot.mj.nu)))
    assert step.observation.shape == (3, 2)
    assert step.last_observation.shape[1] == 2
    for name in TASKS:
        assert make_task(name, robot, 1.0).input_name == INPUT_NAME


def test_an_unknown_task_is_refused_by_name():
    with pytest.raises(ValueError, match="'dance' is unknown; the tasks are walk, balance"):
        make_task("dance", RobotModel(), 1.0)
