# SPDX-License-Identifier: Apache-2.0
"""The left-right symmetry against MuJoCo's own forward dynamics."""

from __future__ import annotations

import mujoco
import numpy as np

from humanoid_mujoco_ros.policy.observation import observe_data
from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.training.mirror import find_mirror


def test_the_mirrored_state_has_the_mirrored_observation():
    robot = RobotModel()
    mirror = find_mirror(robot)
    assert mirror is not None
    random = np.random.default_rng(0)
    here, there = mujoco.MjData(robot.mj), mujoco.MjData(robot.mj)
    here.qpos[:] = robot.mj.qpos0 + random.uniform(-0.3, 0.3, robot.mj.nq)
    here.qpos[3:7] /= np.linalg.norm(here.qpos[3:7])
    here.qvel[:] = random.uniform(-1.0, 1.0, robot.mj.nv)
    here.ctrl[:] = random.uniform(-0.4, 0.4, robot.mj.nu)
    mujoco.mj_forward(robot.mj, here)
    image = mirror.observation(observe_data(here))
    there.qpos[:2] = here.qpos[0], -here.qpos[1]
    there.qpos[2:] = image[:22]
    there.qvel[:] = image[22:45]
    there.ctrl[:] = mirror.action(here.ctrl)
    mujoco.mj_forward(robot.mj, there)
    # Contact forces, the last 84, differ a little: only one knee has a spring in the model.
    np.testing.assert_allclose(image[:292], observe_data(there)[:292], atol=1e-12)


def test_mirroring_twice_changes_nothing():
    mirror = find_mirror(RobotModel())
    assert mirror is not None
    for part, size in ((mirror.observation, 376), (mirror.action, 17)):
        vector = np.random.default_rng(1).normal(size=(2, size))
        np.testing.assert_array_equal(part(part(vector)), vector)
