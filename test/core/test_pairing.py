from humanoid_mujoco_ros.core.pairing import DEPTH, StampPairing


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
