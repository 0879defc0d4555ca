# SPDX-License-Identifier: Apache-2.0
"""The files of a training: the policy, and beside it the state to go on from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from humanoid_mujoco_ros.policy import checkpoint as checkpoints
from humanoid_mujoco_ros.policy import locate
from humanoid_mujoco_ros.policy.checkpoint import Checkpoint
from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.training.agent import Agent, TanhLayers
from humanoid_mujoco_ros.training.options import TrainingError, TrainOptions

TRAINING_SUFFIX = ".training"
"""Beside a policy: its critic and the state of its training, a safetensors file."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class TrainingState:
    """What a training goes on from beside its policy."""

    steps: int
    learning_rate: float
    return_mean: float
    return_square: float
    push_level: float
    fall_rate: float
    task_level: float
    critic: dict[str, torch.Tensor]
    """The state_dict of the critic."""


def find_policy(policy: str, robot: RobotModel, options: TrainOptions) -> tuple[Path, Checkpoint]:
    """The file and the content of a policy that training can go on from.

    Raises:
        CheckpointError: It is missing, broken or drives another robot.
        TrainingError: It lacks statistics, or its layers are not those of the options.
    """
    path = locate.resolve(policy)
    checkpoint = checkpoints.load(path, robot)
    checkpoint.check_drives(robot)
    if checkpoint.input != options.task.input_name:
        raise TrainingError(
            f"{path} reads '{checkpoint.input}', the task {options.task.name} reads "
            f"'{options.task.input_name}'"
        )
    if checkpoint.normalization != "stored":
        raise TrainingError(f"{path} has no observation statistics, so it cannot be resumed")
    hidden = tuple(weight.shape[0] for weight in checkpoint.weights[:-1])
    if hidden != options.hidden:
        raise TrainingError(
            f"{path} has hidden layers {hidden}, the option --hidden says {options.hidden}"
        )
    return path, checkpoint


def load_actor(agent: Agent, policy: Checkpoint, columns: NDArray[np.intp], limits: Array) -> None:
    """Copies the network of `policy` into the agent, which sees `columns` of the observation."""
    weights = [policy.weights[0][:, columns], *policy.weights[1:]]
    biases = list(policy.biases)
    scale = (1 / limits).astype(np.float32)
    weights[-1] = weights[-1] * scale[:, None]
    biases[-1] = biases[-1] * scale
    with torch.no_grad():
        for layer, weight, bias in zip(agent.actor.linear(), weights, biases, strict=True):
            layer.weight.copy_(torch.from_numpy(weight))
            layer.bias.copy_(torch.from_numpy(bias))
            layer.symmetrise()
        agent.raw_log_std.copy_(torch.from_numpy(policy.log_std - _log(limits)))


def actor_network(
    agent: Agent, columns: NDArray[np.intp], observations: int, limits: Array
) -> dict[str, Any]:
    """The `weights`, `biases` and `log_std` of a Checkpoint that acts as the agent does."""
    weights, biases = _arrays(agent.actor)
    first = np.zeros((weights[0].shape[0], observations), dtype=np.float32)
    first[:, columns] = weights[0]
    weights[0] = first
    scale = limits.astype(np.float32)
    weights[-1] = weights[-1] * scale[:, None]
    biases[-1] = biases[-1] * scale
    log_std = agent.log_std().detach().numpy() + _log(limits)
    return {"weights": tuple(weights), "biases": tuple(biases), "log_std": log_std}


def save(path: Path, policy: Checkpoint, state: TrainingState) -> None:
    """Writes the policy and its .training file; each appears whole or not at all."""
    from safetensors.numpy import save_file

    state_path = path.with_suffix(TRAINING_SUFFIX)
    parts = [whole.with_name(whole.name + ".part") for whole in (path, state_path)]
    policy.save(parts[0])
    tensors = {f"critic.{name}": value.numpy().copy() for name, value in state.critic.items()}
    numbers = {name: value for name, value in vars(state).items() if name != "critic"}
    save_file(tensors, parts[1], {"state": json.dumps(numbers)})
    for part, whole in zip(parts, (path, state_path), strict=True):
        part.chmod(0o644)  # safetensors keeps its files to their owner
        part.replace(whole)


def load_state(path: Path) -> TrainingState | None:
    """What a .training file holds; None if there is none.

    Raises:
        TrainingError: The file holds something else.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            state = json.loads(file.metadata()["state"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return TrainingState(
            steps=int(state["steps"]),
            learning_rate=float(state["learning_rate"]),
            return_mean=float(state["return_mean"]),
            return_square=float(state["return_square"]),
            push_level=float(state["push_level"]),
            fall_rate=float(state["fall_rate"]),
            task_level=float(state.get("task_level", 0.0)),  # older files have none
            critic={
                name.removeprefix("critic."): torch.from_numpy(values)
                for name, values in tensors.items()
            },
        )
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise TrainingError(f"{path} is not the state of a training: {error}") from error


def load_critic(agent: Agent, critic: dict[str, torch.Tensor]) -> bool:
    """Copies a critic into the agent; False if it has other inputs or layers."""
    shapes = [
        {name: tensor.shape for name, tensor in state.items()}
        for state in (agent.critic.state_dict(), critic)
    ]
    if shapes[0] != shapes[1]:
        return False
    agent.critic.load_state_dict(critic)
    return True


def _arrays(network: TanhLayers) -> tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]:
    layers = network.linear()
    return (
        [layer.weight.detach().numpy().copy() for layer in layers],
        [layer.bias.detach().numpy().copy() for layer in layers],
    )


def _log(limits: Array) -> NDArray[np.float32]:
    """(actions,) what turns log_std of the network's output into that of the action."""
    return np.log(limits).astype(np.float32)
