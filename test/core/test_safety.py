import numpy as np
import pytest

from humanoid_mujoco_ros.core.safety import CommandError, EffortRamp, checked_vector


def test_a_good_vector_is_copied():
    source = np.arange(3.0)
    vector = checked_vector(source, 3, "command")
    source[0] = 9
    np.testing.assert_array_equal(vector, [0, 1, 2])


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ([1.0], "command has 1 values, expected 3"),
        ([1.0, 2.0, 3.0, 4.0], "command has 4 values, expected 3"),
        ([], "command has 0 values"),
        ([1.0, np.nan, 3.0], "value 1 is nan"),
        ([1.0, 2.0, -np.inf], "value 2 is -inf"),
    ],
)
def test_a_bad_vector_is_refused(values, match):
    with pytest.raises(CommandError, match=match):
        checked_vector(values, 3, "command")


def test_efforts_are_limited_to_each_joints_range():
    ramp = EffortRamp(np.array([10.0, 40.0]), ramp_s=0.0, period_s=0.01)
    np.testing.assert_array_equal(ramp.apply(np.array([-99.0, 99.0])), [-10, 40])


def test_efforts_fade_in_over_the_ramp_and_again_after_a_restart():
    ramp = EffortRamp(np.array([10.0]), ramp_s=0.04, period_s=0.01)
    first = [ramp.apply(np.array([8.0]))[0] for _ in range(6)]
    assert first == pytest.approx([2, 4, 6, 8, 8, 8])
    ramp.restart()
    assert ramp.apply(np.array([8.0]))[0] == pytest.approx(2)
