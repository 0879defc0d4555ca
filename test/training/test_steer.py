# SPDX-License-Identifier: Apache-2.0
"""The task `steer`: what is trained is what is deployed, and looks right in a mirror."""

from __future__ import annotations

import numpy as np
import pytest

from humanoid_mujoco_ros.policy.controller import Controller
from humanoid_mujoco_ros.policy.measurement import from_state
from humanoid_mujoco_ros.robot.model import ModelConfig, RobotModel
from humanoid_mujoco_ros.training.environment import EnvironmentConfig, VectorEnvironment
from humanoid_mujoco_ros.training.mirror import find_mirror
from humanoid_mujoco_ros.training.task import BatchState
from humanoid_mujoco_ros.training.tasks.steer import Steer

CALM = EnvironmentConfig(
    episode_s=1e6, unpushed_fraction=1.0, delayed_fraction=0.0, ramp_fraction=0.0
)


@pytest.fixture(scope="module")
def robot() -> RobotModel:
    return RobotModel(ModelConfig(timestep_s=0.005, steps_per_control=2, integrator="Euler"))


def test_the_deployed_controller_reads_and_does_what_was_trained(robot):
    task = Steer(zero_fraction=0.5, command_s=(0.05, 0.2))
    environment = VectorEnvironment(robot, task, 4, CALM, seed=3)
    environment.reset()
    qpos, qvel = environment.state.qpos.copy(), environment.state.qvel.copy()
    environment.set_state(qpos, qvel)
    task.memory.reset()  # a policy begins with the command zero
    task.memory.follow(task.command)
    observed = environment.observe()
    card = task.card(robot)
    seen, actions = [], iter(np.random.default_rng(0).uniform(-0.3, 0.3, (40, 4, robot.mj.nu)))

    def network(values):
        seen.append(values)
        return next(actions).astype(np.float32)

    controller = Controller(card, network, (4,))
    order = robot.joint_order(card.joints)
    gear = robot.gear[order]
    low, high = robot.mj.actuator_ctrlrange.T
    for _ in range(40):
        measurement = from_state(environment.state.qpos, environment.state.qvel, order)
        efforts = controller.efforts(measurement, task.command)
        np.testing.assert_allclose(seen[-1], observed, atol=2e-5)
        action = controller.last_action
        expected = task.controls(environment.state, action)
        np.testing.assert_allclose(np.clip(efforts / gear, low, high), expected, atol=1e-9)
        step = environment.step(action)
        if step.failed.any():
            break
        observed = step.observation
    assert len(seen) > 15
    assert (np.stack(seen)[:, :, -2:] != 0).any()  # the clock ran


def test_a_mirrored_robot_is_observed_as_the_mirror_image(robot):
    task = Steer()
    environment = VectorEnvironment(robot, task, 8, CALM, seed=1)
    environment.reset()
    mirrors, joint = task.mirror(robot), find_mirror(robot)
    assert mirrors is not None
    assert joint is not None
    state, memory = environment.state, task.memory
    rng = np.random.default_rng(0)
    by_actuator = robot.joint_order(robot.action_joints)
    inverse = np.argsort(by_actuator)
    qpos = rng.uniform(-0.3, 0.3, state.qpos.shape)
    qpos[:, 3] += 1.0
    qpos[:, 3:7] /= np.linalg.norm(qpos[:, 3:7], axis=1, keepdims=True)
    qvel = rng.standard_normal(state.qvel.shape)
    memory.command = rng.standard_normal((8, 3))
    memory.velocity_error, memory.hold_error = rng.standard_normal((2, 8, 3))
    memory.stepping, memory.phase = rng.random(8) < 0.7, rng.uniform(0, 2 * np.pi, 8)
    task.last_action = rng.standard_normal((8, robot.mj.nu))
    state.qpos[:], state.qvel[:] = qpos, qvel
    plain = task.observe(state)

    def joints(values):
        return joint.action(values[:, by_actuator])[:, inverse]

    state.qpos[:, 1] *= -1
    state.qpos[:, 3:7] = qpos[:, 3:7] * (1, -1, 1, -1)
    state.qpos[:, 7:] = joints(qpos[:, 7:])
    state.qvel[:, :3] = qvel[:, :3] * (1, -1, 1)
    state.qvel[:, 3:6] = qvel[:, 3:6] * (-1, 1, -1)
    state.qvel[:, 6:] = joints(qvel[:, 6:])
    memory.command = memory.command * (1, -1, -1)
    memory.velocity_error = memory.velocity_error * (1, -1, -1)
    memory.hold_error = memory.hold_error * (1, -1, -1)
    memory.phase = memory.phase + np.pi
    task.last_action = mirrors.action(task.last_action)
    default = np.array(task.card(robot).default_joint_positions)
    np.testing.assert_allclose(mirrors.action(default), default)
    np.testing.assert_allclose(task.observe(state), mirrors.observation(plain), atol=1e-9)


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_commands_widen_with_the_level_and_some_are_zero(robot, level):
    task = Steer()
    task.prepare(robot, 1, np.random.default_rng(0))
    task.level = level
    commands = task.commands(4000)
    least, most, sideways, turn = task.command_end if level else task.command_start
    low, high = (least, -sideways, -turn), (most, sideways, turn)
    np.testing.assert_allclose(commands.min(axis=0), low, atol=1e-9)
    np.testing.assert_allclose(commands.max(axis=0), high, atol=1e-9)
    share = np.mean(~commands.any(axis=1))
    assert abs(share - task.zero_fraction) < 0.05


