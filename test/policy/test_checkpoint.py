# SPDX-License-Identifier: Apache-2.0
"""Checkpoints against torch, Gymnasium and broken files."""

import dataclasses
import itertools
import json
import os
import pickle
import subprocess
import sys
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import gymnasium
import mujoco
import numpy as np
import pytest
from own_checkpoints import own_checkpoint
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from humanoid_mujoco_ros.policy import checkpoint, observation
from humanoid_mujoco_ros.policy import locate as policy_source
from humanoid_mujoco_ros.policy.checkpoint import Checkpoint, CheckpointError
from humanoid_mujoco_ros.policy.driver import Driver
from humanoid_mujoco_ros.policy.inference import Policy
from humanoid_mujoco_ros.policy.state_vector import StateVector, has_humanoid_v4
from humanoid_mujoco_ros.robot.card import load_card
from humanoid_mujoco_ros.robot.joint_map import JointMap
from humanoid_mujoco_ros.robot.model import ModelConfig, RobotModel

torch = pytest.importorskip("torch")

HUB_REPOSITORY = "cleanrl/Humanoid-v4-ppo_continuous_action-seed1"


@pytest.fixture(scope="module")
def robot():
    return RobotModel()


@pytest.fixture(scope="module")
def native_robot():
    return RobotModel(ModelConfig(timestep_s=0.003, steps_per_control=5))


def cleanrl_agent(observations=376, hidden=(64, 64), actions=17):
    """The modules of CleanRL's ppo_continuous_action agent, from their description."""

    def network(outputs):
        layers = []
        for into, out in itertools.pairwise((observations, *hidden, outputs)):
            layers += [torch.nn.Linear(into, out), torch.nn.Tanh()]
        return torch.nn.Sequential(*layers[:-1])

    torch.manual_seed(1)
    agent = torch.nn.Module()
    agent.critic = network(1)
    agent.actor_mean = network(actions)
    agent.actor_logstd = torch.nn.Parameter(torch.full((1, actions), -1.0))
    return agent


@pytest.fixture
def cleanrl_file(tmp_path):
    path = tmp_path / "ppo_continuous_action.cleanrl_model"
    torch.save(cleanrl_agent().state_dict(), path)
    return path


def observations(count, seed=0):
    return np.random.default_rng(seed).normal(scale=3.0, size=(count, 376))


def test_a_cleanrl_file_gives_torchs_actions_under_gymnasiums_normalisation(
    cleanrl_file, native_robot
):
    agent = cleanrl_agent()
    policy = Policy(checkpoint.load(cleanrl_file, native_robot), native_robot)
    with pytest.warns(DeprecationWarning, match="Humanoid-v4"):
        env = gymnasium.make("Humanoid-v4")
    env = gymnasium.wrappers.ClipAction(env)
    raw = []
    env = gymnasium.wrappers.TransformObservation(
        env, lambda values: raw.append(values) or values, env.observation_space
    )
    env = gymnasium.wrappers.NormalizeObservation(env)
    env = gymnasium.wrappers.TransformObservation(
        env, lambda values: np.clip(values, -10, 10), env.observation_space
    )
    normalized, _ = env.reset(seed=1)
    for _ in range(100):
        ours = policy.action(raw[-1])
        with torch.no_grad():
            theirs = agent.actor_mean(torch.as_tensor(normalized)[None])[0].numpy()
        np.testing.assert_allclose(ours, np.clip(theirs, -0.4, 0.4), atol=1e-5)
        normalized, _, terminated, _, _ = env.step(theirs.astype(np.float64))
        if terminated:
            policy.normalize(raw[-1])  # the wrapper saw the last one, too
            normalized, _ = env.reset()
    env.close()


def test_the_layers_of_a_deep_network_come_in_the_order_of_their_numbers(tmp_path, native_robot):
    agent = cleanrl_agent(hidden=(64,) * 5)  # its layers are 0, 2, 4, 6, 8 and 10
    path = tmp_path / "deep.cleanrl_model"
    torch.save(agent.state_dict(), path)
    loaded = checkpoint.load(path, native_robot)
    theirs = [
        layer.weight.detach().numpy()
        for layer in agent.actor_mean
        if isinstance(layer, torch.nn.Linear)
    ]
    for weights, expected in zip(loaded.weights, theirs, strict=True):
        np.testing.assert_array_equal(weights, expected)


