# SPDX-License-Identifier: Apache-2.0
"""`humanoid policy`, `humanoid robots` and `humanoid export`."""

import importlib.util
import re
import sys

import numpy as np
import pytest

from humanoid_mujoco_ros.bringup import export, policy_info, robots
from humanoid_mujoco_ros.bringup.export import ExportOptions
from humanoid_mujoco_ros.bringup.policy_info import PolicyOptions
from humanoid_mujoco_ros.bringup.robots import RobotsOptions, robot_model
from humanoid_mujoco_ros.policy import checkpoint, locate
from humanoid_mujoco_ros.policy.driver import Driver
from humanoid_mujoco_ros.policy.inference import Policy
from humanoid_mujoco_ros.robot.joint_map import JointMap


def test_a_policy_is_described_with_the_robots_that_it_fits(capsys):
    assert policy_info.run(PolicyOptions("walk")) == 0
    text = capsys.readouterr().out
    for said in ("walk.safetensors", "100 Hz", "17: abdomen_y, ", "376  humanoid_v4",
                 "stored statistics", "gear × output, outputs within ± 0.4"):  # fmt: skip
        assert said in text
    assert re.search(r"humanoid +fits", text)
    assert re.search(r"humanoid_v4 +no: the policy was trained at 100.00 Hz", text)
    assert re.search(r"ant +no: the policy drives the model 'humanoid', the robot is 'ant'", text)


def test_a_policy_of_terms_is_described_with_their_sizes(capsys):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: make robots")
    for package in ("holosoma_inference", "mjlab"):  # data, without what their code imports
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: make robots")
    assert policy_info.run(PolicyOptions("g1_fastsac", "g1")) == 0
    text = capsys.readouterr().out
    for said in ("100 values", "29  last_action", " 3  base_ang_vel × 0.25", "vx -1 to 1, vy",
                 "default pose + 0.25 × output; drives of 14.25"):  # fmt: skip
        assert said in text
    assert re.search(r"robots +g1 +fits", text)
    assert "ant" not in text


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (PolicyOptions("run"), "error: policy 'run' is neither shipped nor a file"),
        (PolicyOptions("walk", "gorilla"), "error: gorilla: robot 'gorilla' is neither one of ant"),
        (PolicyOptions("setup.cfg"), "error: setup.cfg: this is neither a .safetensors"),
    ],
)
def test_what_cannot_be_described_is_one_line(capsys, options, match):
    assert policy_info.run(options) == 2
    printed = capsys.readouterr()
    assert match in printed.err
    assert printed.err.count("\n") == 1
    assert not printed.out


def test_every_robot_is_listed(capsys):
    assert robots.run(RobotsOptions()) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert re.fullmatch(r"humanoid +17 +effort +100 Hz +walk +installed *", rows["humanoid"])
    assert re.search(r"position +50 Hz +g1_fastsac +\S", rows["g1"])
    assert {"ant", "go1", "half_cheetah", "hopper", "humanoid_v4", "walker2d"} <= rows.keys()


def test_a_robot_without_its_package_says_how_to_get_it(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "mjlab", None)  # as if it were not installed
    robots.run(RobotsOptions())
    text = " ".join(capsys.readouterr().out.split())
    assert "is not installed: pip install --no-deps mjlab==" in text


@pytest.mark.parametrize("name", ["walk", "balance"])
def test_an_exported_policy_acts_as_numpys(tmp_path, name):
    pytest.importorskip("onnx", reason="onnx is not installed: make robots")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: make robots")
    path = tmp_path / f"{name}.onnx"
    assert export.run(ExportOptions(name, path)) == 0
    robot = robot_model("humanoid")
    own = checkpoint.load(locate.resolve(name), robot)
    policy = Policy(own, robot)
    driver = Driver(robot, JointMap(robot), robot.joints)
    driver.load(str(path), sample=False, seed=0)
    spread = np.sqrt(own.observation_var)
    random = np.random.default_rng(0)
    for _ in range(200):
        observed = own.observation_mean + spread * random.normal(scale=2.0, size=spread.size)
        actions = driver.answer(observed.tolist(), np.zeros(3)) / robot.gear
        np.testing.assert_allclose(actions, policy.efforts(observed) / robot.gear, atol=1e-5)
    assert driver.figures()["task"] == own.task
    assert not driver.takes_commands


def test_what_cannot_be_exported_is_one_line(tmp_path, capsys, monkeypatch):
    torch = pytest.importorskip("torch")
    sizes = {"actor_mean.0.weight": (8, 27), "actor_mean.0.bias": (8,), "actor_logstd": (1, 8)}
    path = tmp_path / "ant.cleanrl_model"
    torch.save({name: torch.zeros(size) for name, size in sizes.items()}, path)
    pytest.importorskip("onnx", reason="onnx is not installed: make robots")
    assert export.run(ExportOptions(str(path), tmp_path / "a.onnx", "ant")) == 2
    assert "no stored statistics" in capsys.readouterr().err
    np.savez(tmp_path / "obs_rms.npz", mean=np.zeros(27), var=np.ones(27))
    assert export.run(ExportOptions(str(path), tmp_path / "a.onnx", "ant")) == 0
    capsys.readouterr()
    assert export.run(ExportOptions(str(tmp_path / "a.onnx"), tmp_path / "b.onnx")) == 2
    assert capsys.readouterr().err.endswith("a.onnx is an ONNX file already\n")
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert export.run(ExportOptions("walk", tmp_path / "b.onnx")) == 2
    assert capsys.readouterr().err == "error: writing ONNX files needs onnx: pip install onnx\n"
