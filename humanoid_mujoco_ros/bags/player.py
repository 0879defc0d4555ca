# SPDX-License-Identifier: Apache-2.0
"""`humanoid bag play`: publishes a bag again, at the pace at which it was recorded."""

from __future__ import annotations

import math
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence

import rclpy
from rclpy.duration import Duration
from rclpy.exceptions import InvalidTopicNameException
from rclpy.expand_topic_name import expand_topic_name
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.signals import SignalHandlerOptions
from rclpy.validate_full_topic_name import validate_full_topic_name
from rosgraph_msgs.msg import Clock as ClockMessage

from humanoid_mujoco_ros.bags import qos, topics
from humanoid_mujoco_ros.bags.command import PlayOptions
from humanoid_mujoco_ros.bags.errors import BagError, plain
from humanoid_mujoco_ros.bags.message_types import message_class
from humanoid_mujoco_ros.bags.reader import Bag, open_bag
from humanoid_mujoco_ros.ros.network import stay_local
from humanoid_mujoco_ros.ros.peers import UNKNOWN_NODE

_NODE = "player"
_CLOCK = "/clock"
_CLOCK_PERIOD_NS = 10_000_000
_CHECK_PERIOD_S = 1.0
_DISCOVERY_S = 2.0
"""Time in which nodes that are there make themselves known."""
_MATCH_S = 0.5
"""Time in which subscriptions find the publishers."""
_LONGEST_SLEEP_S = 0.1
_ACK_TIMEOUT_S = 1.0
"""How long the last messages wait for a subscriber that is slow."""


def choose_topics(bag: Bag, options: PlayOptions) -> tuple[dict[str, str], list[str]]:
    """The topics to play, as name in the bag → name to publish, and the commands left out.

    A publisher may be created with a name that stands for another, as "/arm{ns}commands" does, so
    names are resolved before they are compared.

    Raises:
        BagError: A topic that was asked for is not in the bag, or none is left.
    """
    wanted = tuple(name if name.startswith("/") else f"/{name}" for name in options.topics)
    missing = [name for name in wanted if name not in bag.topics]
    if missing:
        raise BagError(
            f"{', '.join(missing)} is not in {bag.path}; its topics are {', '.join(bag.topics)}"
        )
    played: dict[str, str] = {}
    left_out = []
    for name in wanted or bag.topics:
        try:
            full_name = expand_topic_name(name, _NODE, "/")
            validate_full_topic_name(full_name)
        except (ValueError, InvalidTopicNameException):
            _complain(f"not published: {name}: ROS allows no such name")
            continue
        if full_name in topics.OWN_TO_EACH_NODE and not wanted:
            continue
        if _is_one_of(full_name, topics.COMMANDS) and not options.commands:
            left_out.append(name)
        else:
            played[name] = full_name
    if not played:
        raise BagError(f"nothing to play: {', '.join(left_out) or 'the bag has no topics'}")
    return played, left_out


def live_publishers(node: Node, names: Sequence[str]) -> dict[str, str]:
    """Topic → the robot's node that publishes it already, for those that have one."""
    found = {}
    own = (node.get_name(), node.get_namespace())
    for name in names:
        if name in topics.SHARED or _is_one_of(name, topics.VIEWS):
            continue
        for info in node.get_publishers_info_by_topic(name):
            if (info.node_name, info.node_namespace) != own and info.node_name != UNKNOWN_NODE:
                found[name] = f"{info.node_namespace.rstrip('/')}/{info.node_name}"
    return found


def check_alone(node: Node, names: Sequence[str], options: PlayOptions) -> None:
    """Sees that no robot publishes what is played.

    Raises:
        BagError: One does, and the options do not allow it.
    """
    live = {} if options.beside_live_nodes else live_publishers(node, names)
    if live:
        publishers = ", ".join(sorted(set(live.values())))
        raise BagError(
            f"{publishers} is live and publishes {', '.join(sorted(live))}: a robot and its "
            "recording would be mixed up. Stop it (one that was killed is seen for 20 s more), use "
            "another ROS_DOMAIN_ID, or say --beside-live-nodes"
        )


def _complain(text: str) -> None:
    print(plain(text), file=sys.stderr)


def _is_one_of(name: str, relative: Sequence[str]) -> bool:
    """Whether a full name is one of these in some namespace."""
    return any(name.endswith(f"/{end}") for end in relative)


