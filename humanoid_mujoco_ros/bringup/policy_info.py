# SPDX-License-Identifier: Apache-2.0
"""`humanoid policy`: what a policy is, and which robots it fits."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
import tyro

from humanoid_mujoco_ros.bringup.robots import cards_folder, robot_model
from humanoid_mujoco_ros.policy import fit, locate, policy_file, terms
from humanoid_mujoco_ros.policy.card import PolicyCard
from humanoid_mujoco_ros.policy.checkpoint import Checkpoint, CheckpointError
from humanoid_mujoco_ros.policy.locate import Found
from humanoid_mujoco_ros.policy.policy_file import TermPolicy
from humanoid_mujoco_ros.policy.state_vector import observation_layout
from humanoid_mujoco_ros.robot.card import card_names
from humanoid_mujoco_ros.robot.model import ModelError, RobotModel


@dataclass(frozen=True)
class PolicyOptions:
    """Print what a policy is: joints, rate, input, action; and which robots it fits."""

    policy: tyro.conf.Positional[str]
    """A shipped policy such as walk, one of config/policies, a file (.safetensors, CleanRL's,
    .onnx, or a card .yaml), or hf://owner/repo[@revision][/file]."""
    robot: str = ""
    """Check this robot alone: a name of `humanoid robots`, a card or an MJCF file."""


@dataclass(frozen=True)
class _Verdict:
    """How a policy and a robot go together."""

    robot: str
    policy: Checkpoint | TermPolicy | None
    model: RobotModel | None
    reason: str | None
    """Why it does not fit; None: it does."""


def run(options: PolicyOptions) -> int:
    """Runs `humanoid policy`; 2: the policy cannot be used at all."""
    try:
        found = locate.find(options.policy)
        names = (options.robot,) if options.robot else card_names(cards_folder())
        verdicts = [_judge(found, name) for name in names]
    except (CheckpointError, ModelError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    # The one that fits knows best, for example, what a bare state_dict is.
    best = min(verdicts, key=lambda v: (v.reason is not None, v.policy is None))
    if best.policy is None:
        print(f"error: {best.robot}: {best.reason}", file=sys.stderr)
        return 2
    print(f"{options.policy}: {found.file}")
    lines = _lines(best.policy, best.model)
    for verdict in verdicts:
        fits = "fits" if verdict.reason is None else f"no: {verdict.reason}"
        heading = "robots" if verdict is verdicts[0] else ""
        lines.append((heading, f"{verdict.robot:<12} {fits}"))
    for heading, text in lines:
        print(f"  {heading:<9} {text}")
    return 0


def _judge(found: Found, name: str) -> _Verdict:
    """Raises CheckpointError where the file cannot be used for any robot."""
    try:
        robot = robot_model(name)
    except ModelError as error:
        return _Verdict(name, None, None, str(error))
    policy = policy_file.load(found, robot)
    try:
        fit.check_fits(policy, robot)
    except CheckpointError as error:
        return _Verdict(name, policy, robot, str(error))
    return _Verdict(name, policy, robot, None)


def _lines(policy: Checkpoint | TermPolicy, robot: RobotModel | None) -> list[tuple[str, str]]:
    """Heading and text of each line about the policy; a heading is empty where text goes on."""
    card = policy.card if isinstance(policy, TermPolicy) else policy_file.card_of(policy)
    size = policy.input_size if isinstance(policy, TermPolicy) else policy.observation_size
    lines = [("task", card.task)] if card.task else []
    lines += [
        ("rate", f"{card.control_rate_hz:.4g} Hz"),
        ("joints", f"{len(card.joints)}: {', '.join(card.joints)}"),
    ]
    inputs = [f"{size} values", *_inputs(card, size, robot)]
    lines += [("input" if i == 0 else "", text) for i, text in enumerate(inputs)]
    if isinstance(policy, Checkpoint):
        lines.append(("", f"normalised by {policy.normalization} statistics"))
    lines.append(("action", _action(card)))
    ranges = [f"{axis} {low:g} to {high:g}" for axis, (low, high) in card.command_ranges.items()]
    if card.takes_commands:
        lines.append(("commands", ", ".join(ranges) or "without ranges"))
    return lines


def _inputs(card: PolicyCard, input_size: int, robot: RobotModel | None) -> list[str]:
    observation = observation_layout(robot)[-1].slice.stop if robot is not None else 0
    sizes: list[int] | list[str] = card.term_sizes(observation)
    if sum(card.term_sizes(observation)) != input_size:  # they depend on a robot that is not here
        sizes = [""] * len(card.inputs)
    rows = []
    for term, size in zip(card.inputs, sizes, strict=True):
        row = terms.TERMS[term.name]
        scale = f" × {term.scale:g}" if term.scale != 1.0 else ""
        history = f", the last {term.history}" if term.history > 1 else ""
        unit = " ".join(part for part in (row.unit, row.frame and f"({row.frame})") if part)
        from_source = f"of {row.source}"
        rows.append(
            f"{size:>4}  {term.name + scale + history:<26} {unit:<24} {from_source}".rstrip()
        )
    return rows


def _action(card: PolicyCard) -> str:
    scales = sorted(set(card.action.scale)) or [1.0]
    factor = f"{scales[0]:g} × " if len(scales) == 1 else f"({scales[0]:g} to {scales[-1]:g}) × "
    limit = "" if np.isinf(card.action.limit) else f", outputs within ± {card.action.limit:g}"
    output = f"{factor if scales != [1.0] else ''}output{limit}"
    if card.action.kind == "effort":
        return f"effort: the motor's gear × {output}"
    drives = "" if not card.stiffness else (
        f"; drives of {min(card.stiffness):g} to {max(card.stiffness):g} N·m/rad"
    )  # fmt: skip
    return f"position: default pose + {output}{drives}"