def test_the_level_grows_only_while_commands_are_followed_and_falls_are_few(robot):
    task = Steer()
    task.prepare(robot, 4, np.random.default_rng(0))
    good = {**task.figures(), "moving": 10.0, "velocity_score": 9.0, "yaw_score": 9.0}
    row = task.adapt(good, falls_per_minute=1.0)
    assert row["level"] == task.level > 0
    level = task.level
    task.adapt(good, falls_per_minute=100.0)
    task.adapt({**good, "velocity_score": 1.0}, falls_per_minute=1.0)
    assert task.level == level


def earned(robot, *, command=(0.0, 0.0, 0.0), error=(0.0, 0.0, 0.0), **changes):
    """The reward of one robot that stands in the default pose, but for the changes."""
    task = Steer()
    task.prepare(robot, 1, np.random.default_rng(0))
    state = BatchState.still(robot, 1)
    default = np.zeros(len(robot.joints))
    default[robot.joint_order(robot.action_joints)] = task.card(robot).default_joint_positions
    state.qpos[:, 7:] = default
    task.start(np.array([0]))
    task.command[:] = task.memory.command[:] = command
    task.advance(state)
    task.memory.stepping[:] = np.any(command)
    task.memory.velocity_error[:] = error
    task.memory.velocity[:] = command
    task.memory.hold_error[:] = changes.pop("hold_error", 0.0)
    for field, values in changes.items():
        setattr(state, field, np.asarray(values))
    return task.reward(state)[0]


def test_following_the_command_earns_more_than_any_error(robot):
    forward = (0.8, 0.0, 0.0)
    best = earned(robot, command=forward)
    errors = ((0.1, 0, 0), (-0.1, 0, 0), (0, 0.1, 0), (0, 0, 0.1))
    small = [earned(robot, command=forward, error=error) for error in errors]
    large = [earned(robot, command=forward, error=np.multiply(5, error)) for error in errors]
    assert small[0] == small[1]
    assert all(best > a > b for a, b in zip(small, large, strict=True))


def test_standing_where_it_stopped_earns_more_than_standing_elsewhere(robot):
    rewards = [earned(robot, hold_error=[[x, 0.0, 0.0]]) for x in (0.0, 0.05, 0.2)]
    assert rewards[0] > rewards[1] > rewards[2]


def test_sliding_feet_low_hips_and_large_actions_cost(robot):
    still = earned(robot)
    assert earned(robot, foot_speed_m_s=[[0.5, 0.0]]) == pytest.approx(still - Steer().slip * 0.5)
    assert earned(robot, action=np.full((1, 17), 0.1)) < still
    lifted = [[False, False]]
    in_air = earned(robot, foot_speed_m_s=[[0.5, 0.0]], standing=lifted)
    assert in_air == pytest.approx(earned(robot, standing=lifted))
