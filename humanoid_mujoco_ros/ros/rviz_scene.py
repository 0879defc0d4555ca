# SPDX-License-Identifier: Apache-2.0
"""What RViz shows beside the robot and the marker: the forces that act, the ground, the trail."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from visualization_msgs.msg import Marker

from humanoid_mujoco_ros.robot.model import BASE_LINK, RobotModel
from humanoid_mujoco_ros.robot.posed_model import PosedModel
from humanoid_mujoco_ros.ros import marker_drawing
from humanoid_mujoco_ros.viewer.trail import Trail

Float64Array = NDArray[np.float64]

MAX_FORCES = 100
"""Frames whose forces are shown at once; further ones are not."""
_TRAIL_SPACING_M = 0.1
_LATCHED = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@dataclass(frozen=True, eq=False)
class _Force:
    """What acts on a link, by the last message."""

    force: Float64Array
    """(3,) [N] in the link's frame."""
    time_s: float
    """Steady time of its reception [s]."""


class ForceArrowMarkers:
    """Draws an arrow for each link on which a force acts, at the link's centre of mass.

    Publishes: <topic>, an arrow in the frame of its link.
    """

    def __init__(
        self, node: Node, topic: str, posed: PosedModel, prefix: str, timeout_s: float
    ) -> None:
        """Draws nothing yet.

        Args:
            node: The publisher.
            topic: Where the arrows go.
            posed: Says where a link's centre of mass is.
            prefix: Goes before every frame's name.
            timeout_s: A force that nobody renews for this time has ended.
        """
        self._posed = posed
        self._prefix = prefix
        self._timeout_s = timeout_s
        self._forces: dict[str, _Force] = {}
        self._publisher = node.create_publisher(Marker, topic, 10)

    def add(self, frame: str, force: Float64Array) -> None:
        """Takes a finite force (3,) [N] on the link with this frame, in its axes."""
        if frame in self._forces or len(self._forces) < MAX_FORCES:
            self._forces[frame] = _Force(force, time.monotonic())

    def draw(self) -> None:
        """Draws the forces that act; takes away the arrows of those that have ended."""
        now_s = time.monotonic()
        for frame, force in list(self._forces.items()):
            if now_s - force.time_s > self._timeout_s or not np.any(force.force):
                self._remove(frame)
            else:
                start = self._center_of_mass(frame.removeprefix(self._prefix))
                self._publisher.publish(marker_drawing.force_arrow(frame, start, force.force))

    def clear(self) -> None:
        """Takes away all arrows."""
        for frame in list(self._forces):
            self._remove(frame)

    def _remove(self, frame: str) -> None:
        del self._forces[frame]
        self._publisher.publish(marker_drawing.no_force_arrow(frame))

    def _center_of_mass(self, link: str) -> Float64Array:
        """(3,) [m] in the link's frame; its origin if MuJoCo has no such body."""
        robot: RobotModel = self._posed.robot
        is_body = link in (BASE_LINK, *robot.bodies)
        return self._posed.center_of_mass(link) if is_body else np.zeros(3)


class Surroundings:
    """Draws the ground around the robot, wherever it walks, and the way it came.

    Publishes: <topic>, latched: the markers "ground" and "trail".
    """

    def __init__(self, node: Node, topic: str, frame: str) -> None:
        """Draws nothing yet; `frame` is the odometry's."""
        self._frame = frame
        self._center: Float64Array | None = None
        self._trail = Trail(spacing_m=_TRAIL_SPACING_M)
        self._publisher = node.create_publisher(Marker, topic, _LATCHED)

    def update(self, base_position: ArrayLike) -> None:
        """Follows the base, now at (3,) [m]; a base that jumped begins another trail."""
        position = np.array(base_position, dtype=np.float64)
        reach = marker_drawing.GROUND_HALF_SIZE_M / 2
        if self._center is None or np.abs(position[:2] - self._center).max() > reach:
            self._center = np.round(position[:2])
            self._publisher.publish(marker_drawing.ground(self._frame, self._center))
        if self._trail.add(position):
            points = self._trail.points()
            self._publisher.publish(marker_drawing.trail(self._frame, points))
