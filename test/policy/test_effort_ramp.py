# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from humanoid_mujoco_ros.policy.effort_ramp import EffortRamp


def test_efforts_are_limited_to_each_joints_range():
    ramp = EffortRamp(np.array([10.0, 40.0]), ramp_s=0.0, period_s=0.01)
    np.testing.assert_array_equal(ramp.apply(np.array([-99.0, 99.0])), [-10, 40])


def test_efforts_fade_in_over_the_ramp_and_again_after_a_restart():
    ramp = EffortRamp(np.array([10.0]), ramp_s=0.04, period_s=0.01)
    first = [ramp.apply(np.array([8.0]))[0] for _ in range(6)]
    assert first == pytest.approx([2, 4, 6, 8, 8, 8])
    ramp.restart()
    assert ramp.apply(np.array([8.0]))[0] == pytest.approx(2)
