# SPDX-License-Identifier: Apache-2.0
"""The evaluation: its policy and its episodes are those of the nodes; its errors are clear."""

from __future__ import annotations

import dataclasses
import itertools
import json

import mujoco
import numpy as np
import pytest
from following import follow

from humanoid_mujoco_ros.policy import checkpoint as checkpoints
from humanoid_mujoco_ros.policy import locate as policy_source
from humanoid_mujoco_ros.policy import observation
from humanoid_mujoco_ros.policy.checkpoint import Checkpoint, CheckpointError
from humanoid_mujoco_ros.policy.inference import Policy
from humanoid_mujoco_ros.robot.model import ModelConfig, RobotModel
from humanoid_mujoco_ros.robot.posed_model import PosedModel
from humanoid_mujoco_ros.robot.state import Wrench
from humanoid_mujoco_ros.simulation.simulation import Simulation
from humanoid_mujoco_ros.training import evaluate
from humanoid_mujoco_ros.training.trial import Conditions, Outcome, PosedObserver, Trial, run_trial

ROBOT = RobotModel()


def random_checkpoint(normalization: str = "stored") -> Checkpoint:
    random = np.random.default_rng(0)
    sizes = (376, 32, 17)
    weights = [
        random.normal(0, 0.3, (out, into)).astype(np.float32)
        for into, out in itertools.pairwise(sizes)
    ]
    weights[0][:, observation.block(ROBOT.mj, "cfrc_ext").slice] = 0.0
    stored = normalization == "stored"
    return Checkpoint(
        weights=tuple(weights),
        biases=(np.zeros(32, np.float32), np.zeros(17, np.float32)),
        log_std=np.full(17, -2.0, np.float32),
        joints=ROBOT.action_joints[::-1],
        model="humanoid",
        control_rate_hz=100.0,
        normalization=normalization,
        observation_mean=random.normal(size=376) if stored else None,
        observation_var=random.uniform(0.5, 2.0, 376) if stored else None,
    )


@pytest.mark.parametrize("force_n", [0.0, 150.0])
def test_a_trial_is_an_episode_of_the_simulation(force_n):
    checkpoint = random_checkpoint()
    heading, at = np.array([0.7]), np.array([0.05])
    trial = Trial(1, 0.2, 0, force_n, heading, at) if force_n else Trial(1, 0.2)
    outcome = run_trial(ROBOT, checkpoint, trial, Conditions(seed=3, threads=1))
    random = np.random.default_rng(3)
    qpos = ROBOT.mj.qpos0 + random.uniform(-0.01, 0.01, (1, ROBOT.mj.nq))
    qvel = random.uniform(-0.01, 0.01, (1, ROBOT.mj.nv))
    simulation = Simulation(ROBOT)
    state = simulation.set_state(qpos[0], qvel[0])
    policy = Policy(checkpoint, ROBOT)
    start = state.qpos[:2]
    for step in range(20):
        if force_n and step >= 5:
            force_world = force_n * np.array([np.cos(0.7), np.sin(0.7), 0.0])
            world_of_base = np.empty(9)
            mujoco.mju_quat2Mat(world_of_base, state.base_quaternion_wxyz)
            in_base = world_of_base.reshape(3, 3).T @ force_world
            simulation.set_external_wrench("base_link", Wrench(in_base, np.zeros(3)))
        else:
            simulation.set_external_wrench("base_link", None)
        state = simulation.step(policy.efforts(state.observation))
    # The simulation's wrench turns with its link during a control period; the trial's does not.
    tolerance = 5e-3 if force_n else 1e-6
    np.testing.assert_allclose(
        outcome.displacement_m[0], state.qpos[:2] - start, atol=tolerance, rtol=0
    )


