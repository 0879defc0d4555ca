# SPDX-License-Identifier: Apache-2.0
"""Message definitions from the .msg files that ROS installs, in the form that bags carry."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from humanoid_mujoco_ros.bags.errors import BagError

_SEPARATOR = "=" * 80


@dataclass(frozen=True)
class Definition:
    """A message type as text."""

    text: str
    """The .msg file, then those of the types that it uses, as rosbag2 joins them ("ros2msg")."""
    type_hash: str
    """RIHS01 hash; empty if unknown."""
    encoding: str = "ros2msg"
    """Or "ros2idl"."""


@cache
def definition(type_name: str) -> Definition:
    """The installed definition of a type such as "sensor_msgs/msg/JointState".

    Raises:
        BagError: The type, or one that it uses, has no .msg file in AMENT_PREFIX_PATH.
    """
    texts = {type_name: _read(type_name)}
    store = get_typestore(Stores.EMPTY)
    pending = [type_name]
    while pending:
        name = pending.pop()
        types = get_types_from_msg(texts[name], name)
        store.register(types)
        for used in _types_used(types):
            if used not in texts:
                texts[used] = _read(used)
                pending.append(used)
    parts = [texts.pop(type_name)]
    parts += [
        f"{_SEPARATOR}\nMSG: {name.replace('/msg/', '/')}\n{text}" for name, text in texts.items()
    ]
    return Definition("\n".join(parts), store.hash_rihs01(type_name))


def _types_used(types: Mapping[str, Any]) -> list[str]:
    """The message types of the fields, seen through arrays and sequences."""
    used = []
    for _, fields in types.values():
        for _, (kind, value) in fields:
            if kind in (Nodetype.ARRAY, Nodetype.SEQUENCE):
                kind, value = value[0]
            if kind == Nodetype.NAME:
                used.append(value)
    return used


def _read(type_name: str) -> str:
    package, _, name = type_name.split("/")
    for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep):
        path = Path(prefix) / "share" / package / "msg" / f"{name}.msg"
        if prefix and path.is_file():
            return path.read_text(encoding="utf-8")
    raise BagError(f"message type {type_name} has no definition in AMENT_PREFIX_PATH")