def test_a_saved_checkpoint_loads_as_it_was(tmp_path, robot):
    own = own_checkpoint(robot, hidden=(48, 24))
    path = tmp_path / "own.safetensors"
    own.save(path)
    loaded = checkpoint.load(path, robot)
    for field in dataclasses.fields(Checkpoint):
        a, b = getattr(own, field.name), getattr(loaded, field.name)
        for x, y in zip(a, b, strict=True) if isinstance(a, tuple) else [(a, b)]:
            np.testing.assert_array_equal(x, y)
    row = observations(1)[0]
    np.testing.assert_allclose(
        Policy(own, robot).efforts(row), Policy(loaded, robot).efforts(row), atol=1e-4
    )


@pytest.mark.parametrize(
    ("asked", "normalization", "action"),
    [(None, "running", "sample"), (None, "stored", "mean"), (False, "running", "mean")],
)
def test_actions_are_drawn_where_cleanrl_draws_them(
    cleanrl_file, native_robot, asked, normalization, action
):
    if normalization == "stored":
        np.savez(cleanrl_file.with_name("obs_rms.npz"), mean=np.zeros(376), var=np.ones(376))
    driver = Driver(native_robot, JointMap(native_robot), native_robot.joints)
    driver.load(str(cleanrl_file), sample=asked, seed=0)
    figures = driver.figures()
    assert (figures["normalization"], figures["action"]) == (normalization, action)
    answers = [driver.answer(np.zeros(376), np.zeros(3)) for _ in range(2)]
    assert np.array_equal(*answers) == (action == "mean")


def test_our_own_checkpoints_do_without_torch(tmp_path, robot, cleanrl_file):
    path = tmp_path / "own.safetensors"
    own_checkpoint(robot).save(path)
    program = f"""
import sys
sys.modules["torch"] = None
from pathlib import Path
from humanoid_mujoco_ros.policy import checkpoint
from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.policy.inference import Policy
import numpy as np
robot = RobotModel()
print(Policy(checkpoint.load(Path({str(path)!r}), robot), robot).action(np.zeros(376)).shape)
for path in ({str(cleanrl_file)!r}, {sys.executable!r}):
    try:
        checkpoint.load(Path(path), robot)
    except checkpoint.CheckpointError as error:
        print(error)
"""
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert "(17,)" in output
    assert "ppo_continuous_action.cleanrl_model: this is a torch file" in output
    assert "torch is not installed" in output
    assert "make torch" in output
    assert f"{sys.executable}: this is neither a .safetensors file" in output


class Malicious:
    def __reduce__(self):
        return (print, ("executed",))


@pytest.mark.parametrize(
    ("write", "match"),
    [
        (lambda path: path.write_bytes(b"nonsense"), "nor a torch file such as CleanRL's"),
        (lambda path: path.write_bytes(b""), "nor a torch file"),
        (lambda path: path.write_bytes(pickle.dumps(Malicious())), "never unpickled"),
        (lambda path: torch.save(Malicious(), path), "never unpickled"),
        (lambda path: torch.save([1, 2], path), "holds a list, expected a state_dict"),
        (lambda path: torch.save({"fc.weight": torch.zeros(2, 2)}, path), r"no layers 'actor_mean"),
        (
            lambda path: torch.save({"actor_mean.0.weight": torch.zeros(17, 376)}, path),
            r"actor_mean\.0\.bias.* is incomplete",
        ),
    ],
)
def test_a_file_that_is_no_cleanrl_model_is_refused(tmp_path, robot, capsys, write, match):
    path = tmp_path / "model.cleanrl_model"
    write(path)
    with pytest.raises(CheckpointError, match=match):
        checkpoint.load(path, robot)
    assert "executed" not in capsys.readouterr().out


def random_bytes(path, start=b""):
    path.write_bytes(start + np.random.default_rng(0).bytes(2000))


def cut_short(path):
    torch.save(cleanrl_agent().state_dict(), path)
    path.write_bytes(path.read_bytes()[:20000])


def save_layers(path, **changes):
    """A CleanRL model of one layer, with some of its tensors replaced."""
    tensors = {
        "actor_mean.0.weight": torch.zeros(17, 376),
        "actor_mean.0.bias": torch.zeros(17),
        "actor_logstd": torch.zeros(1, 17),
    }
    torch.save(tensors | changes, path)


