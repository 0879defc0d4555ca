# SPDX-License-Identifier: Apache-2.0
"""A robot that looks elsewhere sees what one that looks along x sees."""

import mujoco
import numpy as np
import pytest

from humanoid_mujoco_ros.policy import brain, locate, policy_file
from humanoid_mujoco_ros.policy.observation import observe_data
from humanoid_mujoco_ros.policy.turned_view import TurnedView
from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.simulation.simulation import Simulation

YAW = 2.3


def turned(qpos, qvel, yaw):
    """The same motion, about the vertical."""
    by = rotation.from_axis_angle((0, 0, 1), yaw)
    qpos, qvel = qpos.copy(), qvel.copy()
    qpos[:3] = rotation.rotate(by, qpos[:3])
    qpos[3:7] = rotation.multiply(by, qpos[3:7])
    qvel[:3] = rotation.rotate(by, qvel[:3])
    return qpos, qvel


def test_every_value_is_that_of_the_robot_that_looks_along_x():
    robot, random = RobotModel(), np.random.default_rng(0)
    qpos, qvel = robot.mj.qpos0.copy(), random.standard_normal(robot.mj.nv)
    qpos[2] = 1.1
    qpos[3:7] = rotation.normalized(random.standard_normal(4))
    qpos[7:] += random.uniform(-0.4, 0.4, robot.mj.nq - 7)
    seen = []
    for yaw in (0.0, YAW):
        data = mujoco.MjData(robot.mj)
        data.qpos[:], data.qvel[:] = turned(qpos, qvel, yaw)
        data.ctrl[:] = 0.2
        mujoco.mj_forward(robot.mj, data)
        mujoco.mj_rnePostConstraint(robot.mj, data)
        seen.append(observe_data(data))
    along_x, elsewhere = seen
    assert not np.allclose(along_x, elsewhere, atol=0.1)
    np.testing.assert_allclose(TurnedView(robot).turn(elsewhere, YAW), along_x, atol=1e-6)


def test_walk_goes_where_it_is_told():
    robot = RobotModel()
    walk = brain.brain_of(policy_file.load(locate.find("walk"), robot), robot, sample=False, seed=0)
    simulation = Simulation(robot)
    qpos, qvel = turned(robot.start_qpos, np.zeros(robot.mj.nv), YAW)
    simulation.set_state(qpos, qvel)
    walk.reset(YAW)
    state = simulation.state()
    for _ in range(300):
        state = simulation.step(walk.answer(state.observation, np.zeros(3)))
    went = state.base_position[:2]
    assert not state.fallen
    assert np.hypot(*went) > 3.0
    assert np.arctan2(went[1], went[0]) == pytest.approx(YAW, abs=0.2)
