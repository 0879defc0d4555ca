# SPDX-License-Identifier: Apache-2.0
"""ROS parameters from configuration dataclasses.

Each field becomes one parameter: its docstring the description, its default the default. A unit at
the end of a field's name (`_s`) is left out of the parameter's name, as ROS users expect
(`command_timeout`, in seconds).
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import math
import sys
import textwrap
import typing
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from humanoid_mujoco_ros.robot.errors import YamlError
from humanoid_mujoco_ros.robot.joint_map import JointMap, JointMapError
from humanoid_mujoco_ros.robot.model import ModelConfig, RobotModel
from humanoid_mujoco_ros.ros.parameter_file import load_yaml

Config = TypeVar("Config")

_INT64 = np.iinfo(np.int64)


class OtherParameter(NamedTuple):
    """A parameter that is no field of a configuration, as people read of it."""

    kind: str
    default: str
    meaning: str


OTHERS = {
    "joints": OtherParameter(
        "list of str",
        "the robot's driven joints",
        "Driven joints in the order of the values of effort_controller/commands or "
        "position_controller/commands.",
    ),
    "start_posture": OtherParameter(
        "str",
        "",
        "Where an episode starts, from the next reset on. Empty: as the robot's card says; else a "
        "keyframe of its model, supine (on its back) or prone (on its front).",
    ),
    "start_pose": OtherParameter(
        "list of float",
        "[0, 0, 0]",
        "[x, y, yaw] in m and rad: by how much that posture is moved in the world.",
    ),
    "joint_map": OtherParameter(
        "str",
        "",
        "YAML text: for each joint that differs between model and robot, "
        "{name: its name on the robot, sign: 1 or -1, offset: the robot's position [rad] where the "
        "model's is 0, effort_limit: [N m] if below the model's}.",
    ),
}


_KINDS: dict[str, type] = {"str": str, "list of str": str, "list of float": float}
"""Kind of a parameter of OTHERS → type of its value, or of the items of its list."""


def check_other(name: str, value: object) -> None:
    """Checks the type of a parameter of OTHERS.

    Raises:
        ValueError: It is another one.
    """
    kind = OTHERS[name].kind
    items = value if kind.startswith("list") else [value]
    if not isinstance(items, list) or not all(type(item) is _KINDS[kind] for item in items):
        raise ValueError(f"{name} is {value!r} ({type(value).__name__}), expected a {kind}")


def field_docs(config_type: type) -> dict[str, str]:
    """Field name → the docstring below it in the source of a dataclass; empty without a source."""
    try:
        source = inspect.getsource(config_type)
    except OSError:
        return {}
    body = ast.parse(textwrap.dedent(source)).body[0]
    assert isinstance(body, ast.ClassDef)
    docs = {}
    for field, text in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
        ):
            docs[field.target.id] = inspect.cleandoc(str(text.value.value))
    return docs


def parameter_name(field: str) -> str:
    """The parameter that sets `field`."""
    return field.removesuffix("_s")


def from_parameters(
    config_type: type[Config], parameters: Mapping[str, Any], **renamed: str
) -> Config:
    """The configuration that `parameters` make, as `declare` would see them; others are ignored.

    Raises:
        ValueError: A value is of another type, not one of the field's choices or out of its range.
    """
    values = {}
    for name, field in named_fields(config_type, **renamed):
        if name in parameters:
            value = values[field.name] = parameters[name]
            if type(value) is not type(field.default):
                raise ValueError(
                    f"{name} is {value!r} ({type(value).__name__}), "
                    f"expected {type(field.default).__name__}, such as {field.default!r}"
                )
    _check_choices(config_type, values)
    return config_type(**values)


def named_fields(config_type: type, **renamed: str) -> list[tuple[str, dataclasses.Field[Any]]]:
    """Parameter name and field, for each field of a configuration."""
    return [
        (renamed.get(field.name, parameter_name(field.name)), field)
        for field in dataclasses.fields(config_type)
    ]


def choices(config_type: type) -> dict[str, tuple[str, ...]]:
    """Field → its values, for each field that has a choice of them."""
    return {
        name: typing.get_args(hint)
        for name, hint in typing.get_type_hints(config_type).items()
        if typing.get_origin(hint) is typing.Literal
    }


def _check_choices(config_type: type, values: Mapping[str, Any]) -> None:
    for name, allowed in choices(config_type).items():
        if name in values and values[name] not in allowed:
            raise ValueError(f"{name} is '{values[name]}', expected {' or '.join(allowed)}")


def _ranges(field: dataclasses.Field[Any]) -> dict[str, Any]:
    """The descriptor's range of a number whose field has the metadata `minimum` or `maximum`."""
    if not {"minimum", "maximum"} & field.metadata.keys():
        return {}
    minimum = field.metadata.get("minimum", -math.inf)
    maximum = field.metadata.get("maximum", math.inf)
    if isinstance(field.default, float):
        low, high = max(minimum, -sys.float_info.max), min(maximum, sys.float_info.max)
        return {"floating_point_range": [FloatingPointRange(from_value=low, to_value=high)]}
    low, high = int(max(minimum, _INT64.min)), int(min(maximum, _INT64.max))
    return {"integer_range": [IntegerRange(from_value=low, to_value=high)]}


