# SPDX-License-Identifier: Apache-2.0
"""A robot that was put into another pose is noticed; one that moves by itself is not."""

import numpy as np
import pytest

from humanoid_mujoco_ros.policy.restart_watch import RestartWatch

PERIOD_S = 0.02


def noticed(*observations):
    """Whether the last of these joint positions and velocities is another start."""
    watch = RestartWatch(PERIOD_S)
    found = [watch.update(np.array(q, float), np.array(v, float)) for q, v in observations]
    assert not any(found[:-1])
    return found[-1]


@pytest.mark.parametrize(
    "before",
    [
        ((0.5, -0.3), (2.0, -1.0)),  # it walked
        ((0.0, 0.03), (0.0, 0.0)),  # it stood
        ((1.5, 2.0), (0.0, 0.0)),  # it lay
    ],
)
def test_a_robot_that_stands_still_elsewhere_starts_anew(before):
    assert noticed(before, ((0.005, -0.005), (0.01, -0.008)))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (((0.5, -0.3), (5.0, -3.0)), ((0.6, -0.36), (5.0, -3.0))),  # it moves
        (((0.5, -0.3), (5.0, -3.0)), ((1.0, -0.6), (4.0, -2.0))),  # four observations were lost
        (((0.5, -0.3), (5.0, -3.0)), ((0.58, -0.35), (0.0, 0.0))),  # it hit its stop
        (((0.5, -0.3), (0.0, 0.0)), ((0.5, -0.3), (0.0, 0.0))),  # it stands
        (((0.5, -0.3), (0.0, 0.0)), ((0.51, -0.29), (0.0, 0.0))),  # its encoders are coarse
    ],
)
def test_a_robot_that_moves_by_itself_does_not(before, after):
    assert not noticed(before, after)


def test_the_first_observation_and_a_robot_without_joints_are_no_restart():
    assert not noticed(((0.5,), (0.0,)))
    assert not noticed(((), ()), ((), ()))