@pytest.mark.parametrize(
    ("name", "write", "match"),
    [
        (
            "some.yaml",
            lambda path: path.write_text("policy: walk\n"),
            "neither a .safetensors file",
        ),
        ("no_suffix", random_bytes, "neither a .safetensors file"),
        ("random.pt", lambda path: random_bytes(path, b"\x80\x02"), "not a torch file of plain"),
        ("random.zip", lambda path: random_bytes(path, b"PK\x03\x04"), "not a torch file of plain"),
        ("short.cleanrl_model", cut_short, "not a torch file of plain"),
        ("array.npz", lambda path: np.savez(path, x=np.zeros(3)), "not a torch file of plain"),
        (
            "number.pt",
            lambda path: path.write_bytes(pickle.dumps(5, 2)),
            "not a torch file of plain",
        ),
        ("tensor.pt", lambda path: torch.save(torch.zeros(3), path), "holds a Tensor, expected a"),
        ("nested.pt", lambda path: torch.save({"model": {}}, path), "holds a dict, expected a"),
        ("empty.pt", lambda path: torch.save({}, path), "there is nothing"),
        (
            "name.pt",
            lambda path: save_layers(path, **{"actor_mean.foo.weight": torch.zeros(17, 376)}),
            r"has a layer 'actor_mean\.foo\.weight', expected numbers",
        ),
        (
            "scalar.pt",
            lambda path: save_layers(path, **{"actor_mean.0.weight": torch.tensor(1.0)}),
            r"layer 0 has weight \(\), expected \(outputs, inputs\)",
        ),
        (
            "bias.pt",
            lambda path: save_layers(path, **{"actor_mean.0.bias": torch.tensor(1.0)}),
            r"layer 0 has weight \(17, 376\) and bias \(\)",
        ),
        (
            "std.pt",
            lambda path: save_layers(path, actor_logstd=torch.tensor(0.0)),
            r"log_std has shape \(1,\), expected \(17,\)",
        ),
        (
            "sparse.pt",
            lambda path: save_layers(path, actor_logstd=torch.zeros(1, 17).to_sparse()),
            "cannot be read",
        ),
        (
            "huge.pt",
            lambda path: save_layers(
                path, actor_logstd=torch.full((1, 17), 1e300, dtype=torch.float64)
            ),
            "a weight is not finite",
        ),
        ("text.safetensors", lambda path: path.write_text("policy: walk\n"), "not a safetensors"),
        ("random.safetensors", random_bytes, "not a safetensors"),
        ("empty.safetensors", lambda path: path.write_bytes(b""), "not a safetensors"),
    ],
)
def test_an_odd_file_is_one_clear_line(tmp_path, robot, recwarn, name, write, match):
    path = tmp_path / name
    write(path)
    recwarn.clear()
    with pytest.raises(CheckpointError, match=match) as caught:
        checkpoint.load(path, robot)
    assert str(path) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert "weights_only" not in str(caught.value)  # torch's advice to turn the safety off
    assert not recwarn.list


def sparse_file(path):
    with path.open("wb") as file:
        file.write(b"PK\x03\x04" if path.suffix == ".pt" else b"\x10\0\0\0\0\0\0\0{")
        file.truncate(7_500_000_000)


def many_tensors(path):
    """A safetensors file of 300,000 empty tensors."""
    entry = b'"t%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    header = b"{" + b",".join(entry % i for i in range(300_000)) + b"}"
    path.write_bytes(len(header).to_bytes(8, "little") + header)


def stable_baselines3(path):
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("data", "pytorch_variables.pth", "policy.pth", "_stable_baselines3_version"):
            archive.writestr(name, "2.3.0")


def torch_script(path):
    torch.jit.save(torch.jit.script(torch.nn.Linear(3, 2)), path)


def rsl_rl(path):
    state = {"actor.0.weight": torch.zeros(17, 376)}
    torch.save(
        {"model_state_dict": state, "optimizer_state_dict": {}, "iter": 3, "infos": None}, path
    )


def cleanrl_off_policy(path, *heads):
    names = ("fc1", "fc2", *heads)
    actor = {f"{name}.weight": torch.zeros(4, 4) for name in names}
    critic = {"fc1.weight": torch.zeros(4, 4)}
    torch.save((actor, critic, critic), path)