class _Player:
    """Publishes the messages of one bag."""

    def __init__(
        self, node: Node, bag: Bag, names: Mapping[str, str], options: PlayOptions
    ) -> None:
        self._node = node
        self._bag = bag
        self._options = options
        self._full_names = list(names.values())
        self._start_ns = bag.start_ns + round(options.start * 1e9)
        self._publishers: dict[str, Publisher] = {}
        for name, full_name in names.items():
            topic = bag.topics[name]
            try:
                message_type = message_class(topic.type_name)
            except BagError as error:
                _complain(f"not published: {name}: {error}")
                continue
            self._publishers[name] = node.create_publisher(
                message_type, full_name, qos.to_publish(full_name, topic.qos)
            )
        # Topics that were chosen without /clock still get a clock.
        has_clock = any(names[name] == _CLOCK for name in self._publishers)
        self._clock = None if has_clock else node.create_publisher(ClockMessage, _CLOCK, 1)
        self.stopping = False

    def play(self) -> int:
        """Plays the bag once.

        Returns:
            The number of messages published.
        """
        count = 0
        for name, data in self._latched_before_start():
            self._publishers[name].publish(data)
        begin_s = check_s = time.monotonic()
        clock_ns = self._start_ns
        for name, stamp_ns, data in self._bag.messages(self._publishers, self._start_ns):
            if self._clock is not None:
                while clock_ns <= stamp_ns:
                    self._wait_until(begin_s, clock_ns)
                    self._publish_clock(clock_ns)
                    clock_ns += _CLOCK_PERIOD_NS
            self._wait_until(begin_s, stamp_ns)
            if time.monotonic() > check_s:
                # Discovery may take longer than the wait before the start.
                check_alone(self._node, self._full_names, self._options)
                check_s = time.monotonic() + _CHECK_PERIOD_S
            if self.stopping:
                break
            self._publishers[name].publish(data)
            count += 1
        clocks = [self._clock] if self._clock is not None else []
        for publisher in [*self._publishers.values(), *clocks]:
            if not self.stopping:
                publisher.wait_for_all_acked(Duration(seconds=_ACK_TIMEOUT_S))
        return count

    def _latched_before_start(self) -> Iterator[tuple[str, bytes]]:
        """What a latched publisher would still offer at the start."""
        names = [
            name
            for name, publisher in self._publishers.items()
            if qos.is_latched(publisher.topic_name, self._bag.topics[name].qos)
        ]
        if self._start_ns > self._bag.start_ns:
            for name, _, data in self._bag.messages(names, stop_ns=self._start_ns):
                yield name, data

    def _wait_until(self, begin_s: float, stamp_ns: int) -> None:
        due_s = begin_s + (stamp_ns - self._start_ns) * 1e-9 / self._options.rate
        while not self.stopping and (left_s := due_s - time.monotonic()) > 0:
            time.sleep(min(left_s, _LONGEST_SLEEP_S))

    def _publish_clock(self, stamp_ns: int) -> None:
        if self._clock is None or self.stopping:
            return
        message = ClockMessage()
        message.clock.sec, message.clock.nanosec = divmod(stamp_ns, 10**9)
        self._clock.publish(message)


def play(options: PlayOptions) -> int:
    """Plays a bag.

    Returns:
        Exit status.

    Raises:
        BagError: The bag or an option cannot be used, or live nodes are in the way.
    """
    if not 0 < options.rate < math.inf:
        raise BagError(f"the rate must be positive, not {options.rate}")
    with open_bag(options.bag.expanduser()) as bag:
        if not 0 <= options.start <= bag.duration_s:
            raise BagError(
                f"the start must be between 0 and the bag's {bag.duration_s:.1f} s, "
                f"not {options.start}"
            )
        names, left_out = choose_topics(bag, options)
        stay_local(network=options.network)
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        try:
            _play(bag, names, left_out, options)
        finally:
            rclpy.try_shutdown()
        for problem in bag.problems:
            _complain(f"problem: {problem}")
    return 0


def _play(bag: Bag, names: dict[str, str], left_out: list[str], options: PlayOptions) -> None:
    node = Node(_NODE, start_parameter_services=False)
    time.sleep(_DISCOVERY_S)
    check_alone(node, list(names.values()), options)
    player = _Player(node, bag, names, options)

    def stop(*_: object) -> None:
        player.stopping = True

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    if left_out:
        print(plain(f"not published: {', '.join(left_out)} (--commands publishes them)"))
    time.sleep(_MATCH_S)
    span_s = bag.duration_s / options.rate
    print(plain(f"playing {bag.path} for {span_s:.1f} s"), flush=True)
    while True:
        count = player.play()
        print(f"published {count} messages", flush=True)
        if player.stopping or not options.loop or not count:
            return
