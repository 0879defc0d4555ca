# SPDX-License-Identifier: Apache-2.0
"""Tells when two nodes command the joints, or publish the time, at once."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable

from rclpy.clock import Clock as RosClock
from rclpy.clock import ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from std_msgs.msg import Float64MultiArray

from humanoid_mujoco_ros.ros.peers import UNKNOWN_NODE
from humanoid_mujoco_ros.ros.topics import CLOCK

CHECK_PERIOD_S = 0.2
"""How often a node looks for a second commander or clock."""
GHOST_S = 25.0
"""DDS keeps the publisher of a process that was killed for up to 20 s."""
SETTLE_S = 1.0
"""After this time every commander has noticed that the conflict is over."""
_STEPS_BACK = 10
"""Steps back of the sequence number that prove two publishers: at 100 Hz two make them in 0.1 s. A
publisher among them waits for three times as many, so that the robot notices it first."""
_WITHIN_S = 5.0
"""A restart makes one step back, and nothing restarts so often in this time."""
_EVERYONE = QoSProfile(depth=1000, reliability=ReliabilityPolicy.BEST_EFFORT)
"""Hears reliable publishers and others, also in lockstep at ten times real time."""


class Ears:
    """Hears whether more than one publisher of a topic is alive.

    DDS numbers the messages of each publisher. The numbers of one only grow; those of two that
    alternate step back again and again. Middleware that hands out no numbers proves nothing.
    """

    def __init__(
        self, node: Node, message_type: type, topic: str, steps: int, clock: Callable[[], float]
    ) -> None:
        """Begins to listen.

        Args:
            node: Gives its context and name.
            message_type: Type of the topic.
            topic: Resolved name.
            steps: How many steps back prove two publishers.
            clock: Steady [s].
        """
        # A node of its own, in no executor: EventsExecutor crashes on a callback that wants the
        # number of a message (rclpy 7.1.6), so that `hears_two` takes the messages itself.
        self._node = Node(
            f"_{node.get_name()}_ears",
            context=node.context,
            use_global_arguments=False,
            enable_rosout=False,
            start_parameter_services=False,
        )
        self._subscription = self._node.create_subscription(
            message_type, topic, _ignore, _EVERYONE, raw=True
        )
        self._clock = clock
        self._last = 0
        self._steps_back_s: deque[float] = deque(maxlen=steps)

    def hears_two(self) -> bool:
        """Whether two publishers have spoken by turns lately."""
        now_s = self._clock()
        subscription = self._subscription
        with subscription.handle:
            while (
                taken := subscription.handle.take_message(subscription.msg_type, True)
            ) is not None:
                number = taken[1].get("publication_sequence_number")
                if number is None:
                    continue
                if number <= self._last:
                    self._steps_back_s.append(now_s)
                self._last = number
        times_s = self._steps_back_s
        return len(times_s) == times_s.maxlen and now_s - times_s[0] < _WITHIN_S

    def close(self) -> None:
        """Ends listening."""
        self._node.destroy_node()


def _ignore(_: bytes) -> None:
    """Never called: no executor knows the subscription."""


class Sources:
    """Watches that no more than one node publishes a topic.

    A node that was killed and has been restarted is there twice for a while, under one name: the
    dead publisher is a ghost. Two publishers of one name are in conflict only when both are heard,
    or when both have been there for longer than any ghost. Each publisher has an age of its own, so
    that one ghost after another never adds up to a conflict.
    """

    def __init__(
        self,
        node: Node,
        message_type: type,
        topic: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Watches `topic` through the eyes of `node`; `clock` is steady [s]."""
        self._node = node
        self._message_type = message_type
        self._topic = node.resolve_topic_name(topic)
        self._clock = clock
        self._first_seen_s: dict[bytes, float] = {}
        self._ears: Ears | None = None
        self._heard: frozenset[bytes] = frozenset()

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
        if not self._are_two_heard(frozenset(names)):
            together_s = now_s - sorted(self._first_seen_s.values())[1]
            if together_s < GHOST_S:
                return None
        return f"{len(names)} nodes called {different[0]} publish {self._topic}"

    def _publishers(self) -> dict[bytes, str]:
        """Publishers of the topic: gid and full name of the node."""
        return {
            bytes(info.endpoint_gid): f"{info.node_namespace.rstrip('/')}/{info.node_name}"
            for info in self._node.get_publishers_info_by_topic(self._topic)
            if info.node_name != UNKNOWN_NODE
        }

    def _are_two_heard(self, gids: frozenset[bytes]) -> bool:
        """Whether two of these publishers spoke, which holds until one of them has gone."""
        if self._heard:
            if self._heard <= gids:
                return True
            self._stop_listening()
        if self._ears is None:
            publishes = any(p.topic_name == self._topic for p in self._node.publishers)
            steps = (3 if publishes else 1) * _STEPS_BACK
            self._ears = Ears(self._node, self._message_type, self._topic, steps, self._clock)
        if self._ears.hears_two():
            self._heard = gids
        return bool(self._heard)

    def _stop_listening(self) -> None:
        if self._ears is not None:
            self._ears.close()
        self._ears = None
        self._heard = frozenset()


class CommandSources(Sources):
    """Watches that no more than one node commands the joints."""

    def __init__(
        self, node: Node, commands: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Watches the topic `commands` through the eyes of `node`; see Sources."""
        super().__init__(node, Float64MultiArray, commands, clock)


class ClockSources(Sources):
    """Watches that no more than one node publishes /clock: two make time jump back and forth."""

    def __init__(self, node: Node, clock: Callable[[], float] = time.monotonic) -> None:
        """Watches through the eyes of `node`; see Sources."""
        super().__init__(node, Clock, CLOCK, clock)


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


def guard_clock(node: Node) -> ConflictGuard:
    """Watches that one node publishes /clock."""
    remedy = (
        "time jumps back and forth; set publish_clock to false (humanoid sim --no-clock, "
        "clock:=false) on all simulations but one"
    )
    return ConflictGuard(node, ClockSources(node), remedy, "one node publishes /clock again")