def test_the_shadow_observer_sees_what_a_robot_publishes():
    simulation, posed = Simulation(ROBOT), PosedModel(ROBOT)
    random = np.random.default_rng(2)
    states = [simulation.step(random.normal(size=17) * ROBOT.effort_limits) for _ in range(20)]
    data = mujoco.MjData(ROBOT.mj)
    efforts = np.zeros((20, ROBOT.mj.nv))
    expected = []
    for i, state in enumerate(states):
        efforts[i, ROBOT.dof_indices] = state.joint_efforts
        follow(posed, state)
        expected.append(observation.observe_data(posed.data()))
    qpos, qvel = (np.array([getattr(s, name) for s in states]) for name in ("qpos", "qvel"))
    observed = PosedObserver(ROBOT).observe(qpos, qvel, efforts)
    np.testing.assert_allclose(observed, expected, rtol=0, atol=1e-9)
    # And what MuJoCo itself makes of the last state.
    data.qpos[:], data.qvel[:] = qpos[-1], qvel[-1]
    data.ctrl[ROBOT.actuator_indices] = states[-1].joint_efforts / ROBOT.gear
    mujoco.mj_forward(ROBOT.mj, data)
    np.testing.assert_allclose(
        observed[-1], observation.observe_data(data, mask_cfrc_ext=True), atol=1e-9
    )


@pytest.mark.parametrize("force_n", [0.0, 150.0])
def test_a_walk_on_the_shadows_observation_is_the_same_walk(force_n):
    policy = checkpoints.load(policy_source.resolve("walk"), ROBOT)
    heading, at = np.array([0.3, -2.0, 2.0]), np.full(3, 2.0)
    trial = Trial(3, 5.0, 0, force_n, heading, at) if force_n else Trial(3, 5.0)
    plain = run_trial(ROBOT, policy, trial, Conditions(seed=5))
    posed = run_trial(ROBOT, policy, trial, Conditions(seed=5, observer=PosedObserver(ROBOT)))
    assert not plain.fell.any()
    assert not posed.fell.any()
    assert not np.array_equal(plain.displacement_m, posed.displacement_m)
    np.testing.assert_allclose(posed.displacement_m, plain.displacement_m, atol=0.5)


def test_the_command_compares_falls_on_both_observations(tmp_path, capsys):
    path = tmp_path / "random.safetensors"
    random_checkpoint().save(path)
    episodes = {}
    for source in ("simulation", "shadow"):
        options = "--battery episodes --episodes 3 --long-episodes 0 --observation"
        command = [str(path), *options.split(), source, "--output", str(tmp_path / source)]
        assert evaluate.main(command) == 0
        printed = " ".join(capsys.readouterr().out.split())
        assert ("observed through the posed model" in printed) == (source == "shadow")
        content = json.loads((tmp_path / source / "evaluation.json").read_text())
        assert content["options"]["observation"] == source
        episodes[source] = content["results"][0]["episodes"]["15 s"]
    assert episodes["shadow"]["falls"] == episodes["simulation"]["falls"] == 3
    assert episodes["shadow"]["upright_s"] == pytest.approx(
        episodes["simulation"]["upright_s"], abs=0.3
    )


def test_a_delay_and_a_push_change_the_outcome_and_a_seed_repeats_it():
    checkpoint = random_checkpoint()
    plain, again, late = (
        run_trial(ROBOT, checkpoint, Trial(3, 0.3, delay), Conditions(seed=1, threads=2))
        for delay in (0, 0, 1)
    )
    np.testing.assert_array_equal(plain.displacement_m, again.displacement_m)
    assert not np.allclose(plain.displacement_m, late.displacement_m)


def test_a_push_is_survived_by_a_robot_that_is_up_six_seconds_after_its_end():
    upright_s = np.array([8.9, 9.3, 9.0, 15.0])
    zeros = np.zeros(4)
    outcome = Outcome(upright_s < 15.0, upright_s, np.zeros((4, 2)), zeros, zeros)
    at = np.array([3.0, 3.0, 2.5, 14.0])  # it acts for 0.2 s
    assert outcome.survived(at).tolist() == [False, True, True, True]


