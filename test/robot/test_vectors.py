# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from humanoid_mujoco_ros.robot.vectors import VectorError, checked_vector


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
    with pytest.raises(VectorError, match=match):
        checked_vector(values, 3, "command")
