# SPDX-License-Identifier: Apache-2.0
"""Publishes commands to the joints of a robot."""

from __future__ import annotations

import time
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.publisher import Publisher
from std_msgs.msg import Float64MultiArray

from humanoid_mujoco_ros.robot.card import Actuation
from humanoid_mujoco_ros.ros import conversions, peers
from humanoid_mujoco_ros.ros.stream_qos import stream
from humanoid_mujoco_ros.ros.topics import COMMANDS

_SETTLE_S = 0.5
"""Discovery has two sides: a robot that the publisher knows may not know the publisher yet, and
would miss the first command, for which lockstep waits."""


class CommandPublisher:
    """The publisher of one robot's commands; until `open` there is none.

    Attributes:
        topic: Its topic.
    """

    def __init__(
        self, node: Node, actuation: Actuation, mode: Literal["realtime", "lockstep"]
    ) -> None:
        """Publishes nothing yet.

        Args:
            node: Owns the publisher.
            actuation: Kind of the commands.
            mode: That of the simulation.
        """
        self.topic = COMMANDS[actuation]
        self._node = node
        self._is_lockstep = mode == "lockstep"
        self._publisher: Publisher | None = None
        self._open_since_s = 0.0

    def open(self) -> None:
        """Creates the publisher.

        It is a plain one, since the last command of a node that is deactivated must still go out.
        A node without a policy has none: it would look like a second one that commands the joints.
        """
        if self._publisher is None:
            qos = stream(1, is_lockstep=self._is_lockstep)
            self._publisher = self._node.create_publisher(Float64MultiArray, self.topic, qos)
            self._open_since_s = time.monotonic()

    def send(self, commands: NDArray[np.float64] | None) -> None:
        """Publishes commands (n,) in the order of the topic; None: nothing."""
        if commands is not None and self._publisher is not None:
            self._publisher.publish(conversions.to_commands(commands))

    def is_heard(self) -> bool:
        """Whether a robot would hear a command."""
        if self._publisher is None:
            return False
        matched: int = self._publisher.get_subscription_count()
        if not self._is_lockstep:
            return matched > 0
        # A recorder that is connected earlier must not be taken for the simulation.
        has_settled = time.monotonic() - self._open_since_s >= _SETTLE_S
        return has_settled and bool(peers.robots(self._node, self.topic))
