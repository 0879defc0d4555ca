# SPDX-License-Identifier: Apache-2.0
"""What a node reads from the ROS graph: the nodes that answer observations and obey commands."""

from __future__ import annotations

from rclpy.node import Node

from humanoid_mujoco_ros.ros.topics import OBSERVATION, OBSERVATION_SOURCES, PAUSE

UNKNOWN_NODE = "_NODE_NAME_UNKNOWN_"
"""Name of a node that rmw has seen only in part; its own follows."""


def policies(node: Node, commands: str) -> frozenset[bytes]:
    """The subscriptions, by their gid, of the nodes that turn observations into commands.

    Args:
        node: Sees the graph.
        commands: Topic of the commands.
    """
    commanders = _publishers(node, commands)
    return frozenset(
        bytes(info.endpoint_gid)
        for info in node.get_subscriptions_info_by_topic(node.resolve_topic_name(OBSERVATION))
        if (info.node_namespace, info.node_name) in commanders
    )


def robots(node: Node, commands: str) -> frozenset[bytes]:
    """The subscriptions, by their gid, of the nodes that obey commands and report joints.

    Args:
        node: Sees the graph.
        commands: Topic of the commands.
    """
    reporters = _publishers(node, "joint_states")
    return frozenset(
        bytes(info.endpoint_gid)
        for info in node.get_subscriptions_info_by_topic(node.resolve_topic_name(commands))
        if (info.node_namespace, info.node_name) in reporters
    )


def observers(node: Node) -> frozenset[bytes]:
    """The subscriptions, by their gid, of the nodes that make observations of a robot's topics."""
    makers = _publishers(node, OBSERVATION)
    return frozenset(
        bytes(info.endpoint_gid)
        for topic in OBSERVATION_SOURCES
        for info in node.get_subscriptions_info_by_topic(node.resolve_topic_name(topic))
        if (info.node_namespace, info.node_name) in makers
    )


def is_simulated(node: Node) -> bool:
    """Whether the robot is a simulation, whose time may stand still, run fast or run slowly."""
    if node.get_parameter("use_sim_time").value:
        return True
    service = node.resolve_service_name(PAUSE)
    return any(name == service for name, _ in node.get_service_names_and_types())


def _publishers(node: Node, topic: str) -> set[tuple[str, str]]:
    return {
        (info.node_namespace, info.node_name)
        for info in node.get_publishers_info_by_topic(node.resolve_topic_name(topic))
        if info.node_name != UNKNOWN_NODE
    }