def zip_bomb(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b".")
        with archive.open("archive/data/0", "w", force_zip64=True) as file:
            for _ in range(300):
                file.write(bytes(2**20))


@pytest.mark.parametrize(
    ("name", "write", "match"),
    [
        ("sparse.safetensors", sparse_file, r"has 7,500 MB, more than the 268 MB of a policy"),
        ("sparse.pt", sparse_file, "has 7,500 MB"),
        ("many.safetensors", many_tensors, "far too many tensors"),
        (
            "many.pt",
            lambda path: torch.save({str(i): torch.zeros(1) for i in range(5000)}, path),
            "more than 4,096 tensors",
        ),
        (
            "views.pt",
            lambda path: torch.save(dict.fromkeys(map(str, range(200_000)), "x"), path),
            r"list of tensors has \d+ MB",
        ),
        (
            "repeated.pt",
            lambda path: save_layers(
                path, **{"actor_mean.0.weight": torch.zeros(1).expand(10**6, 10**6)}
            ),
            r"tensors have 1,000,000,\d+,\d+ values",
        ),
        ("bomb.zip", zip_bomb, "unpacks to 315 MB"),
        (
            "walk.safetensors",
            lambda path: path.write_text(
                "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 722000\n"
            ),
            "git-LFS pointer.*run 'git lfs pull'",
        ),
        (
            "walk.cleanrl_model",
            lambda path: path.write_text("\n<!DOCTYPE html>\n<html><body>blob</body></html>"),
            "HTML page: download the file itself",
        ),
        ("sb3.zip", stable_baselines3, "Stable-Baselines3"),
        ("script.pt", torch_script, "TorchScript program, and programs are not run"),
        ("model_1500.pt", rsl_rl, "rsl_rl"),
        (
            "sac.cleanrl_model",
            lambda path: cleanrl_off_policy(path, "fc_mean", "fc_logstd"),
            "SAC, not its PPO",
        ),
        ("td3.cleanrl_model", lambda path: cleanrl_off_policy(path, "fc_mu"), "TD3 or DDPG"),
        (
            "old.pt",
            lambda path: torch.save(
                {"a": torch.zeros(3_000_000)}, path, _use_new_zipfile_serialization=False
            ),
            "format before 1.6 and has 12 MB",
        ),
    ],
)
def test_a_file_of_another_kind_is_recognised_before_it_is_loaded(
    tmp_path, robot, name, write, match
):
    path = tmp_path / name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated
        write(path)
    with LoadedMemory() as memory, pytest.raises(CheckpointError, match=match) as caught:
        checkpoint.load(path, robot)
    assert len(str(caught.value).splitlines()) == 1
    assert memory.peak < 30e6


class LoadedMemory:
    """The most memory [bytes] that Python and numpy took at once inside the block."""

    def __enter__(self):
        tracemalloc.start()
        return self

    def __exit__(self, *_):
        self.peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"joints": "5"}, "joints is '5', expected a JSON list of names"),
        ({"joints": "[1, 2]"}, "expected a JSON list of names"),
        ({"joints": "[hip"}, "expected a JSON list of names"),
        ({"control_rate_hz": "fast"}, "control_rate_hz is 'fast', expected a number"),
        ({"action_limit": "nan"}, "action_limit is nan, expected a positive number"),
        ({"normalization": ""}, "normalization is ''"),
    ],
)
def test_odd_metadata_is_one_clear_line(tmp_path, robot, changes, match):
    path = tmp_path / "own.safetensors"
    own_checkpoint(robot).save(path)
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    save_file(load_file(path), path, metadata | changes)
    with pytest.raises(CheckpointError, match=match) as caught:
        checkpoint.load(path, robot)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        (
            "observation_var",
            -0.5,
            r"value 7 of observation_var is -0\.5, expected finite and not neg",
        ),
        ("observation_var", np.inf, "value 7 of observation_var is inf"),
        ("observation_mean", np.nan, "value 7 of observation_mean is nan, expected finite"),
    ],
)
def test_impossible_observation_statistics_are_refused_at_load(tmp_path, robot, name, value, match):
    path = tmp_path / "own.safetensors"
    own_checkpoint(robot).save(path)
    tensors = load_file(path)
    tensors[name][7] = value
    with safe_open(path, framework="numpy") as file:
        save_file(tensors, path, file.metadata())
    with pytest.raises(CheckpointError, match=match):
        checkpoint.load(path, robot)


