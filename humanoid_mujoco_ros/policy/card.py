# SPDX-License-Identifier: Apache-2.0
"""A policy's card: everything about a policy but its weights."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.policy import terms
from humanoid_mujoco_ros.robot import plain_values

Float64Array = NDArray[np.float64]

REQUIRED = ("joints", "control_rate_hz", "inputs", "action")
"""What every card says."""
COMMAND_AXES = ("vx", "vy", "yaw_rate")
"""What a velocity command says: m/s, m/s and rad/s."""


class CardError(ValueError):
    """A policy's card cannot be used; the message says why."""


@dataclass(frozen=True)
class InputTerm:
    """One term of a policy's input."""

    name: str
    """Of a row of `terms.TERMS`."""
    scale: float = 1.0
    """What the term's values are multiplied by."""
    history: int = 1
    """How many of the last values are given, the oldest first."""


@dataclass(frozen=True)
class Gait:
    """The clock to which a policy steps."""

    period_s: float = 1.0
    """Time of a stride [s]."""
    offsets: tuple[float, ...] = (0.0, math.pi)
    """[rad] where the phase of each leg starts when a command ends standing."""
    standing: float | None = None
    """[rad] every phase at zero command; None: the terms are zero."""
    kind: Literal["command", "steering"] = "command"
    """command: it runs while a command asks for a walk; steering: as `steering.SteeringMemory`
    says, which starts it after a push too and sets its pace; the other fields are then not used."""


@dataclass(frozen=True)
class ActionCard:
    """What the network's output means."""

    kind: Literal["effort", "position"]
    """effort: fractions of each motor's control; position: targets for the joints' drives."""
    scale: tuple[float, ...] = ()
    """What each output is multiplied by [rad or control per unit]; empty: 1."""
    limit: float = math.inf
    """Outputs are clipped to ± this."""


@dataclass(frozen=True)
class PolicyCard:
    """A policy without its weights."""

    joints: tuple[str, ...]
    """The joint of each output of the network."""
    control_rate_hz: float
    """Rate at which it was trained [Hz]."""
    inputs: tuple[InputTerm, ...]
    """What it reads, in order."""
    action: ActionCard
    robot: str = ""
    """Name of the robot that it drives; empty: any robot with its joints."""
    default_joint_positions: tuple[float, ...] = ()
    """[rad] by `joints`: from where positions count, and targets; empty: zero."""
    stiffness: tuple[float, ...] = ()
    """[N·m/rad] by `joints`, of the drives it was trained with; empty: not said."""
    damping: tuple[float, ...] = ()
    """[N·m·s/rad] by `joints`; empty: not said."""
    command_ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    """vx, vy [m/s], yaw_rate [rad/s] → the range in which commands were trained."""
    gait: Gait | None = None
    """The clock of its phase terms."""
    task: str = ""
    """What it does, for people."""

    def __post_init__(self) -> None:
        """Checks that the parts fit each other.

        Raises:
            CardError: They do not.
        """
        count = len(self.joints)
        if not count or len(set(self.joints)) != count:
            raise CardError(
                f"joints are {', '.join(self.joints) or 'none'}: expected some, each once"
            )
        if not (math.isfinite(self.control_rate_hz) and self.control_rate_hz > 0):
            raise CardError(f"control_rate_hz is {self.control_rate_hz}, expected more than 0")
        for name in ("default_joint_positions", "stiffness", "damping"):
            _check_vector(name, getattr(self, name), count)
        if self.action.kind not in ("effort", "position"):
            raise CardError(
                f"the action's kind is '{self.action.kind}', expected effort or position"
            )
        _check_vector("action scale", self.action.scale, count)
        if not self.action.limit > 0:
            raise CardError(f"the action's limit is {self.action.limit}, expected more than 0")
        if not self.inputs:
            raise CardError("there are no input terms")
        needs_gait = [term.name for term in self.inputs if term.name.startswith("phase")]
        for term in self.inputs:
            try:
                terms.find(term.name)
            except terms.TermError as error:
                raise CardError(str(error)) from error
            is_whole = isinstance(term.history, int) and term.history >= 1
            if not is_whole or not math.isfinite(term.scale):
                raise CardError(
                    f"input '{term.name}' has scale {term.scale} and history {term.history}, "
                    "expected a finite scale and a whole history of 1 or more"
                )
        if needs_gait and self.legs == 0:
            raise CardError(f"input '{needs_gait[0]}' needs a gait (period_s, offsets)")
        if self.gait is not None and self.gait.kind not in ("command", "steering"):
            raise CardError(f"the gait's kind is '{self.gait.kind}', expected command or steering")
        if self.gait is not None and not 0 < self.gait.period_s < math.inf:
            raise CardError(
                f"the gait's period_s is {self.gait.period_s}, expected a finite time above 0"
            )
        if self.gait is not None:
            _check_vector("the gait's offsets", self.gait.offsets, self.legs)
        for axis, (low, high) in self.command_ranges.items():
            if axis not in COMMAND_AXES:
                raise CardError(f"command_ranges has '{axis}', expected {', '.join(COMMAND_AXES)}")
            if not low <= 0.0 <= high:
                raise CardError(f"the range of {axis} is {low} to {high}: it has to hold zero")

    @property
    def takes_commands(self) -> bool:
        """Whether the policy reads the velocity command."""
        return any(terms.TERMS[term.name].source == "command" for term in self.inputs)

    @property
    def steers(self) -> bool:
        """Whether it remembers what `steering.SteeringMemory` does."""
        return self.gait is not None and self.gait.kind == "steering"

    @property
    def legs(self) -> int:
        """Number of phases of the gait clock."""
        return len(self.gait.offsets) if self.gait is not None else 0

    def input_size(self, observation_size: int) -> int:
        """Number of values that the network reads.

        Args:
            observation_size: Number of values on the robot's `observation`.
        """
        return sum(self.term_sizes(observation_size))

    def term_sizes(self, observation_size: int) -> list[int]:
        """Number of values of each input; see `input_size`."""
        sizes = terms.Sizes(len(self.joints), self.legs, observation_size)
        return [terms.TERMS[t.name].size(sizes) * t.history for t in self.inputs]

    def to_json(self) -> str:
        """The card as JSON text, for a file's metadata."""
        return json.dumps(asdict(self))


