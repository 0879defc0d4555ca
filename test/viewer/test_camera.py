# SPDX-License-Identifier: Apache-2.0
"""The point that the camera follows."""

import numpy as np
import pytest

from humanoid_mujoco_ros.viewer.camera import FollowPoint

PERIOD_S = 1 / 30


@pytest.mark.parametrize(("period_s", "lag_m"), [(PERIOD_S, 0.1), (0.25, 0.2)])
def test_a_walking_robot_is_followed_without_lag(period_s, lag_m):
    follow = FollowPoint()
    for i in range(180):
        follow.update([1.5 * i * period_s, 0.0, 1.2], period_s)
    np.testing.assert_allclose(follow.position, [1.5 * 179 * period_s, 0.0, 0.0], atol=lag_m)


def test_swaying_is_smoothed():
    follow = FollowPoint()
    positions = []
    for i in range(300):
        follow.update([0.0, 0.1 * np.sin(2 * np.pi * 2.0 * i * PERIOD_S), 1.2], PERIOD_S)
        positions.append(follow.position[1])
    assert np.ptp(positions[150:]) < 0.1


def test_a_reset_is_followed_at_once():
    follow = FollowPoint()
    for _ in range(30):
        follow.update([5.0, 1.0, 1.2], PERIOD_S)
    assert follow.update([0.0, 0.0, 1.4], PERIOD_S)
    np.testing.assert_array_equal(follow.position, np.zeros(3))


def test_switched_off_it_stays_and_switched_on_it_catches_up():
    follow = FollowPoint()
    follow.is_on = False
    for i in range(60):
        follow.update([0.02 * i, 0.0, 1.2], PERIOD_S)
    np.testing.assert_array_equal(follow.position, np.zeros(3))
    follow.is_on = True
    for _ in range(150):
        follow.update([0.02 * 59, 0.0, 1.2], PERIOD_S)
    np.testing.assert_allclose(follow.position, [0.02 * 59, 0.0, 0.0], atol=0.01)


def test_a_slow_frame_does_not_make_it_overshoot():
    follow = FollowPoint()
    for _ in range(20):
        follow.update([0.4, 0.0, 1.2], 2.0)
        assert 0.0 <= follow.position[0] < 0.8
