# SPDX-License-Identifier: Apache-2.0
"""Tells when two nodes command the joints, or publish the time, at once."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from rclpy.clock import Clock as RosClock
from rclpy.clock import ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from humanoid_mujoco_ros.ros import conversions
from humanoid_mujoco_ros.ros.topics import CLOCK, COMMANDS

CHECK_PERIOD_S = 0.2
"""How often a node looks for a second commander or clock."""
GHOST_S = 25.0
"""DDS keeps the publisher of a process that was killed for up to 20 s."""
SETTLE_S = 1.0
"""So long after a conflict every commander has noticed that it is the only one again."""
_BOTH_COMMAND = 30
"""Surplus that proves two commanders; two that answer each state at 100 Hz have it in 0.3 s. They
themselves wait twice as long, so that the robot has noticed before it hears neither."""
_BOTH_TICK = 10
"""Times that do not advance and so prove two clocks. A restarted simulation jumps back once; one
that stands still repeats its time to newcomers."""
_EVERYONE = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
"""Hears reliable publishers and others."""
_UNKNOWN = "_NODE_NAME_UNKNOWN_"
"""Name of a node that rmw has seen only in part."""


class Sources:
    """Watches that no more than one node publishes a topic.

    A node that was killed and has been restarted is there twice for a while, under one name: the
    dead publisher is a ghost. Two publishers of one name are in conflict only when both are heard,
    or when both have been there for longer than any ghost. Each publisher has an age of its own, so
    that one ghost after another never adds up to a conflict.
    """

    def __init__(self, node: Node, topic: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Watches `topic` through the eyes of `node`; `clock` is steady [s]."""
        self._node = node
        self._clock = clock
        self._topic = node.resolve_topic_name(topic)
        self._first_seen_s: dict[bytes, float] = {}
        self._subscriptions: list[Subscription] = []
        self._are_both_heard = False

    def conflict(self) -> str | None:
        """Says which nodes publish at the same time; None when at most one does."""
        names = self._publishers()
        different = sorted(set(names.values()))
        if len(different) > 1:
            return f"several nodes publish {self._topic}: {', '.join(different)}"
        now_s = self._clock()
        self._first_seen_s = {gid: self._first_seen_s.get(gid, now_s) for gid in names}
        if len(names) < 2:
            self._stop_listening()
            return None
        if not self._subscriptions:
            self._subscriptions = self._listen()
        together_s = now_s - sorted(self._first_seen_s.values())[1]
        if not self._are_both_heard and together_s < GHOST_S:
            return None
        return f"{len(names)} nodes called {different[0]} publish {self._topic}"

    def _publishers(self) -> dict[bytes, str]:
        """Publishers of the topic: gid and full name of the node."""
        if self._node.count_publishers(self._topic) == 0:
            return {}
        return {
            bytes(info.endpoint_gid): f"{info.node_namespace.rstrip('/')}/{info.node_name}"
            for info in self._node.get_publishers_info_by_topic(self._topic)
            if info.node_name != _UNKNOWN
        }

    def _listen(self) -> list[Subscription]:
        """Begins to find out whether both publishers of one name are heard."""
        return []

    def _stop_listening(self) -> None:
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []
        self._are_both_heard = False


class CommandSources(Sources):
    """Watches that no more than one node commands the joints.

    A node answers a state of the robot with one command. More than three commands for two states
    come from two nodes. In lockstep, where every command makes a state, only GHOST_S tells.
    """

    def __init__(self, node: Node, clock: Callable[[], float] = time.monotonic) -> None:
        """Watches through the eyes of `node`; see Sources."""
        super().__init__(node, COMMANDS, clock)
        self._surplus: int | None = None
        self._limit = _BOTH_COMMAND

    def _listen(self) -> list[Subscription]:
        self._surplus = None
        is_commander = any(
            publisher.topic_name == self._topic for publisher in self._node.publishers
        )
        self._limit = (2 if is_commander else 1) * _BOTH_COMMAND
        return [
            self._node.create_subscription(
                Float64MultiArray, COMMANDS, self._on_command, _EVERYONE
            ),
            self._node.create_subscription(
                JointState, "joint_states", self._on_state, _EVERYONE, raw=True
            ),
        ]

    def _on_command(self, message: Float64MultiArray) -> None:
        # Zero effort commands nothing: a policy that misses the robot says so, unasked.
        if self._surplus is not None and any(message.data):
            self._surplus += 2
            self._are_both_heard |= self._surplus >= self._limit

    def _on_state(self, _: bytes) -> None:
        self._surplus = max(0, (self._surplus or 0) - 3)


class ClockSources(Sources):
    """Watches that no more than one node publishes /clock: two make time jump back and forth."""

    def __init__(self, node: Node) -> None:
        """Watches through the eyes of `node`."""
        super().__init__(node, CLOCK)
        self._time_ns = 0
        self._steps_back = 0

    def _listen(self) -> list[Subscription]:
        self._time_ns = self._steps_back = 0
        return [self._node.create_subscription(Clock, CLOCK, self._on_clock, _EVERYONE)]

    def _on_clock(self, message: Clock) -> None:
        time_ns = conversions.from_time(message.clock)
        self._steps_back += time_ns <= self._time_ns
        self._time_ns = time_ns
        self._are_both_heard |= self._steps_back >= _BOTH_TICK


class ConflictGuard:
    """Looks for a conflict five times a second; logs its begin and its end, once each.

    Attributes:
        conflict: The conflict and its consequence in one sentence; None while there is none.
    """

    def __init__(
        self,
        node: Node,
        sources: Sources,
        consequence: str,
        relief: str,
        on_change: Callable[[], None] | None = None,
    ) -> None:
        """Starts watching on the steady clock.

        Args:
            node: Logs the changes.
            sources: The publishers to watch.
            consequence: What the node does during a conflict, such as "all commands are refused".
            relief: What is logged when the conflict has ended.
            on_change: Called after `conflict` changed between None and a sentence.
        """
        self.conflict: str | None = None
        self._logger = node.get_logger()
        self._sources = sources
        self._consequence = consequence
        self._relief = relief
        self._on_change = on_change
        self._end_s = -math.inf
        steady = RosClock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(CHECK_PERIOD_S, self.check, clock=steady)

    @property
    def clear_for_s(self) -> float:
        """Time since the last conflict ended [s]: 0 during one, infinite before the first."""
        return time.monotonic() - self._end_s if self.conflict is None else 0.0

    def check(self) -> None:
        """Looks now."""
        found, before = self._sources.conflict(), self.conflict
        self.conflict = None if found is None else f"{found}: {self._consequence}"
        if (self.conflict is None) == (before is None):
            return
        if self.conflict is not None:
            self._logger.error(self.conflict)
        else:
            self._end_s = time.monotonic()
            self._logger.info(self._relief)
        if self._on_change is not None:
            self._on_change()


def guard_commands(
    node: Node, consequence: str, relief: str, on_change: Callable[[], None] | None = None
) -> ConflictGuard:
    """Watches that one node commands the joints; see ConflictGuard."""
    return ConflictGuard(node, CommandSources(node), consequence, relief, on_change)


def guard_clock(node: Node) -> ConflictGuard:
    """Watches that one node publishes /clock."""
    remedy = (
        "time jumps back and forth; set publish_clock to false (humanoid sim --no-clock, "
        "clock:=false) on all simulations but one"
    )
    return ConflictGuard(node, ClockSources(node), remedy, "one node publishes /clock again")
