# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of random weights."""

import itertools

import numpy as np

from humanoid_mujoco_ros.policy import observation
from humanoid_mujoco_ros.policy.checkpoint import Checkpoint


def own_checkpoint(robot, hidden=(32,), **changes):
    """A checkpoint of random weights that fits a robot."""
    random = np.random.default_rng(0)
    widths = (observation.size(robot.mj), *hidden, len(robot.joints))
    values = {
        "weights": tuple(
            random.normal(size=(o, i)).astype(np.float32) / np.sqrt(i).astype(np.float32)
            for i, o in itertools.pairwise(widths)
        ),
        "biases": tuple(random.normal(size=o).astype(np.float32) for o in widths[1:]),
        "log_std": np.full(widths[-1], -1, np.float32),
        "joints": robot.action_joints,
        "model": robot.name,
        "control_rate_hz": robot.control_rate_hz,
        "normalization": "stored",
        "observation_mean": random.normal(size=widths[0]),
        "observation_var": random.uniform(0.1, 3.0, size=widths[0]),
        "task": "walk",
    }
    return Checkpoint(**(values | changes))
