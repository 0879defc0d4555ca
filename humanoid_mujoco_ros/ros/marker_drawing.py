# SPDX-License-Identifier: Apache-2.0
"""How the force marker, the forces, the ground and the trail look in RViz."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from geometry_msgs.msg import Point, Pose, Quaternion
from numpy.typing import NDArray
from visualization_msgs.msg import InteractiveMarker, InteractiveMarkerControl, Marker, MenuEntry

Float64Array = NDArray[np.float64]

ARROW_LENGTH_M_PER_N = 0.005
"""Length of the arrow that shows a force: a metre for 200 N."""
GROUND_HALF_SIZE_M = 20.0
"""The ground's lines reach so far from the robot."""
BODY_MENU_ID = 100
"""Id of the menu entry of the first body; those of the others follow."""
_BODY_MENU = 1
_BALL = 0.4
"""Diameter of the ball, relative to the marker's size; it has to show around a torso."""
_HALF = float(np.sqrt(0.5))
_AXES = {"x": (_HALF, 0.0, 0.0), "y": (0.0, 0.0, _HALF), "z": (0.0, _HALF, 0.0)}
"""Vector part of the rotation that takes x, along which a control acts, to the axis."""


def force_marker(name: str, frame: str, position: Float64Array, scale: float) -> InteractiveMarker:
    """A marker without a menu: an arrow and a ring for each axis, and a ball.

    Args:
        name: Of the marker.
        frame: Of the body that carries it. The stamp stays zero, so that RViz moves the marker with
            the frame by itself (visualization_msgs/InteractiveMarker).
        position: (3,) [m] in that frame.
        scale: Size [m].
    """
    marker = InteractiveMarker(name=name, scale=scale, pose=pose(position))
    marker.header.frame_id = frame
    marker.controls = [_ball(scale), *_axes()]
    return marker


def menu(bodies: Iterable[str], chosen: str, actions: dict[int, str]) -> list[MenuEntry]:
    """The marker's menu: a submenu of bodies with the chosen one ticked, then the actions."""
    entries = [MenuEntry(id=_BODY_MENU, title="Body")]
    for i, body in enumerate(bodies):
        title = f"[{'x' if body == chosen else ' '}] {body}"
        entries.append(MenuEntry(id=BODY_MENU_ID + i, parent_id=_BODY_MENU, title=title))
    entries += [MenuEntry(id=i, title=title) for i, title in actions.items()]
    return entries


def force_arrow(frame: str, start: Float64Array, force: Float64Array) -> Marker:
    """The arrow of a force (3,) [N] that acts at `start` (3,) [m], both in a link's frame."""
    marker = _marker(frame, frame, Marker.ARROW, (1.0, 0.3, 0.1, 1.0))
    marker.scale.x, marker.scale.y, marker.scale.z = 0.03, 0.07, 0.1
    marker.points = [point(start), point(start + ARROW_LENGTH_M_PER_N * force)]
    # Should the node be killed, its last arrows go too.
    marker.lifetime.nanosec = 500_000_000
    return marker


def no_force_arrow(frame: str) -> Marker:
    """What takes away the arrow of the link with this frame."""
    marker = _marker(frame, frame, Marker.ARROW, (0.0, 0.0, 0.0, 0.0))
    marker.action = Marker.DELETE
    return marker


def ground(frame: str, center: Float64Array) -> Marker:
    """Lines on the ground, a metre apart, around `center` (2,) whole metres in `frame`."""
    marker = _marker(frame, "ground", Marker.LINE_LIST, (0.63, 0.63, 0.64, 0.5))
    marker.pose.position.x, marker.pose.position.y = center.tolist()
    marker.scale.x = 0.01
    half = GROUND_HALF_SIZE_M
    for offset in np.arange(-half, half + 1.0):
        for line in (((offset, -half), (offset, half)), ((-half, offset), (half, offset))):
            marker.points += [point(np.array([*end, 0.0])) for end in line]
    return marker


def trail(frame: str, points: Float64Array) -> Marker:
    """A line on the ground through `points` (n, 3) [m] in `frame`; what removes it if n < 2."""
    marker = _marker(frame, "trail", Marker.LINE_STRIP, (1.0, 0.6, 0.2, 0.8))
    marker.scale.x = 0.02
    marker.points = [point(p) for p in points]
    if len(points) < 2:
        marker.action = Marker.DELETE
    return marker


def pose(position: Float64Array) -> Pose:
    """An upright pose at `position` (3,) [m]."""
    return Pose(position=point(position))


def point(position: Float64Array) -> Point:
    """A position (3,) [m] as message."""
    x, y, z = position.tolist()
    return Point(x=x, y=y, z=z)


def _marker(
    frame: str, namespace: str, shape: int, rgba: tuple[float, float, float, float]
) -> Marker:
    marker = Marker(ns=namespace, type=shape, action=Marker.ADD, frame_locked=True)
    marker.header.frame_id = frame
    marker.pose.orientation.w = 1.0
    marker.color.r, marker.color.g, marker.color.b, marker.color.a = rgba
    return marker


def _ball(scale: float) -> InteractiveMarkerControl:
    """Moves the marker freely in the plane of the view."""
    ball = Marker(type=Marker.SPHERE)
    ball.scale.x = ball.scale.y = ball.scale.z = _BALL * scale
    ball.color.r, ball.color.g, ball.color.b, ball.color.a = 1.0, 0.6, 0.1, 0.6
    return InteractiveMarkerControl(
        name="move",
        interaction_mode=InteractiveMarkerControl.MOVE_3D,
        orientation_mode=InteractiveMarkerControl.VIEW_FACING,
        independent_marker_orientation=True,
        always_visible=True,
        markers=[ball],
    )


def _axes() -> list[InteractiveMarkerControl]:
    modes = {
        "move": InteractiveMarkerControl.MOVE_AXIS,
        "turn": InteractiveMarkerControl.ROTATE_AXIS,
    }
    return [
        InteractiveMarkerControl(
            name=f"{verb}_{axis}",
            orientation=Quaternion(x=x, y=y, z=z, w=_HALF),
            orientation_mode=InteractiveMarkerControl.FIXED,
            interaction_mode=mode,
        )
        for axis, (x, y, z) in _AXES.items()
        for verb, mode in modes.items()
    ]
