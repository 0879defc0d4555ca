# SPDX-License-Identifier: Apache-2.0
"""force_marker_node: an interactive marker in RViz that pulls the robot."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from geometry_msgs.msg import Point, Pose, Quaternion, WrenchStamped
from rclpy.clock import Clock, ClockType
from visualization_msgs.msg import (
    InteractiveMarker,
    InteractiveMarkerControl,
    InteractiveMarkerFeedback,
    Marker,
    MenuEntry,
)

from humanoid_mujoco_ros.interaction.drag import Drag
from humanoid_mujoco_ros.interaction.spring import SpringConfig
from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.model import BASE_LINK, ModelConfig, RobotModel
from humanoid_mujoco_ros.robot.posed_model import PosedModel
from humanoid_mujoco_ros.robot.state import Wrench
from humanoid_mujoco_ros.robot.vectors import VectorError, checked_vector
from humanoid_mujoco_ros.ros import conversions, diagnostics, parameters, runtime
from humanoid_mujoco_ros.ros.conversions import ODOM_FRAME
from humanoid_mujoco_ros.ros.guard import GuardedNode
from humanoid_mujoco_ros.ros.marker_server import create_marker_server
from humanoid_mujoco_ros.ros.pairing import PairingConfig
from humanoid_mujoco_ros.ros.remote_control import (
    Caller,
    PolicyClient,
    Say,
    SimulationClient,
)
from humanoid_mujoco_ros.ros.robot_listener import RobotListener

MARKER = "force_marker"
"""Name of the marker, and of the topics' namespace."""
BODY_MENU_ID = 100
"""Id of the menu entry of the first body; the others' follow."""
ARROW_LENGTH_M_PER_N = 0.005
"""Length of the arrow that shows a force: a metre for 200 N."""
WRENCH_TIMEOUT_S = 0.2
"""A force that nobody renews for so long has ended."""

_REFRESH_PERIOD_S = 1 / 30
_MIN_MOVE_M = 1e-4
"""A body that moved by less leaves the marker where it is."""
_ZERO = Wrench(np.zeros(3), np.zeros(3))


