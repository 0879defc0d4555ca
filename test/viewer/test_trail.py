# SPDX-License-Identifier: Apache-2.0
"""The trail on the ground."""

import numpy as np

from humanoid_mujoco_ros.viewer.trail import Trail


def test_the_trail_is_a_line_of_even_pieces_that_forgets_its_end():
    trail = Trail(spacing_m=0.1, length=5)
    for x in np.linspace(0.0, 1.0, 101):
        trail.add([x, 0.0, 1.2])
    segments = trail.segments()
    assert segments.shape == (5, 2, 3)
    np.testing.assert_array_equal(segments[1:, 0], segments[:-1, 1])
    np.testing.assert_allclose(np.diff(segments[:, :, 0], axis=1), 0.1, atol=0.011)
    assert segments[-1, 1, 0] > 0.9
    trail.add([9.0, 0.0, 1.2])  # a jump
    assert trail.segments().shape == (0, 2, 3)