def test_a_fall_ends_an_episode():
    checkpoint = random_checkpoint()
    outcome = run_trial(ROBOT, checkpoint, Trial(4, 3.0), Conditions(threads=2))
    assert outcome.fell.all()
    assert (outcome.upright_s < 2.5).all()


def test_the_command_writes_numbers_and_a_polar_picture(tmp_path, capsys):
    path = tmp_path / "random.safetensors"
    random_checkpoint().save(path)
    options = "--episodes 2 --pushes 3 --long-episodes 1 --forces-n 100 200 --output"
    code = evaluate.main([str(path), *options.split(), str(tmp_path / "out")])
    assert code == 0
    printed = capsys.readouterr().out
    assert "Humanoid-v4" in printed
    assert "100 N" in printed
    result = json.loads((tmp_path / "out" / "evaluation.json").read_text())["results"][0]
    assert result["gymnasium"]["falls"] == 2
    assert [p["force_n"] for p in result["pushes"]] == [100.0, 200.0]
    assert result["pushes"][0]["survived"] == 0
    pytest.importorskip("matplotlib")
    assert (tmp_path / "out" / "random_pushes.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "name at least one policy"),
        (("no/such.safetensors",), "neither shipped nor a file"),
        (("walk", "--battery", "dance"), "dance"),
        (("walk", "--episodes", "0"), "at least 1"),
    ],
)
def test_bad_input_is_one_clear_line_and_exit_code_2(arguments, complaint, capsys):
    assert evaluate.main(list(arguments)) == 2
    assert complaint in capsys.readouterr().err


def test_a_policy_of_other_dimensions_is_refused(tmp_path, capsys):
    checkpoint = random_checkpoint()
    other = dataclasses.replace(
        checkpoint,
        weights=(checkpoint.weights[0][:, :300], checkpoint.weights[1]),
        observation_mean=np.zeros(300),
        observation_var=np.ones(300),
    )
    path = tmp_path / "small.safetensors"
    other.save(path)
    assert evaluate.main([str(path)]) == 2
    assert "reads 300 values, the robot's observation has 376" in capsys.readouterr().err


def test_help_explains_the_batteries(capsys):
    assert evaluate.main(["--help"]) == 0
    assert "one control period late" in " ".join(capsys.readouterr().out.replace("│", " ").split())


@pytest.mark.parametrize(
    ("name", "least"),
    [("ant", 1000.0), ("half_cheetah", 1443.0), ("hopper", 1500.0), ("walker2d", 2288.0)],
)
def test_a_shipped_policy_goes_forward_in_gymnasiums_environment(name, least, tmp_path):
    """Better than CleanRL's PPO, but for Ant-v4, which it lacks, and for ten hops, which vary."""
    options = ["--episodes", "10", "--output", str(tmp_path)]
    assert evaluate.main([name, *options]) == 0
    (result,) = json.loads((tmp_path / "evaluation.json").read_text())["results"]
    assert result["gymnasium"]["return_mean"] > least


def test_a_battery_that_a_policy_does_not_have(capsys):
    assert evaluate.main(["ant", "--battery", "pushes"]) == 2
    assert "ant drives 'ant': its battery is gymnasium" in capsys.readouterr().err


@pytest.mark.parametrize("delay_steps", [0, 1])
@pytest.mark.parametrize("name", ["walk", "balance"])
def test_a_shipped_policy_stays_up(name, delay_steps):
    try:
        path = policy_source.shipped_policies()[name]
    except (KeyError, CheckpointError):
        pytest.fail(f"the policy {name} is not shipped")
    policy = checkpoints.load(path, ROBOT)
    policy.check_fits(RobotModel(ModelConfig()))
    assert policy.task == name
    outcome = run_trial(ROBOT, policy, Trial(6, 10.0, delay_steps), Conditions(seed=11))
    assert not outcome.fell.any()
    if name == "walk":
        assert outcome.speed_m_s.min() > 0.5
        assert np.abs(np.rad2deg(outcome.yaw_rad)).max() < 30.0
    else:
        assert np.linalg.norm(outcome.displacement_m, axis=1).mean() < 2.0
