# SPDX-License-Identifier: Apache-2.0
"""Finds the classes of recorded messages."""

from __future__ import annotations

import importlib
import re
from typing import Any

from humanoid_mujoco_ros.bags.errors import BagError

_TYPE = re.compile(r"([a-z][a-z0-9_]*)/msg/([A-Z][A-Za-z0-9]*)")


def message_class(type_name: str) -> Any:
    """The class of a message type such as "sensor_msgs/msg/JointState".

    Raises:
        BagError: It is not installed.
    """
    # Types come from bags and from the graph: only what a type can be called is imported.
    match = _TYPE.fullmatch(type_name)
    if match is None:
        raise BagError(f"'{type_name}' is no message type")
    package, name = match.groups()
    try:
        return getattr(importlib.import_module(f"{package}.msg"), name)
    except (ImportError, AttributeError) as error:
        raise BagError(f"message type {type_name} is not installed: {error}") from error
