# SPDX-License-Identifier: Apache-2.0
"""The arrows of the ground's forces, against MuJoCo's own contacts."""

import mujoco
import numpy as np
import pytest

from humanoid_mujoco_ros.interaction.arrow import MAX_LENGTH_M, Arrow, contact_arrow
from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.robot.state import Wrench
from humanoid_mujoco_ros.simulation.simulation import Simulation, SimulationConfig


def test_the_arrow_of_a_foot_stands_where_mujoco_has_the_contact():
    robot = RobotModel()
    simulation = Simulation(robot, SimulationConfig())
    for _ in range(25):
        state = simulation.step(np.zeros(len(robot.joints)))
    data = mujoco.MjData(robot.mj)
    data.qpos[:], data.qvel[:] = state.qpos, state.qvel
    mujoco.mj_forward(robot.mj, data)
    checked = 0
    for side, foot, _ in robot.foot_sensors:
        body = robot.body_of_link(foot)
        arrow = contact_arrow(data.xpos[body], data.xquat[body], state.foot_wrenches[side])
        contacts = [c for c in data.contact if body in robot.mj.geom_bodyid[c.geom]]
        if arrow is None:
            continue
        checked += 1
        assert arrow.start[2] == pytest.approx(0.0, abs=1e-9)
        np.testing.assert_allclose(arrow.start[:2], contacts[0].pos[:2], atol=0.02)
        assert arrow.force[2] > 0
    assert checked


def test_a_foot_in_the_air_has_none():
    nothing = Wrench(np.zeros(3), np.zeros(3))
    assert contact_arrow([0, 0, 1], rotation.IDENTITY, nothing) is None


def test_the_length_grows_with_the_force_up_to_a_limit():
    small, large = (Arrow(np.zeros(3), np.array([0.0, 0.0, n])) for n in (60.0, 1e6))
    np.testing.assert_allclose(small.segment()[1], [0.0, 0.0, 0.12])
    np.testing.assert_allclose(large.segment()[1], [0.0, 0.0, MAX_LENGTH_M])