def test_a_missing_file_is_named(tmp_path, robot):
    with pytest.raises(CheckpointError, match=r"nothing\.safetensors does not exist"):
        checkpoint.load(tmp_path / "nothing.safetensors", robot)


def test_damaged_files_of_our_own_are_refused(tmp_path, robot):
    path = tmp_path / "own.safetensors"
    path.write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00garbage!")
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        checkpoint.load(path, robot)
    save_file({"x": np.zeros(3)}, path)
    with pytest.raises(CheckpointError, match="is of format 'None'"):
        checkpoint.load(path, robot)
    own_checkpoint(robot).save(path)
    tensors = load_file(path)
    del tensors["log_std"]
    metadata = {"format": checkpoint.FORMAT, "joints": json.dumps([])}
    save_file(tensors, path, metadata)
    with pytest.raises(CheckpointError, match="lacks 'log_std'"):
        checkpoint.load(path, robot)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"model": "atlas"}, "drives the model 'atlas', the robot is 'humanoid'"),
        ({"input": "pixels"}, "reads 'pixels'; this package provides humanoid_v4, "),
        (
            {"control_rate_hz": 66.67},
            r"trained at 66\.67 Hz, the robot is controlled at 100\.00 Hz",
        ),
        ({"joints": (*("x",) * 17,)}, "the robot has abdomen_z"),
    ],
)
def test_a_policy_for_another_robot_is_refused(robot, changes, match):
    with pytest.raises(CheckpointError, match=match):
        Policy(own_checkpoint(robot, **changes), robot)


@pytest.mark.parametrize(("observations", "actions"), [(377, 17), (376, 6), (105, 8)])
def test_a_policy_of_unknown_sizes_is_refused_with_those_that_are_known(
    robot, tmp_path, observations, actions
):
    path = tmp_path / "other.cleanrl_model"
    torch.save(cleanrl_agent(observations, actions=actions).state_dict(), path)
    sizes = f"reads {observations} values and returns {actions}: .*Ant-v4 27 and 8, HalfCheetah-v4"
    with pytest.raises(CheckpointError, match=sizes):
        checkpoint.load(path, robot)


CARDS = Path(__file__).parents[2] / "config" / "robots"
ENVIRONMENTS = {
    "humanoid_v4": ("Humanoid-v4", "Humanoid-v5"),
    "ant": ("Ant-v4",),
    "half_cheetah": ("HalfCheetah-v4",),
    "walker2d": ("Walker2d-v4",),
    "hopper": ("Hopper-v4",),
}
"""Robot card → Gymnasium's environments in which policies for it are trained."""


@pytest.mark.parametrize(
    ("card", "name"), [(card, name) for card, names in ENVIRONMENTS.items() for name in names]
)
def test_a_cleanrl_policy_of_each_robot_acts_as_gymnasium_and_torch_say(tmp_path, card, name):
    """With the statistics of Gymnasium's own wrapper; efforts are those that MuJoCo applies."""
    robot = RobotModel(load_card(card, CARDS))
    with warnings.catch_warnings(action="ignore"):  # v4 is old, and what is meant
        env = gymnasium.make(name)
    agent = cleanrl_agent(env.observation_space.shape[0], actions=env.action_space.shape[0])
    seen = gymnasium.wrappers.NormalizeObservation(env)
    observed = seen.reset(seed=2)[0]
    path = tmp_path / "ppo_continuous_action.cleanrl_model"
    torch.save(agent.state_dict(), path)
    data, limit = env.unwrapped.data, env.action_space.high[0]
    rng = np.random.default_rng(0)
    for _ in range(60):
        observed, _, ended, _, _ = seen.step(rng.uniform(-limit, limit, env.action_space.shape))
        if ended:
            observed = seen.reset()[0]
    np.savez(tmp_path / "obs_rms.npz", mean=seen.obs_rms.mean, var=seen.obs_rms.var)
    loaded = checkpoint.load(path, robot)
    assert (loaded.normalization, loaded.model) == ("stored", robot.name)
    assert loaded.control_rate_hz == pytest.approx(1.0 / env.unwrapped.dt)
    assert loaded.action_limit == pytest.approx(limit)
    seen.update_running_mean = False
    policy = Policy(loaded, robot)
    for _ in range(30):
        observed, _, ended, _, _ = seen.step(rng.uniform(-limit, limit, env.action_space.shape))
        with torch.no_grad():
            clipped = torch.as_tensor(np.clip(observed, -10, 10), dtype=torch.float32)
            theirs = np.clip(agent.actor_mean(clipped[None])[0].numpy(), -limit, limit)
        whole = observe(robot, data)
        np.testing.assert_allclose(policy.controls(whole), theirs, atol=2e-5)
        data.ctrl[:] = theirs
        mujoco.mj_fwdActuation(env.unwrapped.model, data)
        efforts = policy.efforts(whole)
        np.testing.assert_allclose(efforts, data.qfrc_actuator[robot.dof_indices], atol=5e-3)
        if ended:
            observed = seen.reset()[0]
    env.close()


