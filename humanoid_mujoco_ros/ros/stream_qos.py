# SPDX-License-Identifier: Apache-2.0
"""QoS of states and commands, of which one is published at every control tick."""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, QoSProfile

_LOCKSTEP_HISTORY = 1000
"""Messages kept for a recorder whose discovery is late; seconds, also at ten times real time."""


def stream(depth: int, *, is_lockstep: bool) -> QoSProfile:
    """Reliable, for messages of which the next one comes soon.

    Lockstep waits for the policy alone, and its run can only be repeated from all of its messages.
    Discovery has two sides: a recorder that knows a publisher may not be known to it yet. So there
    messages are kept for those that ask for them (transient local).

    Args:
        depth: Messages kept for a slow listener in real time.
        is_lockstep: Whether simulated time waits for answers.
    """
    if is_lockstep:
        return QoSProfile(depth=_LOCKSTEP_HISTORY, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    return QoSProfile(depth=depth)