@dataclass(frozen=True)
class MarkerConfig:
    """How the marker behaves."""

    body: str = "torso"
    """Body to which the marker is attached at first."""
    client_timeout_s: float = 5.0
    """A client that is silent for so long in mid-drag lets go; its next move grabs again."""
    scale: float = 0.6
    """Size of the marker [m]."""
    frame_prefix: str = ""
    """Goes before every frame's name, as simulation_node's."""
    pairing_tolerance_s: float = 0.0
    """How far the stamps of joint_states and odom may differ."""
    marker_server: Literal["auto", "own"] = "auto"
    """auto: the package interactive_markers where it is installed; own: never."""

    def __post_init__(self) -> None:
        """Checks the ranges.

        Raises:
            ValueError: A value is out of its range.
        """
        for name in ("client_timeout_s", "scale"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")
        if not self.pairing_tolerance_s >= 0:
            raise ValueError(
                f"pairing_tolerance_s must not be negative, not {self.pairing_tolerance_s}"
            )


@dataclass(frozen=True, eq=False)
class _Force:
    """What acts on a link, by the last message."""

    force: np.ndarray
    """(3,) [N] in the link's frame."""
    time_s: float
    """Steady time of its reception [s]."""


class ForceMarkerNode(GuardedNode):
    """Lets a person drag a body in RViz: a spring pulls it towards the marker.

    The marker sits at the body's centre of mass. Moved, it pulls there; turned, it turns the body.
    Its menu chooses the body, resets, pauses, steps, and enables or disables the policy.

    Publishes: force_marker/update, external_wrench (with every new state while dragging, a zero one
    at its end), force_marker/arrow (one for each link on which a force acts, whoever exerts it; at
    the link's centre of mass), /diagnostics.

    Subscribes: joint_states, odom, external_wrench, force_marker/feedback.

    Services: force_marker/get_interactive_markers. Calls: simulation/reset, simulation/pause,
    simulation/step, policy_node/get_state, policy_node/change_state.

    Parameters: the fields of MarkerConfig, of SpringConfig, of ModelConfig (its path as `model`),
    and `joint_map`.
    """

    def __init__(self) -> None:
        """Waits for the robot's first state to show the marker.

        Raises:
            ValueError: A parameter cannot be used; the message says why.
        """
        super().__init__("force_marker_node")
        self._robot = RobotModel(parameters.declare(self, ModelConfig, path="model"))
        self._config = parameters.declare(self, MarkerConfig)
        spring = parameters.declare(self, SpringConfig)
        self._body = self._config.body
        self._robot.body_of_link(self._body)
        self._posed = PosedModel(self._robot)
        self._drag = Drag(self._posed, spring, self._config.client_timeout_s)
        self._force_n = 0.0
        self._forces: dict[str, _Force] = {}
        self._shown_position: np.ndarray | None = None
        self._last_service_error = ""
        self._rejections = diagnostics.Rejections(self)

        self._wrench = self.create_publisher(WrenchStamped, "external_wrench", 10)
        self._arrow = self.create_publisher(Marker, f"{MARKER}/arrow", 10)
        self._server, self._server_package = create_marker_server(
            self, MARKER, self._config.marker_server == "own"
        )
        self._caller = Caller()
        simulation = SimulationClient(self, self._caller)
        policy = PolicyClient(self, self._caller)
        self._menu: dict[int, tuple[str, Callable[[Say], None]]] = {
            2: ("Reset", simulation.reset),
            3: ("Pause", partial(simulation.pause, True)),
            4: ("Resume", partial(simulation.pause, False)),
            5: ("Step", simulation.step),
            6: ("Enable policy", policy.start),
            7: ("Disable policy", policy.stop),
        }
        self._robot_listener = RobotListener(
            self,
            self._posed,
            parameters.declare_joint_map(self, self._robot),
            self.on_state,
            self._rejections.add,
            PairingConfig(self._config.pairing_tolerance_s),
        )
        self.create_subscription(WrenchStamped, "external_wrench", self.on_external_wrench, 10)
        self._diagnostics = diagnostics.DiagnosticsPublisher(
            self, "force marker", self._robot.name, self._health
        )
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(_REFRESH_PERIOD_S, self._refresh, clock=steady)

    def destroy_node(self) -> None:
        """Lets go, then ends the node."""
        if self.context.ok():
            self._end_drag()
            for frame in self._forces:
                self._arrow.publish(_arrow(frame, Marker.DELETE))
            self._server.shutdown()
        super().destroy_node()

    def on_state(self, stamp_ns: int) -> None:
        """Pulls the body from where it is now."""
        if self._shown_position is None:
            self._show()
        pull = self._drag.pull()
        if pull is not None:
            self._publish_wrench(self._drag.link, pull.wrench, stamp_ns)
            self._force_n = float(np.linalg.norm(pull.force_world))

    def on_external_wrench(self, message: WrenchStamped) -> None:
        """Takes what acts on a link, to show it: this node's own messages and those of others."""
        wrench = conversions.from_wrench(message)
        try:
            checked_vector([*wrench.force, *wrench.torque], 6, "external wrench")
        except VectorError as error:
            self._rejections.add(error)
            return
        self._forces[message.header.frame_id] = _Force(wrench.force, time.monotonic())

    def on_feedback(self, feedback: InteractiveMarkerFeedback) -> None:
        """Follows what a person does with the marker."""
        now_s, client = time.monotonic(), feedback.client_id
        match feedback.event_type:
            case InteractiveMarkerFeedback.MENU_SELECT:
                self._select(feedback.menu_entry_id)
            case InteractiveMarkerFeedback.MOUSE_UP:
                if client == self._drag.client:
                    self._end_drag()
            case InteractiveMarkerFeedback.KEEP_ALIVE:
                self._drag.keep(client, now_s)
            case InteractiveMarkerFeedback.MOUSE_DOWN | InteractiveMarkerFeedback.POSE_UPDATE:
                self._move(feedback, now_s)

    def _move(self, feedback: InteractiveMarkerFeedback, now_s: float) -> None:
        position = feedback.pose.position
        target = np.array([position.x, position.y, position.z])
        quaternion = conversions.from_quaternion(feedback.pose.orientation)
        frame = feedback.header.frame_id
        if frame not in ("", self._config.frame_prefix + ODOM_FRAME):
            self._rejections.add(f"marker feedback in frame '{frame}', expected {ODOM_FRAME}")
        elif not (np.isfinite(target).all() and np.isfinite(quaternion).all()):
            self._rejections.add("marker feedback is not finite")
        elif self._drag.link:
            self._drag.move(feedback.client_id, target, quaternion, now_s)
        else:
            grab_point = self._posed.center_of_mass(self._body)
            self._drag.grab(
                feedback.client_id, self._body, grab_point, target, rotation.IDENTITY, now_s
            )
            self._drag.move(feedback.client_id, target, quaternion, now_s)

    def _end_drag(self) -> None:
        link = self._drag.link
        if not link:
            return
        self._drag.release()
        self._force_n = 0.0
        self._publish_wrench(link, _ZERO, self._stamp_ns())
        self._shown_position = np.full(3, np.inf)

    def _refresh(self) -> None:
        """Notices a lost client; keeps an idle marker at its body and the arrows up to date."""
        self._caller.check_timeouts()
        if self._drag.link and self._is_client_lost():
            self.get_logger().warning("the marker's client is lost in mid-drag: letting go")
            self._end_drag()
        self._show_forces()
        if self._shown_position is None:
            return
        if not self._drag.link:
            position = self._grab_position()
            if not np.linalg.norm(position - self._shown_position) < _MIN_MOVE_M:
                self._shown_position = position
                self._server.setPose(MARKER, _pose(position))
        self._server.applyChanges()

    def _is_client_lost(self) -> bool:
        feedback = self.resolve_topic_name(f"{MARKER}/feedback")
        return self._drag.is_client_lost(time.monotonic()) or self.count_publishers(feedback) == 0

    def _grab_position(self) -> np.ndarray:
        position, quaternion = self._posed.link_pose(self._body)
        return position + rotation.rotate(quaternion, self._posed.center_of_mass(self._body))

    def _show(self) -> None:
        """Puts the marker, with its menu, at the body."""
        self._shown_position = self._grab_position()
        marker = InteractiveMarker(name=MARKER, scale=self._config.scale)
        marker.header.frame_id = self._config.frame_prefix + ODOM_FRAME
        marker.description = self._body
        marker.pose = _pose(self._shown_position)
        marker.controls = _controls(self._config.scale)
        marker.menu_entries = [MenuEntry(id=1, title="Body")]
        marker.menu_entries += [
            MenuEntry(
                id=BODY_MENU_ID + i,
                parent_id=1,
                title=f"[{'x' if body == self._body else ' '}] {body}",
            )
            for i, body in enumerate(self._robot.bodies)
        ]
        marker.menu_entries += [MenuEntry(id=i, title=t) for i, (t, _) in self._menu.items()]
        self._server.insert(marker, feedback_callback=self.on_feedback)
        self._server.applyChanges()

    def _select(self, entry: int) -> None:
        body = entry - BODY_MENU_ID
        if 0 <= body < len(self._robot.bodies):
            self._end_drag()
            self._body = self._robot.bodies[body]
            self._show()
        elif entry in self._menu:
            title, action = self._menu[entry]
            self.get_logger().info(f"menu: {title}")
            action(self._on_answer)

    def _on_answer(self, text: str, is_error: bool) -> None:
        self._last_service_error = text if is_error else ""
        if is_error:
            self.get_logger().error(text)

    def _stamp_ns(self) -> int:
        return self.get_clock().now().nanoseconds

    def _publish_wrench(self, link: str, wrench: Wrench, stamp_ns: int) -> None:
        frame = self._config.frame_prefix + link
        self._wrench.publish(conversions.to_wrench(wrench, frame, conversions.to_time(stamp_ns)))

    def _show_forces(self) -> None:
        """Draws the forces that act; takes away the arrows of those that have ended."""
        now_s = time.monotonic()
        for frame, force in list(self._forces.items()):
            if now_s - force.time_s > WRENCH_TIMEOUT_S or not np.any(force.force):
                del self._forces[frame]
                self._arrow.publish(_arrow(frame, Marker.DELETE))
                continue
            marker = _arrow(frame, Marker.ADD)
            start = self._center_of_mass(frame.removeprefix(self._config.frame_prefix))
            marker.points = [_point(start), _point(start + ARROW_LENGTH_M_PER_N * force.force)]
            self._arrow.publish(marker)

    def _center_of_mass(self, link: str) -> np.ndarray:
        """(3,) [m] in the link's frame; its origin if MuJoCo has no such body."""
        is_body = link in (BASE_LINK, *self._robot.bodies)
        return self._posed.center_of_mass(link) if is_body else np.zeros(3)

    def _health(self) -> diagnostics.Health:
        health = diagnostics.Health()
        age_s = self._robot_listener.age_s
        if age_s is None or age_s > 1.0:
            health.report(diagnostics.WARN, self._robot_listener.silence())
        if self._last_service_error:
            health.report(diagnostics.WARN, self._last_service_error)
        health.values = {
            "body": self._body,
            "dragging": bool(self._drag.link),
            "client": self._drag.client,
            "force_n": self._force_n,
            "marker_server": self._server_package,
        }
        self._rejections.report_to(health)
        return health


def _controls(scale: float) -> list[InteractiveMarkerControl]:
    """An arrow and a ring for each axis, and a ball to move freely in the view's plane."""
    ball = Marker(type=Marker.SPHERE)
    ball.scale.x = ball.scale.y = ball.scale.z = 0.25 * scale
    ball.color.r, ball.color.g, ball.color.b, ball.color.a = 1.0, 0.6, 0.1, 0.8
    controls = [
        InteractiveMarkerControl(
            name="move",
            interaction_mode=InteractiveMarkerControl.MOVE_3D,
            orientation_mode=InteractiveMarkerControl.VIEW_FACING,
            independent_marker_orientation=True,
            always_visible=True,
            markers=[ball],
        )
    ]
    half = float(np.sqrt(0.5))
    # A control acts along the x axis of its orientation.
    for axis, (x, y, z) in {
        "x": (half, 0.0, 0.0),
        "y": (0.0, 0.0, half),
        "z": (0.0, half, 0.0),
    }.items():
        for verb, mode in (
            ("move", InteractiveMarkerControl.MOVE_AXIS),
            ("turn", InteractiveMarkerControl.ROTATE_AXIS),
        ):
            controls.append(
                InteractiveMarkerControl(
                    name=f"{verb}_{axis}",
                    orientation=Quaternion(x=x, y=y, z=z, w=half),
                    orientation_mode=InteractiveMarkerControl.FIXED,
                    interaction_mode=mode,
                )
            )
    return controls


def _arrow(frame: str, action: int) -> Marker:
    """The arrow of the force on the link with this frame, with which it moves."""
    marker = Marker(ns=frame, type=Marker.ARROW, action=action, frame_locked=True)
    marker.header.frame_id = frame
    marker.pose.orientation.w = 1.0
    marker.scale.x, marker.scale.y, marker.scale.z = 0.03, 0.07, 0.1
    marker.color.r, marker.color.g, marker.color.b, marker.color.a = 1.0, 0.3, 0.1, 1.0
    # Should this node be killed, its last arrows go too.
    marker.lifetime.nanosec = 500_000_000
    return marker


def _point(position: np.ndarray) -> Point:
    x, y, z = position.tolist()
    return Point(x=x, y=y, z=z)


def _pose(position: np.ndarray) -> Pose:
    return Pose(position=_point(position))


def main(args: Sequence[str] | None = None) -> int:
    """Runs the node; the exit status is 2 when it could not start."""
    return runtime.run(ForceMarkerNode, args)


if __name__ == "__main__":
    sys.exit(main())
