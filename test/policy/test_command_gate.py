# SPDX-License-Identifier: Apache-2.0
"""What leaves policy_node, and when: the gate alone, with the time passed in."""

import numpy as np
import pytest

from humanoid_mujoco_ros.policy.command_gate import CommandGate, EffortRamp, PositionRamp
from humanoid_mujoco_ros.policy.config import PolicyConfig

RANGES = np.array([[-10.0, 10.0], [-40.0, 15.0]])
PERIOD_S = 0.01
WANTED = [8.0, -20.0]
"""What the policy answers; in the tests it repeats the observation."""


class Robot:
    """Listens or not, and keeps why observations were refused."""

    def __init__(self, ramp=None, **config):
        config = {"ramp_s": 0.0, "observation_timeout_s": 0.05, **config}
        self.is_listening = True
        self.refused = []
        self.gate = CommandGate(
            ramp or EffortRamp(RANGES),
            PolicyConfig(**config),
            PERIOD_S,
            lambda values: np.array(values, dtype=float),
            lambda: self.is_listening,
            self.refused.append,
        )
        self.gate.start()


def fraction(command):
    """How much of WANTED is commanded."""
    share = command / np.array(WANTED)
    assert share[0] == pytest.approx(share[1])
    return share[0]


def test_nothing_leaves_before_the_start_and_after_the_stop():
    gate = Robot().gate
    assert not gate.stop().any()
    assert gate.on_observation(WANTED, 0.0) is None
    assert gate.on_tick(10.0) is None
    assert gate.stop() is None
    assert gate.on_conflict("two nodes") is None


def test_efforts_are_limited_to_each_joints_range():
    command = Robot().gate.on_observation([-99.0, 99.0], 0.0)
    np.testing.assert_array_equal(command, [-10, 15])


def test_efforts_fade_in_by_the_number_of_commands_however_fast_they_come():
    gate = Robot(ramp_s=0.04).gate
    shares = [fraction(gate.on_observation(WANTED, tick * 1e-6)) for tick in range(6)]
    assert shares == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1])
    gate.stop()
    gate.start()
    assert fraction(gate.on_observation(WANTED, 1.0)) == pytest.approx(0.25)


def test_one_zero_command_follows_the_timeout_at_once_and_the_ramp_the_silence():
    gate = Robot(ramp_s=0.04).gate
    for tick in range(10):
        gate.on_observation(WANTED, tick * 0.01)
        assert gate.on_tick(tick * 0.01 + 0.049) is None
    assert not gate.on_tick(0.09 + 0.051).any()
    assert gate.watchdog.is_silent
    assert gate.on_tick(0.2) is None
    assert gate.on_tick(5.0) is None
    assert fraction(gate.on_observation(WANTED, 6.0)) == pytest.approx(0.25)
    assert not gate.watchdog.is_silent
    assert gate.on_tick(6.01) is None


@pytest.mark.parametrize("config", [{"observation_timeout_s": 0.0}, {"mode": "lockstep"}])
def test_without_a_watchdog_the_robot_may_be_silent(config):
    gate = Robot(**config).gate
    gate.on_observation(WANTED, 0.0)
    assert gate.on_tick(1000.0) is None
    assert not gate.watchdog.is_silent


def test_there_is_no_silence_before_the_first_observation():
    gate = Robot().gate
    assert gate.on_tick(1000.0) is None


def test_the_first_observation_waits_for_a_robot_that_listens():
    robot = Robot(ramp_s=0.04)
    robot.is_listening = False
    for tick in range(3):
        assert robot.gate.on_observation([tick, tick], tick * 0.01) is None
        assert robot.gate.on_tick(tick * 0.01 + 0.005) is None
    robot.is_listening = True
    command = robot.gate.on_tick(0.03)
    np.testing.assert_allclose(command, [0.5, 0.5])  # the last one, at a quarter
    assert robot.gate.on_tick(0.031) is None
    robot.is_listening = False  # it is asked no more
    assert robot.gate.on_observation(WANTED, 0.04) is not None


@pytest.mark.parametrize(("mode", "timeout_s"), [("realtime", 1.0), ("lockstep", 5.0)])
def test_a_robot_that_seems_not_to_listen_is_answered_after_all(mode, timeout_s):
    robot = Robot(mode=mode, observation_timeout_s=0.0)
    robot.is_listening = False
    assert robot.gate.on_observation(WANTED, 100.0) is None
    assert robot.gate.on_tick(100.0 + timeout_s - 0.01) is None
    assert fraction(robot.gate.on_tick(100.0 + timeout_s)) == 1


