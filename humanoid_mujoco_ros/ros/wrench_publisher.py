# SPDX-License-Identifier: Apache-2.0
"""Publishes what pushes the robot on external_wrench."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from geometry_msgs.msg import WrenchStamped
from rclpy.node import Node

from humanoid_mujoco_ros.robot.state import Wrench
from humanoid_mujoco_ros.ros import conversions

_NONE = Wrench(np.zeros(3), np.zeros(3))


class WrenchPublisher:
    """Sends wrenches, and one of zero to each link that is no longer pushed.

    Attributes:
        links: The links that are pushed now.
    """

    def __init__(self, node: Node, frame_prefix: str, topic: str = "external_wrench") -> None:
        """Pushes nothing yet; `frame_prefix` goes before the name of a link."""
        self.links: set[str] = set()
        self._prefix = frame_prefix
        self._publisher = node.create_publisher(WrenchStamped, topic, 10)

    def publish(self, wrenches: Mapping[str, Wrench], stamp_ns: int) -> None:
        """Sends what acts from now.

        Args:
            wrenches: Link → wrench at its origin, in its frame; one that is not finite is zero.
            stamp_ns: Stamp of the state that they answer.
        """
        stamp = conversions.to_time(stamp_ns)
        for link in sorted(self.links | wrenches.keys()):
            wrench = wrenches.get(link, _NONE)
            is_finite = np.isfinite(wrench.force).all() and np.isfinite(wrench.torque).all()
            frame = self._prefix + link
            message = conversions.to_wrench(wrench if is_finite else _NONE, frame, stamp)
            self._publisher.publish(message)
        self.links = set(wrenches)
