# SPDX-License-Identifier: Apache-2.0
"""Two robots that are pushed towards each other, without a simulation."""

import numpy as np
import pytest

from humanoid_mujoco_ros.interaction.bout import Bout, BoutConfig

PLACES = [[0.0, 0.0, 1.4], [3.0, 4.0, 1.2]]
STANDING = (False, False)


def run(bout, until_s, fallen=STANDING, start_s=0.0):
    """The last forces, and the times at which the robots were to be put back."""
    resets = []
    for tick in range(round(start_s * 100), round(until_s * 100) + 1):
        forces, is_reset = bout.update(tick / 100, PLACES, fallen)
        if is_reset:
            resets.append(tick / 100)
    return forces, resets


def test_shoves_towards_the_other_robot_grow_after_a_while_of_peace():
    config = BoutConfig(
        ready_s=1.0,
        shove_period_s=2.0,
        shove_duration_s=0.5,
        shove_growth=10.0,
        shove_limit=15.0,
    )
    bout = Bout(config)
    forces, _ = run(bout, 0.9)
    assert not forces.any()
    forces, _ = run(bout, 1.2, start_s=0.9)
    np.testing.assert_allclose(forces, [[6.0, 8.0, 0.0], [-6.0, -8.0, 0.0]])
    assert bout.force_n == pytest.approx(10.0)
    forces, _ = run(bout, 1.6, start_s=1.2)
    assert not forces.any()
    forces, resets = run(bout, 3.2, start_s=1.6)
    assert np.linalg.norm(forces[0]) == pytest.approx(15.0)
    assert (resets, bout.score) == ([], [0, 0])


@pytest.mark.parametrize(
    ("fallen", "score"), [((True, False), [0, 1]), ((False, True), [1, 0]), ((True, True), [0, 0])]
)
def test_the_robot_that_stands_gets_a_point_and_another_round_follows(fallen, score):
    bout = Bout(BoutConfig(ready_s=1.0, rest_s=2.0))
    run(bout, 3.0)
    forces, resets = run(bout, 5.5, fallen, start_s=3.0)
    assert not forces.any()
    assert resets == [5.0]
    assert (bout.score, bout.round) == (score, 2)
    # What is still heard of the fall is no fall in the next round.
    run(bout, 5.8, fallen, start_s=5.5)
    run(bout, 9.0, STANDING, start_s=5.8)
    assert bout.score == score


def test_robots_in_one_place_are_not_pushed():
    bout = Bout(BoutConfig(ready_s=0.0))
    for tick in range(100):
        forces, _ = bout.update(tick / 100, [[0, 0, 1.0], [0, 0, 2.0]], STANDING)
    assert not forces.any()


def test_a_time_that_goes_back_begins_the_wait_again():
    bout = Bout(BoutConfig(ready_s=1.0))
    run(bout, 0.9)
    forces, _ = run(bout, 0.9, start_s=0.1)
    assert not forces.any()


@pytest.mark.parametrize("name", ["ready_s", "shove_growth", "shove_limit", "rest_s"])
def test_nothing_may_be_negative(name):
    with pytest.raises(ValueError, match="must not be negative"):
        BoutConfig(**{name: -1.0})
