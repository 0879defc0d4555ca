# SPDX-License-Identifier: Apache-2.0
"""The figures of the last seconds."""

import numpy as np

from humanoid_mujoco_ros.viewer.history import History


def test_the_history_keeps_its_window_and_leaves_out_what_is_not_known():
    history = History(("height", "rate"), window_s=2.0, max_samples=100)
    assert [len(column) for column in history.series("height")] == [0, 0]
    for tick in range(50):
        history.add(0.1 * tick, {"height": tick} | ({"rate": 100.0} if tick > 40 else {}))
    time_s, height = history.series("height")
    np.testing.assert_allclose(time_s, np.arange(-20, 1) * 0.1, atol=1e-9)
    np.testing.assert_array_equal(height, np.arange(29, 50))
    assert len(history.series("rate")[0]) == 9
