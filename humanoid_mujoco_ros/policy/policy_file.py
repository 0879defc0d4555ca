# SPDX-License-Identifier: Apache-2.0
"""Reads a policy from whatever kind of file it is in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from humanoid_mujoco_ros.policy import checkpoint
from humanoid_mujoco_ros.policy.card import ActionCard, CardError, InputTerm, PolicyCard
from humanoid_mujoco_ros.policy.checkpoint import Checkpoint, CheckpointError
from humanoid_mujoco_ros.policy.controller import Network
from humanoid_mujoco_ros.policy.foreign import why_unusable
from humanoid_mujoco_ros.policy.inference import NormalizedNetwork
from humanoid_mujoco_ros.policy.locate import Found
from humanoid_mujoco_ros.policy.onnx_file import SUFFIX as ONNX_SUFFIX
from humanoid_mujoco_ros.policy.onnx_file import OnnxError, OnnxNetwork, read_card
from humanoid_mujoco_ros.robot.model import RobotModel

Float32Array = np.typing.NDArray[np.float32]


@dataclass(frozen=True)
class TermPolicy:
    """A policy that reads input terms."""

    card: PolicyCard
    network: Network
    input_size: int
    """Number of values that the network reads."""
    log_std: Float32Array | None
    """(joints,) log of the standard deviation of each action; None: not said."""


def load(found: Found, robot: RobotModel) -> Checkpoint | TermPolicy:
    """The policy in a file: a plain Checkpoint where it reads the whole observation.

    Args:
        found: The file, and the card beside it.
        robot: Names the joints of a bare state_dict, which has no names.

    Raises:
        CheckpointError: The file or its card cannot be used; the message says why.
    """
    if found.file.suffix == ONNX_SUFFIX:
        return _load_onnx(found)
    loaded = checkpoint.load(found.file, robot)
    if loaded.card is None:
        return loaded
    try:
        network = NormalizedNetwork(loaded)
    except CheckpointError as error:
        raise CheckpointError(f"{found.file}: {error}") from error
    return TermPolicy(loaded.card, network, loaded.observation_size, loaded.log_std)


def card_of(policy: Checkpoint) -> PolicyCard:
    """The card of a policy of this package's or CleanRL's: its own, or one that says the same."""
    return policy.card or PolicyCard(
        joints=policy.joints,
        control_rate_hz=policy.control_rate_hz,
        inputs=(InputTerm(policy.input),),
        action=ActionCard("effort", limit=policy.action_limit),
        robot=policy.model,
        task=policy.task,
    )


def _load_onnx(found: Found) -> TermPolicy:
    try:
        if reason := why_unusable(found.file):
            raise CheckpointError(f"{found.file}: {reason}")
        network = OnnxNetwork(found.file)
        card = read_card(network, found.card)
    except CardError as error:
        raise CheckpointError(f"{found.file}: {error}") from error
    except OnnxError as error:
        raise CheckpointError(str(error)) from error
    return TermPolicy(card, network, network.input_size, None)
