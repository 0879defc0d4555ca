# SPDX-License-Identifier: Apache-2.0
"""QoS of recorded topics: what publishers offer, what to ask for, and its form in a bag."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rclpy.duration import Duration
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    LivelinessPolicy,
    QoSProfile,
    ReliabilityPolicy,
)

from humanoid_mujoco_ros.bags import topics

QUEUE_DEPTH = 5000
"""Messages of one topic that may wait while the recorder or the disk is busy."""
_PLAY_DEPTH = 1000
"""Messages kept for a subscriber that is slow."""
_LATCHED_DEPTH = 100
"""Latched topics may have several publishers, as /tf_static has."""


def request(offered: Sequence[QoSProfile], *, latched: bool = False) -> QoSProfile:
    """The strictest profile that every publisher meets.

    Args:
        offered: Of the publishers; empty: reliable ones are expected.
        latched: Whether to expect latched messages when there is no publisher yet.
    """
    reliable = all(qos.reliability == ReliabilityPolicy.RELIABLE for qos in offered)
    transient = (
        all(qos.durability == DurabilityPolicy.TRANSIENT_LOCAL for qos in offered)
        if offered
        else latched
    )
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=QUEUE_DEPTH,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if transient else DurabilityPolicy.VOLATILE,
    )


def is_met(requested: QoSProfile, offered: Sequence[QoSProfile]) -> bool:
    """Whether a subscription hears every publisher."""
    return all(
        (
            requested.reliability != ReliabilityPolicy.RELIABLE
            or profile.reliability == ReliabilityPolicy.RELIABLE
        )
        and (
            requested.durability != DurabilityPolicy.TRANSIENT_LOCAL
            or profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
        )
        for profile in offered
    )


def is_late(requested: QoSProfile, offered: Sequence[QoSProfile]) -> bool:
    """Whether every publisher keeps messages, and a subscription does not ask for them.

    Such a subscription hears only what is published once the publisher knows it, too.
    """
    return (
        bool(offered)
        and requested.durability != DurabilityPolicy.TRANSIENT_LOCAL
        and request(offered).durability == DurabilityPolicy.TRANSIENT_LOCAL
    )


def to_bag(qos: QoSProfile) -> dict[str, Any]:
    """A profile as rosbag2 writes it (metadata version 9)."""
    return {
        "history": qos.history.name.lower(),
        "depth": qos.depth,
        "reliability": qos.reliability.name.lower(),
        "durability": qos.durability.name.lower(),
        "deadline": _duration(qos.deadline),
        "lifespan": _duration(qos.lifespan),
        "liveliness": qos.liveliness.name.lower(),
        "liveliness_lease_duration": _duration(qos.liveliness_lease_duration),
        "avoid_ros_namespace_conventions": qos.avoid_ros_namespace_conventions,
    }


def to_publish(name: str, recorded: Sequence[Mapping[str, str]]) -> QoSProfile:
    """The profile with which to play a topic, from the reliability and durability recorded."""
    reliable = all(qos.get("reliability") != "best_effort" for qos in recorded)
    latched = is_latched(name, recorded)
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=_LATCHED_DEPTH if latched else _PLAY_DEPTH,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
        liveliness=LivelinessPolicy.AUTOMATIC,
    )


def is_latched(name: str, recorded: Sequence[Mapping[str, str]]) -> bool:
    """Whether the last message of a topic holds until the next one comes.

    In lockstep the streams of a robot are kept for late listeners as well; how many messages were
    kept is not known of a publisher elsewhere.
    """
    keeps = bool(recorded) and all(qos.get("durability") == "transient_local" for qos in recorded)
    return keeps and not topics.is_stream(name)


def _duration(duration: Duration) -> dict[str, int]:
    return {"sec": duration.nanoseconds // 10**9, "nsec": duration.nanoseconds % 10**9}
