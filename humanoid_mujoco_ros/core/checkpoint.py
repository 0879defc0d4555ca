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
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.core import observation
from humanoid_mujoco_ros.core.model import GYMNASIUM_HUMANOID, RobotModel

FORMAT = "humanoid_mujoco_ros.policy.1"
SUFFIX = ".safetensors"
CLEANRL_SUFFIX = ".cleanrl_model"
HUMANOID_V4_RATE_HZ = 1.0 / (0.003 * 5)
"""Control rate of Gymnasium's Humanoid-v4, at which CleanRL's published models were trained."""

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
    """Name of the vector it reads; today always the Humanoid-v4 observation."""
    task: str = ""
    """What it was trained to do, for people."""

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
        width = self.weights[0].shape[-1]
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
        for array in (self.observation_mean, self.observation_var):
            if array is not None and not np.isfinite(array).all():
                raise CheckpointError("an observation statistic is not finite")

    @property
    def observation_size(self) -> int:
        """Number of values it reads."""
        return int(self.weights[0].shape[1])

    @property
    def action_size(self) -> int:
        """Number of actions it returns."""
        return int(self.weights[-1].shape[0])

    def check_fits(self, robot: RobotModel, rate_tolerance: float = 0.01) -> None:
        """Checks that this policy can drive `robot`.

        Raises:
            CheckpointError: Model, observation, joints or control rate differ.
        """
        if self.input != observation.INPUT_NAME:
            raise CheckpointError(
                f"the policy reads '{self.input}'; this package provides '{observation.INPUT_NAME}'"
            )
        if self.model != robot.name:
            raise CheckpointError(
                f"the policy drives the model '{self.model}', the robot is '{robot.name}'"
            )
        expected = observation.size(robot.mj)
        if self.observation_size != expected:
            raise CheckpointError(
                f"the policy reads {self.observation_size} values, the robot's observation has "
                f"{expected}"
            )
        if set(self.joints) != set(robot.joints) or len(self.joints) != len(robot.joints):
            raise CheckpointError(
                f"the policy drives the joints {', '.join(self.joints)}; "
                f"the robot has {', '.join(robot.joints)}"
            )
        if abs(self.control_rate_hz / robot.control_rate_hz - 1.0) > rate_tolerance:
            raise CheckpointError(
                f"the policy was trained at {self.control_rate_hz:.2f} Hz, the robot is controlled "
                f"at {robot.control_rate_hz:.2f} Hz; for CleanRL's published checkpoint use "
                "config/humanoid_v4.yaml (66.67 Hz)"
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
    checkpoint = _load_own(path) if path.suffix == SUFFIX else _load_cleanrl(path, robot)
    return checkpoint


def _load_own(path: Path) -> Checkpoint:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a safetensors file: {error}") from error
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} is of format '{metadata.get('format')}', expected '{FORMAT}'"
        )
    try:
        weights, biases = _layers(tensors, "actor")
        return Checkpoint(
            weights=weights,
            biases=biases,
            log_std=tensors["log_std"].astype(np.float32),
            joints=tuple(json.loads(metadata["joints"])),
            model=metadata["model"],
            control_rate_hz=float(metadata["control_rate_hz"]),
            normalization=metadata["normalization"],
            observation_mean=tensors.get("observation_mean"),
            observation_var=tensors.get("observation_var"),
            observation_clip=float(metadata["observation_clip"]),
            action_limit=float(metadata["action_limit"]),
            input=metadata["input"],
            task=metadata.get("task", ""),
        )
    except KeyError as error:
        raise CheckpointError(f"{path} lacks {error}") from error
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _load_cleanrl(path: Path, robot: RobotModel) -> Checkpoint:
    try:
        import torch
    except ImportError as error:
        raise CheckpointError(
            f"{path.name} is a torch file, and torch is not installed: "
            "pip install torch (in this package's own environment: make torch)"
        ) from error
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        first_line = (str(error) or type(error).__name__).splitlines()[0]
        raise CheckpointError(
            f"{path} is not a torch file of plain tensors (other content is never unpickled): "
            f"{first_line}"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise CheckpointError(f"{path} holds a {type(state).__name__}, expected a state_dict")
    tensors = {
        str(name): tensor.detach().to(torch.float32).numpy() for name, tensor in state.items()
    }
    weights, biases = _layers(tensors, "actor_mean", path)
    if "actor_logstd" not in tensors:
        raise CheckpointError(f"{path} lacks actor_logstd; it holds {', '.join(tensors)}")
    return Checkpoint(
        weights=weights,
        biases=biases,
        log_std=tensors["actor_logstd"].reshape(-1),
        joints=robot.action_joints,
        model=GYMNASIUM_HUMANOID,
        control_rate_hz=HUMANOID_V4_RATE_HZ,
        normalization="running",
        task="CleanRL ppo_continuous_action",
    )


def _layers(
    tensors: dict[str, NDArray[Any]], prefix: str, path: Path | None = None
) -> tuple[tuple[Float32Array, ...], tuple[Float32Array, ...]]:
    indices = sorted(
        int(name.split(".")[1])
        for name in tensors
        if name.startswith(f"{prefix}.") and name.endswith(".weight")
    )
    if not indices:
        where = f"{path} has" if path else "there are"
        raise CheckpointError(
            f"{where} no layers '{prefix}.N.weight'; there is {', '.join(tensors) or 'nothing'}"
        )
    try:
        return (
            tuple(tensors[f"{prefix}.{i}.weight"].astype(np.float32) for i in indices),
            tuple(tensors[f"{prefix}.{i}.bias"].astype(np.float32) for i in indices),
        )
    except KeyError as error:
        raise CheckpointError(f"the layer of {error} is incomplete") from error
