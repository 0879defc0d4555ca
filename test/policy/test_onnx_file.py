# SPDX-License-Identifier: Apache-2.0
"""ONNX files: their contract, the dialects of their metadata, and the G1's policies at work."""

import importlib.util
import json
import math
from pathlib import Path

import numpy as np
import pytest
import yaml

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: make robots")
pytest.importorskip("onnx")

import onnx

from humanoid_mujoco_ros.policy.card import CardError, Gait
from humanoid_mujoco_ros.policy.controller import Controller
from humanoid_mujoco_ros.policy.measurement import Measurement
from humanoid_mujoco_ros.policy.onnx_file import CARD_KEY, OnnxError, OnnxNetwork, read_card

CONFIG = Path(__file__).parents[2] / "config" / "policies"
ISAAC = {
    "joint_names": "hip,knee",
    "default_joint_pos": "0.1,-0.2",
    "joint_stiffness": "40.0,60.0",
    "joint_damping": "2.0,3.0",
    "action_scale": "0.5",
    "observation_names": "base_ang_vel,projected_gravity,command,joint_pos,joint_vel,actions",
}
HOLOSOMA = {
    "dof_names": json.dumps(["hip", "knee"]),
    "kp": json.dumps([40.0, 60.0]),
    "kd": json.dumps([2.0, 3.0]),
    "command_ranges": json.dumps(
        {"lin_vel_x": [-1, 1], "ang_vel_yaw": [-0.5, 0.5], "heading": [0, 1]}
    ),
}
OWN = {
    "joints": ["hip", "knee"],
    "control_rate_hz": 50.0,
    "inputs": ["joint_pos", "joint_vel"],
    "action": {"kind": "position"},
}


