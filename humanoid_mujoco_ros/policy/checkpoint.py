# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: everything a policy needs, in one file.

This package's own format is safetensors: data only, read without torch. Tensors:

    actor.{0,2,4,…}.weight (out, in), actor.{…}.bias (out,)   float32, tanh between the layers
    log_std (actions,)                                         float32
    observation_mean, observation_var (observations,)          float64, absent with `running`

and the metadata that `Checkpoint` documents. The published CleanRL format, a bare torch state_dict
of `ppo_continuous_action.py`, is read too: it holds weights only.
"""

from __future__ import annotations

import json
import math
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.policy import observation, terms
from humanoid_mujoco_ros.policy.card import PolicyCard, from_mapping
from humanoid_mujoco_ros.policy.foreign import MOST_BYTES, TORCH_STARTS, why_unusable
from humanoid_mujoco_ros.policy.gymnasium_robots import ENVIRONMENTS, recognise
from humanoid_mujoco_ros.policy.state_vector import has_humanoid_v4, observation_layout
from humanoid_mujoco_ros.robot.model import RobotModel

CARD_INPUT = "card"
"""`Checkpoint.input` of a policy whose card says what it reads."""
FORMAT = "humanoid_mujoco_ros.policy.1"
SUFFIX = ".safetensors"
CLEANRL_SUFFIX = ".cleanrl_model"
STATISTICS_FILE = "obs_rms.npz"
"""Beside a bare state_dict: the observations' `mean` and `var`, as Gymnasium's wrapper has them."""

RATE_TOLERANCE = 0.01
"""A policy may run at a control rate that differs by this share from that of its training."""

Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]


class CheckpointError(ValueError):
    """The checkpoint cannot be used; the message says why."""


@dataclass(frozen=True)
class Checkpoint:
    """A policy: a tanh network from the observation to the mean of a Gaussian over actions.

    An action is a Gymnasium action: control signals by actuator. The torque is gear × action.
    """

    weights: tuple[Float32Array, ...]
    """(out, in) of each layer."""
    biases: tuple[Float32Array, ...]
    """(out,) of each layer."""
    log_std: Float32Array
    """(actions,) log of the standard deviation of each action."""
    joints: tuple[str, ...]
    """The joint that each action drives."""
    model: str
    """Name of the robot model (`RobotModel.name`)."""
    control_rate_hz: float
    """Rate at which it was trained [Hz]."""
    normalization: Literal["stored", "running"]
    """stored: by observation_mean and observation_var; running: by statistics of what it sees."""
    observation_mean: Float64Array | None = None
    """(observations,); None with `running`."""
    observation_var: Float64Array | None = None
    """(observations,); None with `running`."""
    observation_clip: float = 10.0
    """Normalised observations are clipped to ± this."""
    action_limit: float = 0.4
    """Actions are clipped to ± this."""
    input: str = observation.INPUT_NAME
    """Which of `terms.VECTORS` it reads."""
    task: str = ""
    """What it was trained to do, for people."""
    card: PolicyCard | None = None
    """Of a policy that reads input terms; `input` is then CARD_INPUT."""

    def __post_init__(self) -> None:
        """Checks that the parts fit each other.

        Raises:
            CheckpointError: They do not, or a value is not finite.
        """
        if not self.weights or len(self.weights) != len(self.biases):
            raise CheckpointError(
                f"{len(self.weights)} weight matrices and {len(self.biases)} biases: "
                "expected as many of each, at least one"
            )
        if self.weights[0].ndim != 2:
            raise CheckpointError(
                f"layer 0 has weight {self.weights[0].shape}, expected (outputs, inputs)"
            )
        width = self.weights[0].shape[1]
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if weight.ndim != 2 or bias.shape != weight.shape[:1] or weight.shape[1] != width:
                raise CheckpointError(
                    f"layer {i} has weight {weight.shape} and bias {bias.shape}, "
                    f"which does not follow {width} inputs"
                )
            width = weight.shape[0]
        for name, array, expected in (
            ("log_std", self.log_std, width),
            ("observation_mean", self.observation_mean, self.observation_size),
            ("observation_var", self.observation_var, self.observation_size),
        ):
            if array is not None and array.shape != (expected,):
                raise CheckpointError(f"{name} has shape {array.shape}, expected ({expected},)")
        if len(self.joints) != width:
            raise CheckpointError(f"{len(self.joints)} joints for {width} actions")
        stored = self.observation_mean is not None and self.observation_var is not None
        if self.normalization not in ("stored", "running"):
            raise CheckpointError(
                f"normalization is '{self.normalization}', expected 'stored' or 'running'"
            )
        if self.normalization == "stored" and not stored:
            raise CheckpointError("normalization is 'stored', but there are no statistics")
        for name in ("control_rate_hz", "observation_clip", "action_limit"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise CheckpointError(f"{name} is {value}, expected a positive number")
        arrays = (*self.weights, *self.biases, self.log_std)
        if not all(np.isfinite(array).all() for array in arrays):
            raise CheckpointError("a weight is not finite")
        for name, array, lowest in (
            ("observation_mean", self.observation_mean, -np.inf),
            ("observation_var", self.observation_var, 0.0),
        ):
            if array is None:
                continue
            wrong = np.flatnonzero(~(np.isfinite(array) & (array >= lowest)))
            if wrong.size:
                expected_values = "finite" if lowest < 0 else "finite and not negative"
                raise CheckpointError(
                    f"value {wrong[0]} of {name} is {array[wrong[0]]:g}, expected {expected_values}"
                )

    @property
    def observation_size(self) -> int:
        """Number of values it reads."""
        return int(self.weights[0].shape[1])

    def check_fits(self, robot: RobotModel, rate_tolerance: float = RATE_TOLERANCE) -> None:
        """Checks that this policy can run on `robot`.

        Raises:
            CheckpointError: Model, observation, joints or control rate differ.
        """
        if self.input not in terms.VECTORS:
            raise CheckpointError(
                f"the policy reads '{self.input}'; this package provides {', '.join(terms.VECTORS)}"
            )
        if self.model == robot.name:
            self._check_input(robot)
        self.check_drives(robot, rate_tolerance)

    def _check_input(self, robot: RobotModel) -> None:
        blocks = observation_layout(robot)
        sizes = terms.Sizes(len(robot.joints), 0, blocks[-1].slice.stop)
        expected = terms.TERMS[self.input].size(sizes)
        if self.observation_size != expected:
            raise CheckpointError(
                f"the policy reads {self.observation_size} values, the robot's observation has "
                f"{expected}"
            )
        if self.input.startswith("humanoid_v") and not has_humanoid_v4(robot):
            raise CheckpointError(
                f"the policy reads '{self.input}', the robot's observation has only "
                f"{', '.join(block.name for block in blocks)}"
            )

    def check_drives(self, robot: RobotModel, rate_tolerance: float = RATE_TOLERANCE) -> None:
        """Checks that this policy's actions fit `robot`, whatever it reads.

        Raises:
            CheckpointError: Model, joints or control rate differ.
        """
        if self.model != robot.name:
            raise CheckpointError(
                f"the policy drives the model '{self.model}', the robot is '{robot.name}'"
            )
        driven = robot.driven_joints
        if set(self.joints) != set(driven) or len(self.joints) != len(driven):
            raise CheckpointError(
                f"the policy drives the joints {', '.join(self.joints)}; "
                f"the robot has {', '.join(driven)}"
            )
        if robot.actuation != "effort":
            raise CheckpointError(
                f"the policy commands efforts, the robot's drives expect {robot.actuation}s"
            )
        if abs(self.control_rate_hz / robot.control_rate_hz - 1.0) > rate_tolerance:
            raise CheckpointError(
                f"the policy was trained at {self.control_rate_hz:.2f} Hz, the robot is controlled "
                f"at {robot.control_rate_hz:.2f} Hz; for CleanRL's published checkpoints of the "
                "humanoid use the robot humanoid_v4 (66.67 Hz)"
            )

    def save(self, path: Path) -> None:
        """Writes this package's format."""
        from safetensors.numpy import save_file

        tensors: dict[str, NDArray[Any]] = {"log_std": self.log_std}
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            tensors[f"actor.{2 * i}.weight"] = weight
            tensors[f"actor.{2 * i}.bias"] = bias
        if self.observation_mean is not None and self.observation_var is not None:
            tensors["observation_mean"] = self.observation_mean
            tensors["observation_var"] = self.observation_var
        metadata = {
            "format": FORMAT,
            "joints": json.dumps(self.joints),
            "model": self.model,
            "control_rate_hz": repr(self.control_rate_hz),
            "normalization": self.normalization,
            "observation_clip": repr(self.observation_clip),
            "action_limit": repr(self.action_limit),
            "input": self.input,
            "task": self.task,
        }
        if self.card is not None:
            metadata["card"] = self.card.to_json()
        save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, path, metadata)


