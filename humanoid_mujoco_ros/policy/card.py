# SPDX-License-Identifier: Apache-2.0
"""A policy's card: everything about a policy but its weights."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.policy import terms

Float64Array = NDArray[np.float64]

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
        if not self.inputs:
            raise CardError("there are no input terms")
        needs_gait = [term.name for term in self.inputs if term.name.startswith("phase")]
        for term in self.inputs:
            try:
                terms.find(term.name)
            except terms.TermError as error:
                raise CardError(str(error)) from error
            if term.history < 1 or not math.isfinite(term.scale):
                raise CardError(
                    f"input '{term.name}' has scale {term.scale} and history {term.history}, "
                    "expected a finite scale and a history of at least 1"
                )
        if needs_gait and self.gait is None:
            raise CardError(f"input '{needs_gait[0]}' needs a gait (period_s, offsets)")
        if self.gait is not None and self.gait.kind not in ("command", "steering"):
            raise CardError(f"the gait's kind is '{self.gait.kind}', expected command or steering")
        if self.gait is not None and not self.gait.period_s > 0:
            raise CardError(f"the gait's period_s is {self.gait.period_s}, expected more than 0")
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
        sizes = terms.Sizes(len(self.joints), self.legs, observation_size)
        return sum(terms.TERMS[t.name].size(sizes) * t.history for t in self.inputs)

    def to_json(self) -> str:
        """The card as JSON text, for a file's metadata."""
        return json.dumps(asdict(self))


def from_mapping(values: Mapping[str, Any]) -> PolicyCard:
    """The card that a mapping (of YAML or JSON) describes.

    Raises:
        CardError: A key is unknown or missing, or a value is of another type.
    """
    data = dict(values)
    try:
        count = len(data["joints"])
        inputs = tuple(_input(item) for item in data.pop("inputs"))
        readers = {"scale": lambda value: _floats(value, count)}
        action = ActionCard(**_known("action", ActionCard, data.pop("action"), readers))
        gait = data.pop("gait", None)
        if gait is not None:
            gait = Gait(**_known("gait", Gait, gait, {"offsets": _floats}))
        ranges = {
            str(axis): (float(low), float(high))
            for axis, (low, high) in (data.pop("command_ranges", None) or {}).items()
        }
        known = _known(
            "the card",
            PolicyCard,
            data,
            {
                "joints": lambda names: tuple(str(name) for name in names),
                "default_joint_positions": _floats,
                "stiffness": _floats,
                "damping": _floats,
                "control_rate_hz": float,
            },
        )
        return PolicyCard(inputs=inputs, action=action, gait=gait, command_ranges=ranges, **known)
    except KeyError as error:
        raise CardError(f"the card lacks {error}") from error
    except (TypeError, ValueError, AttributeError) as error:
        if isinstance(error, CardError):
            raise
        raise CardError(f"the card cannot be read: {error}") from error


def _input(item: object) -> InputTerm:
    if isinstance(item, str):
        return InputTerm(item)
    if not isinstance(item, Mapping):
        raise CardError(f"an input is {item!r}, expected a term's name or {{name: …, scale: …}}")
    return InputTerm(**_known("an input", InputTerm, item, {"scale": float}))


def _known(what: str, kind: type, values: object, readers: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(values, Mapping):
        raise CardError(f"{what} is {values!r}, expected names and values")
    fields = kind.__dataclass_fields__  # type: ignore[attr-defined]
    unknown = sorted(str(name) for name in values if name not in fields)
    if unknown:
        raise CardError(f"{what} has no '{unknown[0]}'; it has {', '.join(fields)}")
    return {
        name: readers[name](value) if name in readers and value is not None else value
        for name, value in values.items()
    }


def _floats(values: Any, count: int = 1) -> tuple[float, ...]:
    """Numbers; a single one stands for `count` of them."""
    if isinstance(values, int | float):
        return (float(values),) * count
    return tuple(float(value) for value in values)


def _check_vector(name: str, values: tuple[float, ...], count: int) -> None:
    if values and len(values) != count:
        raise CardError(f"{name} has {len(values)} values for {count} joints")
    if not all(math.isfinite(value) for value in values):
        raise CardError(f"{name} is not finite")
