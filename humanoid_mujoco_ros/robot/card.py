# SPDX-License-Identifier: Apache-2.0
"""Robot cards: what has to be known of a robot beyond its model, read from YAML.

A card is `config/robots/NAME.yaml`, or a file of the user's. A bare MJCF file is a card that leaves
everything at its default. Joints are named by patterns: `*` stands for any text, `?` for one
character, `[lr]` for one of these; a later pattern overrides what an earlier one says.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanoid_mujoco_ros.robot import plain_values
from humanoid_mujoco_ros.robot.errors import ModelError, RobotCardError, YamlError
from humanoid_mujoco_ros.robot.yaml_file import read_yaml

Actuation = Literal["effort", "position"]

INTEGRATORS = ("Euler", "RK4", "implicit", "implicitfast")
"""MuJoCo's integrators."""
GYMNASIUM_ASSETS = "gymnasium/envs/mujoco/assets"
"""Folder that `gymnasium:` stands for."""


@dataclass(frozen=True)
class Drive:
    """The motor of a joint: torque = kp (target - position) - kd velocity, within its limit."""

    kp: float | None = None
    """Stiffness [N·m/rad] (position); None: the model's."""
    kd: float | None = None
    """Damping [N·m·s/rad] (position); None: the model's, or 0."""
    effort_limit: float | None = None
    """Largest torque [N·m], if below the model's; None: the model's."""
    armature: float | None = None
    """Inertia of the rotor, seen at the joint [kg·m²]; None: the model's."""


@dataclass(frozen=True)
class StartPose:
    """Where an episode starts."""

    keyframe: str | None = None
    """Keyframe of the model; None: `home` if there is one and nothing else is said."""
    height: float | None = None
    """Height of base_link [m]; None: the keyframe's or the model's."""
    joints: Mapping[str, float] = field(default_factory=dict)
    """Joint positions [rad] by joint pattern; the other joints are as in the keyframe or model."""


@dataclass(frozen=True)
class FallRule:
    """When the robot counts as fallen."""

    min_height: float = -np.inf
    """Lowest height [m] of base_link."""
    max_height: float = np.inf
    """Greatest height [m] of base_link."""
    max_tilt: float = np.inf
    """Greatest angle [rad] between the z axis of base_link and the vertical."""

    def is_fallen(self, height: ArrayLike, quaternion_wxyz: ArrayLike) -> NDArray[np.bool_]:
        """Whether bases (...) have fallen, at heights (...) [m] and orientations (..., 4).

        A height or orientation that is not a number counts as fallen.
        """
        above = np.asarray(height, dtype=np.float64)
        upright = (above > self.min_height) & (above < self.max_height)
        if self.max_tilt < np.inf:
            tilt = np.asarray(quaternion_wxyz, dtype=np.float64)[..., 1:3]
            cosine = 1.0 - 2.0 * np.square(tilt).sum(axis=-1)
            upright = upright & (cosine >= np.cos(self.max_tilt))
        return np.logical_not(upright)


