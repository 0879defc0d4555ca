# SPDX-License-Identifier: Apache-2.0
"""Logs stay short, whatever comes in."""

from humanoid_mujoco_ros.ros.bounded_log import BoundedLog, FaultLog
from humanoid_mujoco_ros.ros.health import MAX_TEXT, shortened


class Log:
    """Keeps the lines; its clock is set by the test."""

    def __init__(self):
        self.lines = []
        self.time_s = 0.0

    def info(self, message):
        self.lines.append(f"info: {message}")

    def error(self, message):
        self.lines.append(f"error: {message}")

    def logger(self):
        return self

    def clock(self):
        return self.time_s


def test_a_text_becomes_one_short_line():
    assert shortened("two\nlines\x1b[2J") == "two lines [2J"
    long = shortened("name " * 100_000)
    assert len(long) == MAX_TEXT
    assert long.endswith("…")
    assert shortened("n" * MAX_TEXT) == "n" * MAX_TEXT


def test_lines_that_differ_in_their_numbers_are_written_once_a_minute_and_counted():
    log = Log()
    bounded = BoundedLog(log.logger, log.clock)
    for tick in range(1200):
        log.time_s = tick * 0.1
        bounded.error(f"late by {tick} ms")
    assert log.lines == [
        "error: late by 0 ms",
        "error: late by 600 ms (599 more lines were left out)",
    ]


def test_lines_of_ever_new_kinds_are_bounded_too():
    log = Log()
    bounded = BoundedLog(log.logger, log.clock)
    for tick in range(6000):
        log.time_s = tick * 0.01
        bounded.error("lacks " + "x" * tick)
    assert len(log.lines) == 4


def test_a_fault_makes_one_line_at_its_begin_and_one_at_its_end():
    log = Log()
    fault_log = FaultLog(log.logger, "it comes again", log.clock)
    fault_log.tell(None)
    for tick in range(100):
        log.time_s = tick
        fault_log.tell(f"silent for {tick} s")
    fault_log.tell(None)
    assert log.lines == ["error: silent for 0 s", "info: it comes again"]


def test_a_fault_that_flickers_is_bounded_and_its_last_state_is_told():
    log = Log()
    fault_log = FaultLog(log.logger, "it comes again", log.clock)
    for tick in range(601):
        log.time_s = tick * 0.1
        fault_log.tell("silent" if tick % 2 == 0 else None)
    assert len(log.lines) <= 6
    for tick in range(1000):
        log.time_s = 100 + tick
        fault_log.tell("silent")
    assert log.lines[-1].startswith("error: silent")