def declare(
    node: Node, config_type: type[Config], changeable: Collection[str] = (), **renamed: str
) -> Config:
    """Declares a parameter for each field and returns the configuration they make.

    Args:
        node: Declares the parameters.
        config_type: A dataclass in which every field has a default.
        changeable: Fields whose parameter may be set later; the others' are read-only.
        renamed: Field → parameter name, where `parameter_name` would be unclear.

    Raises:
        ValueError: A value is not one of the field's choices.
        rclpy.exceptions.ParameterException: A value is of another type.
    """
    docs = field_docs(config_type)
    chosen = choices(config_type)
    values: dict[str, Any] = {}
    for name, field in named_fields(config_type, **renamed):
        descriptor = ParameterDescriptor(
            description=docs.get(field.name, ""),
            read_only=field.name not in changeable,
            **_ranges(field),
            additional_constraints=(
                f"one of {', '.join(chosen[field.name])}" if field.name in chosen else ""
            ),
        )
        values[field.name] = node.declare_parameter(name, field.default, descriptor).value
    _check_choices(config_type, values)
    return config_type(**values)


def declare_robot(node: Node) -> RobotModel:
    """Declares `robot` and what overrides its card: the parameters of ModelConfig.

    Raises:
        ModelError: The robot cannot be used; the message says why.
    """
    return RobotModel(declare(node, ModelConfig))


def declare_joints(node: Node, default: Sequence[str]) -> list[str]:
    """Declares `joints`, the order of the values of the commands."""
    descriptor = ParameterDescriptor(
        description=OTHERS["joints"].meaning,
        read_only=True,
    )
    return list(node.declare_parameter("joints", list(default), descriptor).value)


def declare_joint_map(node: Node, robot: RobotModel) -> JointMap:
    """Declares `joint_map`, for a robot that names and counts its joints in its own way.

    Raises:
        JointMapError: The map cannot be used; the message says why.
    """
    descriptor = ParameterDescriptor(
        description=OTHERS["joint_map"].meaning,
        read_only=True,
    )
    return parse_joint_map(node.declare_parameter("joint_map", "", descriptor).value, robot)


def parse_joint_map(text: str, robot: RobotModel) -> JointMap:
    """The joint map that the parameter `joint_map` describes.

    Raises:
        JointMapError: The map cannot be used; the message says why.
    """
    try:
        entries = load_yaml(text) or {}
    except YamlError as error:
        raise JointMapError(f"parameter joint_map is not usable YAML: {error}") from error
    if not isinstance(entries, dict):
        raise JointMapError("parameter joint_map is no list of joints such as 'knee: {sign: -1}'")
    return JointMap(robot, entries)
