# SPDX-License-Identifier: Apache-2.0
"""Makes a robot's observation of its state, in simulation and from what a robot measures."""

from __future__ import annotations

from collections.abc import Callable

import mujoco
import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.policy.measurement import BaseSource
from humanoid_mujoco_ros.policy.observation import observe_data
from humanoid_mujoco_ros.policy.state_vector import (
    StateVector,
    has_humanoid_v4,
    observation_layout,
)
from humanoid_mujoco_ros.robot.model import RobotModel

Float64Array = NDArray[np.float64]


class Observer:
    """Makes the vector that `observation_layout` describes.

    Attributes:
        layout: The blocks of the vector in their order.
    """

    def __init__(
        self, robot: RobotModel, base: BaseSource = "odom", *, mask_cfrc_ext: bool = False
    ) -> None:
        """Prepares the vector.

        Args:
            robot: The robot to observe.
            base: What measures its base.
            mask_cfrc_ext: Observe zeros for the contact forces of Humanoid-v4's vector.
        """
        self.layout = observation_layout(robot, base)
        self._observe: Callable[[mujoco.MjData], Float64Array]
        if base == "odom" and has_humanoid_v4(robot):
            self._observe = lambda data: observe_data(data, mask_cfrc_ext=mask_cfrc_ext)
        else:
            self._observe = StateVector(robot, base).of_data

    def observe(self, data: mujoco.MjData) -> Float64Array:
        """The observation (size,) of a MuJoCo state; a new array.

        Args:
            data: Of the robot's model, simulated (after mj_rnePostConstraint) or as a PosedModel
                gives it.
        """
        return self._observe(data)
