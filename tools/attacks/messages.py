# SPDX-License-Identifier: Apache-2.0
"""Malformed and mutilated messages on every topic that a node listens to."""

from __future__ import annotations

import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.serialization import deserialize_message
from std_msgs.msg import Float64MultiArray

from attacks.stage import Stage
from humanoid_mujoco_ros.bags.message_types import message_class

_COMMANDS = "/effort_controller/commands"
_POOL = 300
"""Different messages of each topic in one round."""
_REGULAR = {_COMMANDS, "/joint_states", "/odom", "/observation", "/diagnostics"}
"""Topics on which a sample comes for certain."""
_EVERYONE = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
"""Meets every subscriber, whatever it asks for."""
_NAMES_PER_MESSAGE = 1000
_EFFORT_NM = 1.0


class Flood:
    """Sends messages and counts them.

    Attributes:
        sent: Malformed messages so far.
        commands: Commands of a stranger so far.
        named: Names of nodes that do not exist, on /diagnostics, so far.
        rate: Malformed messages per second in the last round.
    """

    def __init__(self, stage: Stage) -> None:
        """Takes a sample of each topic to spoil, or an empty message where none comes."""
        self._stage = stage
        self._samples = _samples(stage)
        self._publishers = {
            topic: stage.node.create_publisher(type(sample), topic, _EVERYONE)
            for topic, sample in self._samples.items()
            if topic != _COMMANDS
        }
        stage.mutator.names = _names(self._samples)
        self.sent = self.commands = self.named = 0
        self.rate = 0.0

    @property
    def topic_count(self) -> int:
        """Topics that are attacked, that of the commands included."""
        return len(self._samples)

    def run(self, duration_s: float, rate: float) -> float:
        """Sends malformed messages; returns how many states per second the robot published."""
        pool = [
            (publisher, self._stage.mutator.serialized(self._samples[topic]))
            for topic, publisher in self._publishers.items()
            for _ in range(_POOL)
        ]
        for _, data in pool:
            self._stage.watch.sends(data)
        states, sent, start_s = self._stage.watch.states, 0, time.monotonic()
        while (elapsed_s := time.monotonic() - start_s) < duration_s:
            while sent < rate * elapsed_s:
                publisher, data = self._stage.mutator.choice(pool)
                publisher.publish(data)
                sent += 1
            self._stage.spin(0.002)
        self.sent += sent
        self.rate = sent / elapsed_s
        return (self._stage.watch.states - states) / elapsed_s

    def command(self, duration_s: float) -> None:
        """Commands the robot beside its policy: whole commands and spoiled ones."""
        publisher = self._stage.node.create_publisher(Float64MultiArray, _COMMANDS, 10)
        sample = self._samples[_COMMANDS]
        sample.data = [_EFFORT_NM] * len(sample.data)
        end_s = time.monotonic() + duration_s
        while time.monotonic() < end_s:
            self._send(publisher, self._stage.mutator.serialized(sample))
            self.commands += 1
            self._stage.spin(0.005)
        self._stage.node.destroy_publisher(publisher)

    def names(self, duration_s: float, total: int) -> None:
        """Tells of `total` nodes that do not exist, each with a name of its own."""
        publisher = self._publishers["/diagnostics"]
        start_s, first = time.monotonic(), self.named
        while (done := self.named - first) < total:
            names = [
                f"ghost_{self.named + i}: x" for i in range(min(_NAMES_PER_MESSAGE, total - done))
            ]
            pairs = [KeyValue(key="sim_time_s", value="n/a")]
            statuses = [DiagnosticStatus(name=name, level=b"\2", values=pairs) for name in names]
            publisher.publish(DiagnosticArray(status=statuses))
            self.named += len(names)
            self._stage.spin(
                max(0.0, duration_s * self.done_share(first, total) - time.monotonic() + start_s)
            )

    def done_share(self, first: int, total: int) -> float:
        """Share of the names that was told."""
        return (self.named - first) / total

    def _send(self, publisher: Publisher, data: bytes) -> None:
        self._stage.watch.sends(data)
        publisher.publish(data)


def _samples(stage: Stage) -> dict[str, Any]:
    """Topic → a message that a node sent there, or else an empty one."""
    heard: dict[str, bytes] = {}
    types = {topic: message_class(name) for topic, name in stage.subscribed().items()}
    subscriptions = [
        stage.node.create_subscription(
            kind, topic, lambda data, topic=topic: heard.setdefault(topic, data), 1, raw=True
        )
        for topic, kind in types.items()
    ]
    stage.until(lambda: heard.keys() >= _REGULAR & types.keys())
    for subscription in subscriptions:
        stage.node.destroy_subscription(subscription)
    return {
        topic: deserialize_message(heard[topic], kind) if topic in heard else kind()
        for topic, kind in sorted(types.items())
    }


def _names(samples: dict[str, Any]) -> list[str]:
    """Texts that the nodes know: joints, frames, themselves."""
    joints = samples["/joint_states"].name
    frames = ["torso", "base_link", "r_sole", "odom", "world"]
    nodes = [status.name for status in samples["/diagnostics"].status]
    parameters = ["policy", "use_sim_time", "real_time_factor", "joints", "joint_map", "port"]
    return [*joints, *frames, *nodes, *parameters, "simulation_node: control loop"]
