# SPDX-License-Identifier: Apache-2.0
"""Policies as ONNX files, with what the tools that export them write into the metadata.

Three dialects are read: this package's own (a whole card), that of mjlab and Isaac Lab
(`joint_names`, `default_joint_pos`, `joint_stiffness`, `joint_damping`, `action_scale`,
`observation_names`), and that of Holosoma (`dof_names`, `kp`, `kd`, `command_ranges`). What a file
does not say comes from a card beside it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.policy.card import REQUIRED, CardError, PolicyCard, from_mapping
from humanoid_mujoco_ros.robot import plain_values

CARD_KEY = "humanoid_mujoco_ros.policy"
"""Metadata entry that holds a card of this package, as JSON."""
SUFFIX = ".onnx"
MAX_FILE_BYTES = 1 << 30
"""A larger file is no policy."""

_ISAAC_TERMS = {
    "base_lin_vel": "base_lin_vel_body",
    "base_ang_vel": "base_ang_vel",
    "projected_gravity": "projected_gravity",
    "velocity_commands": "command",
    "command": "command",
    "twist": "command",
    "joint_pos": "joint_pos",
    "joint_pos_rel": "joint_pos",
    "joint_vel": "joint_vel",
    "joint_vel_rel": "joint_vel",
    "actions": "last_action",
    "last_action": "last_action",
}
"""Names of observation terms in mjlab and Isaac Lab → ours."""
_HOLOSOMA_AXES = {"lin_vel_x": "vx", "lin_vel_y": "vy", "ang_vel_yaw": "yaw_rate"}


_NUMBERS: dict[str, type] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
}
_ACTIONS = ("action", "actions")
"""What the output is called where there are several."""


class OnnxError(ValueError):
    """The ONNX file cannot be used; the message says why."""


class OnnxNetwork:
    """The network of an ONNX file, run by onnxruntime with one thread.

    More threads take milliseconds where one takes tens of microseconds on a busy machine.

    Attributes:
        input_size: Number of values that it reads.
        output_size: Number of values that it returns.
        metadata: What the file says of itself.
    """

    def __init__(self, path: Path) -> None:
        """Loads the file.

        Raises:
            OnnxError: onnxruntime is missing, or the file is no network with one input and one
                output vector, or it cannot be run.
        """
        try:
            import onnxruntime
        except ImportError as error:
            raise OnnxError(
                f"{path} is an ONNX file, and onnxruntime is not installed: pip install onnxruntime"
            ) from error
        if path.stat().st_size > MAX_FILE_BYTES:
            raise OnnxError(f"{path} has {path.stat().st_size} bytes: too large for a policy")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime has an exception type for each kind of fault
            raise OnnxError(
                f"{path} is no ONNX file that onnxruntime can run: {_reason(error)}"
            ) from error
        self._path = path
        self.metadata: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1:
            names = ", ".join(value.name for value in inputs)
            raise OnnxError(
                f"{path} has {len(inputs)} inputs ({names}), expected one vector: networks with "
                "hidden states are not supported"
            )
        self._name, self._type = inputs[0].name, _NUMBERS.get(inputs[0].type)
        if self._type is None:
            raise OnnxError(
                f"{path}: its input is a {inputs[0].type}, expected {' or '.join(_NUMBERS)}"
            )
        self.input_size = _vector_size(path, inputs[0].shape)
        self._shape = [1] * (len(inputs[0].shape) - 1) + [self.input_size]
        self._output = _action_of(path, [output.name for output in outputs])
        try:
            self.output_size = self(np.zeros(self.input_size, dtype=np.float32)).size
        except Exception as error:  # onnxruntime has an exception type for each kind of fault
            raise OnnxError(f"{path} cannot be run: {_reason(error)}") from error

    def __call__(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """(input_size,) to (output_size,)."""
        feed = {self._name: values.astype(self._type).reshape(self._shape)}
        output = np.asarray(self._session.run([self._output], feed)[0])
        return output.reshape(-1).astype(np.float32)


def read_card(network: OnnxNetwork, beside: Mapping[str, Any]) -> PolicyCard:
    """The card of a network: what its metadata says, and on top what a card beside it says.

    Args:
        network: The network.
        beside: Keys and values of a card, which may lack what the metadata has.

    Raises:
        CardError: Something is missing or does not fit; the message says what.
    """
    values = {**_from_metadata(network.metadata), **beside}
    missing = [key for key in REQUIRED if values.get(key) is None]
    if missing:
        raise CardError(
            f"neither the file's metadata ({', '.join(sorted(network.metadata)) or 'none'}) nor a "
            f"card beside it says {', '.join(missing)}"
        )
    card = from_mapping(values)
    if network.output_size != len(card.joints):
        raise CardError(
            f"the network returns {network.output_size} values, the card has {len(card.joints)} "
            "joints"
        )
    return card


def _from_metadata(metadata: Mapping[str, str]) -> dict[str, Any]:
    try:
        if CARD_KEY in metadata:
            card = json.loads(metadata[CARD_KEY])
            if not isinstance(card, dict):
                raise CardError(f"metadata {CARD_KEY} is no card")
            return card
        if "dof_names" in metadata:
            return _holosoma(metadata)
        if "joint_names" in metadata:
            return _isaac(metadata)
    except (ValueError, TypeError, AttributeError) as error:
        if isinstance(error, CardError):
            raise
        raise CardError(f"the file's metadata cannot be read: {error}") from error
    return {}


def _holosoma(metadata: Mapping[str, str]) -> dict[str, Any]:
    card: dict[str, Any] = {"joints": json.loads(metadata["dof_names"])}
    for key, name in (("kp", "stiffness"), ("kd", "damping")):
        if key in metadata:
            card[name] = json.loads(metadata[key])
    ranges = json.loads(metadata.get("command_ranges", "{}"))
    card["command_ranges"] = {
        axis: ranges[key] for key, axis in _HOLOSOMA_AXES.items() if key in ranges
    }
    return card


def _isaac(metadata: Mapping[str, str]) -> dict[str, Any]:
    joints = _listed(metadata["joint_names"])
    card: dict[str, Any] = {"joints": joints}
    for key, name in (
        ("default_joint_pos", "default_joint_positions"),
        ("joint_stiffness", "stiffness"),
        ("joint_damping", "damping"),
    ):
        if key in metadata:
            card[name] = _numbers(metadata[key], len(joints), key)
    if "action_scale" in metadata:
        scale = _numbers(metadata["action_scale"], len(joints), "action_scale")
        card["action"] = {"kind": "position", "scale": scale}
    if "observation_names" in metadata:
        card["inputs"] = [_isaac_term(name) for name in _listed(metadata["observation_names"])]
    return card


def _isaac_term(name: str) -> str:
    if name not in _ISAAC_TERMS:
        raise CardError(
            f"the policy reads the term '{name[:100]}', which is not among those known of its "
            f"exporter: {', '.join(_ISAAC_TERMS)}"
        )
    return _ISAAC_TERMS[name]


def _listed(text: str) -> list[str]:
    """A JSON list of strings, or names with commas between them."""
    if text.lstrip().startswith("["):
        return [str(item) for item in json.loads(text)]
    return [item.strip() for item in text.split(",") if item.strip()]


def _numbers(text: str, count: int, shown: str) -> list[float]:
    values = [plain_values.number(item, shown) for item in _listed(text)]
    return values * count if len(values) == 1 else values


def _reason(error: Exception) -> str:
    """What an error of onnxruntime says, without its code and the place in its source."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : (Load model from .*? failed:)?", "", text)
    return re.sub(r"^/\S+:\d+ .*?\) (?=[A-Z])", "", text)[:300]


def _vector_size(path: Path, shape: list[Any]) -> int:
    *batch, size = shape or [None]
    is_one = not batch or (len(batch) == 1 and (batch[0] == 1 or not isinstance(batch[0], int)))
    if not is_one or not isinstance(size, int):
        raise OnnxError(f"{path}: its input has shape {shape}, expected one vector of a fixed size")
    return size


def _action_of(path: Path, outputs: list[str]) -> str:
    """The output that is the action."""
    if len(outputs) == 1:
        return outputs[0]
    for name in _ACTIONS:
        if name in outputs:
            return name
    raise OnnxError(
        f"{path} has the outputs {', '.join(outputs)}, expected one, or one of the name "
        f"{' or '.join(_ACTIONS)}"
    )