def write(
    path,
    inputs,
    outputs,
    metadata=(),
    extra_input=False,
    float_type=onnx.TensorProto.FLOAT,
    shape=None,
    also=(),
    action="action",
):
    """An ONNX file: the sums of the inputs, times the number of the output."""
    weight = np.outer(np.ones(inputs), np.arange(1.0, outputs + 1.0))
    helper = onnx.helper
    weight = weight.astype(helper.tensor_dtype_to_np_dtype(float_type))
    values = [helper.make_tensor_value_info("obs", float_type, shape or [1, inputs])]
    if extra_input:
        values.append(helper.make_tensor_value_info("h_in", float_type, [1, 8]))
    graph = helper.make_graph(
        [
            *(helper.make_node("MatMul", ["obs", "weight"], [name]) for name in also),
            helper.make_node("MatMul", ["obs", "weight"], [action]),
        ],
        "policy",
        values,
        [helper.make_tensor_value_info(name, float_type, None) for name in (*also, action)],
        [onnx.numpy_helper.from_array(weight, "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, dict(metadata))
    onnx.save(model, path)
    return OnnxNetwork(path)


def test_a_network_is_run(tmp_path):
    network = write(tmp_path / "a.onnx", 3, 2)
    assert (network.input_size, network.output_size) == (3, 2)
    np.testing.assert_allclose(network(np.array((1, 2, 3), dtype=np.float32)), (6, 12))


@pytest.mark.parametrize("kind", [onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE])
@pytest.mark.parametrize("shape", [[3], ["batch", 3], [None, 3]])
def test_other_floats_and_shapes_are_run_too(tmp_path, kind, shape):
    network = write(tmp_path / "a.onnx", 3, 2, float_type=kind, shape=shape, also=("value",))
    assert (network.input_size, network.output_size) == (3, 2)
    acted = network(np.array((1, 2, 3), dtype=np.float32))
    assert acted.dtype == np.float32
    np.testing.assert_allclose(acted, (6, 12))


@pytest.mark.parametrize("shape", [[8, 3], ["batch", "n"], [1, 1, 3]])
def test_an_input_that_is_not_one_vector_is_refused(tmp_path, shape):
    with pytest.raises(
        OnnxError, match=r"its input has shape \[.*expected one vector of a fixed s"
    ):
        write(tmp_path / "a.onnx", 3, 2, shape=shape)


def test_the_dialect_of_mjlab_and_isaac_lab_is_read(tmp_path):
    network = write(tmp_path / "a.onnx", 13, 2, ISAAC)
    card = read_card(network, {"control_rate_hz": 50})
    assert card.joints == ("hip", "knee")
    assert card.default_joint_positions == (0.1, -0.2)
    assert (card.stiffness, card.damping) == ((40.0, 60.0), (2.0, 3.0))
    assert card.action.scale == (0.5, 0.5)
    names = [
        "base_ang_vel",
        "projected_gravity",
        "command",
        "joint_pos",
        "joint_vel",
        "last_action",
    ]
    assert [term.name for term in card.inputs] == names
    assert card.input_size(0) == 15


def test_the_dialect_of_holosoma_is_read_with_a_card_beside_it(tmp_path):
    network = write(tmp_path / "a.onnx", 4, 2, HOLOSOMA)
    beside = {key: value for key, value in OWN.items() if key != "joints"}
    card = read_card(network, beside)
    assert card.joints == ("hip", "knee")
    assert card.command_ranges == {"vx": (-1.0, 1.0), "yaw_rate": (-0.5, 0.5)}
    assert card.stiffness == (40.0, 60.0)


def test_our_own_card_is_read_and_a_card_beside_the_file_wins(tmp_path):
    network = write(tmp_path / "a.onnx", 4, 2, {CARD_KEY: json.dumps(OWN)})
    assert read_card(network, {}).control_rate_hz == 50.0
    assert read_card(network, {"control_rate_hz": 100}).control_rate_hz == 100.0


@pytest.mark.parametrize(
    ("metadata", "beside", "match"),
    [
        ({}, {}, r"metadata \(none\) nor a card beside it says joints, control_rate_hz, inputs"),
        (HOLOSOMA, {}, r"\(command_ranges, dof_names, kd, kp\) nor a card .* says control_rate_hz"),
        ({"dof_names": "hip knee"}, {}, "metadata cannot be read"),
        ({CARD_KEY: "[]"}, {}, "is no card"),
        (
            {**ISAAC, "observation_names": "height_scan"},
            {"control_rate_hz": 50},
            "reads the term 'height_scan', which is not among",
        ),
        (
            {CARD_KEY: json.dumps(OWN)},
            {"joints": ["hip", "knee", "ankle"]},
            "returns 2 values, the card has 3 joints",
        ),
    ],
)
def test_what_is_missing_or_unknown_is_said(tmp_path, metadata, beside, match):
    network = write(tmp_path / "a.onnx", 4, 2, metadata)
    with pytest.raises(CardError, match=match):
        read_card(network, beside)


def test_files_that_are_no_policy_are_refused(tmp_path):
    page = tmp_path / "page.onnx"
    page.write_text("<!doctype html>")
    with pytest.raises(OnnxError, match="is no ONNX file that onnxruntime can run"):
        OnnxNetwork(page)
    with pytest.raises(OnnxError, match=r"2 inputs \(obs, h_in\), expected one vector"):
        write(tmp_path / "a.onnx", 4, 2, extra_input=True)
    with pytest.raises(OnnxError, match=r"its input is a tensor\(int32\), expected tensor\(float"):
        write(tmp_path / "a.onnx", 4, 2, float_type=onnx.TensorProto.INT32)
    with pytest.raises(OnnxError, match="has the outputs value, mean, expected one, or one of the"):
        write(tmp_path / "a.onnx", 4, 2, also=("value",), action="mean")


def package_file(text):
    package, _, path = text.removeprefix("python:").partition("/")
    spec = importlib.util.find_spec(package)
    if spec is None:
        pytest.skip(f"the package {package} is not installed: make robots")
    return Path(spec.submodule_search_locations[0]) / path


@pytest.mark.parametrize("name", ["g1_fastsac", "g1_ppo"])
def test_the_g1s_policies_act_as_a_plain_second_version_of_their_input_says(name):
    """100 values by hand, one after the other, with rotations by MuJoCo; the same actions."""
    mujoco = pytest.importorskip("mujoco")
    values = yaml.safe_load((CONFIG / f"{name}.yaml").read_text())
    network = OnnxNetwork(package_file(values.pop("file")))
    for key in ("install",):
        values.pop(key)
    card = read_card(network, values)
    assert card.gait == Gait(1.0, (0.0, math.pi), math.pi)
    assert network.input_size == card.input_size(0) == 100
    controller = Controller(card, network)
    random = np.random.default_rng(3)
    action, phases = np.zeros(29), None
    for tick in range(120):
        command = np.zeros(3) if tick < 20 or tick >= 100 else np.array((0.8, -0.2, 0.4))
        quaternion = np.array((1.0, *0.1 * random.standard_normal(3)))
        quaternion /= np.linalg.norm(quaternion)
        q, dq = 0.2 * random.standard_normal(29), random.standard_normal(29)
        gyro = random.standard_normal(3)
        m = Measurement(
            np.ones(1), quaternion, q, random.standard_normal(3), gyro, dq, np.zeros(29)
        )
        targets = controller.targets(m, command)

        if not command.any():
            phases = None
            angles = [math.pi, math.pi]
        else:
            phases = [0.0, math.pi] if phases is None else [p + 2 * math.pi / 50 for p in phases]
            angles = phases
        gravity, inverse = np.zeros(3), np.zeros(4)
        mujoco.mju_negQuat(inverse, quaternion)
        mujoco.mju_rotVecQuat(gravity, np.array((0.0, 0.0, -1.0)), inverse)
        vector = [*action, *(0.25 * gyro), command[2], *command[:2]]
        vector += [math.cos(a) for a in angles]
        vector += [q[i] - card.default_joint_positions[i] for i in range(29)]
        vector += [*(0.05 * dq), *gravity, *(math.sin(a) for a in angles)]
        action = network(np.array(vector, dtype=np.float32)).astype(np.float64)
        expected = np.array(card.default_joint_positions) + 0.25 * action
        np.testing.assert_allclose(targets, expected, atol=1e-4)
