# SPDX-License-Identifier: Apache-2.0
"""A robot that a view shows: what the view hears of it and does to it."""

from __future__ import annotations

from functools import partial

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import WrenchStamped

from humanoid_mujoco_ros.interaction.spring import SpringConfig
from humanoid_mujoco_ros.policy import fit
from humanoid_mujoco_ros.policy.config import VelocityMessageConfig
from humanoid_mujoco_ros.robot.posed_model import PosedModel
from humanoid_mujoco_ros.ros import conversions, diagnostics, parameters
from humanoid_mujoco_ros.ros.diagnostics_board import DiagnosticsBoard
from humanoid_mujoco_ros.ros.guard import GuardedNode
from humanoid_mujoco_ros.ros.remote_control import Caller, PolicyClient, SimulationClient
from humanoid_mujoco_ros.ros.robot_listener import RobotListener
from humanoid_mujoco_ros.ros.shared_config import FramesConfig, PairingConfig
from humanoid_mujoco_ros.ros.velocity_publisher import VelocityPublisher
from humanoid_mujoco_ros.ros.viewer_readings import ReadingsCollector
from humanoid_mujoco_ros.ros.wrench_publisher import WrenchPublisher
from humanoid_mujoco_ros.simulation.robot_spec import RobotSpec
from humanoid_mujoco_ros.viewer.readings import Readings
from humanoid_mujoco_ros.viewer.robot_view import RobotSource, RobotView


class ViewedRobot:
    """Listens to a robot in the namespace of its node, and pushes and drives it.

    Attributes:
        name: The robot, as people call it.
        source: What a page is to show.
    """

    def __init__(
        self,
        node: GuardedNode,
        world: GuardedNode,
        spec: RobotSpec,
        caller: Caller,
        rejections: diagnostics.Rejections,
    ) -> None:
        """Declares the robot's parameters and loads it.

        Args:
            node: In the robot's namespace.
            world: In that of the world, if the robot shares one; else the same.
            spec: The robot's name, if it has one, and its place.
            caller: Calls services.
            rejections: Takes what is refused.

        Raises:
            ValueError: A parameter cannot be used; the message says why.
        """
        self._node = node
        self._rejections = rejections
        self._robot = parameters.declare_robot(node)
        self.name = spec.name or self._robot.name
        self._is_alone = not spec.name
        spring = parameters.declare(node, SpringConfig)
        stamped = parameters.declare(node, VelocityMessageConfig).stamped_cmd_vel
        self._joint_map = parameters.declare_joint_map(node, self._robot)
        self._wrenches = WrenchPublisher(node, parameters.declare(node, FramesConfig).frame_prefix)
        self._velocity = VelocityPublisher(node, is_stamped=stamped)
        self._pairing = parameters.declare(node, PairingConfig)
        self._board = DiagnosticsBoard(node.get_namespace(), ignore=node.get_name())
        self._simulation = SimulationClient(node, world, caller)
        self._stamp_ns: int | None = None
        self.source = RobotSource(
            posed=PosedModel(self._robot),
            spring=spring,
            policies=fit.fitting_names(self._robot),
            simulation=self._simulation,
            policy=PolicyClient(node, caller),
            readings=self._collect,
            efforts=lambda: self._readings.efforts(),
            name=spec.name,
            placement=spec.placement,
        )

    def connect(self, view: RobotView) -> None:
        """Begins to listen; `view` is the robot on the page."""
        node, self._view = self._node, view
        self._listener = RobotListener(
            node,
            self.source.posed,
            self._joint_map,
            self.on_state,
            self._rejections.add,
            self._pairing,
        )
        self._readings = ReadingsCollector(self._board, self._listener)
        for side, _, _ in self._robot.foot_sensors:
            topic, callback = f"{side}_foot/wrench", partial(self.on_foot_wrench, side)
            node.create_subscription(WrenchStamped, topic, callback, 1)
        node.create_subscription(DiagnosticArray, "/diagnostics", self._board.on_diagnostics, 10)

    @property
    def pushed_links(self) -> list[str]:
        """The links that are pushed now, with the robot's name if there are several."""
        prefix = "" if self._is_alone else f"{self.name}/"
        return [prefix + link for link in sorted(self._wrenches.links)]

    @property
    def problem(self) -> str | None:
        """What to say of a robot that is not seen; None: it is."""
        silence = self._readings.silence()
        return silence if silence is None or self._is_alone else f"{self.name}: {silence}"

    def on_state(self, stamp_ns: int) -> None:
        """Takes a new state and answers with what acts on the robot from now."""
        self._stamp_ns = stamp_ns
        self._wrenches.publish(self._view.on_state(stamp_ns), stamp_ns)

    def on_foot_wrench(self, side: str, message: WrenchStamped) -> None:
        """Takes the ground's force on a foot."""
        self._view.on_foot_wrench(side, conversions.from_wrench(message))

    def update(self) -> None:
        """Does what is to be done with each frame."""
        if self._readings.silence() is not None:
            self._view.robot_lost()
        self._velocity.send(self._view.velocity())

    def let_go(self) -> None:
        """Ends whatever pushes the robot."""
        self._wrenches.publish({}, self._stamp_ns or 0)

    def _collect(self) -> Readings:
        return self._readings.readings(self._stamp_ns, is_pushable=self._simulation.is_there)
