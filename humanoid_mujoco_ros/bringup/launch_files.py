# SPDX-License-Identifier: Apache-2.0
"""What the launch files share: arguments made from the command line's options, and the nodes."""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import types
import typing
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch.action import Action
from launch.actions import DeclareLaunchArgument
from launch_ros.actions import LifecycleNode, Node

from humanoid_mujoco_ros.bringup.config import PACKAGE
from humanoid_mujoco_ros.bringup.options import GraphOptions
from humanoid_mujoco_ros.bringup.run_directory import run_directory
from humanoid_mujoco_ros.ros.parameters import field_docs

Options = TypeVar("Options", bound=GraphOptions)

SWITCH = ("true", "false", "True", "False")
"""What an argument of the kind yes or no may be."""
_LIFECYCLE_NODES = ("policy_node",)


def option_arguments(
    options_type: type[GraphOptions],
    defaults: Mapping[str, str] | None = None,
    without: Collection[str] = (),
) -> list[DeclareLaunchArgument]:
    """One launch argument for each option of the command line.

    Args:
        options_type: A dataclass of options.
        defaults: Argument → its default, where `ros2 launch` differs from the command line.
        without: Options that are no arguments.
    """
    docs: dict[str, str] = {}
    for base in reversed(options_type.__mro__[:-1]):
        docs |= field_docs(base)
    arguments = []
    for name, (kind, default) in _options(options_type, without).items():
        description = " ".join(docs[name].split())
        if default is None:
            description += " Empty: the config's."
        arguments.append(
            DeclareLaunchArgument(
                name,
                default_value=(defaults or {}).get(name, _text(default)),
                description=description,
                choices=_choices(kind, default),
            )
        )
    return arguments


def switch(name: str, default: str, description: str) -> DeclareLaunchArgument:
    """An argument that is true or false."""
    return DeclareLaunchArgument(
        name, default_value=default, description=description, choices=list(SWITCH)
    )


def options_of(
    options_type: type[Options], values: Mapping[str, str], without: Collection[str] = ()
) -> Options:
    """The options that launch arguments make.

    Raises:
        ValueError: A value is not of the option's type.
    """
    found: dict[str, Any] = {}
    for name, (kind, default) in _options(options_type, without).items():
        text = values[name]
        found[name] = default if default is None and not text else _parsed(name, text, kind)
    return options_type(**found)


def is_true(text: str) -> bool:
    """The value of a switch."""
    return text.lower() == "true"


def new_run_directory() -> Path:
    """A folder for the files of this launch, which is removed when the process ends."""
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(run_directory())


def node_action(
    name: str,
    options: GraphOptions,
    namespace: str,
    overrides: Path,
    more: Collection[Mapping[str, Any]] = (),
    **arguments: Any,
) -> Action:
    """The action that starts one of this package's nodes.

    A lifecycle node starts by itself, as its parameter `autostart` says.
    """
    kind = LifecycleNode if name in _LIFECYCLE_NODES else Node
    return kind(
        package=PACKAGE,
        executable=name,
        name=name,
        namespace=namespace,
        parameters=[str(options.config_path), str(overrides), *more],
        output="screen",
        **arguments,
    )


def is_missing(package: str) -> bool:
    """Whether a ROS package is not installed."""
    try:
        get_package_prefix(package)
    except PackageNotFoundError:
        return True
    return False


def _options(
    options_type: type[GraphOptions], without: Collection[str]
) -> dict[str, tuple[Any, Any]]:
    """Option → its type, without None, and its default."""
    hints = typing.get_type_hints(options_type)
    found = {}
    for field in dataclasses.fields(options_type):
        kind = hints[field.name]
        if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
            kind = next(part for part in typing.get_args(kind) if part is not type(None))
        if field.name not in without:
            found[field.name] = (kind, field.default)
    return found


def _choices(kind: Any, default: Any) -> list[str] | None:
    if kind is bool:
        return list(SWITCH)
    if typing.get_origin(kind) is typing.Literal:
        return [*([""] if default is None else []), *typing.get_args(kind)]
    return None


def _text(default: Any) -> str:
    if default is None:
        return ""
    return str(default).lower() if isinstance(default, bool) else str(default)


def _parsed(name: str, text: str, kind: Any) -> Any:
    if kind is bool:
        return is_true(text)
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            wanted = "a whole number" if kind is int else "a number"
            raise ValueError(f"{name} is '{text}', expected {wanted}") from None
    return text
