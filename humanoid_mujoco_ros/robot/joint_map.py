# SPDX-License-Identifier: Apache-2.0
"""What a robot calls the joints of the model, and how it counts their angles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.robot.model import ModelError, RobotModel, order_of

Float64Array = NDArray[np.float64]


class JointMapError(ValueError):
    """A joint map cannot be used; the message says why."""


@dataclass(frozen=True)
class JointEntry:
    """One joint: robot position = sign × model position + offset."""

    name: str
    """The robot's name for it."""
    sign: float = 1.0
    """1, or -1 where the robot turns the other way round."""
    offset: float = 0.0
    """The robot's position [rad] where the model's is 0."""
    effort_limit: float = np.inf
    """Largest effort [N·m] that may be commanded, if below the model's."""


class JointMap:
    """Translates between the model's joints and the robot's.

    Attributes:
        robot_joints: The robot's names (n), in the model's order.
        driven_joints: Those of them that a motor drives.
        effort_limits: (n,) [N·m] that may be commanded either way, by joint of the model.
        effort_ranges: (n, 2) [N·m] that may be commanded, by joint, with the robot's signs.
        target_ranges: (n, 2) [rad] that drives take as targets, by joint, as the robot counts.
    """

    def __init__(
        self, robot: RobotModel, entries: Mapping[str, Mapping[str, object]] | None = None
    ) -> None:
        """Makes the map.

        Args:
            robot: The model.
            entries: By the model's joint, the fields of a JointEntry. What is left out is as in
                the model.

        Raises:
            JointMapError: A joint or field is unknown, a value cannot be used, or two joints have
                the same name.
        """
        entries = entries or {}
        unknown = [name for name in entries if name not in robot.joints]
        if unknown:
            raise JointMapError(
                f"joint map: joint '{unknown[0]}' is not in the model; "
                f"its joints are {', '.join(robot.joints)}"
            )
        joints = [_entry(name, entries.get(name, {})) for name in robot.joints]
        self.robot_joints = tuple(joint.name for joint in joints)
        twice = sorted({n for n in self.robot_joints if self.robot_joints.count(n) > 1})
        if twice:
            raise JointMapError(f"joint map: several joints are called {', '.join(twice)}")
        passive = set(robot.passive_joints)
        self.driven_joints = tuple(
            joint.name for m, joint in zip(robot.joints, joints, strict=True) if m not in passive
        )
        self._passive = tuple(
            joint.name for m, joint in zip(robot.joints, joints, strict=True) if m in passive
        )
        self._signs = np.array([joint.sign for joint in joints])
        self._offsets = np.array([joint.offset for joint in joints])
        limits = np.array([joint.effort_limit for joint in joints])
        self.effort_limits: Float64Array = np.minimum(robot.effort_limits, limits)
        self.effort_ranges: Float64Array = np.clip(
            np.sort(self._signs[:, None] * robot.effort_ranges, axis=1),
            -limits[:, None],
            limits[:, None],
        )
        targets = self._signs[:, None] * robot.target_ranges + self._offsets[:, None]
        self.target_ranges: Float64Array = np.sort(targets, axis=1)

    def positions_of_robot(self, positions: Float64Array) -> Float64Array:
        """The model's positions (n,) [rad] of the robot's, both in the model's order."""
        of_model: Float64Array = self._signs * (positions - self._offsets)
        return of_model

    def positions_to_robot(self, positions: Float64Array) -> Float64Array:
        """The robot's positions (n,) [rad] of the model's, both in the model's order."""
        of_robot: Float64Array = self._signs * positions + self._offsets
        return of_robot

    def signed(self, values: Float64Array) -> Float64Array:
        """Velocities or efforts (n,), from the robot's to the model's or back."""
        other: Float64Array = self._signs * values
        return other

    def command_order(self, names: Sequence[str]) -> NDArray[np.intp]:
        """Indices that turn a vector by joint into the order of `names`: `vector[indices]`.

        Args:
            names: The robot's names, as the controller's parameter `joints` has them.

        Raises:
            JointMapError: A name is unknown, passive, missing or given twice.
        """
        try:
            return order_of(names, self.robot_joints, self._passive, "the robot's")
        except ModelError as error:
            raise JointMapError(str(error)) from None


def _entry(joint: str, values: object) -> JointEntry:
    if not isinstance(values, Mapping):
        raise JointMapError(f"joint map: '{joint}' needs fields such as name, not '{values}'")
    known = [field.name for field in fields(JointEntry)]
    unknown = [name for name in values if name not in known]
    if unknown:
        raise JointMapError(
            f"joint map: '{joint}' has no field '{unknown[0]}'; it has {', '.join(known)}"
        )
    numbers = {}
    for name in ("sign", "offset", "effort_limit"):
        if name in values:
            value = values[name]
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise JointMapError(f"joint map: {name} of '{joint}' is '{value}', not a number")
            numbers[name] = float(value)
    entry = JointEntry(str(values.get("name", joint)), **numbers)
    if entry.sign not in (1.0, -1.0):
        raise JointMapError(f"joint map: sign of '{joint}' is {entry.sign:g}, expected 1 or -1")
    if not np.isfinite(entry.offset):
        raise JointMapError(f"joint map: offset of '{joint}' is {entry.offset}")
    if not entry.effort_limit >= 0:
        raise JointMapError(f"joint map: effort_limit of '{joint}' is {entry.effort_limit}")
    return entry
