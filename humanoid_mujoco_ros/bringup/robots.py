# SPDX-License-Identifier: Apache-2.0
"""`humanoid robots`: the robots that have a card."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from humanoid_mujoco_ros.policy.config import policy_of
from humanoid_mujoco_ros.robot.card import card_names
from humanoid_mujoco_ros.robot.errors import ModelError
from humanoid_mujoco_ros.robot.model import ModelConfig, RobotModel
from humanoid_mujoco_ros.share import share_directory


@dataclass(frozen=True)
class RobotsOptions:
    """List the robots: joints, actuation, rate, policy, and how to get what is not installed."""


def run(_: RobotsOptions) -> int:
    """Runs `humanoid robots`."""
    table = Table("robot", "joints", "actuation", "rate", "policy", "model")
    for name in card_names(share_directory("config") / "robots"):
        card = ModelConfig(robot=name).card()
        rate, policy = f"{card.control_rate_hz:.4g} Hz", policy_of(card, "")
        try:
            robot = RobotModel(card)
        except ModelError as error:
            table.add_row(name, "", card.actuation or "", rate, policy, str(error))
            continue
        table.add_row(name, str(len(robot.joints)), robot.actuation, rate, policy, "installed")
    Console().print(table)
    return 0