def load(path: Path, robot: RobotModel) -> Checkpoint:
    """Reads a checkpoint file of either format.

    Args:
        path: `.safetensors` (this package) or anything else (a torch state_dict of CleanRL's).
        robot: Names the joints that a bare state_dict drives: those of its actuators, in order.

    Raises:
        CheckpointError: The file is missing, broken or of another kind, or torch is needed and
            not installed.
    """
    if not path.is_file():
        raise CheckpointError(f"checkpoint {path} does not exist")
    try:
        with warnings.catch_warnings():  # what counts is whether the content can be used
            warnings.simplefilter("ignore")
            if reason := why_unusable(path):
                raise CheckpointError(reason)
            return _load_own(path) if path.suffix == SUFFIX else _load_cleanrl(path, robot)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except Exception as error:  # a file from elsewhere can provoke anything in its reader
        raise CheckpointError(f"{path} cannot be read: {_first_sentence(error)}") from error


def _load_own(path: Path) -> Checkpoint:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"this is not a safetensors file that numpy can read: {_first_sentence(error)}"
        ) from error
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f"it is of format '{metadata.get('format')}', expected '{FORMAT}'")
    try:
        weights, biases = _layers(tensors, "actor")
        return Checkpoint(
            weights=weights,
            biases=biases,
            log_std=tensors["log_std"].astype(np.float32),
            joints=_names(metadata, "joints"),
            model=metadata["model"],
            control_rate_hz=_number(metadata, "control_rate_hz"),
            normalization=metadata["normalization"],
            observation_mean=tensors.get("observation_mean"),
            observation_var=tensors.get("observation_var"),
            observation_clip=_number(metadata, "observation_clip"),
            action_limit=_number(metadata, "action_limit"),
            input=metadata["input"],
            task=metadata.get("task", ""),
            card=_card(metadata["card"]) if "card" in metadata else None,
        )
    except KeyError as error:
        raise CheckpointError(f"it lacks {error}") from error


