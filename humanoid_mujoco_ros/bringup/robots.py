# SPDX-License-Identifier: Apache-2.0
"""`humanoid robots`: the robots there are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from humanoid_mujoco_ros.policy import locate
from humanoid_mujoco_ros.robot.card import RobotCard, card_names, load_card, read_card
from humanoid_mujoco_ros.robot.model import ModelError, RobotModel
from humanoid_mujoco_ros.share import share_directory


@dataclass(frozen=True)
class RobotsOptions:
    """List the robots: their joints, actuation, control rate, default policy and model."""


def cards_folder() -> Path:
    """Folder of the cards of the robots that are known by name."""
    return share_directory("config") / "robots"


def robot_model(robot: str) -> RobotModel:
    """The model of a robot: a name, a card or an MJCF file.

    Raises:
        ModelError: There is no such robot, or its model is not installed.
    """
    return RobotModel(load_card(robot, cards_folder()))


def run(options: RobotsOptions) -> int:
    """Runs `humanoid robots`."""
    table = Table(box=None, pad_edge=False)
    for heading in ("robot", "joints", "actuation", "rate", "policy", "model"):
        table.add_column(heading, overflow="fold")
    for name in card_names(cards_folder()):
        table.add_row(*(Text(cell) for cell in _row(name)))
    Console(width=None if Console().is_terminal else 200).print(table)
    return 0


def _row(name: str) -> tuple[str, ...]:
    try:
        card = read_card(cards_folder() / f"{name}.yaml")
    except ModelError as error:
        return name, "", "", "", "", str(error)
    rate, policy = f"{card.control_rate_hz:.4g} Hz", _policy(card)
    try:
        robot = RobotModel(card)
    except ModelError as error:
        return name, "", card.actuation or "", rate, policy, str(error)
    return name, str(len(robot.driven_joints)), robot.actuation, rate, policy, "installed"


def _policy(card: RobotCard) -> str:
    """The card's default policy, and whether it is there."""
    if card.policy is None:
        return "none"
    if card.policy in (*locate.shipped_policies(), *locate.named_cards()) or ":" in card.policy:
        return card.policy
    return f"{card.policy} (not there)"
