# SPDX-License-Identifier: Apache-2.0
"""Serves interactive markers to RViz, with or without the package interactive_markers.

Where that package is not installed (PyPI has none), a small server of this module with the same
interface takes its place; RViz cannot tell the two apart.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any

from geometry_msgs.msg import Pose
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from std_msgs.msg import Header
from visualization_msgs.msg import (
    InteractiveMarker,
    InteractiveMarkerFeedback,
    InteractiveMarkerPose,
    InteractiveMarkerUpdate,
)
from visualization_msgs.srv import GetInteractiveMarkers

OWNERSHIP_S = 1.0
"""A second client is not heard for so long after the first one's last feedback."""

Callback = Callable[[InteractiveMarkerFeedback], None]


class InteractiveMarkerServer:
    """The part of interactive_markers.InteractiveMarkerServer that a node needs, by its rules.

    Changes reach the clients with applyChanges, each time as one numbered update. Unlike the
    original it counts time on the steady clock, and may only be used from the executor's thread.

    Publishes: <topic_ns>/update. Subscribes: <topic_ns>/feedback.
    Services: <topic_ns>/get_interactive_markers.
    """

    # The names of methods are the original's.
    # ruff: noqa: N802

    DEFAULT_FEEDBACK_CALLBACK = 255

    def __init__(self, node: Node, topic_ns: str, q_size: int = 100) -> None:
        """Starts to serve, without a marker yet."""
        self._node = node
        self._served: dict[str, InteractiveMarker] = {}
        self._callbacks: dict[str, dict[int, Callback]] = {}
        self._owners: dict[str, tuple[str, float]] = {}
        self._inserts: dict[str, InteractiveMarker] = {}
        self._poses: dict[str, InteractiveMarkerPose] = {}
        self._erases: set[str] = set()
        self._sequence_number = 0
        self._service = node.create_service(
            GetInteractiveMarkers, f"{topic_ns}/get_interactive_markers", self._on_request
        )
        self._publisher = node.create_publisher(
            InteractiveMarkerUpdate, f"{topic_ns}/update", q_size
        )
        self._subscription = node.create_subscription(
            InteractiveMarkerFeedback, f"{topic_ns}/feedback", self.processFeedback, q_size
        )

    def shutdown(self) -> None:
        """Takes the markers from the clients and stops to serve."""
        self.clear()
        self.applyChanges()
        self._node.destroy_service(self._service)
        self._node.destroy_subscription(self._subscription)
        self._node.destroy_publisher(self._publisher)

    def insert(
        self,
        marker: InteractiveMarker,
        *,
        feedback_callback: Callback | None = None,
        feedback_type: int = DEFAULT_FEEDBACK_CALLBACK,
    ) -> None:
        """Adds a marker, or replaces the one of its name."""
        self._erases.discard(marker.name)
        self._poses.pop(marker.name, None)
        self._inserts[marker.name] = marker
        if feedback_callback is not None:
            self.setCallback(marker.name, feedback_callback, feedback_type)

    def setPose(self, name: str, pose: Pose, header: Header | None = None) -> bool:
        """Moves a marker; an empty header keeps its frame. False if there is no such marker."""
        if name in self._inserts or name not in self._served:
            return False
        if header is None or not header.frame_id:
            header = self._served[name].header
        self._poses[name] = InteractiveMarkerPose(header=header, pose=pose, name=name)
        return True

    def erase(self, name: str) -> bool:
        """Removes a marker. False if there is no such marker."""
        exists = name in self._inserts or name in self._served
        self._inserts.pop(name, None)
        self._poses.pop(name, None)
        if name in self._served:
            self._erases.add(name)
        return exists

    def clear(self) -> None:
        """Removes all markers."""
        for name in {*self._inserts, *self._served}:
            self.erase(name)

    def setCallback(
        self,
        name: str,
        feedback_callback: Callback | None,
        feedback_type: int = DEFAULT_FEEDBACK_CALLBACK,
    ) -> bool:
        """Has a marker's feedback of a type, or of every other type, call `feedback_callback`.

        Returns:
            False if there is no such marker.
        """
        if name not in self._served and name not in self._inserts:
            return False
        callbacks = self._callbacks.setdefault(name, {})
        if feedback_callback is None:
            callbacks.pop(feedback_type, None)
        else:
            callbacks[feedback_type] = feedback_callback
        return True

    def applyChanges(self) -> None:
        """Sends what changed since the last call to the clients."""
        if not (self._inserts or self._poses or self._erases):
            return
        update = InteractiveMarkerUpdate(type=InteractiveMarkerUpdate.UPDATE)
        for name, marker in self._inserts.items():
            self._served[name] = marker
            update.markers.append(marker)
        for name, pose in self._poses.items():
            marker = self._served[name]
            marker.pose, marker.header = pose.pose, pose.header
            update.poses.append(pose)
        for name in sorted(self._erases):
            del self._served[name]
            self._callbacks.pop(name, None)
            self._owners.pop(name, None)
            update.erases.append(name)
        self._inserts, self._poses, self._erases = {}, {}, set()
        self._sequence_number += 1
        update.seq_num = self._sequence_number
        self._publisher.publish(update)

    def get(self, name: str) -> InteractiveMarker | None:
        """A copy of a marker as it will be after applyChanges."""
        if name in self._inserts:
            return copy.deepcopy(self._inserts[name])
        if name not in self._served or name in self._erases:
            return None
        marker = copy.deepcopy(self._served[name])
        if name in self._poses:
            marker.pose, marker.header = self._poses[name].pose, self._poses[name].header
        return marker

    def processFeedback(self, feedback: InteractiveMarkerFeedback) -> None:
        """Takes what a client's user did."""
        name = feedback.marker_name
        if name not in self._served:
            return
        now_s = time.monotonic()
        owner, heard_s = self._owners.get(name, ("", float("-inf")))
        if feedback.client_id != owner and now_s - heard_s < OWNERSHIP_S:
            return
        self._owners[name] = (feedback.client_id, now_s)
        if feedback.event_type == InteractiveMarkerFeedback.POSE_UPDATE:
            self.setPose(name, feedback.pose, feedback.header)
        callbacks = self._callbacks.get(name, {})
        default = callbacks.get(self.DEFAULT_FEEDBACK_CALLBACK)
        callback = callbacks.get(feedback.event_type, default)
        if callback is not None:
            callback(feedback)

    def _on_request(
        self, _: GetInteractiveMarkers.Request, response: GetInteractiveMarkers.Response
    ) -> GetInteractiveMarkers.Response:
        response.sequence_number = self._sequence_number
        response.markers = list(self._served.values())
        return response


class _SteadyNode:
    """A node whose clock is the steady one.

    The original server ignores a second client for a second of its node's clock, which is forever
    while simulated time is paused.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)

    def get_clock(self) -> Clock:
        return self._steady

    def __getattr__(self, name: str) -> Any:
        return getattr(self._node, name)


def create_marker_server(node: Node, topic_ns: str, own: bool = False) -> tuple[Any, str]:
    """A server of interactive markers, and the name of the package that it comes from.

    Args:
        node: Whose server.
        topic_ns: Namespace of its topics.
        own: Take this module's server in any case.
    """
    if not own:
        try:
            from interactive_markers import InteractiveMarkerServer as OriginalServer
        except ImportError:
            pass
        else:
            return OriginalServer(_SteadyNode(node), topic_ns), "interactive_markers"
    return InteractiveMarkerServer(node, topic_ns), "humanoid_mujoco_ros"
