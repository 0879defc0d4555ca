# SPDX-License-Identifier: Apache-2.0
"""How far a policy does what velocity commands ask, on any robot.

One robot at a time, with the driver and the simulation that the nodes use: what is measured here is
what `humanoid sim` shows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.policy.driver import Driver
from humanoid_mujoco_ros.policy.terms import heading_frame
from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.joint_map import JointMap
from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.simulation.simulation import Simulation, SimulationConfig
from humanoid_mujoco_ros.training.trial import Report

COMMANDS = (
    (0.0, 0.0, 0.0),
    (0.8, 0.0, 0.0),
    (-0.5, 0.0, 0.0),
    (0.0, 0.3, 0.0),
    (0.0, 0.0, 0.8),
)
"""vx, vy [m/s], yaw rate [rad/s]; each is given to a robot that stands."""
STAND_S = 2.0
SETTLE_S = 2.0
"""The velocity counts from this time after the command."""
MEASURE_S = 6.0

Array = NDArray[np.float64]


def evaluate(
    name: str,
    robot: RobotModel,
    starts: int,
    seed: int = 0,
    report: Report = lambda share: None,
) -> list[dict[str, Any]]:
    """A row for each command: what was asked, the mean velocity that was reached, and the falls.

    Args:
        name: The policy; it follows commands.
        robot: What it drives.
        starts: Number of initial states.
        seed: Of the first of them.
        report: Hears of the progress.
    """
    joint_map = JointMap(robot)
    driver = Driver(robot, joint_map, joint_map.driven_joints)
    driver.load(name, sample=False, seed=0)
    rows = []
    for i, command in enumerate(COMMANDS):
        reached = []
        for start in range(starts):
            reached.append(_velocity(driver, robot, np.array(command), seed + start))
            report((i * starts + start + 1) / (len(COMMANDS) * starts))
        stayed_up = [velocity for velocity in reached if velocity is not None]
        mean = np.mean(stayed_up, axis=0) if stayed_up else np.full(3, np.nan)
        rows.append(
            {
                "command": list(command),
                "reached": mean.round(4).tolist(),
                "falls": starts - len(stayed_up),
                "starts": starts,
            }
        )
    return rows


def _velocity(driver: Driver, robot: RobotModel, command: Array, seed: int) -> Array | None:
    """(3,) vx, vy [m/s] in the heading frame and yaw rate [rad/s], in the mean; None: it fell."""
    simulation = Simulation(robot, SimulationConfig(seed=seed))
    driver.reset()
    state, ramp = simulation.state(), driver.ramp()
    order = robot.joint_order(robot.driven_joints)
    measured = []
    for tick in range(round((STAND_S + SETTLE_S + MEASURE_S) * robot.control_rate_hz)):
        time_s = tick * robot.control_period_s
        asked = command if time_s >= STAND_S else np.zeros(3)
        commands = np.zeros(len(robot.joints))
        commands[order] = ramp.blend(driver.answer(state.observation.tolist(), asked), 1.0)
        state = simulation.step(commands)
        if state.fallen:
            return None
        if time_s >= STAND_S + SETTLE_S:
            quaternion = state.base_quaternion_wxyz
            linear = heading_frame(
                quaternion, rotation.rotate(quaternion, state.base_linear_velocity)
            )
            turning = rotation.rotate(quaternion, state.base_angular_velocity)
            measured.append((*linear[:2], turning[2]))
    velocity: Array = np.mean(measured, axis=0)
    return velocity
