# SPDX-License-Identifier: Apache-2.0
"""Commands a velocity on cmd_vel."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import Twist, TwistStamped
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.publisher import Publisher

from humanoid_mujoco_ros.ros import conversions
from humanoid_mujoco_ros.ros.topics import CMD_VEL


class VelocityPublisher:
    """A publisher of cmd_vel, which is there from the first command on."""

    def __init__(self, node: Node, *, is_stamped: bool) -> None:
        """Publishes nothing yet.

        Args:
            node: Owns the publisher.
            is_stamped: Publish TwistStamped; otherwise Twist.
        """
        self._node = node
        self._is_stamped = is_stamped
        self._publisher: Publisher | None = None

    def send(self, velocity: NDArray[np.float64] | None) -> None:
        """Publishes (3,) vx, vy [m/s], yaw rate [rad/s]; None: nothing."""
        if velocity is None:
            return
        if self._publisher is None:
            kind = TwistStamped if self._is_stamped else Twist
            self._publisher = self._node.create_publisher(kind, CMD_VEL, 1)
        twist = conversions.to_twist(velocity)
        if self._is_stamped:
            stamped = TwistStamped(twist=twist)
            stamped.header.stamp = self._node.get_clock().now().to_msg()
            self._publisher.publish(stamped)
        else:
            self._publisher.publish(twist)
