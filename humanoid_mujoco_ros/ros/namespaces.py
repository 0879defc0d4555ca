# SPDX-License-Identifier: Apache-2.0
"""Namespaces as people write them on the command line."""

from __future__ import annotations

from rclpy.exceptions import InvalidNamespaceException
from rclpy.validate_namespace import validate_namespace


def checked_namespace(namespace: str) -> str:
    """The namespace without slashes around it, as rclpy takes it.

    Raises:
        ValueError: ROS would refuse it.
    """
    bare = namespace.strip("/")
    try:
        validate_namespace(f"/{bare}")
    except InvalidNamespaceException as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"--namespace '{namespace}' is not one: {reason}") from error
    return bare
