# SPDX-License-Identifier: Apache-2.0
"""Finds the classes of recorded messages."""

from __future__ import annotations

import importlib
from typing import Any

from humanoid_mujoco_ros.bags.errors import BagError


def message_class(type_name: str) -> Any:
    """The class of a message type such as "sensor_msgs/msg/JointState".

    Raises:
        BagError: It is not installed.
    """
    package, _, name = type_name.split("/")
    try:
        return getattr(importlib.import_module(f"{package}.msg"), name)
    except (ImportError, AttributeError) as error:
        raise BagError(f"message type {type_name} is not installed: {error}") from error