@dataclass(frozen=True)
class RobotCard:
    """One robot: its model, and what the model does not say."""

    name: str
    """The card's own name."""
    model: str
    """MJCF file: a path, `gymnasium:humanoid.xml`, or `python:PACKAGE/path/in/it.xml`."""
    install: str | None = None
    """Command that installs the Python package of the model; None: pip install PACKAGE."""
    floor: bool | None = None
    """Add a floor to the model; None: if nothing in it could carry the robot."""
    base: str | None = None
    """Root body of the robot, for a model with several; None: the only one that can be meant."""
    left_foot: str | None = None
    """Body with the left foot's contact sensor; "": none; None: `left_foot` if there is one."""
    right_foot: str | None = None
    """Body with the right foot's contact sensor; "": none; None: `right_foot` if there is one."""
    imu_site: str | None = None
    """Site of the IMU; None: `imu_link` if there is one, else the base's origin."""
    start: StartPose = StartPose()
    """Where an episode starts."""
    timestep_s: float = 0.0025
    """Physics time step."""
    steps_per_control: int = 4
    """Physics steps per control period (Gymnasium's frame_skip)."""
    integrator: str = "RK4"
    """Euler, RK4, implicit or implicitfast."""
    actuation: Actuation | None = None
    """effort: motors; position: drives that close a position loop; None: as in the model."""
    drives: Mapping[str, Drive] = field(default_factory=dict)
    """By joint pattern, what the model does not say of the motors."""
    without_command: Literal["limp", "hold"] = "limp"
    """What drives (position) do when no command comes: nothing, or hold the pose they are in."""
    fallen: FallRule | None = None
    """When it counts as fallen; None: outside Humanoid-v4's heights, scaled to this robot's."""
    policy: str | None = None
    """Policy that drives it unless another is named; None: none."""
    recovery: str | None = None
    """Policy that gets it up after a fall unless another is named; None: none."""
    lead_in: str | None = None
    """Policy that follows commands, and leads in others that cannot take over from the recovery;
    None: none."""

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
            RobotCardError: A value is out of its range.
        """
        if not self.timestep_s > 0:
            raise RobotCardError(f"timestep_s must be positive, not {self.timestep_s}")
        if self.timestep_s > 0.1:
            raise RobotCardError(f"timestep_s must be at most 0.1, not {self.timestep_s}")
        if self.steps_per_control < 1:
            raise RobotCardError(
                f"steps_per_control must be at least 1, not {self.steps_per_control}"
            )
        if self.steps_per_control > 10000:
            raise RobotCardError(
                f"steps_per_control must be at most 10000, not {self.steps_per_control}"
            )
        if self.integrator.lower() not in (name.lower() for name in INTEGRATORS):
            raise RobotCardError(
                f"integrator '{self.integrator}' is unknown; MuJoCo has {', '.join(INTEGRATORS)}"
            )

    @property
    def control_period_s(self) -> float:
        """Time between two commands [s]."""
        return self.timestep_s * self.steps_per_control

    @property
    def control_rate_hz(self) -> float:
        """Commands per second of simulated time [Hz]."""
        return 1.0 / self.control_period_s

    def model_path(self) -> Path:
        """The model's file.

        Raises:
            ModelError: It is not there; the message says how to get it.
        """
        scheme, separator, rest = self.model.partition(":")
        if separator and scheme == "gymnasium":
            return self._in_package(f"{GYMNASIUM_ASSETS}/{rest}")
        if separator and scheme == "python":
            return self._in_package(rest)
        path = Path(self.model)
        if not path.is_file():
            raise ModelError(f"model file {path} does not exist")
        return path

    def _in_package(self, path: str) -> Path:
        what = f"robot {self.name}: its model '{self.model}'"
        return package_file(path, what, self.install)


def package_file(path: str, what: str, install: str | None = None) -> Path:
    """A file of an installed Python package, found without importing the package.

    Args:
        path: PACKAGE/path/in/it.
        what: What the file is, for the error.
        install: How to install the package; None: by its name.

    Raises:
        RobotCardError: `path` is not of that form.
        ModelError: The package or the file in it is not there; the message says how to get it.
    """
    package, _, inside = path.partition("/")
    # Only a top-level package is found without running code of it.
    if not re.fullmatch(r"[A-Za-z_]\w*", package) or not inside:
        raise RobotCardError(f"{what} is not of the form python:PACKAGE/path/in/it")
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        spec = None
    folders = list(spec.submodule_search_locations or []) if spec else []
    command = install or f"pip install {package}"
    if not folders:
        raise ModelError(
            f"{what} is in the Python package {package}, which is not installed: {command}"
        )
    for folder in folders:
        if (Path(folder) / inside).is_file():
            return Path(folder) / inside
    raise ModelError(
        f"{what}: the Python package {package} is installed, but has no {inside}; "
        f"another version may: {command}"
    )


def card_names(folder: Path) -> tuple[str, ...]:
    """Names of the cards in a folder."""
    return tuple(sorted(path.stem for path in folder.glob("*.yaml")))


def load_card(robot: str, folder: Path) -> RobotCard:
    """The card of a robot.

    Args:
        robot: Name of a card in `folder`, or a YAML card or MJCF file.
        folder: Where the package's own cards are: config/robots.

    Raises:
        RobotCardError: There is no such card, or it cannot be used.
    """
    names = card_names(folder)
    if robot in names:
        return read_card(folder / f"{robot}.yaml")
    try:
        path = Path(robot).expanduser()
        if path.suffix in (".yaml", ".yml", ".xml", ".mjcf") and path.is_file():
            path = path.resolve()
            return read_card(path) if path.suffix in (".yaml", ".yml") else bare_card(path)
    except (OSError, RuntimeError, ValueError) as error:  # a bad name, an unknown user's home
        if isinstance(error, RobotCardError):
            raise
        raise RobotCardError(
            f"robot {plain_values.shown(robot)} is no usable path: {error}"
        ) from error
    raise RobotCardError(
        f"robot {plain_values.shown(robot)} is neither one of {', '.join(names)} "
        "nor an existing file .yaml (card) or .xml (MJCF)"
    )


def bare_card(path: Path) -> RobotCard:
    """The card of an MJCF file that has none: all is as in the model, or a default."""
    return RobotCard(name=path.stem, model=str(path))


def read_card(path: Path) -> RobotCard:
    """Reads a card.

    Raises:
        RobotCardError: The file cannot be read, has an unknown key, or a value that cannot be used.
    """
    where = f"robot card {path.name}"
    try:
        values = read_yaml(path, where)
    except YamlError as error:
        raise RobotCardError(str(error)) from error
    try:
        values = plain_values.section(values, where, _KEYS)
        read = {key: _READERS[key](value, f"{where}: {key}") for key, value in values.items()}
    except plain_values.PlainValueError as error:
        raise RobotCardError(str(error)) from None
    if "model" not in read:
        raise RobotCardError(f"{where} names no model")
    if "feet" in read:
        feet = read.pop("feet")
        read |= {"left_foot": feet.get("left", ""), "right_foot": feet.get("right", "")}
    if "timestep" in read:
        read["timestep_s"] = read.pop("timestep")
    if not re.match(r"(gymnasium|python):", read["model"]):
        read["model"] = str(path.parent / Path(read["model"]).expanduser())
    try:
        return RobotCard(name=path.stem, **read)
    except RobotCardError as error:
        raise RobotCardError(f"{where}: {error}") from None


def matching(patterns: Mapping[str, Any], names: Iterable[str], what: str) -> dict[str, list[Any]]:
    """What patterns say of each name, in their order.

    Args:
        patterns: Pattern → value.
        names: Names of joints.
        what: What the patterns are for, for the error.

    Raises:
        RobotCardError: A pattern matches no name.
    """
    names = list(names)
    said: dict[str, list[Any]] = {}
    for pattern, value in patterns.items():
        matched = [name for name in names if fnmatchcase(name, pattern)]
        if not matched:
            raise RobotCardError(
                f"{what}: '{pattern}' is no joint of the robot; they are {', '.join(names)}"
            )
        for name in matched:
            said.setdefault(name, []).append(value)
    return said


def drives_of(card: RobotCard, names: Iterable[str]) -> dict[str, Drive]:
    """What the card says of each joint's motor.

    Raises:
        RobotCardError: A pattern matches no joint.
    """
    result = {}
    for name, drives in matching(card.drives, names, f"robot {card.name}: drives").items():
        merged = Drive()
        for drive in drives:
            said = {f.name: getattr(drive, f.name) for f in fields(Drive)}
            merged = replace(merged, **{k: v for k, v in said.items() if v is not None})
        result[name] = merged
    return result


_DRIVE_RANGES = {"kp": (0, 1e6), "kd": (0, 1e6), "effort_limit": (1e-6, 1e6), "armature": (0, 1e3)}


def _drives(value: object, where: str) -> dict[str, Drive]:
    drives = {}
    for pattern, row in plain_values.patterns(value, where).items():
        said = plain_values.section(row, f"{where}: '{pattern}'", _DRIVE_RANGES)
        drives[pattern] = Drive(
            **{
                key: plain_values.number(
                    number, f"{where}: {key} of '{pattern}'", *_DRIVE_RANGES[key]
                )
                for key, number in said.items()
            }
        )
    return drives


def _start(value: object, where: str) -> StartPose:
    said = plain_values.section(value, where, [f.name for f in fields(StartPose)])
    joints = plain_values.patterns(said.get("joints", {}), f"{where}: joints")
    return StartPose(
        keyframe=plain_values.text(said["keyframe"], f"{where}: keyframe")
        if "keyframe" in said
        else None,
        height=plain_values.number(said["height"], f"{where}: height", -1e3, 1e3)
        if "height" in said
        else None,
        joints={
            pattern: plain_values.number(angle, f"{where}: joints: '{pattern}'", -100, 100)
            for pattern, angle in joints.items()
        },
    )


def _fallen(value: object, where: str) -> FallRule:
    said = plain_values.section(value, where, [f.name for f in fields(FallRule)])
    high = {"max_tilt": np.pi}
    rule = FallRule(
        **{
            key: plain_values.number(
                number, f"{where}: {key}", 0 if key in high else -1e3, high.get(key, 1e3)
            )
            for key, number in said.items()
        }
    )
    if not rule.min_height < rule.max_height:
        raise plain_values.PlainValueError(
            f"{where}: min_height is {rule.min_height:g}, expected less than the max_height of "
            f"{rule.max_height:g}"
        )
    return rule


def _feet(value: object, where: str) -> dict[str, str]:
    said = plain_values.section(value, where, ("left", "right"))
    return {side: plain_values.text(body, f"{where}: {side}") for side, body in said.items()}


_READERS: dict[str, Any] = {
    "model": plain_values.text,
    "install": plain_values.text,
    "floor": plain_values.truth,
    "base": plain_values.text,
    "feet": _feet,
    "imu_site": plain_values.text,
    "start": _start,
    "timestep": lambda value, where: plain_values.number(value, where, 1e-6, 0.1),
    "steps_per_control": plain_values.integer,
    "integrator": plain_values.text,
    "actuation": lambda value, where: plain_values.choice(value, where, ("effort", "position")),
    "drives": _drives,
    "without_command": lambda value, where: plain_values.choice(value, where, ("limp", "hold")),
    "fallen": _fallen,
    "policy": plain_values.text,
    "recovery": plain_values.text,
    "lead_in": plain_values.text,
}
"""Key of a card → what reads its value."""
_KEYS = tuple(_READERS)
