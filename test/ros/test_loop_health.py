# SPDX-License-Identifier: Apache-2.0
"""What simulation_node says of its loop, without ROS."""

from dataclasses import replace

import numpy as np
import pytest

from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.ros.health import ERROR, OK, WARN, Health, shortened
from humanoid_mujoco_ros.ros.loop_health import LoopReport, LoopReporter, summary
from humanoid_mujoco_ros.simulation.robot_port import RobotStatus
from humanoid_mujoco_ros.simulation.simulation import Simulation

FINE = RobotStatus(watchdog="ok")


@pytest.fixture(scope="module")
def state():
    return Simulation(RobotModel()).state()


def health(state, status=FINE, *, before=FINE, dropped=0, elapsed_s=1.0, conflicts=(), sim_s=1.0):
    """The health of a loop of which `elapsed_s` ago `before` was reported."""
    reporter = LoopReporter("realtime", LoopReport(before, state, 0, 10.0))
    later = replace(state, time_ns=state.time_ns + int(sim_s * 1e9))
    now = LoopReport(status, later, dropped, 10.0 + elapsed_s)
    return reporter.health(now, 1.0, conflicts)


def test_a_loop_that_is_well_is_ok_with_its_rates(state):
    result = health(state, replace(FINE, ticks=200, latencies_s=(0.001, 0.003)), elapsed_s=2.0)
    assert (result.level, result.message) == (OK, "ok")
    assert result.values["control_rate_hz"] == pytest.approx(100.0)
    assert result.values["real_time_factor"] == pytest.approx(0.5)
    assert result.values["command_latency_p50_ms"] == pytest.approx(2.0)
    assert np.isnan(health(state).values["command_latency_p50_ms"])


@pytest.mark.parametrize(
    ("changes", "level", "words"),
    [
        ({"watchdog": "timeout"}, ERROR, "no effort command: the joints are without effort"),
        ({"watchdog": "timeout", "paused": True}, OK, "paused"),
        ({"watchdog": "waiting"}, WARN, "waiting for the first effort command"),
        ({"error": "it broke", "watchdog": "timeout"}, ERROR, "it broke"),
        ({"overruns": 3}, WARN, "3 control ticks came more than a period late"),
        ({"divergences": 1, "last_divergence": "diverged here"}, ERROR, "diverged here"),
    ],
)
def test_each_trouble_has_its_level_and_words(state, changes, level, words):
    result = health(state, replace(FINE, **changes))
    assert (result.level, result.message) == (level, words)


def test_what_was_told_before_is_not_told_again(state):
    status = replace(FINE, overruns=3, divergences=2, last_divergence="old")
    assert health(state, status, before=status).message == "ok"


def test_time_lost_to_a_slow_policy_is_told_with_its_reason(state):
    waited = replace(FINE, command_waits=50, command_waited_s=0.25)
    result = health(state, waited, sim_s=0.75)
    assert result.level == WARN
    assert result.message == (
        "commands come late, so time runs at 0.75 of wall time: the policy or the machine is too "
        "slow"
    )
    assert result.values["command_waits"] == 50
    # A hundredth of the time is nothing to talk about.
    assert health(state, replace(FINE, command_waited_s=0.01)).message == "ok"


def test_conflicts_lost_states_and_a_fall_are_told(state):
    result = health(
        replace(state, fallen=True), dropped=7, conflicts=("two speak", None, "two clocks")
    )
    assert result.level == ERROR
    assert result.message == "two speak; two clocks; the robot has fallen; 7 states are lost"


def test_a_report_that_follows_at_once_repeats_the_rates(state):
    reporter = LoopReporter("realtime", LoopReport(FINE, state, 0, 10.0))
    first = reporter.health(LoopReport(replace(FINE, ticks=100), state, 0, 11.0), 1.0, ())
    last = reporter.health(LoopReport(replace(FINE, ticks=101), state, 0, 11.1), 1.0, ())
    assert last.values["control_rate_hz"] == first.values["control_rate_hz"] == 100.0
    assert last.values["ticks"] == 101


def test_the_worst_finding_leads():
    result = Health()
    for level, words in ((WARN, "a"), (ERROR, "b"), (WARN, "c")):
        result.report(level, words)
    assert (result.level, result.message) == (ERROR, "b; a; c")


def test_the_end_of_a_run_is_one_line(state):
    assert summary(state).startswith("done at 0.01 s: 0 steps since the last reset, body height 1.")


def test_foreign_texts_are_cut_and_stay_on_one_line():
    assert shortened("a\nb\tc") == "a b c"
    long = shortened("name, " * 100_000)
    assert len(long) == 300
    assert long.endswith("…")
