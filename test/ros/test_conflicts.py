# SPDX-License-Identifier: Apache-2.0
"""Who publishes at the same time, seen on a real graph."""

import pytest

pytest.importorskip("rclpy")

import rclpy
from rclpy.node import Node
from std_msgs.msg import Float64MultiArray

from humanoid_mujoco_ros.ros.conflicts import GHOST_S, ConflictGuard, Sources

TOPIC = "chatter"


class Clock:
    """A steady clock that the test sets."""

    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


class Talkers:
    """Nodes of one name that publish a topic; they end in the order in which they began."""

    def __init__(self, graph, topic=TOPIC):
        self._graph = graph
        self._topic = graph.node.resolve_topic_name(topic)
        self._nodes = []
        self.publishers = []

    def add(self, name="talker"):
        # A context of its own, as a process has: nodes of one name confuse each other in one.
        context = rclpy.Context()
        rclpy.init(context=context, domain_id=self._graph.domain_id)
        node = Node(name, context=context)
        self._nodes.append(node)
        self.publishers.append(node.create_publisher(Float64MultiArray, self._topic, 10))
        self._settle()

    def remove(self):
        self.publishers.pop(0)
        self._end(self._nodes.pop(0))
        self._settle()

    def _settle(self):
        expected = sorted(node.get_name() for node in self._nodes)
        self._graph.spin_until(lambda: self._seen() == expected)

    def _seen(self):
        infos = self._graph.node.get_publishers_info_by_topic(self._topic)
        return sorted(info.node_name for info in infos)

    def close(self):
        while self._nodes:
            self._end(self._nodes.pop())

    def _end(self, node):
        node.destroy_node()
        rclpy.shutdown(context=node.context)


@pytest.fixture
def talkers(graph):
    talkers = Talkers(graph)
    yield talkers
    talkers.close()


def test_one_publisher_is_no_conflict_two_names_are(graph, talkers):
    sources = Sources(graph.node, Float64MultiArray, TOPIC)
    assert sources.conflict() is None
    talkers.add()
    assert sources.conflict() is None
    talkers.add("rival")
    assert sources.conflict() == f"several nodes publish /{TOPIC}: /rival, /talker"
    talkers.remove()
    assert sources.conflict() is None


def test_ghosts_of_one_name_never_add_up_but_two_that_stay_are_a_conflict(graph, talkers):
    clock = Clock()
    sources = Sources(graph.node, Float64MultiArray, TOPIC, clock)
    talkers.add()
    for _ in range(6):
        # A restart: the one before stays as a ghost for a while.
        assert sources.conflict() is None
        clock.now_s += 13.0
        talkers.add()
        assert sources.conflict() is None
        clock.now_s += GHOST_S - 1.0
        assert sources.conflict() is None
        talkers.remove()
    talkers.add()
    assert sources.conflict() is None
    clock.now_s += GHOST_S
    assert sources.conflict() == f"2 nodes called /talker publish /{TOPIC}"


def test_the_age_of_a_publisher_is_its_own(graph, talkers):
    """Three of them at once, of which no two were together for as long as a ghost lives."""
    clock = Clock()
    sources = Sources(graph.node, Float64MultiArray, TOPIC, clock)
    for _ in range(8):
        talkers.add()
        if len(talkers.publishers) > 2:
            talkers.remove()
        assert sources.conflict() is None
        clock.now_s += 0.9 * GHOST_S


def speak(graph, sources, talkers, rounds):
    """Lets the living talkers speak by turns until there is a conflict; whether there was one."""
    for _ in range(rounds):
        for publisher in talkers:
            publisher.publish(Float64MultiArray(data=[1.0]))
            graph.spin_for(0.01)
        if sources.conflict() is not None:
            return True
    return False


def test_two_that_speak_by_turns_are_found_at_once_and_until_one_has_gone(graph, talkers):
    sources = Sources(graph.node, Float64MultiArray, TOPIC, Clock())
    talkers.add()
    assert not speak(graph, sources, talkers.publishers, 30)
    talkers.add()
    assert speak(graph, sources, talkers.publishers, 300)
    assert sources.conflict() == f"2 nodes called /talker publish /{TOPIC}"  # both silent
    talkers.add()
    assert "nodes called /talker" in sources.conflict()
    talkers.remove()
    assert sources.conflict() is None  # nobody has heard these two


def test_one_that_speaks_beside_a_silent_one_is_no_conflict_at_any_rate(graph, talkers):
    """Even though the robot's states may be lost on the way, as at ten times real time."""
    sources = Sources(graph.node, Float64MultiArray, TOPIC, Clock())
    talkers.add()
    talkers.add()
    for living in (0, 1, 0):
        for _ in range(20):
            for _ in range(50):
                talkers.publishers[living].publish(Float64MultiArray(data=[1.0]))
            assert sources.conflict() is None


class Scripted:
    """Sources whose findings are given."""

    def __init__(self):
        self.found = None

    def conflict(self):
        return self.found


def test_a_guard_tells_each_change_once(graph):
    sources = Scripted()
    changes = []
    guard = ConflictGuard(
        graph.node, sources, "nobody is obeyed", "peace", lambda: changes.append(guard.conflict)
    )
    assert guard.conflict is None
    assert guard.clear_for_s == float("inf")
    for sources.found in (None, "two speak", "two speak", "three speak", None, None):
        guard.check()
        expected = None if sources.found is None else f"{sources.found}: nobody is obeyed"
        assert guard.conflict == expected
        if guard.conflict is not None:
            assert guard.clear_for_s == 0.0
    assert changes == ["two speak: nobody is obeyed", None]
    assert 0.0 <= guard.clear_for_s < float("inf")