def from_mapping(values: Mapping[str, Any]) -> PolicyCard:
    """The card that a mapping (of YAML or JSON) describes; a null is as if it were not there.

    Raises:
        CardError: A key is unknown or missing, or a value is of another type.
    """
    try:
        said = _said(dict(values), "the card", PolicyCard)
        missing = [key for key in REQUIRED if key not in said]
        if missing:
            raise CardError(f"the card lacks {', '.join(missing)}")
        count = len(plain_values.texts(said["joints"], "joints"))
        return PolicyCard(**{key: _read(key, value, count) for key, value in said.items()})
    except plain_values.PlainValueError as error:
        raise CardError(str(error)) from None


def _said(values: object, where: str, kind: type) -> dict[str, Any]:
    fields = kind.__dataclass_fields__  # type: ignore[attr-defined]
    said = plain_values.section(values, where, fields)
    return {key: value for key, value in said.items() if value is not None}


def _read(key: str, value: Any, count: int) -> Any:
    """The value of a card's key, for a policy of `count` joints."""
    if key == "joints":
        return plain_values.texts(value, key)
    if key == "control_rate_hz":
        return plain_values.number(value, key)
    if key in ("default_joint_positions", "stiffness", "damping"):
        return _by_joint(value, key, count)
    if key == "inputs":
        if not isinstance(value, list | tuple):
            raise CardError(f"inputs is {plain_values.shown(value)}, expected a list of terms")
        return tuple(_input(item, f"inputs[{i}]") for i, item in enumerate(value))
    if key == "action":
        return _action(value, count)
    if key == "gait":
        return _gait(value)
    if key == "command_ranges":
        return _ranges(value)
    return "" if value == "" else plain_values.text(value, key)


def _by_joint(value: object, where: str, count: int) -> tuple[float, ...]:
    """Numbers; a single one stands for `count` of them."""
    if isinstance(value, list | tuple):
        return plain_values.numbers(value, where)
    return (plain_values.number(value, where),) * count


def _input(item: object, where: str) -> InputTerm:
    if isinstance(item, str):
        return InputTerm(item)
    said = _said(item, where, InputTerm)
    if "name" not in said:
        raise CardError(f"{where} has no name: expected a term, or {{name: …, scale: …}}")
    return InputTerm(
        plain_values.text(said["name"], f"{where}: name"),
        plain_values.number(said.get("scale", 1.0), f"{where}: scale"),
        plain_values.integer(said.get("history", 1), f"{where}: history"),
    )


def _action(value: object, count: int) -> ActionCard:
    said = _said(value, "action", ActionCard)
    kind = plain_values.choice(said.get("kind"), "action: kind", ("effort", "position"))
    return ActionCard(
        cast(Literal["effort", "position"], kind),
        _by_joint(said.get("scale", ()), "action: scale", count),
        plain_values.number(said.get("limit", math.inf), "action: limit"),
    )


def _gait(value: object) -> Gait:
    said = _said(value, "gait", Gait)
    kind = plain_values.choice(said.get("kind", "command"), "gait: kind", ("command", "steering"))
    known = Gait()
    standing = said.get("standing")
    return Gait(
        plain_values.number(said.get("period_s", known.period_s), "gait: period_s"),
        plain_values.numbers(said.get("offsets", known.offsets), "gait: offsets"),
        None if standing is None else plain_values.number(standing, "gait: standing"),
        cast(Literal["command", "steering"], kind),
    )


def _ranges(value: object) -> dict[str, tuple[float, float]]:
    ranges = {}
    for axis, ends in plain_values.section(value, "command_ranges", COMMAND_AXES).items():
        found = plain_values.numbers(ends, f"command_ranges: {axis}")
        if len(found) != 2:
            raise CardError(f"command_ranges: {axis} has {len(found)} numbers, expected two")
        ranges[axis] = (found[0], found[1])
    return ranges


def _check_vector(name: str, values: tuple[float, ...], count: int) -> None:
    if values and len(values) != count:
        raise CardError(f"{name} has {len(values)} values for {count} joints")
    if not all(math.isfinite(value) for value in values):
        raise CardError(f"{name} is not finite")
