# SPDX-License-Identifier: Apache-2.0
"""Lets a policy that goes along the world's x axis go along any heading."""

from __future__ import annotations

import numpy as np

from humanoid_mujoco_ros.policy.state_vector import observation_layout
from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.robot.posed_model import PosedModel
from humanoid_mujoco_ros.robot.vectors import Float64Array

_UP = (0.0, 0.0, 1.0)


class TurnedView:
    """Shows Humanoid-v4's observation as it were, were a heading the world's x axis.

    What is measured in the world's axes turns with them, the inertias and velocities of the bodies
    among it, which are computed anew.
    """

    def __init__(self, robot: RobotModel) -> None:
        """Prepares the model; `robot` has Humanoid-v4's observation."""
        self._posed = PosedModel(robot)
        self._blocks = {block.name: block.slice for block in observation_layout(robot)}

    def turn(self, observation: Float64Array, heading_rad: float) -> Float64Array:
        """The observation (size,) that a robot would make which is turned back by `heading_rad`."""
        seen, blocks = observation.copy(), self._blocks
        back = rotation.from_axis_angle(_UP, -heading_rad)
        quaternion = rotation.normalized(seen[blocks["orientation"]])
        velocity = seen[blocks["linear_velocity"]]
        in_base = rotation.rotate(rotation.conjugate(quaternion), velocity)
        turned = rotation.multiply(back, quaternion)
        seen[blocks["orientation"]] = turned
        seen[blocks["linear_velocity"]] = rotation.rotate(back, velocity)
        positions = seen[blocks["joint_positions"]]
        self._posed.set_state(
            (0.0, 0.0, float(seen[blocks["height"]][0])),
            turned,
            in_base,
            seen[blocks["angular_velocity"]],
            positions,
            seen[blocks["joint_velocities"]],
            np.zeros_like(positions),
        )
        data = self._posed.data()
        seen[blocks["cinert"]], seen[blocks["cvel"]] = data.cinert.ravel(), data.cvel.ravel()
        forces = seen[blocks["cfrc_ext"]].reshape(-1, 3)  # torque and force in turn
        seen[blocks["cfrc_ext"]] = rotation.rotate(back, forces).ravel()
        return seen
