# SPDX-License-Identifier: Apache-2.0
"""The tasks of Gymnasium's other robots against Gymnasium's environments, step by step."""

from __future__ import annotations

import warnings

import gymnasium
import numpy as np
import pytest

pytest.importorskip("torch")

from humanoid_mujoco_ros.policy import checkpoint as checkpoints
from humanoid_mujoco_ros.policy.driver import Driver
from humanoid_mujoco_ros.policy.state_vector import StateVector
from humanoid_mujoco_ros.robot.joint_map import JointMap
from humanoid_mujoco_ros.training import train
from humanoid_mujoco_ros.training.environment import VectorEnvironment
from humanoid_mujoco_ros.training.options import TrainOptions
from humanoid_mujoco_ros.training.tasks import TASKS

ENVIRONMENTS = {
    "ant": "Ant-v4",
    "half_cheetah": "HalfCheetah-v4",
    "hopper": "Hopper-v4",
    "walker2d": "Walker2d-v4",
}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_each_step_brings_what_gymnasium_brings(name):
    with warnings.catch_warnings(action="ignore"):  # v4 is old, and what is meant
        theirs = gymnasium.make(ENVIRONMENTS[name]).unwrapped
    options = TrainOptions(TASKS[name]())
    ours = VectorEnvironment(options.robot_model(), options.task, 1, options.environment)
    assert ours.robot.control_period_s == pytest.approx(theirs.dt)
    random, ends = np.random.default_rng(1), 0
    for episode in range(4):
        ours.reset()
        theirs.reset(seed=episode)
        theirs.set_state(ours.state.qpos[0], ours.state.qvel[0])
        for _ in range(60):
            action = random.uniform(-1.0, 1.0, theirs.model.nu)
            x_m = theirs.data.qpos[0]
            expected, reward, terminated, _, info = theirs.step(action)
            if name == "ant":  # Gymnasium takes its positions a physics step late
                reward += (theirs.data.qpos[0] - x_m) / theirs.dt - info["x_velocity"]
            step = ours.step(action[None])
            assert bool(step.failed[0]) == terminated
            np.testing.assert_allclose(step.reward[0], reward, atol=1e-6)
            ends += terminated
            if terminated or step.timed_out[0]:
                break
            np.testing.assert_allclose(step.observation[0], expected, atol=1e-6)
    assert (ends > 0) == (name != "half_cheetah")


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_what_was_trained_drives_the_robot(name, tmp_path):
    small = ["--minutes", "0.01", "--environments", "8", "--steps", "16", "--minibatch", "64"]
    output = ["--hidden", "8", "8", "--output", str(tmp_path)]
    assert train.main([name, *small, *output]) == 0
    robot = TrainOptions(TASKS[name]()).robot_model()
    path = tmp_path / f"{name}.safetensors"
    saved = checkpoints.load(path, robot)
    assert (saved.input, saved.model, saved.task) == (f"{name}_v4", name, name)
    driver = Driver(robot, JointMap(robot), robot.joints)
    driver.load(str(path), sample=False, seed=0)
    whole = np.random.default_rng(0).normal(size=StateVector(robot).size)
    efforts = driver.answer(whole.tolist(), np.zeros(3))
    assert np.isfinite(efforts).all()
    assert (np.abs(efforts) <= robot.effort_limits + 1e-9).all()
