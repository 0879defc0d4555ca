# SPDX-License-Identifier: Apache-2.0
"""Stamps: which messages belong together, and which are new."""

import pytest

from humanoid_mujoco_ros.ros.pairing import DEPTH, Freshness, StampPairing

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


def test_a_stamp_that_stays_is_not_new():
    freshness = Freshness(0.05)
    assert freshness.fault(10 * MS, 100.0) == ""
    assert "its stamp stays at 0.010 s" in freshness.fault(10 * MS, 100.0)
    assert freshness.fault(20 * MS, 100.01) == ""


def test_what_comes_late_is_not_new_whatever_the_robots_clock_shows():
    freshness = Freshness(0.05)
    for tick in range(100):
        assert freshness.fault(tick * 10 * MS, 5000.0 + tick * 0.01) == ""
    # Half a second of silence, then all at once.
    faults = [freshness.fault(tick * 10 * MS, 5001.5) for tick in range(100, 151)]
    assert "499 ms late" in faults[0]
    assert [fault == "" for fault in faults] == [False] * 45 + [True] * 6
    assert freshness.fault(1510 * MS, 5001.51) == ""


def test_the_robots_clock_may_drift():
    freshness = Freshness(0.05)
    for tick in range(100_000):
        assert freshness.fault(tick * 10 * MS, tick * 0.0100005) == ""


@pytest.mark.parametrize("start", [0, 10_000_000_000 * MS])
def test_a_robot_that_starts_again_is_new(start):
    freshness = Freshness(0.05)
    assert freshness.fault(1_000_000_000 * MS, 0.0) == ""
    assert freshness.fault(start, 0.01) == ""
    assert freshness.fault(start + 10 * MS, 0.02) == ""
