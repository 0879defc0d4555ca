"""What a node reads from the ROS graph: who answers observations, who commands the joints."""

from __future__ import annotations

import time

from rclpy.node import Node

OBSERVATION = "observation"
COMMANDS = "effort_controller/commands"
OBSERVATION_SOURCES = ("joint_states", "odom")
"""The topics that observation_node makes an observation of."""
CHECK_PERIOD_S = 0.2
"""How often a node looks for a second commander."""
GHOST_S = 25.0
"""DDS keeps the publisher of a process that was killed for up to 20 s."""
_UNKNOWN = "_NODE_NAME_UNKNOWN_"
"""Name of a node that rmw has seen only in part."""


def policies(node: Node) -> frozenset[bytes]:
    """The subscriptions, by their gid, of the nodes that turn observations into commands."""
    commanders = _publishers(node, COMMANDS)
    return frozenset(
        bytes(info.endpoint_gid)
        for info in node.get_subscriptions_info_by_topic(node.resolve_topic_name(OBSERVATION))
        if (info.node_namespace, info.node_name) in commanders
    )


def robots(node: Node) -> frozenset[bytes]:
    """The subscriptions, by their gid, of the nodes that obey commands and report joints."""
    reporters = _publishers(node, "joint_states")
    return frozenset(
        bytes(info.endpoint_gid)
        for info in node.get_subscriptions_info_by_topic(node.resolve_topic_name(COMMANDS))
        if (info.node_namespace, info.node_name) in reporters
    )


def observers(node: Node) -> frozenset[bytes]:
    """The subscriptions, by their gid, of the nodes that make observations of a robot's topics."""
    makers = _publishers(node, OBSERVATION)
    subscriptions = [
        {
            (info.node_namespace, info.node_name): bytes(info.endpoint_gid)
            for info in node.get_subscriptions_info_by_topic(node.resolve_topic_name(topic))
        }
        for topic in OBSERVATION_SOURCES
    ]
    return frozenset(
        gids[maker]
        for maker in makers
        if all(maker in gids for gids in subscriptions)
        for gids in subscriptions
    )


def _publishers(node: Node, topic: str) -> set[tuple[str, str]]:
    return {
        (info.node_namespace, info.node_name)
        for info in node.get_publishers_info_by_topic(node.resolve_topic_name(topic))
    }


class CommandSources:
    """Watches that no more than one node commands the joints.

    A node that was killed and has been restarted is there twice for a while, under one name; that
    is no conflict.
    """

    def __init__(self, node: Node) -> None:
        """Watches through the eyes of `node`."""
        self._node = node
        self._topic = node.resolve_topic_name(COMMANDS)
        self._twice_since_s: float | None = None

    def conflict(self) -> str:
        """Who commands at the same time, in plain words; empty when at most one does."""
        names: list[str] = []
        if self._node.count_publishers(self._topic) > 1:
            names = [
                f"{info.node_namespace.rstrip('/')}/{info.node_name}"
                for info in self._node.get_publishers_info_by_topic(self._topic)
                if info.node_name != _UNKNOWN
            ]
        different = sorted(set(names))
        if len(different) > 1:
            return f"several nodes publish {self._topic}: {', '.join(different)}"
        if len(names) < 2:
            self._twice_since_s = None
            return ""
        now_s = time.monotonic()
        if self._twice_since_s is None:
            self._twice_since_s = now_s
        if now_s - self._twice_since_s < GHOST_S:
            return ""
        return f"{len(names)} nodes called {names[0]} publish {self._topic}"
