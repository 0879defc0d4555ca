# SPDX-License-Identifier: Apache-2.0
"""What the tasks reward, value by value."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.model import ModelConfig, RobotModel
from humanoid_mujoco_ros.training.task import BatchState, carries_a_foot
from humanoid_mujoco_ros.training.tasks import TASKS

ROBOT = RobotModel()


def rewards(name, n=1, **changes):
    """(n,) reward of n robots that stand still, but for the changes."""
    task = TASKS[name]()
    task.prepare(ROBOT, n, np.random.default_rng(0))
    state = BatchState.still(ROBOT, n)
    for field, values in changes.items():
        setattr(state, field, np.asarray(values))
    return task.reward(state)


def test_the_tasks_are_found_by_their_files():
    robots = ["ant", "half_cheetah", "hopper", "walker2d"]
    assert sorted(TASKS) == sorted([*robots, "balance", "rise", "steer", "walk"])


def test_a_walking_robot_earns_its_speed_up_to_the_cap():
    speeds = np.column_stack(([0.0, 1.0, 1.75, 3.0], np.zeros(4)))
    # 5 for being healthy, 1.25 for each m/s
    np.testing.assert_allclose(rewards("walk", 4, com_velocity=speeds), [5.0, 6.25, 7.1875, 7.1875])


def test_a_walking_robot_pays_for_lasting_speed_beyond_the_cap_and_for_going_sideways():
    mean = [[2.75, 0.0], [0.0, 0.5], [0.0, -0.5]]
    np.testing.assert_allclose(rewards("walk", 3, mean_velocity=mean), [4.0, 4.5, 4.5])
    assert rewards("walk", com_velocity=[[0.0, 2.0]])[0] == pytest.approx(3.0)


def test_a_walking_robot_earns_long_steps_on_one_foot():
    standing = [[True, False], [True, False], [True, True], [False, False]]
    phase = [[0.2, 0.3], [0.9, 0.7], [0.9, 0.9], [0.9, 0.9]]
    np.testing.assert_allclose(
        rewards("walk", 4, standing=standing, phase_s=phase), [5.6, 6.2, 5.0, 5.0]
    )


def test_a_balancing_robot_earns_most_at_rest_and_pays_for_drift_in_any_direction():
    assert rewards("balance")[0] == pytest.approx(9.0)
    drift = [[0.3, 0.0], [-0.3, 0.0], [0.0, 0.6], [0.0, 1.2]]
    expected = [
        5.0 + 2.0 + 2.0 * np.exp(-size / 0.15) - 2.0 * size for size in (0.3, 0.3, 0.6, 1.2)
    ]
    np.testing.assert_allclose(rewards("balance", 4, mean_velocity=drift), expected)
    moving = rewards("balance", com_velocity=[[0.3, 0.4]])[0]
    assert moving == pytest.approx(7.0 + 2.0 * np.exp(-1.0))


@pytest.mark.parametrize("name", ["walk", "balance"])
def test_both_pay_for_control_signals_and_for_bad_manners(name):
    still = rewards(name)[0]
    action = np.full((1, 17), 0.2)
    assert still - rewards(name, action=action)[0] == pytest.approx(0.1 * 17 * 0.04)
    qpos = ROBOT.mj.qpos0.copy()[None]
    qpos[0, 3:7] = rotation.from_axis_angle((0, 0, 1), 0.5 * np.pi)  # looks along +y
    assert still - rewards(name, qpos=qpos)[0] == pytest.approx(3.0)
    qpos[0, 3:7] = rotation.from_axis_angle((1, 0, 0), 0.5 * np.pi)  # lies on its side
    assert still - rewards(name, qpos=qpos)[0] == pytest.approx(1.0)
    for joint, cost in (("right_knee", 0.002), ("abdomen_y", 0.002), ("left_elbow", 0.004)):
        qvel = np.zeros((1, ROBOT.mj.nv))
        qvel[0, ROBOT.dof_indices[ROBOT.joints.index(joint)]] = -2.0
        assert still - rewards(name, qvel=qvel)[0] == pytest.approx(4.0 * cost)


def test_the_joints_that_carry_no_foot_are_the_arms():
    carrying = carries_a_foot(ROBOT)
    arms = {joint for joint, foot in zip(ROBOT.joints, carrying, strict=True) if not foot}
    assert arms == {j for j in ROBOT.joints if "shoulder" in j or "elbow" in j}
    footless = RobotModel(replace(ModelConfig().card(), left_foot="", right_foot=""))
    assert carries_a_foot(footless).all()


@pytest.mark.parametrize("name", ["walk", "balance"])
def test_what_the_critic_sees_mirrors_as_it_says(name):
    task = TASKS[name]()
    task.prepare(ROBOT, 1, np.random.default_rng(0))
    here, there = BatchState.still(ROBOT, 1), BatchState.still(ROBOT, 1)
    here.push_n, there.push_n = np.array([[30.0, 50.0]]), np.array([[30.0, -50.0]])
    here.push_left_s = there.push_left_s = np.array([0.1])
    here.push_in_s = there.push_in_s = np.array([0.0])
    here.mean_velocity, there.mean_velocity = np.array([[0.4, 0.2]]), np.array([[0.4, -0.2]])
    here.standing, there.standing = np.array([[True, False]]), np.array([[False, True]])
    here.phase_s, there.phase_s = np.array([[0.1, 0.3]]), np.array([[0.3, 0.1]])
    image = task.privileged_mirror(task.privileged(here))
    np.testing.assert_allclose(image, task.privileged(there))


def test_failing_is_leaving_the_healthy_heights():
    task = TASKS["walk"]()
    task.prepare(ROBOT, 4, np.random.default_rng(0))
    state = BatchState.still(ROBOT, 4)
    state.qpos[:, 2] = [0.99, 1.01, 1.99, 2.01]
    assert task.failed(state).tolist() == [True, False, False, True]