def test_an_observation_that_waited_until_it_was_stale_is_not_answered():
    robot = Robot()
    robot.is_listening = False
    robot.gate.on_observation(WANTED, 0.0)
    robot.is_listening = True
    assert not robot.gate.on_tick(0.06).any()
    assert robot.gate.on_tick(0.07) is None


def test_another_commander_means_one_zero_command_and_then_none():
    gate = Robot(ramp_s=0.04).gate
    for tick in range(5):
        gate.on_observation(WANTED, tick * 0.01)
    assert not gate.on_conflict("two nodes").any()
    assert gate.on_conflict("still two nodes") is None
    assert gate.conflict == "still two nodes"
    assert gate.on_observation(WANTED, 0.06) is None
    assert gate.on_tick(1.0) is None
    assert gate.on_conflict(None) is None
    assert fraction(gate.on_observation(WANTED, 1.1)) == pytest.approx(0.25)


def test_an_observation_that_cannot_be_used_is_answered_by_zero_effort_and_the_ramp_follows():
    robot = Robot(ramp_s=0.04)
    for tick in range(5):
        robot.gate.on_observation(WANTED, tick * 0.01)
    command = robot.gate.on_observation(["nonsense"], 0.05)
    np.testing.assert_array_equal(command, np.zeros(2))
    assert "nonsense" in str(robot.refused[0])
    assert fraction(robot.gate.on_observation(WANTED, 0.06)) == pytest.approx(0.25)


def test_a_stop_forgets_the_observation_that_waits():
    robot = Robot()
    robot.is_listening = False
    robot.gate.on_observation(WANTED, 0.0)
    robot.gate.stop()
    robot.gate.start()
    robot.is_listening = True
    assert robot.gate.on_tick(0.01) is None


def test_the_wait_for_the_robot_begins_with_each_start():
    robot = Robot(observation_timeout_s=0.0)
    robot.is_listening = False
    robot.gate.on_observation(WANTED, 0.0)
    robot.gate.stop()
    robot.gate.start()
    assert robot.gate.on_observation(WANTED, 100.0) is None
    assert robot.gate.on_tick(101.0) is not None


POSE = np.array([0.5, -0.5])
TARGETS = np.array([[-10.0, 10.0], [-30.0, 30.0]])


def positions(**config):
    """A gate for positions whose robot is in POSE, whatever it observes."""
    return Robot(PositionRamp(TARGETS, lambda values: POSE), **config).gate


def test_positions_go_from_the_measured_pose_to_the_policys_one():
    gate = positions(ramp_s=0.04)
    sent = [gate.on_observation(WANTED, tick * 0.01) for tick in range(6)]
    shares = np.array([0.25, 0.5, 0.75, 1, 1, 1])[:, None]
    np.testing.assert_allclose(sent, POSE + shares * (np.array(WANTED) - POSE))


def test_positions_end_without_a_word_and_begin_again_with_the_ramp():
    gate = positions(ramp_s=0.04)
    gate.on_observation(WANTED, 0.0)
    assert gate.on_tick(1.0) is None
    assert gate.watchdog.is_silent
    again = gate.on_observation(WANTED, 1.1)
    np.testing.assert_allclose(again, POSE + 0.25 * (np.array(WANTED) - POSE))
    assert gate.on_conflict("two nodes") is None
    assert gate.on_observation(WANTED, 1.2) is None
    gate.on_conflict(None)
    np.testing.assert_allclose(gate.on_observation(WANTED, 1.3), again)
    assert gate.stop() is None


def test_positions_are_limited_to_each_joints_range():
    gate = positions(ramp_s=0.0)
    np.testing.assert_array_equal(gate.on_observation([99.0, -99.0], 0.0), [10, -30])


@pytest.mark.parametrize("ramp", [EffortRamp(RANGES), PositionRamp(TARGETS, lambda values: POSE)])
def test_another_policy_takes_over_from_the_last_command(ramp):
    gate = Robot(ramp, ramp_s=0.04).gate
    gate.switch()  # nothing was commanded yet: the first ramp is the usual one
    for tick in range(5):
        last = gate.on_observation(WANTED, tick * 0.01)
    np.testing.assert_array_equal(last, WANTED)
    gate.switch()
    sent = [gate.on_observation([0.0, 0.0], 0.05 + tick * 0.01) for tick in range(5)]
    shares = np.array([0.75, 0.5, 0.25, 0, 0])[:, None]
    np.testing.assert_allclose(sent, shares * np.array(WANTED), atol=1e-12)
    gate.on_tick(1.0)
    after = gate.on_observation(WANTED, 1.1)  # after a silence it is the usual one again
    first = Robot(ramp, ramp_s=0.04).gate.on_observation(WANTED, 0.0)
    np.testing.assert_allclose(after, first)
