# SPDX-License-Identifier: Apache-2.0
"""Silences and what is told of them."""

import pytest

from humanoid_mujoco_ros.policy.watchdog import Silence, Watchdog


def test_a_silence_begins_once_and_ends_with_the_next_message():
    watchdog = Watchdog(0.05)
    assert watchdog.age_s(3.0) is None
    assert not watchdog.check(3.0)
    assert not watchdog.feed(4.0)
    assert not watchdog.check(4.05)
    assert watchdog.check(4.06)
    assert not watchdog.check(4.07)
    assert watchdog.is_silent
    assert watchdog.feed(4.5)
    assert not watchdog.is_silent


def test_a_short_silence_is_a_fault_only_once_something_comes_after_it():
    # The last messages of a run are followed by a short silence, too.
    watchdog = Watchdog(0.05)
    watchdog.feed(0.0)
    watchdog.check(0.06)
    assert watchdog.report(0.5) == Silence(1, 0.5, is_fault=False)
    watchdog.feed(0.6)
    assert watchdog.report(0.7) == Silence(1, 0.6, is_fault=True)
    assert watchdog.report(0.8) is None


def test_a_silence_that_lasts_is_a_fault():
    watchdog = Watchdog(0.05)
    watchdog.feed(0.0)
    watchdog.check(0.06)
    silence = watchdog.report(1.5)
    assert silence.is_fault
    assert silence.describe("observation") == "no observation for 1.5 s"


def test_many_silences_are_told_in_one_line():
    watchdog = Watchdog(0.05)
    for tick in range(16):  # a robot at 15 Hz
        watchdog.feed(tick / 15)
        watchdog.check(tick / 15 + 0.06)
    silence = watchdog.report(15 / 15 + 0.06)
    assert silence.describe("state") == "no state 16 times, for up to 67 ms"
    assert silence.is_fault


def test_a_restart_forgets():
    watchdog = Watchdog(0.05)
    watchdog.feed(0.0)
    watchdog.check(1.0)
    watchdog.restart()
    assert watchdog.report(2.0) is None
    assert not watchdog.check(9.0)


def test_without_a_timeout_there_is_no_silence():
    watchdog = Watchdog(0.0)
    watchdog.feed(0.0)
    assert not watchdog.check(1e9)


def test_a_process_that_was_busy_takes_its_own_pause_for_no_silence():
    watchdog = Watchdog(0.05)
    watchdog.excuse(0.0)
    assert not watchdog.check(9.0)  # nothing came yet
    watchdog.feed(10.0)
    watchdog.excuse(10.2)
    assert not watchdog.check(10.24)
    assert watchdog.check(10.26)
    watchdog.excuse(10.3)  # a silence that was noticed goes on
    assert watchdog.is_silent
    assert watchdog.age_s(10.3) == pytest.approx(0.1)