def observe(robot, data):
    """What the robot observes of a state of Gymnasium's own model of it."""
    if has_humanoid_v4(robot):
        return observation.observe_data(data)
    return StateVector(robot).of_data(data)


def test_statistics_in_the_state_dict_are_used(tmp_path, native_robot):
    path = tmp_path / "a.pt"
    mean = torch.arange(376, dtype=torch.float64) / 3.0
    statistics = {"obs_rms.mean": mean, "obs_rms.var": torch.full((376,), 2.0)}
    torch.save(cleanrl_agent().state_dict() | statistics, path)
    loaded = checkpoint.load(path, native_robot)
    np.testing.assert_array_equal(loaded.observation_mean, mean.numpy())
    np.testing.assert_array_equal(loaded.observation_var, np.full(376, 2.0))


def test_statistics_that_cannot_be_used_are_said(tmp_path, cleanrl_file, native_robot):
    beside = tmp_path / "obs_rms.npz"
    np.savez(beside, mean=np.zeros(376))
    with pytest.raises(CheckpointError, match=r"obs_rms\.npz beside it has no arrays"):
        checkpoint.load(cleanrl_file, native_robot)
    np.savez(beside, mean=np.zeros(27), var=np.ones(27))
    with pytest.raises(
        CheckpointError, match=r"observation_mean has shape \(27,\), expected \(376"
    ):
        checkpoint.load(cleanrl_file, native_robot)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"normalization": "none"}, "normalization is 'none'"),
        ({"observation_mean": None}, "there are no statistics"),
        ({"observation_mean": np.zeros(3)}, r"observation_mean has shape \(3,\)"),
        ({"observation_var": np.full(376, np.nan)}, "value 0 of observation_var is nan"),
        ({"weights": (np.zeros(376, np.float32),), "biases": (np.zeros(1),)}, "layer 0 has weight"),
        ({"log_std": np.zeros(4, np.float32)}, r"log_std has shape \(4,\)"),
        ({"biases": ()}, "2 weight matrices and 0 biases"),
        ({"action_limit": -0.4}, r"action_limit is -0\.4"),
        ({"control_rate_hz": float("nan")}, "control_rate_hz is nan"),
    ],
)
def test_parts_that_do_not_fit_each_other_are_refused(robot, changes, match):
    with pytest.raises(CheckpointError, match=match):
        own_checkpoint(robot, **changes)


def test_cleanrls_checkpoint_wants_humanoid_v4s_rate(cleanrl_file, robot, native_robot):
    loaded = checkpoint.load(cleanrl_file, native_robot)
    loaded.check_fits(native_robot)
    with pytest.raises(CheckpointError, match=r"use the robot humanoid_v4"):
        loaded.check_fits(robot)


@pytest.mark.parametrize(
    ("text", "repository", "revision", "filename"),
    [
        (f"hf://{HUB_REPOSITORY}", HUB_REPOSITORY, None, "ppo_continuous_action.cleanrl_model"),
        ("hf://me/robot@v2", "me/robot", "v2", "ppo_continuous_action.cleanrl_model"),
        ("hf://me/robot@v2/a/b.safetensors", "me/robot", "v2", "a/b.safetensors"),
        ("hf://me/robot@refs/pr/1/a.onnx", "me/robot", "refs/pr/1", "a.onnx"),
        ("hf://models/me/robot/a.onnx", "me/robot", None, "a.onnx"),
        ("https://huggingface.co/me/robot/blob/main/b/a.onnx", "me/robot", "main", "b/a.onnx"),
        ("huggingface.co/me/robot/resolve/v1/a.onnx?download=true", "me/robot", "v1", "a.onnx"),
        ("https://hf.co/me/robot", "me/robot", None, "ppo_continuous_action.cleanrl_model"),
    ],
)
def test_hub_addresses(text, repository, revision, filename):
    address = policy_source.HubAddress.parse(text)
    assert (address.repository, address.revision, address.filename) == (
        repository,
        revision,
        filename,
    )


