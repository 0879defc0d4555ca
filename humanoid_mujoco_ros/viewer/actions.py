# SPDX-License-Identifier: Apache-2.0
"""What a person may ask for, called in the order of the clicks in the node's thread."""

from __future__ import annotations

from typing import Protocol


class Say(Protocol):
    """Takes what to tell a person about an action."""

    def __call__(self, text: str, *, is_error: bool) -> None:
        """Tells it."""


class SimulationActions(Protocol):
    """What a person may ask of the simulation; each action says how it ended."""

    def pause(self, say: Say) -> None:
        """Stops simulated time."""

    def resume(self, say: Say) -> None:
        """Lets simulated time go on."""

    def step(self, say: Say) -> None:
        """Advances one control period."""

    def reset(self, say: Say) -> None:
        """Starts a new episode."""

    def set_speed(self, factor: float, say: Say) -> None:
        """Sets the simulated seconds per second."""


class PolicyActions(Protocol):
    """What a person may ask of the policy; each action says how it ended."""

    def start(self, say: Say) -> None:
        """Lets the policy command the robot."""

    def stop(self, say: Say) -> None:
        """Takes the joints' effort away."""

    def load(self, name: str, say: Say) -> None:
        """Loads a policy and starts it."""
