# SPDX-License-Identifier: Apache-2.0
"""Writes a policy of this package as an ONNX file, with its card in the metadata."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from humanoid_mujoco_ros.policy.checkpoint import Checkpoint, CheckpointError
from humanoid_mujoco_ros.policy.inference import inverse_std
from humanoid_mujoco_ros.policy.onnx_file import CARD_KEY
from humanoid_mujoco_ros.policy.policy_file import card_of

OPSET = 17
IR_VERSION = 8
"""Of 2022, which every onnxruntime in use reads."""


def export(policy: Checkpoint, path: Path) -> None:
    """Writes the policy's mean action: input `observation` (1, n), output `action` (1, joints).

    Its normalisation is part of the network, and computed in double precision: the mean of a value
    may be much larger than its spread.

    Raises:
        CheckpointError: The package onnx is missing, or the policy has no stored statistics.
        OSError: The file cannot be written.
    """
    try:
        import onnx
        from onnx import TensorProto, helper
    except ImportError as error:
        raise CheckpointError("writing ONNX files needs onnx: pip install onnx") from error
    if policy.observation_mean is None or policy.observation_var is None:
        raise CheckpointError(
            "the policy has no stored statistics of its observations: it goes by those of what it "
            "sees, which an ONNX file cannot; put them beside it as obs_rms.npz (mean, var)"
        )
    constants = {
        "mean": policy.observation_mean,
        "scale": inverse_std(policy.observation_var),
        "low": np.float64(-policy.observation_clip),
        "high": np.float64(policy.observation_clip),
    }
    nodes = [
        helper.make_node("Cast", ["observation"], ["wide"], to=TensorProto.DOUBLE),
        helper.make_node("Sub", ["wide", "mean"], ["centred"]),
        helper.make_node("Mul", ["centred", "scale"], ["scaled"]),
        helper.make_node("Clip", ["scaled", "low", "high"], ["clipped"]),
        helper.make_node("Cast", ["clipped"], ["hidden_0"], to=TensorProto.FLOAT),
    ]
    last = len(policy.weights) - 1
    for i, (weight, bias) in enumerate(zip(policy.weights, policy.biases, strict=True)):
        constants |= {f"weight_{i}": weight, f"bias_{i}": bias}
        layer = [f"hidden_{i}", f"weight_{i}", f"bias_{i}"]
        output = "action" if i == last else f"sum_{i}"
        nodes.append(helper.make_node("Gemm", layer, [output], transB=1))
        if i < last:
            nodes.append(helper.make_node("Tanh", [output], [f"hidden_{i + 1}"]))
    vectors = (("observation", policy.observation_size), ("action", len(policy.joints)))
    observation, action = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, size]) for name, size in vectors
    )
    graph = helper.make_graph(
        nodes,
        "policy",
        [observation],
        [action],
        [onnx.numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )
    helper.set_model_props(model, {CARD_KEY: card_of(policy).to_json()})
    onnx.save(model, path)