def _card(text: str) -> PolicyCard:
    try:
        return from_mapping(json.loads(text))
    except ValueError as error:  # CardError is one too
        raise CheckpointError(f"its card: {error}") from error


def _load_cleanrl(path: Path, robot: RobotModel) -> Checkpoint:
    with path.open("rb") as file:
        start = file.read(4)
    if not start.startswith(TORCH_STARTS):
        raise CheckpointError(
            f"this is neither a {SUFFIX} file of this package nor a torch file such as CleanRL's "
            f"{CLEANRL_SUFFIX}"
        )
    try:
        import torch
    except ImportError as error:
        raise CheckpointError(
            "this is a torch file, and torch is not installed: "
            "pip install torch (in this package's own environment: make torch)"
        ) from error
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of pickle, zip, torch: whatever the content provokes
        raise CheckpointError(
            "this is not a torch file of plain tensors (other content is never unpickled): "
            f"{_first_sentence(error)}"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise CheckpointError(
            f"it holds a {type(state).__name__}, expected a state_dict: tensors by name"
        )
    return _of_state_dict(path, state, robot)


def _of_state_dict(path: Path, state: Mapping[str, Any], robot: RobotModel) -> Checkpoint:
    """The policy in a state_dict of torch's tensors."""
    # A tensor may say that it repeats one value a billion times: conversion would write them out.
    values = sum(tensor.numel() for tensor in state.values())
    if values > MOST_BYTES // 4:
        raise CheckpointError(f"its tensors have {values:,} values, far too many for a policy")
    tensors = {
        str(name): (tensor.double() if str(name).startswith("obs_rms") else tensor.float())
        .detach()
        .numpy()
        for name, tensor in state.items()
    }
    weights, biases = _layers(tensors, "actor_mean")
    if "actor_logstd" not in tensors:
        raise CheckpointError(f"it lacks actor_logstd; there is {_listed(tensors)}")
    mean, var = _statistics(path.with_name(STATISTICS_FILE), tensors)
    sizes = weights[0].shape[-1:] + biases[-1].shape[:1]
    environment = recognise(sizes, robot.name)
    if environment is None and len(sizes) == 2:
        known = ", ".join(f"{e.name} {e.observations} and {e.actions}" for e in ENVIRONMENTS)
        raise CheckpointError(
            f"it reads {sizes[0]} values and returns {sizes[1]}: those of no environment that is "
            f"known ({known})"
        )
    environment = environment or ENVIRONMENTS[0]  # layers that are none are refused below
    return Checkpoint(
        weights=weights,
        biases=biases,
        log_std=tensors["actor_logstd"].reshape(-1),
        joints=robot.action_joints,
        model=environment.robot,
        control_rate_hz=1.0 / environment.control_period_s,
        normalization="running" if mean is None else "stored",
        observation_mean=mean,
        observation_var=var,
        action_limit=environment.action_limit,
        input=environment.term,
        task=f"CleanRL ppo_continuous_action, {environment.name}",
    )


def _statistics(
    beside: Path, tensors: Mapping[str, NDArray[Any]]
) -> tuple[Float64Array | None, Float64Array | None]:
    """Mean and variance of the observations: in the state_dict, or saved beside it; else None."""
    if "obs_rms.mean" in tensors and "obs_rms.var" in tensors:
        return tensors["obs_rms.mean"].reshape(-1), tensors["obs_rms.var"].reshape(-1)
    if not beside.is_file():
        return None, None
    try:
        with np.load(beside, allow_pickle=False) as saved:
            mean, var = (np.asarray(saved[name], dtype=np.float64) for name in ("mean", "var"))
    except Exception as error:  # whatever a file from elsewhere provokes
        raise CheckpointError(
            f"{beside} beside it has no arrays 'mean' and 'var': {_first_sentence(error)}"
        ) from error
    return mean.reshape(-1), var.reshape(-1)


def _layers(
    tensors: dict[str, NDArray[Any]], prefix: str
) -> tuple[tuple[Float32Array, ...], tuple[Float32Array, ...]]:
    """The weights and biases of the layers `prefix`.N, in the order of N."""
    layers = re.compile(rf"{prefix}\.(.*)\.weight")
    numbers = [match[1] for match in map(layers.fullmatch, tensors) if match]
    wrong = [number for number in numbers if not re.fullmatch("0|[1-9][0-9]*", number)]
    if wrong:
        raise CheckpointError(
            f"it has a layer '{prefix}.{wrong[0]}.weight', expected numbers: '{prefix}.N.weight'"
        )
    if not numbers:
        raise CheckpointError(
            f"it has no layers '{prefix}.N.weight'; there is {_listed(tensors) or 'nothing'}"
        )
    numbers.sort(key=int)
    try:
        return (
            tuple(tensors[f"{prefix}.{i}.weight"].astype(np.float32) for i in numbers),
            tuple(tensors[f"{prefix}.{i}.bias"].astype(np.float32) for i in numbers),
        )
    except KeyError as error:
        raise CheckpointError(f"the layer of {error} is incomplete") from error


def _number(metadata: Mapping[str, str], name: str) -> float:
    """The number that the metadata has under `name`."""
    try:
        return float(metadata[name])
    except ValueError:
        raise CheckpointError(f"{name} is '{metadata[name]}', expected a number") from None


def _names(metadata: Mapping[str, str], name: str) -> tuple[str, ...]:
    """The JSON list of strings that the metadata has under `name`."""
    try:
        names = json.loads(metadata[name])
    except ValueError:
        names = None
    if not isinstance(names, list) or not all(isinstance(item, str) for item in names):
        raise CheckpointError(f"{name} is '{metadata[name]}', expected a JSON list of names")
    return tuple(names)


def _listed(names: Iterable[str], most: int = 20) -> str:
    """The names in one line, the first of many."""
    listed = list(names)
    rest = f", … ({len(listed)} in all)" if len(listed) > most else ""
    return ", ".join(listed[:most]) + rest


def _first_sentence(error: Exception) -> str:
    """What an error of a library says first; torch goes on with advice that is not safe."""
    first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return re.split(r"(?<=\w)\. ", first_line)[0]
