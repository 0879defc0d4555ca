# SPDX-License-Identifier: Apache-2.0
"""Serves one interactive marker to RViz by the protocol of the package interactive_markers.

That package is not on PyPI. Its server ignores a second client for a second of the node's clock,
which is for ever while simulated time is paused; this one counts time on the steady clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from geometry_msgs.msg import Pose
from rclpy.node import Node
from visualization_msgs.msg import (
    InteractiveMarker,
    InteractiveMarkerFeedback,
    InteractiveMarkerPose,
    InteractiveMarkerUpdate,
)
from visualization_msgs.srv import GetInteractiveMarkers

OWNERSHIP_S = 1.0
"""A second client is not heard for this time after the first one's last feedback."""
_DEPTH = 100
"""Depth of the queues, as in interactive_markers and in RViz."""


class MarkerServer:
    """Shows one interactive marker to every client, and hears one client at a time.

    Each change reaches the clients at once, as one numbered update; RViz handles one update per
    frame, so that a server should send few. May only be used from the executor's thread.

    Publishes: <topic_ns>/update. Subscribes: <topic_ns>/feedback.
    Services: <topic_ns>/get_interactive_markers.
    """

    def __init__(
        self, node: Node, topic_ns: str, on_feedback: Callable[[InteractiveMarkerFeedback], None]
    ) -> None:
        """Starts to serve, without a marker yet.

        Args:
            node: The node that serves.
            topic_ns: Namespace of the topics and the service.
            on_feedback: Takes what a person does with the marker.
        """
        self._act = on_feedback
        self._marker: InteractiveMarker | None = None
        self._owner: str | None = None
        self._heard_s = float("-inf")
        self._sequence_number = 0
        node.create_service(
            GetInteractiveMarkers, f"{topic_ns}/get_interactive_markers", self.on_request
        )
        self._publisher = node.create_publisher(
            InteractiveMarkerUpdate, f"{topic_ns}/update", _DEPTH
        )
        node.create_subscription(
            InteractiveMarkerFeedback, f"{topic_ns}/feedback", self.on_feedback, _DEPTH
        )

    def show(self, marker: InteractiveMarker) -> None:
        """Shows a marker, in place of the one before."""
        if self._marker is not None and self._marker.name != marker.name:
            self.remove()
        self._marker = marker
        self._send(InteractiveMarkerUpdate(markers=[marker]))

    def move(self, pose: Pose) -> None:
        """Moves the marker, if one is shown, within its frame."""
        if self._marker is not None:
            self._marker.pose = pose
            moved = InteractiveMarkerPose(
                header=self._marker.header, pose=pose, name=self._marker.name
            )
            self._send(InteractiveMarkerUpdate(poses=[moved]))

    def remove(self) -> None:
        """Takes the marker from the clients."""
        if self._marker is not None:
            name, self._marker = self._marker.name, None
            self._send(InteractiveMarkerUpdate(erases=[name]))

    def on_feedback(self, feedback: InteractiveMarkerFeedback) -> None:
        """Passes on what the client that has the marker does, and drops what others do."""
        if self._marker is None or feedback.marker_name != self._marker.name:
            return
        now_s = time.monotonic()
        if feedback.client_id != self._owner and now_s - self._heard_s < OWNERSHIP_S:
            return
        self._owner, self._heard_s = feedback.client_id, now_s
        if feedback.event_type == InteractiveMarkerFeedback.POSE_UPDATE:
            self._marker.pose = feedback.pose  # for a client that connects now
        self._act(feedback)

    def on_request(
        self, _: GetInteractiveMarkers.Request, response: GetInteractiveMarkers.Response
    ) -> GetInteractiveMarkers.Response:
        """Tells a client that has just started what is shown."""
        response.sequence_number = self._sequence_number
        response.markers = [] if self._marker is None else [self._marker]
        return response

    def _send(self, update: InteractiveMarkerUpdate) -> None:
        self._sequence_number += 1
        update.type = InteractiveMarkerUpdate.UPDATE
        update.seq_num = self._sequence_number
        self._publisher.publish(update)
