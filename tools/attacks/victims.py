# SPDX-License-Identifier: Apache-2.0
"""The nodes under attack, and what is watched of them."""

from __future__ import annotations

import collections
import math
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geometry_msgs.msg import WrenchStamped
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

MODULES = {"recorder": "humanoid_mujoco_ros.bags.recorder"}
"""Of the victims that are no nodes of the package's folder of nodes."""
_END_TIMEOUT_S = 20.0
_LAST_LINES = 8
_QOS = QoSProfile(depth=1000, reliability=ReliabilityPolicy.BEST_EFFORT)


@dataclass
class Victim:
    """A process under attack."""

    name: str
    command: list[str]
    process: subprocess.Popen[str] | None = None
    """None: it was ended on purpose, or its end was noticed."""
    lines: int = 0
    longest: int = 0
    """Characters of its longest line."""
    last_lines: collections.deque[str] = field(
        default_factory=lambda: collections.deque(maxlen=_LAST_LINES)
    )

    @property
    def memory_bytes(self) -> int:
        """Private memory; what DDS shares with other processes does not count."""
        return _status(self, "RssAnon")

    @property
    def resident_bytes(self) -> int:
        """All resident memory."""
        return _status(self, "VmRSS")


def _status(victim: Victim, key: str) -> int:
    if victim.process is None:
        return 0
    for line in Path(f"/proc/{victim.process.pid}/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    return 0


class Victims:
    """Starts, stops and kills the processes, and notices whichever ends by itself."""

    def __init__(self, environment: dict[str, str], logs: Path | None) -> None:
        """Starts nothing yet; `logs`: folder for what they print, None: it is only counted."""
        self._logs = logs
        if logs is not None:
            logs.mkdir(parents=True, exist_ok=True)
        self._environment = {**environment, "PYTHONUNBUFFERED": "1"}
        self.all: dict[str, Victim] = {}
        self.ended: list[str] = []

    def start(self, name: str, *arguments: str, node: str = "") -> Victim:
        """Starts a node of the package (again), under a name of its own."""
        module = MODULES.get(name, f"humanoid_mujoco_ros.nodes.{node or name}")
        victim = self.all.setdefault(name, Victim(name, [sys.executable, "-m", module, *arguments]))
        victim.process = subprocess.Popen(
            victim.command,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        arguments_of_reader = (victim, victim.process, self._logs)
        threading.Thread(target=_read, args=arguments_of_reader, daemon=True).start()
        return victim

    def kill(self, name: str) -> None:
        """Ends one with SIGKILL."""
        process = self.all[name].process
        if process is not None:
            process.kill()
            process.wait()
        self.all[name].process = None

    def restart(self, name: str) -> None:
        """Ends one with SIGTERM and starts it again."""
        self.end(name)
        self.start(name)

    def end(self, name: str) -> None:
        """Ends one; an end that is not clean counts as a fault."""
        victim = self.all[name]
        process, victim.process = victim.process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            self.ended.append(f"{name} does not end when it is told to")
            return
        if status != 0:
            self.ended.append(f"{name} was told to end and did so with status {status}")

    def pause(self, name: str, *, is_paused: bool) -> None:
        """Stops a process with SIGSTOP, or lets it go on."""
        process = self.all[name].process
        if process is not None:
            process.send_signal(signal.SIGSTOP if is_paused else signal.SIGCONT)

    def check(self) -> None:
        """Notes every process that ended by itself."""
        for victim in self.all.values():
            if victim.process is not None and victim.process.poll() is not None:
                last = "\n    ".join(victim.last_lines)
                status = victim.process.returncode
                self.ended.append(f"{victim.name} ended with status {status}:\n    {last}")
                victim.process = None

    def close(self) -> None:
        """Ends all of them."""
        for victim in self.all.values():
            if victim.process is not None:
                victim.process.send_signal(signal.SIGCONT)
        for name in reversed(self.all):
            self.end(name)


def _read(victim: Victim, process: subprocess.Popen[str], logs: Path | None) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if logs is not None:
            with (logs / f"{victim.name.replace('/', '.')}.log").open("a") as file:
                file.write(line)
        victim.lines += 1
        victim.longest = max(victim.longest, len(line))
        victim.last_lines.append(line.rstrip()[:300])


class Watch:
    """Listens to what the nodes send: efforts, commands and wrenches.

    What the attack itself sends on the same topics is told apart by its bytes. Times are those at
    which DDS took the messages from their publishers, so that a busy machine makes no delay of
    this listener a delay of the robot.

    Attributes:
        states: States of the robot that were heard.
        commands: Commands that were heard.
        wrenches: Wrenches that were heard.
        faults: What was heard that must never be said.
        last_effort_ns: When the robot last reported an effort that was not zero.
        last_command_ns: When a command was last sent that was not zero.
    """

    def __init__(self, context: Any, namespace: str = "") -> None:
        """Listens from now on, in a thread of its own."""
        self.states = self.commands = self.wrenches = 0
        self.last_effort_ns = self.last_command_ns = 0
        self.faults: list[str] = []
        self._sent: set[int] = set()
        self._node = Node("watch", context=context, namespace=namespace, enable_rosout=False)
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self._node)
        self._listen("joint_states", JointState, self._on_state)
        self._listen("effort_controller/commands", Float64MultiArray, self._on_command)
        self._listen("external_wrench", WrenchStamped, self._on_wrench)
        self._thread = threading.Thread(target=self._executor.spin, daemon=True)
        self._thread.start()

    def sends(self, data: bytes) -> None:
        """Notes bytes that the attack is about to send."""
        self._sent.add(hash(data[4:]))

    def close(self) -> None:
        """Ends listening."""
        self._executor.shutdown()
        self._thread.join(5.0)
        self._node.destroy_node()

    def _listen(self, topic: str, kind: type, take: Callable[[Any, int], None]) -> None:
        def on_message(data: bytes, info: dict[str, int]) -> None:
            if hash(data[4:]) not in self._sent:
                take(deserialize_message(data, kind), info["source_timestamp"])

        self._node.create_subscription(kind, topic, on_message, _QOS, raw=True)

    def _on_state(self, message: JointState, time_ns: int) -> None:
        self.states += 1
        if any(message.effort):
            self.last_effort_ns = max(self.last_effort_ns, time_ns)
        self._check("an effort", message.effort)

    def _on_command(self, message: Float64MultiArray, time_ns: int) -> None:
        self.commands += 1
        if any(message.data):
            self.last_command_ns = max(self.last_command_ns, time_ns)
        self._check("a command", message.data)

    def _on_wrench(self, message: WrenchStamped, _: int) -> None:
        self.wrenches += 1
        force, torque = message.wrench.force, message.wrench.torque
        values = (force.x, force.y, force.z, torque.x, torque.y, torque.z)
        self._check("a wrench", values)

    def _check(self, what: str, values: Any) -> None:
        if not all(map(math.isfinite, values)):
            self.faults.append(f"{what} is not finite: {list(values)[:6]}")
