# SPDX-License-Identifier: Apache-2.0
"""Publishes observations so that in lockstep each is answered by every policy."""

from __future__ import annotations

from std_msgs.msg import Float64MultiArray

from humanoid_mujoco_ros.ros import peers
from humanoid_mujoco_ros.ros.guard import GuardedNode
from humanoid_mujoco_ros.ros.topics import OBSERVATION

_RETRY_PERIOD_S = 0.02


class ObservationPublisher:
    """Publishes observations in real time: a new one comes soon."""

    def __init__(self, node: GuardedNode) -> None:
        """Publishes for `node`."""
        self._publisher = node.create_publisher(Float64MultiArray, OBSERVATION, 1)

    def ask(self, message: Float64MultiArray) -> None:
        """Publishes an observation."""
        self._publisher.publish(message)

    def on_answer(self) -> None:
        """Takes note that the last observation was answered."""


class LockstepObservationPublisher(ObservationPublisher):
    """Publishes observations in lockstep, where time waits for the answer to each.

    A policy that appears while an observation is unanswered is asked too.
    """

    def __init__(self, node: GuardedNode, commands: str) -> None:
        """Publishes for `node`, and sees through it the policies that publish `commands`."""
        super().__init__(node)
        self._node = node
        self._commands = commands
        self._unanswered: Float64MultiArray | None = None
        self._asked: frozenset[bytes] = frozenset()
        self._listeners = 0
        node.create_steady_timer(_RETRY_PERIOD_S, self._ask_newcomers)

    def ask(self, message: Float64MultiArray) -> None:
        """Publishes an observation, as soon as there is a policy."""
        self._unanswered = message
        listeners = self._publisher.get_subscription_count()
        if listeners != self._listeners:
            self._listeners, self._asked = listeners, peers.policies(self._node, self._commands)
        if self._asked:
            self._publisher.publish(message)

    def on_answer(self) -> None:
        """Takes note that the last observation was answered."""
        self._unanswered = None

    def _ask_newcomers(self) -> None:
        if self._unanswered is None:
            return
        policies = peers.policies(self._node, self._commands)
        newcomers, self._asked = policies - self._asked, policies
        if newcomers:
            self._publisher.publish(self._unanswered)
