# SPDX-License-Identifier: Apache-2.0
"""The control loop in lockstep, without ROS."""

import numpy as np
import pytest
from loop_recorder import Recorder, wait_until

from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.simulation.physics_loop import LoopConfig

ZERO = np.zeros(17)


@pytest.fixture(scope="module")
def robot():
    return RobotModel()


def test_one_step_per_command_the_same_each_time(robot):
    def run():
        config = LoopConfig(mode="lockstep", duration_s=3.0)
        answer = lambda state: np.sin(state.time_ns * 1e-8 + np.arange(17))  # noqa: E731
        with Recorder(robot, config, lambda: frozenset({"policy"}), answer) as recorder:
            wait_until(lambda: recorder.loop.finished)
        return recorder

    first, second = run(), run()
    assert first.port.take_status().ticks == 300
    assert sum(first.asked) == 301
    for a, b in zip(first.states, second.states, strict=True):
        np.testing.assert_array_equal(a.qpos, b.qpos)


def test_it_waits_for_a_policy_and_asks_a_newcomer_again(robot):
    policies = set()
    config = LoopConfig(mode="lockstep")
    with Recorder(robot, config, lambda: frozenset(policies)) as recorder:
        recorder.wait(lambda: recorder.states)
        assert recorder.asked == [False]
        policies.add("first")
        recorder.wait(lambda: recorder.asked == [False, True])
        recorder.port.command(ZERO)
        recorder.wait(lambda: len(recorder.states) == 3)
        policies.clear()
        policies.add("second")
        recorder.wait(lambda: len(recorder.states) == 4)
        assert recorder.states[3].time_ns == recorder.states[2].time_ns


def test_it_steps_and_resets_once_the_command_under_way_has_come(robot):
    config = LoopConfig(mode="lockstep")
    with Recorder(robot, config, lambda: frozenset({"policy"})) as recorder:
        recorder.wait(lambda: recorder.asked == [False, True])
        assert recorder.loop.pause().result(20.0)
        assert recorder.loop.step().result(20.0)
        recorder.port.command(ZERO)
        recorder.wait(lambda: len(recorder.states) == 3)
        assert recorder.port.reset().result(20.0)
        assert recorder.states[-1].episode == 0
        recorder.port.command(ZERO)
        recorder.wait(lambda: recorder.states[-1].episode == 1)
        assert recorder.states[-1].time_ns == recorder.states[-2].time_ns
        assert recorder.port.take_status().ticks == 1


def test_an_unanswered_observation_is_an_error_not_a_hang(robot):
    config = LoopConfig(mode="lockstep", lockstep_timeout_s=0.1)
    expected = "lockstep: no command answered the observation within 0.1 s"
    with Recorder(robot, config, lambda: frozenset({"policy"})) as recorder:
        wait_until(lambda: recorder.port.take_status().error == expected)
        recorder.port.command(ZERO)
        recorder.wait(lambda: recorder.states[-1].time_ns == 20_000_000)
        wait_until(lambda: recorder.port.take_status().error == expected)
    config = LoopConfig(mode="lockstep", lockstep_timeout_s=0.1, duration_s=9.0)
    with Recorder(robot, config, lambda: frozenset({"policy"})) as recorder:
        recorder.wait(lambda: any(recorder.asked))
        recorder.port.command(ZERO)
        wait_until(lambda: recorder.loop.finished)


def test_one_who_reads_all_the_time_keeps_no_policy_waiting(robot):
    policies = set()
    config = LoopConfig(mode="lockstep", lockstep_timeout_s=0.5)
    with Recorder(robot, config, lambda: frozenset(policies)) as recorder:
        recorder.wait(lambda: recorder.states)

        def read_until(condition):
            def reads():
                recorder.port.read(lambda simulation: simulation.state()).result(20.0)
                return condition()

            wait_until(reads)

        policies.add("policy")
        read_until(lambda: any(recorder.asked))
        recorder.port.command(ZERO)
        read_until(lambda: len(recorder.states) == 3)
        read_until(lambda: recorder.port.take_status().watchdog == "timeout")


def test_there_is_no_pace(robot):
    assert np.isnan(Recorder(robot, LoopConfig(mode="lockstep")).loop.real_time_factor)
