# SPDX-License-Identifier: Apache-2.0
"""`humanoid bag play`: publishes a bag again, at the pace at which it was recorded."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import rclpy
import tyro
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.signals import SignalHandlerOptions
from rosgraph_msgs.msg import Clock as ClockMessage

from humanoid_mujoco_ros.bags import qos, topics
from humanoid_mujoco_ros.bags.errors import BagError
from humanoid_mujoco_ros.bags.message_types import message_class
from humanoid_mujoco_ros.bags.reader import Bag, open_bag
from humanoid_mujoco_ros.ros.network import stay_local

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


@dataclass(frozen=True)
class PlayOptions:
    """Publish a bag again, for RViz or the browser view, until its end or Ctrl-C.

    Time on /clock comes from the bag, or else from its stamps. Commands are left out, since a robot
    that listens would obey them. Beside a live robot nothing is played.
    """

    bag: tyro.conf.Positional[Path]
    """The bag's folder, or a .mcap or .db3 file."""
    rate: float = 1.0
    """Recorded seconds per second."""
    start: float = 0.0
    """Begin so many seconds after the bag's first message."""
    loop: bool = False
    """Begin again at the end; time jumps back then."""
    topics: tuple[str, ...] = ()
    """Only these."""
    commands: bool = False
    """Publish recorded commands and pushes too: a robot that listens moves."""
    beside_live_nodes: bool = False
    """Play even where a live robot publishes the same topics."""
    network: bool = False
    """Also reach other machines; otherwise only nodes on this one."""


def choose_topics(bag: Bag, options: PlayOptions) -> tuple[list[str], list[str]]:
    """The topics to play and the commands that are left out.

    Raises:
        BagError: A topic that was asked for is not in the bag, or none is left.
    """
    wanted = options.topics or tuple(
        name for name in bag.topics if name not in topics.OWN_TO_EACH_NODE
    )
    wanted = tuple(name if name.startswith("/") else f"/{name}" for name in wanted)
    missing = [name for name in wanted if name not in bag.topics]
    if missing:
        raise BagError(
            f"{', '.join(missing)} is not in {bag.path}; its topics are {', '.join(bag.topics)}"
        )
    commands = [name for name in wanted if _is_one_of(name, topics.COMMANDS)]
    left_out = [] if options.commands else commands
    played = [name for name in wanted if name not in left_out]
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
            if (info.node_name, info.node_namespace) != own:
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


def _is_one_of(name: str, relative: Sequence[str]) -> bool:
    """Whether a full name is one of these in some namespace."""
    return any(name.endswith(f"/{end}") for end in relative)


class _Player:
    """Publishes the messages of one bag."""

    def __init__(self, node: Node, bag: Bag, names: Sequence[str], options: PlayOptions) -> None:
        self._node = node
        self._bag = bag
        self._options = options
        self._names = list(names)
        self._start_ns = bag.start_ns + round(options.start * 1e9)
        self._publishers: dict[str, Publisher] = {}
        for name in names:
            topic = bag.topics[name]
            try:
                message_type = message_class(topic.type_name)
            except BagError as error:
                print(f"not published: {name}: {error}", file=sys.stderr)
                self._names.remove(name)
                continue
            self._publishers[name] = node.create_publisher(
                message_type, name, qos.to_publish(topic.qos)
            )
        # Whoever chose topics without /clock still gets a clock.
        self._clock = (
            None if _CLOCK in self._publishers else node.create_publisher(ClockMessage, _CLOCK, 1)
        )
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
        for name, stamp_ns, data in self._bag.messages(self._names, self._start_ns):
            if self._clock is not None:
                while clock_ns <= stamp_ns:
                    self._wait_until(begin_s, clock_ns)
                    self._publish_clock(clock_ns)
                    clock_ns += _CLOCK_PERIOD_NS
            self._wait_until(begin_s, stamp_ns)
            if time.monotonic() > check_s:
                # Discovery may take longer than the wait before the start.
                check_alone(self._node, self._names, self._options)
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
        names = [name for name in self._names if qos.is_latched(self._bag.topics[name].qos)]
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
    if not options.rate > 0:
        raise BagError(f"the rate must be positive, not {options.rate}")
    with open_bag(options.bag) as bag:
        if not 0 <= options.start <= bag.duration_s:
            raise BagError(
                f"the start must be between 0 and the bag's {bag.duration_s:.1f} s, "
                f"not {options.start}"
            )
        names, left_out = choose_topics(bag, options)
        stay_local(options.network)
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        try:
            _play(bag, names, left_out, options)
        finally:
            rclpy.try_shutdown()
        for problem in bag.problems:
            print(f"problem: {problem}", file=sys.stderr)
    return 0


def _play(bag: Bag, names: list[str], left_out: list[str], options: PlayOptions) -> None:
    node = Node("player", start_parameter_services=False)
    time.sleep(_DISCOVERY_S)
    check_alone(node, names, options)
    player = _Player(node, bag, names, options)

    def stop(*_: object) -> None:
        player.stopping = True

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    if left_out:
        print(f"not published: {', '.join(left_out)} (--commands publishes them)")
    time.sleep(_MATCH_S)
    print(f"playing {bag.path} for {bag.duration_s / options.rate:.1f} s", flush=True)
    while True:
        count = player.play()
        print(f"published {count} messages", flush=True)
        if player.stopping or not options.loop or not count:
            return
