# SPDX-License-Identifier: Apache-2.0
"""Stamps: which messages belong together, and which are new."""

import pytest

from humanoid_mujoco_ros.ros.pairing import DEPTH, Freshness, StampPairing
from humanoid_mujoco_ros.ros.shared_config import PairingConfig

MS = 1_000_000


def test_equal_stamps_pair_whichever_comes_first():
    pairing = StampPairing()
    assert pairing.add_first(10, "a") is None
    assert pairing.add_second(10, 1) == ("a", 1)
    assert pairing.add_second(20, 2) is None
    assert pairing.add_first(20, "b") == ("b", 2)


def test_a_lost_partner_does_not_delay_the_next_pair():
    pairing = StampPairing()
    assert pairing.add_first(10, "a") is None
    assert pairing.add_first(20, "b") is None
    assert pairing.add_second(20, 2) == ("b", 2)
    assert pairing.add_second(10, 1) is None


def test_a_queue_of_one_stream_pairs_with_that_of_the_other():
    pairing = StampPairing()
    for stamp in (10, 20, 30):
        assert pairing.add_first(stamp, stamp) is None
    assert [pairing.add_second(stamp, stamp) for stamp in (10, 20, 30)] == [
        (10, 10),
        (20, 20),
        (30, 30),
    ]


def test_a_state_published_twice_makes_two_pairs():
    pairing = StampPairing()
    pairing.add_first(10, "old")
    pairing.add_first(10, "new")
    assert pairing.add_second(10, 1) == ("old", 1)
    assert pairing.add_second(10, 2) == ("new", 2)


def test_the_nearest_stamp_within_the_tolerance_pairs():
    pairing = StampPairing(tolerance_ns=5)
    for stamp in (90, 97, 104):
        pairing.add_first(stamp, stamp)
    assert pairing.add_second(99, 1) == (97, 1)
    assert pairing.add_second(110, 2) is None
    assert pairing.add_first(114, 114) == (114, 2)


def test_what_is_older_than_a_pair_waits_no_longer():
    pairing = StampPairing()
    pairing.add_first(10, "late")
    pairing.add_second(20, 2)
    assert pairing.add_first(20, "b") == ("b", 2)
    assert pairing.add_second(10, 1) is None


def test_stamps_may_jump_back():
    pairing = StampPairing()
    pairing.add_first(1000, "before")
    assert pairing.add_first(10, "after") is None
    assert pairing.add_second(10, 1) == ("after", 1)
    assert pairing.add_first(20, "next") is None
    assert pairing.add_second(20, 2) == ("next", 2)


def test_what_waits_is_bounded():
    pairing = StampPairing()
    for stamp in range(DEPTH + 5):
        pairing.add_first(stamp, stamp)
    assert pairing.add_second(0, 0) is None
    assert pairing.add_second(5, 0) == (5, 0)


@pytest.mark.parametrize("tolerance_s", [-0.001, float("nan"), float("inf")])
def test_a_tolerance_that_makes_no_sense_is_refused(tolerance_s):
    with pytest.raises(ValueError, match="pairing_tolerance must not be negative"):
        PairingConfig(tolerance_s)


def accepted(stamps_ms, period_s=0.01, freshness=None, start_s=0.0):
    """Which of the stamps [ms], coming one after another, count as new."""
    freshness = freshness or Freshness(0.05)
    return [
        freshness.fault(stamp * MS, start_s + i * period_s) is None
        for i, stamp in enumerate(stamps_ms)
    ]


def test_a_stamp_that_stays_is_not_new():
    freshness = Freshness(0.05)
    assert freshness.fault(10 * MS, 100.0) is None
    assert "its stamp stays at 0.010 s" in freshness.fault(10 * MS, 100.0)
    assert freshness.fault(20 * MS, 100.01) is None


def test_what_comes_late_is_not_new_whatever_the_robots_clock_shows():
    freshness = Freshness(0.05)
    for tick in range(100):
        assert freshness.fault(tick * 10 * MS, 5000.0 + tick * 0.01) is None
    # Half a second of silence, then all at once.
    faults = [freshness.fault(tick * 10 * MS, 5001.5) for tick in range(100, 151)]
    assert "499 ms late" in faults[0]
    assert [fault is None for fault in faults] == [False] * 45 + [True] * 6
    assert freshness.fault(1510 * MS, 5001.51) is None


def test_without_a_limit_nothing_is_late():
    freshness = Freshness()
    assert freshness.fault(10 * MS, 0.0) is None
    assert freshness.fault(20 * MS, 1000.0) is None


def test_the_robots_clock_may_drift():
    freshness = Freshness(0.05)
    for tick in range(100_000):
        assert freshness.fault(tick * 10 * MS, tick * 0.0100005) is None


@pytest.mark.parametrize(
    "ring", [[0, 10], [10, 0], [0, 10, 20, 30, 40], list(range(490, -10, -10)), [0, 100_000]]
)
def test_of_a_frozen_state_whose_stamps_dodge_only_the_first_round_counts(ring):
    count = sum(accepted(ring * 20))
    assert count <= len(ring)


def test_stamps_that_run_backwards_are_not_new():
    assert sum(accepted(range(5000, 0, -10))) == 1


def test_a_replay_counts_less_and_less():
    second = list(range(0, 1000, 10))
    rounds = [accepted(second * 8)[i : i + 100] for i in range(0, 800, 100)]
    assert [sum(r) for r in rounds[:2]] == [100, 50]
    assert not any(map(any, rounds[3:]))


@pytest.mark.parametrize("start_ms", [0, 999_999_000])
def test_a_robot_that_starts_again_counts_after_a_clear_interruption(start_ms):
    freshness = Freshness(0.05)
    assert all(accepted(range(1_000_000_000, 1_000_000_100, 10), freshness=freshness))
    again = range(start_ms, start_ms + 2000, 10)
    counts = accepted(again, freshness=freshness, start_s=3.0)
    assert counts == [False] * 50 + [True] * 150


def test_stamps_that_only_leap_ahead_after_a_jump_back_do_not_end_the_interruption():
    freshness = Freshness(0.05)
    accepted([10_000], freshness=freshness)
    assert accepted([0, 3000, 6000, 9000], freshness=freshness, start_s=0.1) == [False] * 4


def test_a_robots_clock_that_is_set_forward_counts_at_once():
    freshness = Freshness(0.05)
    assert all(accepted([0, 10, 20, 10_000_000, 10_000_010], freshness=freshness))
