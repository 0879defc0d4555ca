# SPDX-License-Identifier: Apache-2.0
"""`humanoid policy use`: a running robot is driven by another policy from now on."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import rclpy
import tyro
from rclpy.node import Node

from humanoid_mujoco_ros.ros.namespaces import checked_namespace
from humanoid_mujoco_ros.ros.network import stay_local
from humanoid_mujoco_ros.ros.remote_control import Caller, PolicyClient

_DISCOVERY_S = 10.0
"""Longest wait for policy_node to be found."""


@dataclass(frozen=True)
class UseOptions:
    """Let a running robot be driven by another policy, while it moves.

    What cannot be used is refused, and the policy before goes on. One that was stopped is started.
    """

    policy: tyro.conf.Positional[str]
    """A named policy, a file, or hf://owner/repo[@revision][/file]."""
    namespace: str = ""
    """The robot's namespace."""
    network: bool = False
    """The robot's policy_node runs on another machine of the network."""


def run(options: UseOptions) -> int:
    """Runs `humanoid policy use`; the exit status is 1 when it was refused."""
    try:
        namespace = checked_namespace(options.namespace)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    stay_local(network=options.network)
    rclpy.init(args=[])
    node = Node(f"policy_use_{os.getpid()}", namespace=namespace)
    answers: list[tuple[str, bool]] = []
    try:
        caller = Caller()
        client = PolicyClient(node, caller)
        found_until_s = time.monotonic() + _DISCOVERY_S
        while not client.is_there and time.monotonic() < found_until_s:
            rclpy.spin_once(node, timeout_sec=0.1)
        client.load(_address(options), lambda text, *, is_error: answers.append((text, is_error)))
        while not answers:
            rclpy.spin_once(node, timeout_sec=0.1)
            caller.check_timeouts()
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    text, is_error = answers[0]
    print(f"error: {text}" if is_error else text, file=sys.stderr if is_error else sys.stdout)
    return int(is_error)


def _address(options: UseOptions) -> str:
    """The policy as policy_node, which works in another folder, finds it."""
    try:
        path = Path(options.policy).expanduser()
        is_file = path.is_file() and not options.network
    except (OSError, RuntimeError):  # too long a name, an unknown user's home
        is_file = False
    return str(path.resolve()) if is_file else options.policy
