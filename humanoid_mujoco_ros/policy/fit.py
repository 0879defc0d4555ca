# SPDX-License-Identifier: Apache-2.0
"""Whether a policy fits a robot, and where on its observation it finds what it reads."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.policy import locate, policy_file, terms
from humanoid_mujoco_ros.policy.card import PolicyCard
from humanoid_mujoco_ros.policy.checkpoint import RATE_TOLERANCE, Checkpoint, CheckpointError
from humanoid_mujoco_ros.policy.measurement import BASE_SOURCES, BaseSource
from humanoid_mujoco_ros.policy.policy_file import TermPolicy
from humanoid_mujoco_ros.policy.state_vector import has_humanoid_v4, observation_layout
from humanoid_mujoco_ros.robot.model import RobotModel

GAIN_TOLERANCE = 0.02
"""A drive's stiffness and damping may differ by this share from those of the training."""


def check_fits(policy: Checkpoint | TermPolicy, robot: RobotModel) -> None:
    """Checks that a policy can drive `robot`.

    Raises:
        CheckpointError: Robot, joints, rate, kind, gains or input differ; the message says what
            came and what was expected.
    """
    if isinstance(policy, Checkpoint):
        policy.check_fits(robot)
        return
    card = policy.card
    if card.robot and card.robot not in (robot.name, robot.card.name):
        raise CheckpointError(
            f"the policy drives the robot '{card.robot}', this one is '{robot.card.name}'"
        )
    _check_joints(card, robot)
    if abs(card.control_rate_hz / robot.control_rate_hz - 1.0) > RATE_TOLERANCE:
        raise CheckpointError(
            f"the policy was trained at {card.control_rate_hz:.2f} Hz, the robot is controlled at "
            f"{robot.control_rate_hz:.2f} Hz"
        )
    _check_actuation(card, robot)
    _check_input(card, policy.input_size, robot)


def fitting_names(robot: RobotModel) -> list[str]:
    """Names of the policies, shipped or in config/policies, that can drive `robot`.

    Networks of other packages are not loaded: their cards say which robot they drive.
    """
    names = []
    for name in (*locate.shipped_policies(), *locate.named_cards()):
        try:
            found = locate.find(name)
            if found.card:
                fits = found.card.get("robot") in (robot.name, robot.card.name)
            else:
                check_fits(policy_file.load(found, robot), robot)
                fits = True
        except CheckpointError:  # another robot's, or not installed
            continue
        if fits:
            names.append(name)
    return names


def _check_joints(card: PolicyCard, robot: RobotModel) -> None:
    has = ", ".join(robot.driven_joints)
    for joint in card.joints:
        if joint not in robot.driven_joints:
            kind = "passive: no motor drives it" if joint in robot.joints else "not in the robot"
            raise CheckpointError(
                f"joint '{joint}' of the policy is {kind}; the robot's driven joints are {has}"
            )
    missing = [joint for joint in robot.driven_joints if joint not in card.joints]
    if missing:
        raise CheckpointError(
            f"the policy drives {len(card.joints)} joints and not {', '.join(missing)}; "
            f"the robot's driven joints are {has}"
        )


def _check_actuation(card: PolicyCard, robot: RobotModel) -> None:
    if card.action.kind == "effort":
        if robot.actuation == "position":
            raise CheckpointError(
                "the policy commands efforts, the robot's drives expect positions; a robot card "
                "with 'actuation: effort' would make motors of them"
            )
        return
    gains = (("stiffness", card.stiffness, robot.kp), ("damping", card.damping, robot.kd))
    if robot.actuation == "effort":
        for name, trained, _ in gains:
            if not trained:
                raise CheckpointError(
                    "the policy commands positions, the robot's motors expect efforts, and the "
                    f"policy's card has no {name} to make efforts of them"
                )
        return
    order = robot.joint_order(card.joints)
    for name, trained, has in gains:
        if not trained:
            continue
        for joint, wanted, found in zip(card.joints, trained, has[order], strict=True):
            if abs(wanted - found) > GAIN_TOLERANCE * max(abs(wanted), abs(found)):
                raise CheckpointError(
                    f"the policy was trained with a {name} of {wanted:g} at joint '{joint}', "
                    f"the robot's drive has {found:g}"
                )


def _check_input(card: PolicyCard, input_size: int, robot: RobotModel) -> None:
    layout = observation_layout(robot)
    for term in card.inputs:
        if term.name.startswith("humanoid_v") and not has_humanoid_v4(robot):
            blocks = ", ".join(block.name for block in layout)
            raise CheckpointError(
                f"the policy reads '{term.name}', the robot's observation has only {blocks}"
            )
        if term.name in terms.VECTORS and robot.passive_joints:
            raise CheckpointError(
                f"the policy reads '{term.name}', which has no place for the robot's passive "
                f"joints {', '.join(robot.passive_joints)}"
            )
    expected = card.input_size(layout[-1].slice.stop)
    if input_size != expected:
        sizes = card.term_sizes(layout[-1].slice.stop)
        parts = ", ".join(f"{t.name} {n}" for t, n in zip(card.inputs, sizes, strict=True))
        raise CheckpointError(
            f"the network reads {input_size} values, its input terms have {expected}: {parts}"
        )


def needed_base(policy: Checkpoint | TermPolicy, robot: RobotModel) -> tuple[BaseSource, str]:
    """What has to measure the base of `robot` for a policy, and the input that needs it."""
    wanted: BaseSource = "none"
    reads = ""
    card = policy_file.card_of(policy) if isinstance(policy, Checkpoint) else policy.card
    for term in card.inputs:
        source = terms.TERMS[term.name].base
        if BASE_SOURCES.index(source) > BASE_SOURCES.index(wanted):
            wanted, reads = source, term.name
    if card.steers and wanted != "odom":
        wanted, reads = "odom", "the steering gait"
    # A base that does not move needs nothing.
    whole = observation_layout(robot, wanted)
    least = next(b for b in BASE_SOURCES if observation_layout(robot, b) == whole)
    return least, reads


def blocks_by_joint(
    robot: RobotModel, joints: tuple[str, ...], base: BaseSource
) -> dict[str, slice | NDArray[np.intp]]:
    """Where the blocks of the robot's observation lie, with those of joints in another order.

    Args:
        robot: The robot.
        joints: Its driven joints in the order of the policy.
        base: What measures its base.
    """
    order = robot.joint_order(joints)
    blocks: dict[str, slice | NDArray[np.intp]] = {}
    for block in observation_layout(robot, base):
        if block.name == "qfrc_actuator":  # the root's, then the joints'
            blocks["joint_efforts"] = block.start + block.size - len(robot.joints) + order
        elif block.name.startswith("joint_"):
            blocks[block.name] = block.start + order
        else:
            blocks[block.name] = block.slice
    return blocks
