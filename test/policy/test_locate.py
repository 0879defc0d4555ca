# SPDX-License-Identifier: Apache-2.0
"""Where policies are found, and the cards beside them."""

import importlib.util
import sys
from pathlib import Path

import gymnasium
import pytest

from humanoid_mujoco_ros.policy import locate
from humanoid_mujoco_ros.policy.checkpoint import CheckpointError

MODEL = "envs/mujoco/assets/hopper.xml"


def test_shipped_policies_and_those_of_other_packages_are_found_by_name():
    assert locate.find("walk").file.name == "walk.safetensors"
    assert {"g1_fastsac", "g1_ppo"} <= locate.named_cards().keys()
    if importlib.util.find_spec("holosoma_inference") is None:
        pytest.skip("holosoma-inference is not installed: make robots")
    found = locate.find("g1_ppo")
    assert found.file.name == "ppo_g1_29dof.onnx"
    assert (found.card["robot"], found.card["control_rate_hz"]) == ("g1", 50.0)
    assert not {"file", "install"} & found.card.keys()


def test_a_missing_package_ends_in_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "holosoma_inference", None)  # as if it were not installed
    with pytest.raises(CheckpointError, match=r"installed: pip install --no-deps holosoma-infer"):
        locate.find("g1_fastsac")


def test_a_file_in_a_python_package_is_found():
    found = locate.find(f"python:gymnasium/{MODEL}")
    assert found.file == Path(gymnasium.__file__).parent / MODEL
    assert not found.card


def test_a_card_beside_an_onnx_file_goes_with_it(tmp_path):
    (tmp_path / "a.onnx").touch()
    assert not locate.find(str(tmp_path / "a.onnx")).card
    (tmp_path / "a.yaml").write_text("file: a.onnx\nrobot: g1\ncontrol_rate_hz: 50\n")
    for name in ("a.onnx", "a.yaml"):
        found = locate.find(str(tmp_path / name))
        assert found.file == tmp_path / "a.onnx"
        assert found.card == {"robot": "g1", "control_rate_hz": 50}


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("robot: g1", r"card a\.yaml names no file"),
        ("file: b.onnx", r"names the file .*b\.onnx, which does not exist"),
        ("file: python:os.path/a", r"its file 'python:os\.path/a' is not of the form python:PACKA"),
        ("file: python:gymnasium/none.onnx", r"gymnasium is installed, but has no none\.onnx"),
        ("file: hf://datasets/me/data/a.onnx", "is a dataset, expected a model"),
        ("- a\n- b", r"card a\.yaml is no list of keys and values"),
        ("file: [", r"card a\.yaml cannot be used: .*line 1"),
    ],
)
def test_a_card_that_leads_nowhere_is_said(tmp_path, text, match):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(CheckpointError, match=match):
        locate.find(str(tmp_path / "a.yaml"))
