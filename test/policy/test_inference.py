# SPDX-License-Identifier: Apache-2.0
"""The policy on one robot and on many, against Gymnasium, MuJoCo and plain sums."""

import dataclasses
import itertools

import mujoco
import numpy as np
import pytest

from humanoid_mujoco_ros.policy import checkpoint, observation
from humanoid_mujoco_ros.policy.checkpoint import Checkpoint
from humanoid_mujoco_ros.policy.inference import Policy, RunningStatistics
from humanoid_mujoco_ros.robot.model import RobotModel


@pytest.fixture(scope="module")
def robot():
    return RobotModel()


def own_checkpoint(robot, hidden=(32,), **changes):
    random = np.random.default_rng(0)
    widths = (observation.size(robot.mj), *hidden, len(robot.joints))
    values = {
        "weights": tuple(
            random.normal(size=(o, i)).astype(np.float32) / np.sqrt(i).astype(np.float32)
            for i, o in itertools.pairwise(widths)
        ),
        "biases": tuple(random.normal(size=o).astype(np.float32) for o in widths[1:]),
        "log_std": np.full(widths[-1], -1, np.float32),
        "joints": robot.action_joints[::-1],
        "model": robot.name,
        "control_rate_hz": robot.control_rate_hz,
        "normalization": "stored",
        "observation_mean": random.normal(size=widths[0]),
        "observation_var": random.uniform(0.1, 3.0, size=widths[0]),
    }
    return Checkpoint(**(values | changes))


def running_checkpoint(robot):
    return own_checkpoint(
        robot, normalization="running", observation_mean=None, observation_var=None
    )


def observations(*shape, seed=0):
    return np.random.default_rng(seed).normal(scale=3.0, size=(*shape, 376))


def test_the_network_is_the_sums_that_its_description_says(robot):
    own = own_checkpoint(robot, hidden=(24, 20, 16), action_limit=100.0)
    row = observations(1)[0]
    values = (row - own.observation_mean) / np.sqrt(own.observation_var + 1e-8)
    values = np.clip(values, -10, 10)
    for i, (weight, bias) in enumerate(zip(own.weights, own.biases, strict=True)):
        values = weight.astype(float) @ (np.tanh(values) if i else values) + bias
    np.testing.assert_allclose(Policy(own, robot).action(row), values, atol=1e-5)


@pytest.mark.parametrize("make", [own_checkpoint, running_checkpoint])
def test_many_robots_get_what_each_would_get(robot, make):
    own = make(robot)
    many, singles = Policy(own, robot, robots=3), [Policy(own, robot) for _ in range(3)]
    for step in range(4):
        rows = observations(3, seed=step)
        expected = [single.controls(row) for single, row in zip(singles, rows, strict=True)]
        np.testing.assert_allclose(many.controls(rows), expected, atol=1e-5)


@pytest.mark.parametrize("make", [own_checkpoint, running_checkpoint])
def test_some_of_the_robots_go_on_with_their_own_statistics(robot, make):
    own = make(robot)
    many, last = Policy(own, robot, robots=3), Policy(own, robot)
    chosen = np.array([0, 2])
    for step in range(3):
        rows = observations(3, seed=step)
        expected = last.action(rows[2])
        everyone = step == 0
        result = many.action(rows) if everyone else many.action(rows[chosen], chosen)
        np.testing.assert_allclose(result[-1], expected, atol=1e-5)


def test_efforts_take_any_leading_shape(robot):
    policy = Policy(own_checkpoint(robot), robot)
    rows = observations(2, 5)
    efforts = policy.efforts(rows)
    assert efforts.shape == (2, 5, 17)
    np.testing.assert_allclose(efforts[1, 3], policy.efforts(rows[1, 3]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sign", [1, -1])
def test_observations_are_clipped_on_both_sides(robot, sign):
    policy = Policy(own_checkpoint(robot, observation_clip=7.0), robot)
    normalized = policy.normalize(np.full(376, sign * 1e6))
    np.testing.assert_array_equal(normalized, np.full(376, sign * 7.0, np.float32))


def test_running_statistics_equal_gymnasiums_step_by_step():
    gymnasium = pytest.importorskip("gymnasium.wrappers.utils")
    ours, theirs = RunningStatistics.fresh(376), gymnasium.RunningMeanStd(shape=(376,))
    for row in observations(200):
        ours.update(row)
        theirs.update(row[None])
        np.testing.assert_allclose(ours.mean, theirs.mean, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(ours.var, theirs.var, rtol=1e-9, atol=1e-12)


def test_statistics_of_groups_are_those_of_all_their_samples():
    samples = observations(90)
    statistics = RunningStatistics(samples[:20].mean(axis=0), samples[:20].var(axis=0), 20.0)
    for group in (samples[20:21], samples[21:60], samples[60:]):
        statistics.update(group.mean(axis=0), group.var(axis=0), len(group))
    np.testing.assert_allclose(statistics.mean, samples.mean(axis=0), rtol=0, atol=1e-12)
    np.testing.assert_allclose(statistics.var, samples.var(axis=0), rtol=1e-10)
    assert statistics.count == 90.0


def test_sampled_actions_have_the_gaussians_mean_and_deviation(robot):
    own = own_checkpoint(robot, action_limit=100.0)
    mean = Policy(own, robot).action(observations(1)[0])
    sampling = Policy(own, robot, sample=True, seed=3)
    samples = np.array([sampling.action(observations(1)[0]) for _ in range(4000)])
    np.testing.assert_allclose(samples.mean(axis=0), mean, atol=0.04)
    np.testing.assert_allclose(samples.std(axis=0), np.exp(-1), rtol=0.1)
    again = Policy(own, robot, sample=True, seed=3)
    np.testing.assert_array_equal(again.action(observations(1)[0]), samples[0])


def test_efforts_are_mapped_to_the_robots_joints_by_name(robot):
    own = own_checkpoint(robot)
    order = np.random.default_rng(4).permutation(17)
    shuffled = dataclasses.replace(
        own,
        weights=(*own.weights[:-1], own.weights[-1][order]),
        biases=(*own.biases[:-1], own.biases[-1][order]),
        joints=tuple(own.joints[i] for i in order),
    )
    row = observations(1)[0]
    expected = Policy(own, robot).efforts(row)
    np.testing.assert_allclose(Policy(shuffled, robot).efforts(row), expected, rtol=1e-5)
    data = mujoco.MjData(robot.mj)
    data.ctrl[:] = Policy(shuffled, robot).controls(row)
    mujoco.mj_forward(robot.mj, data)
    np.testing.assert_allclose(data.qfrc_actuator[robot.dof_indices], expected, rtol=1e-5)


def test_layers_are_in_the_order_of_their_numbers(robot, tmp_path):
    deep = own_checkpoint(robot, hidden=(17,) * 6)  # actor.10 follows actor.8
    path = tmp_path / "deep.safetensors"
    deep.save(path)
    loaded = checkpoint.load(path, robot)
    for own, read in zip(deep.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(own, read)
