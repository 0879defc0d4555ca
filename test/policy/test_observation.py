# SPDX-License-Identifier: Apache-2.0
"""The names of the observation's blocks against MuJoCo's state."""

import mujoco
import numpy as np
import pytest

from humanoid_mujoco_ros.policy.observation import block, layout, observe_data, size
from humanoid_mujoco_ros.robot.model import RobotModel


@pytest.fixture(scope="module")
def state():
    """A MuJoCo state in which no two values of the observation are the same by accident."""
    robot = RobotModel()
    data = mujoco.MjData(robot.mj)
    random = np.random.default_rng(0)
    data.qpos[:] += random.uniform(-0.1, 0.1, robot.mj.nq)
    data.qvel[:] = random.uniform(-1, 1, robot.mj.nv)
    data.ctrl[:] = random.uniform(-0.4, 0.4, robot.mj.nu)
    mujoco.mj_step(robot.mj, data, nstep=3)
    mujoco.mj_rnePostConstraint(robot.mj, data)
    return data


def test_each_block_holds_what_its_name_says(state):
    model = state.model
    observed = observe_data(state)
    expected = {
        "height": state.qpos[2],
        "orientation": state.qpos[3:7],
        "joint_positions": state.qpos[7:],
        "linear_velocity": state.qvel[:3],
        "angular_velocity": state.qvel[3:6],
        "joint_velocities": state.qvel[6:],
        "cinert": state.cinert,
        "cvel": state.cvel,
        "qfrc_actuator": state.qfrc_actuator,
        "cfrc_ext": state.cfrc_ext,
    }
    assert [part.name for part in layout(model)] == list(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(observed[block(model, name).slice], np.ravel(values))
    assert size(model) == observed.size == 376


def test_the_linear_velocity_is_the_roots_in_the_world(state):
    model = state.model
    again = mujoco.MjData(model)
    again.qpos[:], again.qvel[:] = state.qpos, state.qvel
    mujoco.mj_forward(model, again)
    velocity = np.empty(6)
    mujoco.mj_objectVelocity(model, again, mujoco.mjtObj.mjOBJ_XBODY, 1, velocity, 0)
    observed = observe_data(state)
    np.testing.assert_allclose(
        observed[block(model, "linear_velocity").slice], velocity[3:], atol=1e-12
    )
    mujoco.mj_objectVelocity(model, again, mujoco.mjtObj.mjOBJ_XBODY, 1, velocity, 1)
    np.testing.assert_allclose(
        observed[block(model, "angular_velocity").slice], velocity[:3], atol=1e-12
    )


def test_masked_contact_forces_are_zeros(state):
    contact = block(state.model, "cfrc_ext").slice
    assert observe_data(state)[contact].any()
    assert not observe_data(state, mask_cfrc_ext=True)[contact].any()
