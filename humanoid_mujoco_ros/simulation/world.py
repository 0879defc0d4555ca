# SPDX-License-Identifier: Apache-2.0
"""Several robots on one floor, one control tick at a time."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import mujoco
import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.robot.errors import ModelError
from humanoid_mujoco_ros.robot.state import RobotState
from humanoid_mujoco_ros.simulation.contacts import ContactModel
from humanoid_mujoco_ros.simulation.placement import Placement
from humanoid_mujoco_ros.simulation.simulation import Simulation

Float64Array = NDArray[np.float64]

_NEAR_M = 0.05
"""Robots closer than this, and than they may move in a tick, are examined for contacts."""


@dataclass(frozen=True, eq=False)
class Member:
    """A robot of a world."""

    name: str
    """Its name, which no other has; empty for a robot that is alone."""
    simulation: Simulation
    placement: Placement = field(default_factory=Placement)
    """Where its odom frame lies."""


class World:
    """Robots that share a floor, a time and a control rate.

    Each is simulated in a model of its own, in its odom frame, which lies in the world where the
    robot was placed. Where two touch, each feels what the other does to it. A robot that nothing
    touches moves bit for bit as it would alone. A world may hold one robot.

    Attributes:
        members: The robots.
        control_period_s: Time between two commands [s].
    """

    def __init__(self, members: Sequence[Member]) -> None:
        """Joins the simulations.

        Raises:
            ModelError: The robots' steps differ, their models cannot be joined, or two robots stand
                in each other's way.
        """
        self.members = tuple(members)
        first = self.members[0].simulation.robot.card
        self.control_period_s = first.control_period_s
        self._steps = first.steps_per_control
        for member in self.members[1:]:
            _check_steps(self.members[0], member)
        self._simulations = [member.simulation for member in self.members]
        self._contacts: ContactModel | None = None
        if len(self.members) > 1:
            robots = [simulation.robot for simulation in self._simulations]
            self._contacts = ContactModel(robots, [member.placement for member in self.members])
            self._check_room(self._contacts)

    def step(
        self, commands: Sequence[Float64Array | None]
    ) -> list[RobotState | FloatingPointError]:
        """Advances one control period with the commands held; see `Simulation.step`.

        Args:
            commands: For each robot.

        Returns:
            For each robot its state after the step, or why its simulation broke down.
        """
        for simulation, command in zip(self._simulations, commands, strict=True):
            simulation.begin_step(command)
        if self._contacts is not None and self.are_any_near():
            for _ in range(self._steps):
                self._advance_together(self._contacts)
        else:
            for simulation in self._simulations:
                simulation.advance(self._steps)
        states: list[RobotState | FloatingPointError] = []
        for simulation in self._simulations:
            try:
                states.append(simulation.end_step())
            except FloatingPointError as error:
                states.append(error)
        return states

    def are_any_near(self) -> bool:
        """Whether the boxes around two robots overlap, or may before the tick is over."""
        boxes = []
        for member in self.members:
            lower, upper = member.simulation.box(member.placement)
            reach_m = float(np.max(upper - lower))
            margin = _NEAR_M + self.control_period_s * member.simulation.top_speed(reach_m)
            boxes.append((lower - margin, upper + margin))
        return any(
            bool((lower <= other_upper).all() and (other_lower <= upper).all())
            for (lower, upper), (other_lower, other_upper) in itertools.combinations(boxes, 2)
        )

    def _advance_together(self, contacts: ContactModel) -> None:
        """Makes one physics step in which robots may touch."""
        for simulation in self._simulations:
            simulation.apply_wrenches()
        wrenches = contacts.wrenches(*self._states())
        for simulation, wrench in zip(self._simulations, wrenches, strict=True):
            simulation.touch(wrench)
            simulation.advance(1)

    def _states(self) -> tuple[list[mujoco.MjModel], list[mujoco.MjData]]:
        return [s.model for s in self._simulations], [s.data for s in self._simulations]

    def _check_room(self, contacts: ContactModel) -> None:
        pair = contacts.touching(*self._states())
        if pair is not None:
            first, second = (self.members[number].name for number in pair)
            raise ModelError(
                f"robots {first} and {second} overlap at the start: place them further apart "
                "(NAME=ROBOT@x,y,yaw)"
            )


def _check_steps(first: Member, other: Member) -> None:
    """Refuses robots that cannot be stepped together."""
    steps = [
        (card.steps_per_control, card.timestep_s)
        for card in (first.simulation.robot.card, other.simulation.robot.card)
    ]
    if steps[0] != steps[1]:
        said = [f"{1 / (n * dt):.4g} Hz in steps of {1e3 * dt:g} ms" for n, dt in steps]
        raise ModelError(
            f"robots {first.name} and {other.name} cannot share a world: {first.name} is "
            f"controlled at {said[0]}, {other.name} at {said[1]}"
        )
