# SPDX-License-Identifier: Apache-2.0
"""The interactive marker at a body, and the spring between the two."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from rclpy.node import Node
from visualization_msgs.msg import InteractiveMarkerFeedback

from humanoid_mujoco_ros.interaction.drag import Drag
from humanoid_mujoco_ros.interaction.spring import Pull, SpringConfig
from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.posed_model import PosedModel
from humanoid_mujoco_ros.robot.ranges import bounded, check_ranges
from humanoid_mujoco_ros.robot.vectors import checked_vector
from humanoid_mujoco_ros.ros import conversions, marker_drawing
from humanoid_mujoco_ros.ros.marker_server import MarkerServer
from humanoid_mujoco_ros.ros.remote_control import Caller, PolicyClient, SimulationClient
from humanoid_mujoco_ros.viewer.actions import Say

MARKER = "force_marker"
"""Name of the marker, and of the topics' namespace."""
MAX_DISTANCE_M = 100.0
"""A marker that is moved farther from its body was not moved by a person."""
_FIRST_ACTION_ID = 2


@dataclass(frozen=True)
class MarkerConfig:
    """How the marker behaves."""

    body: str = "torso"
    """Body to which the marker is attached at first."""
    client_timeout_s: float = bounded(5.0, 1e-3)
    """A client that is silent for this time during a drag lets go; its next move grabs again."""
    scale: float = bounded(0.6, 1e-3)
    """Size of the marker [m]."""

    def __post_init__(self) -> None:
        """Checks the ranges.

        Raises:
            ValueError: A value is out of its range.
        """
        check_ranges(self)


def simulation_menu(node: Node, caller: Caller, say: Say) -> dict[str, Callable[[], None]]:
    """The menu that operates the simulation and the policy: title → what it does."""
    simulation, policy = SimulationClient(node, node, caller), PolicyClient(node, caller)
    return {
        "Reset": partial(simulation.reset, say),
        "Pause": partial(simulation.pause, say),
        "Resume": partial(simulation.resume, say),
        "Step": partial(simulation.step, say),
        "Enable policy": partial(policy.start, say),
        "Disable policy": partial(policy.stop, say),
    }


class ForceMarker:
    """Shows the marker at a body's centre of mass and turns what a person does into a pull.

    The marker has the body's frame, so that RViz moves it with the body: no update is sent while
    nobody touches it, and none during a drag.
    """

    def __init__(
        self,
        node: Node,
        posed: PosedModel,
        spring: SpringConfig,
        config: MarkerConfig,
        frame_prefix: str,
        actions: Mapping[str, Callable[[], None]],
        on_release: Callable[[str], None],
        on_refused: Callable[[object], None],
    ) -> None:
        """Serves, without showing the marker yet.

        Args:
            node: The node that serves.
            posed: Says where the bodies are.
            spring: Between the body and the marker.
            config: How the marker behaves.
            frame_prefix: Goes before the names of the bodies' frames.
            actions: Title of a menu entry → what it does.
            on_release: Takes the body that is no longer dragged.
            on_refused: Takes the reason why feedback cannot be used.

        Raises:
            ModelError: There is no such body.
        """
        self._node = node
        self._posed = posed
        self._config = config
        self._prefix = frame_prefix
        self._actions = dict(enumerate(actions.items(), start=_FIRST_ACTION_ID))
        self._on_release = on_release
        self._on_refused = on_refused
        self._is_shown = False
        posed.robot.body_of_link(config.body)
        self.body = config.body
        """The body at which the marker is."""
        self._drag = Drag(posed, spring, config.client_timeout_s, is_handle_carried=True)
        self._server = MarkerServer(node, MARKER, self.on_feedback)

    @property
    def link(self) -> str | None:
        """The body that is dragged."""
        return self._drag.link

    @property
    def client(self) -> str | None:
        """The client that drags."""
        return self._drag.client

    def show(self) -> None:
        """Shows the marker, once."""
        if not self._is_shown:
            self._is_shown = True
            self._show()

    def remove(self) -> None:
        """Takes the marker from the clients."""
        self._server.remove()

    def on_feedback(self, feedback: InteractiveMarkerFeedback) -> None:
        """Follows what the client that has the marker does with it."""
        match feedback.event_type:
            case InteractiveMarkerFeedback.MENU_SELECT:
                self.release()
                self._select(feedback.menu_entry_id)
            case InteractiveMarkerFeedback.MOUSE_UP:
                if feedback.client_id == self._drag.client:
                    self.release()
            case InteractiveMarkerFeedback.KEEP_ALIVE:
                self._drag.keep(feedback.client_id, time.monotonic())
            case InteractiveMarkerFeedback.MOUSE_DOWN | InteractiveMarkerFeedback.POSE_UPDATE:
                try:
                    self._follow(feedback)
                except ValueError as error:
                    self._on_refused(error)

    def pull(self) -> Pull | None:
        """What acts on the body where it is now; None when nobody drags."""
        return self._drag.pull()

    def release(self) -> None:
        """Ends a drag, if there is one; the marker goes back to its body."""
        link = self._drag.link
        if link:
            self._drag.release()
            self._on_release(link)
            self._server.move(marker_drawing.pose(self._posed.center_of_mass(self.body)))

    def check_client(self) -> None:
        """Lets go if the client that drags is silent for too long, or gone; call it often."""
        if not self._drag.link:
            return
        feedback = self._node.resolve_topic_name(f"{MARKER}/feedback")
        is_gone = self._node.count_publishers(feedback) == 0
        if is_gone or self._drag.is_client_lost(time.monotonic()):
            self._node.get_logger().warning("the marker's client is lost in mid-drag: letting go")
            self.release()

    def _follow(self, feedback: InteractiveMarkerFeedback) -> None:
        """Takes where a client holds the marker.

        Raises:
            ValueError: The frame is another, a number is not finite, or the marker is too far away.
        """
        frame = feedback.header.frame_id
        if frame != self._frame:
            raise ValueError(f"marker feedback is in frame '{frame[:100]}', expected {self._frame}")
        p = feedback.pose.position
        position = checked_vector([p.x, p.y, p.z], 3, "marker position")
        quaternion = checked_vector(
            conversions.from_quaternion(feedback.pose.orientation).tolist(), 4, "marker orientation"
        )
        center = self._posed.center_of_mass(self.body)
        if np.abs(position - center).max() > MAX_DISTANCE_M:
            raise ValueError(f"marker position is over {MAX_DISTANCE_M:g} m away from {self.body}")
        now_s = time.monotonic()
        if not self._drag.link:
            self._drag.grab(feedback.client_id, self.body, center, center, rotation.IDENTITY, now_s)
        self._drag.move(feedback.client_id, position, quaternion, now_s)

    def _select(self, entry: int) -> None:
        """Does what a menu entry says: goes to another body, or acts."""
        bodies = self._posed.robot.bodies
        if 0 <= entry - marker_drawing.BODY_MENU_ID < len(bodies):
            self.body = bodies[entry - marker_drawing.BODY_MENU_ID]
            self._show()
        elif entry in self._actions:
            title, action = self._actions[entry]
            self._node.get_logger().info(f"menu: {title}")
            action()

    @property
    def _frame(self) -> str:
        return self._prefix + self.body

    def _show(self) -> None:
        center, scale = self._posed.center_of_mass(self.body), self._config.scale
        marker = marker_drawing.force_marker(MARKER, self._frame, center, scale)
        marker.description = self.body
        titles = {entry: title for entry, (title, _) in self._actions.items()}
        marker.menu_entries = marker_drawing.menu(self._posed.robot.bodies, self.body, titles)
        self._server.show(marker)
