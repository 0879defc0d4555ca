# SPDX-License-Identifier: Apache-2.0
"""What the browser view says of the robot."""

import pytest

pytest.importorskip("rclpy")

from humanoid_mujoco_ros.ros.viewer_readings import robot_silence


def test_a_robot_that_falls_silent_is_told_with_its_time():
    assert robot_silence(0.3, 50.0, "why") is None
    assert robot_silence(None, 0.5, "why") is None
    assert robot_silence(4.2, 50.0, "why") == "robot not seen for 4 s: why"
    assert robot_silence(None, 50.0, "why") == "robot not seen yet: why"