@pytest.mark.parametrize(
    "text",
    [
        "hf://",
        "hf://cleanrl",
        "hf://cleanrl/",
        "hf:///x",
        "https://huggingface.co/me/robot/commits",
    ],
)
def test_malformed_hub_addresses_are_explained(text):
    with pytest.raises(CheckpointError, match=r"not of the form hf://owner/repo"):
        policy_source.resolve(text)
    with pytest.raises(CheckpointError, match=r"is a dataset, expected a model"):
        policy_source.resolve("hf://datasets/me/data/a.onnx")


def hub_cache(root, source, revision="main"):
    """The folder that huggingface_hub would have made of a download."""
    repository = root / f"models--{HUB_REPOSITORY.replace('/', '--')}"
    commit = "0123456789abcdef0123456789abcdef01234567"
    reference = repository / "refs" / revision
    reference.parent.mkdir(parents=True)
    reference.write_text(commit)
    snapshot = repository / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (snapshot / "ppo_continuous_action.cleanrl_model").write_bytes(source.read_bytes())


def resolve_offline(address, cache, *, download=True):
    """What is printed for an address, where the hub is out of reach or not to be asked."""
    program = f"""
from humanoid_mujoco_ros.policy import locate as policy_source
from humanoid_mujoco_ros.policy.checkpoint import CheckpointError
try:
    print(policy_source.find({address!r}, download={download}).file)
except CheckpointError as error:
    print("error:", error)
"""
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": str(int(download))},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.mark.parametrize(
    ("address", "revision"),
    [
        (f"hf://{HUB_REPOSITORY}", "main"),
        (f"hf://{HUB_REPOSITORY}@refs/pr/1", "refs/pr/1"),
        (f"https://huggingface.co/{HUB_REPOSITORY}/tree/v1", "v1"),
    ],
)
def test_a_hub_policy_comes_from_the_hubs_cache(
    tmp_path, cleanrl_file, native_robot, address, revision
):
    hub_cache(tmp_path, cleanrl_file, revision)
    path = Path(resolve_offline(address, tmp_path).strip())
    assert path.name == "ppo_continuous_action.cleanrl_model"
    Policy(checkpoint.load(path, native_robot), native_robot).action(np.zeros(376))


def test_nothing_is_downloaded_for_a_policy_that_drives(tmp_path, cleanrl_file):
    address = f"hf://{HUB_REPOSITORY}"
    output = resolve_offline(address, tmp_path, download=False)
    assert output.startswith(
        f"error: ppo_continuous_action.cleanrl_model of {HUB_REPOSITORY} is not on this machine"
    )
    assert "deactivate it first" in output
    hub_cache(tmp_path, cleanrl_file)
    path = Path(resolve_offline(address, tmp_path, download=False).strip())
    assert path.read_bytes() == cleanrl_file.read_bytes()


def test_an_unreachable_hub_is_an_error_that_says_how_to_go_on(tmp_path):
    output = resolve_offline(f"hf://{HUB_REPOSITORY}@v1", tmp_path)
    assert output.startswith("error: cannot get ppo_continuous_action.cleanrl_model")
    assert f"hf download {HUB_REPOSITORY}" in output
    assert "--revision v1" in output


def test_an_unknown_policy_is_answered_with_those_there_are():
    with pytest.raises(
        CheckpointError, match=r"'run' is neither shipped nor a file; shipped are .*walk"
    ):
        policy_source.resolve("run")


@pytest.mark.parametrize("policy", ["x" * 5000, "~no_such_user_here/walk.safetensors", "\0", ""])
def test_a_name_that_can_be_no_path_is_refused(policy):
    with pytest.raises(CheckpointError, match=r"no usable path|neither shipped nor a file"):
        policy_source.resolve(policy)
