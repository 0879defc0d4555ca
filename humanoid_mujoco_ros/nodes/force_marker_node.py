# SPDX-License-Identifier: Apache-2.0
"""force_marker_node: an interactive marker in RViz that pulls the robot."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
from geometry_msgs.msg import WrenchStamped

from humanoid_mujoco_ros.interaction.spring import SpringConfig
from humanoid_mujoco_ros.robot.model import ODOM_FRAME, ModelConfig, RobotModel
from humanoid_mujoco_ros.robot.posed_model import PosedModel
from humanoid_mujoco_ros.robot.state import Wrench
from humanoid_mujoco_ros.robot.vectors import VectorError, checked_vector
from humanoid_mujoco_ros.ros import conversions, diagnostics, guard, parameters, runtime
from humanoid_mujoco_ros.ros.force_marker import MARKER, ForceMarker, MarkerConfig, simulation_menu
from humanoid_mujoco_ros.ros.remote_control import Caller
from humanoid_mujoco_ros.ros.robot_listener import RobotListener
from humanoid_mujoco_ros.ros.rviz_scene import ForceArrowMarkers, Surroundings
from humanoid_mujoco_ros.ros.shared_config import FramesConfig, PairingConfig
from humanoid_mujoco_ros.simulation.physics_loop import WRENCH_TIMEOUT_S

_REFRESH_PERIOD_S = 1 / 30


class ForceMarkerNode(guard.GuardedNode):
    """Lets a person drag a body in RViz: a spring pulls it towards the marker.

    The marker sits at the body's centre of mass, and RViz moves it with the body. When moved, it
    pulls there; when turned, it turns the body. Its menu chooses the body, resets, pauses, steps,
    and enables or disables the policy.

    Publishes: force_marker/update (only when the marker changes), external_wrench (with every new
    state while dragging, a zero one at the end), force_marker/arrow (one for each link on which a
    force acts, from whatever node), force_marker/scene (ground and trail, latched), /diagnostics.

    Subscribes: joint_states, odom, external_wrench, force_marker/feedback.

    Services: force_marker/get_interactive_markers. Calls: simulation/reset, simulation/pause,
    simulation/step, policy_node/get_state, policy_node/change_state.

    Parameters: the fields of MarkerConfig, of FramesConfig, of PairingConfig, of SpringConfig, of
    ModelConfig (its path as `model`), and `joint_map`.
    """

    def __init__(self) -> None:
        """Waits for the robot's first state to show the marker.

        Raises:
            ValueError: A parameter cannot be used; the message says why.
        """
        super().__init__("force_marker_node")
        self._robot = RobotModel(parameters.declare(self, ModelConfig, path="model"))
        config = parameters.declare(self, MarkerConfig)
        spring = parameters.declare(self, SpringConfig)
        self._prefix = parameters.declare(self, FramesConfig).frame_prefix
        self._posed = PosedModel(self._robot)
        self._rejections = diagnostics.Rejections(self)
        refuse = self._rejections.add
        self._service_error: str | None = None
        self._caller = Caller()
        menu = simulation_menu(self, self._caller, self._on_answer)
        self._wrench = self.create_publisher(WrenchStamped, "external_wrench", 10)
        self._marker = ForceMarker(
            self, self._posed, spring, config, self._prefix, menu, self.on_release, refuse
        )
        self._arrows = ForceArrowMarkers(
            self, f"{MARKER}/arrow", self._posed, self._prefix, WRENCH_TIMEOUT_S
        )
        self._surroundings = Surroundings(self, f"{MARKER}/scene", self._prefix + ODOM_FRAME)
        self._robot_listener = RobotListener(
            self,
            self._posed,
            parameters.declare_joint_map(self, self._robot),
            self.on_state,
            refuse,
            parameters.declare(self, PairingConfig),
        )
        self.create_subscription(WrenchStamped, "external_wrench", self.on_external_wrench, 10)
        self._diagnostics = diagnostics.DiagnosticsPublisher(
            self, "force marker", self._robot.name, self._health
        )
        self.create_steady_timer(_REFRESH_PERIOD_S, self._refresh)

    def destroy_node(self) -> None:
        """Lets go, then ends the node."""
        if self.context.ok():
            self._marker.release()
            self._arrows.clear()
            self._marker.remove()
        super().destroy_node()

    def on_state(self, stamp_ns: int) -> None:
        """Pulls the body from where it is now."""
        self._marker.show()
        position, _ = self._posed.link_pose(self._robot.bodies[0])
        self._surroundings.update(position)
        link, pull = self._marker.link, self._marker.pull()
        if link is not None and pull is not None:
            self._publish_wrench(link, pull.wrench, stamp_ns)

    def on_external_wrench(self, message: WrenchStamped) -> None:
        """Takes what acts on a link, to show it: this node's own messages and those of others."""
        wrench = conversions.from_wrench(message)
        try:
            checked_vector([*wrench.force, *wrench.torque], 6, "external wrench")
        except VectorError as error:
            self._rejections.add(error)
            return
        self._arrows.add(message.header.frame_id, wrench.force)

    def on_release(self, link: str) -> None:
        """Ends the force on a body that was dragged."""
        none = Wrench(np.zeros(3), np.zeros(3))
        self._publish_wrench(link, none, self.get_clock().now().nanoseconds)

    def _refresh(self) -> None:
        self._caller.check_timeouts()
        self._marker.check_client()
        self._arrows.draw()

    def _publish_wrench(self, link: str, wrench: Wrench, stamp_ns: int) -> None:
        frame, stamp = self._prefix + link, conversions.to_time(stamp_ns)
        self._wrench.publish(conversions.to_wrench(wrench, frame, stamp))

    def _on_answer(self, text: str, *, is_error: bool) -> None:
        self._service_error = text if is_error else None
        if is_error:
            self.get_logger().error(text)

    def _health(self) -> diagnostics.Health:
        health = diagnostics.Health()
        age_s = self._robot_listener.age_s
        if age_s is None or age_s > 1.0:
            health.report(diagnostics.WARN, self._robot_listener.silence())
        if self._service_error is not None:
            health.report(diagnostics.WARN, self._service_error)
        pull = self._marker.pull()
        health.values = {
            "body": self._marker.body,
            "dragging": bool(self._marker.link),
            "client": self._marker.client or "",
            "force_n": 0.0 if pull is None else float(np.linalg.norm(pull.force_world)),
        }
        self._rejections.report_to(health)
        return health


def main(args: Sequence[str] | None = None) -> int:
    """Runs the node; the exit status is 2 when it could not start."""
    return runtime.run(ForceMarkerNode, args)


if __name__ == "__main__":
    sys.exit(main())
