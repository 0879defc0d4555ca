# SPDX-License-Identifier: Apache-2.0
"""The parameters that say where an episode starts."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from rcl_interfaces.msg import ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.ros import parameters
from humanoid_mujoco_ros.simulation.robot_port import RobotPort
from humanoid_mujoco_ros.simulation.simulation import Simulation
from humanoid_mujoco_ros.simulation.start import StartConfig, start_qpos


class StartParameters:
    """start_posture and start_pose; a change holds from the next reset on."""

    def __init__(self, node: Node, simulation: Simulation) -> None:
        """Declares the parameters and moves the first episode to where they say.

        Raises:
            ValueError: The robot cannot start there.
        """
        self._node = node
        self._robot: RobotModel = simulation.robot
        self._port: RobotPort | None = None
        docs = parameters.field_docs(StartConfig)
        default = StartConfig()
        posture = node.declare_parameter(
            "start_posture",
            default.start_posture,
            ParameterDescriptor(description=docs["start_posture"]),
        ).value
        pose = node.declare_parameter(
            "start_pose",
            list(default.start_pose),
            ParameterDescriptor(description=docs["start_pose"]),
        ).value
        self._config = StartConfig(posture, tuple(pose))
        if self._config != default:
            simulation.start_at(start_qpos(self._robot, self._config))

    def serve(self, port: RobotPort) -> None:
        """Lets the parameters be changed while the robot's loop runs."""
        self._port = port
        self._node.add_on_set_parameters_callback(self.check)
        self._node.add_post_set_parameters_callback(self.take)

    def check(self, changes: Sequence[Parameter]) -> SetParametersResult:
        """Refuses what the robot cannot do."""
        try:
            start_qpos(self._robot, self._changed(changes))
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def take(self, changes: Sequence[Parameter]) -> None:
        """Takes over a start that has been checked."""
        config = self._changed(changes)
        if config != self._config and self._port is not None:
            self._config = config
            self._port.start_at(start_qpos(self._robot, config))

    def _changed(self, changes: Sequence[Parameter]) -> StartConfig:
        names = [field.name for field in dataclasses.fields(StartConfig)]
        values = {change.name: change.value for change in changes if change.name in names}
        if "start_pose" in values:
            values["start_pose"] = tuple(values["start_pose"])
        return dataclasses.replace(self._config, **values)
