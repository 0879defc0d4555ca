# SPDX-License-Identifier: Apache-2.0
"""Real nodes in real processes, each test on a domain of its own."""

from __future__ import annotations

import importlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, TypeVar

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from domain_coordinator import domain_id
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

Message = TypeVar("Message")

NODES = "humanoid_mujoco_ros.nodes"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
TIMEOUT_S = 60.0
"""For what takes a second or two on an idle machine: a start, imports, discovery."""


class Graph:
    """A ROS graph of the test's own: it starts nodes and listens to them."""

    def __init__(self) -> None:
        """Opens a context on a fresh domain, on localhost."""
        self._reserved = ExitStack()
        # At random, so that a test seldom meets what the one before it left behind.
        self.domain_id = self._reserved.enter_context(domain_id(lambda: random.randint(1, 100)))
        self.environment = {
            **os.environ,
            "ROS_DOMAIN_ID": str(self.domain_id),
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
            "COLUMNS": "200",
        }
        self._saved = {
            name: os.environ.get(name)
            for name in ("ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE")
        }
        os.environ.update({name: self.environment[name] for name in self._saved})
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=self.domain_id)
        self.node = Node("test", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.processes: list[subprocess.Popen[str]] = []

    def start(
        self, node: str, parameters: dict[str, Any] | None = None, *arguments: str
    ) -> subprocess.Popen[str]:
        """Starts `python -m humanoid_mujoco_ros.nodes.<node>` with ROS parameters."""
        command = [sys.executable, "-m", f"{NODES}.{node}"]
        return self.spawn([*command, *_ros_arguments(parameters or {}), *arguments])

    def run_here(self, node: str, parameters: dict[str, Any]) -> int:
        """Runs a node that cannot start, in this process, and returns its exit status."""
        handlers = {number: signal.getsignal(number) for number in SIGNALS}
        interval_s = sys.getswitchinterval()
        try:
            main = importlib.import_module(f"{NODES}.{node}").main
            return int(main(_ros_arguments(parameters)))
        finally:
            sys.setswitchinterval(interval_s)
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def spawn(self, command: Sequence[str]) -> subprocess.Popen[str]:
        """Starts any command in the graph's environment; it ends with the test."""
        process = subprocess.Popen(
            command,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.processes.append(process)
        return process

    def listen(self, message_type: type[Message], topic: str, qos: Any = 10) -> list[Message]:
        """Collects the messages of a topic into the list that is returned."""
        messages: list[Message] = []
        self.node.create_subscription(message_type, topic, messages.append, qos)
        return messages

    def spin_until(self, condition: Callable[[], object], timeout_s: float = TIMEOUT_S) -> None:
        """Spins until the condition holds; the test fails after the timeout."""
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline_s:
                output = "\n".join(f"{p.args}: exit status {p.poll()}" for p in self.processes)
                pytest.fail(f"the condition did not hold within {timeout_s} s\n{output}")
            self.executor.spin_once(timeout_sec=0.02)

    def spin_for(self, duration_s: float) -> None:
        """Spins for a span of wall time, for what is measured over it."""
        end_s = time.monotonic() + duration_s
        while time.monotonic() < end_s:
            self.executor.spin_once(timeout_sec=0.02)

    def call(self, service_type: Any, name: str, request: Any, timeout_s: float = TIMEOUT_S) -> Any:
        """Calls a service and returns its response."""
        client = self.node.create_client(service_type, name)
        self.spin_until(client.service_is_ready, timeout_s)
        future = client.call_async(request)
        self.spin_until(future.done, timeout_s)
        self.node.destroy_client(client)
        return future.result()

    def health(self) -> Health:
        """Follows /diagnostics."""
        return Health(self)

    def close(self) -> None:
        """Ends every process, then the context."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        for process in self.processes:
            try:
                process.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)
        self._reserved.close()
        for name, value in self._saved.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value


def _ros_arguments(parameters: dict[str, Any]) -> list[str]:
    arguments = ["--ros-args"]
    for name, value in parameters.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        arguments += ["-p", f"{name}:={text}"]
    return arguments


class Health:
    """The latest diagnostics of every node."""

    def __init__(self, graph: Graph) -> None:
        """Subscribes."""
        self.levels: dict[str, int] = {}
        self.messages: dict[str, str] = {}
        self.values: dict[str, dict[str, str]] = {}
        graph.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    def _on_diagnostics(self, array: DiagnosticArray) -> None:
        for status in array.status:
            node = status.name.split(":")[0]
            self.levels[node] = int.from_bytes(status.level, "little")
            self.messages[node] = status.message
            self.values[node] = {pair.key: pair.value for pair in status.values}

    def value(self, node: str, key: str) -> str:
        """The latest value of `key` in the node's status; empty before it came."""
        return self.values.get(node, {}).get(key, "")
