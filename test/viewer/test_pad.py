# SPDX-License-Identifier: Apache-2.0
"""What the pad commands while a button is held, and after it."""

import numpy as np

from humanoid_mujoco_ros.viewer.pad import HOLD_TIMEOUT_S, HeldVelocity

FORWARD = np.array([0.8, 0.0, 0.0])


def test_a_held_button_commands_and_its_release_stops_once():
    held = HeldVelocity()
    assert held.take(0.0) is None
    held.hold(FORWARD, 1.0)
    np.testing.assert_array_equal(held.take(1.1), FORWARD)
    held.release()
    np.testing.assert_array_equal(held.take(1.2), np.zeros(3))
    assert held.take(1.3) is None


def test_a_page_that_is_lost_stops_the_robot_once():
    held = HeldVelocity()
    held.hold(FORWARD, 1.0)
    np.testing.assert_array_equal(held.take(0.99 + HOLD_TIMEOUT_S), FORWARD)
    np.testing.assert_array_equal(held.take(1.01 + HOLD_TIMEOUT_S), np.zeros(3))
    assert held.take(1.02 + HOLD_TIMEOUT_S) is None
