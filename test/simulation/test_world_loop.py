# SPDX-License-Identifier: Apache-2.0
"""The control loops with several robots in one world, without ROS."""

import numpy as np
import pytest
from loop_recorder import Recorder, WorldRecorder, wait_until

from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.robot.state import Wrench
from humanoid_mujoco_ros.simulation.physics_loop import LoopConfig
from humanoid_mujoco_ros.simulation.simulation import Simulation, SimulationConfig

ZERO = np.zeros(17)
POLICY = frozenset({"policy"})


@pytest.fixture(scope="module")
def robot():
    return RobotModel()


def simulations(robot, **config):
    return [Simulation(robot, SimulationConfig(seed=seed, **config)) for seed in (1, 2)]


def wriggle(state):
    return 30 * np.sin(state.time_ns * 1e-8 + np.arange(17))


def finished(config, simulations, answers):
    with WorldRecorder.of(simulations, config, lambda: POLICY, answers) as recorder:
        wait_until(lambda: recorder.loop.finished)
    return recorder.robots


def assert_same_run(states, others):
    assert len(states) == len(others)
    for one, other in zip(states, others, strict=True):
        np.testing.assert_array_equal(one.observation, other.observation)
        assert (one.time_ns, one.episode) == (other.time_ns, other.episode)


@pytest.mark.parametrize("on_fall", ["reset", "stay"])
def test_in_lockstep_two_runs_are_the_same_and_each_robot_moves_as_it_would_alone(robot, on_fall):
    config = LoopConfig(mode="lockstep", duration_s=2.0, on_fall=on_fall, fall_reset_delay_s=0.1)
    answers = [wriggle, lambda state: -wriggle(state)]
    first, second = (finished(config, simulations(robot), answers) for _ in range(2))
    for one, other, simulation, answer in zip(
        first, second, simulations(robot), answers, strict=True
    ):
        assert_same_run(one.states, other.states)
        with Recorder(robot, config, lambda: POLICY, answer, simulation) as alone:
            wait_until(lambda alone=alone: alone.loop.finished)
        assert_same_run(one.states, alone.states)
        assert sum(one.asked) == 201
        assert (one.states[-1].episode > 0) == (on_fall == "reset")


def test_in_lockstep_a_tick_comes_when_each_robot_has_its_command(robot):
    config = LoopConfig(mode="lockstep", lockstep_timeout_s=60.0)
    with WorldRecorder.of(simulations(robot), config, lambda: POLICY) as recorder:
        first, second = recorder.robots
        recorder.wait(lambda: first.asked[-1:] == second.asked[-1:] == [True])
        first.port.command(ZERO)
        first.port.read(lambda simulation: None).result(20.0)  # the loop has looked
        first.port.command(ZERO)
        first.port.read(lambda simulation: None).result(20.0)
        assert recorder.loop.status.ticks == 0
        second.port.command(ZERO)
        recorder.wait(lambda: recorder.loop.status.ticks == 1)


def test_in_lockstep_the_robot_that_is_silent_is_named(robot):
    config = LoopConfig(mode="lockstep", lockstep_timeout_s=0.1)
    with WorldRecorder.of(simulations(robot), config, lambda: POLICY) as recorder:
        first, second = recorder.robots
        recorder.wait(lambda: first.asked[-1:] == second.asked[-1:] == [True])
        first.port.command(ZERO)
        wait_until(
            lambda: (
                recorder.loop.status.error
                == "lockstep: no command answered the observation of second within 0.1 s"
            )
        )
        second.port.command(ZERO)
        recorder.wait(lambda: recorder.loop.status.ticks == 1)


@pytest.mark.parametrize("mode", ["lockstep", "realtime"])
def test_a_reset_by_hand_leaves_the_other_robot_alone(robot, mode):
    """The first robot moves as it would alone, although the second is reset again and again."""
    config = LoopConfig(mode=mode, duration_s=1.0, on_fall="stay", real_time_factor=20.0)
    resets_ns = [200_000_000, 400_000_000, 600_000_000]

    def answer_and_reset(state):
        if resets_ns and state.time_ns >= resets_ns[0]:
            resets_ns.pop(0)
            second.port.reset()
        return ZERO

    answers = [lambda _: ZERO, answer_and_reset]
    recorder = WorldRecorder.of(simulations(robot), config, lambda: POLICY, answers)
    first, second = recorder.robots
    with recorder:
        wait_until(lambda: recorder.loop.finished)
    alone = Simulation(robot, SimulationConfig(seed=1))
    expected = {10_000_000: alone.state()}
    for _ in range(100):
        state = alone.step(ZERO)
        expected[state.time_ns] = state
    assert first.states[-1].time_ns == 1_010_000_000
    for state in first.states:
        np.testing.assert_array_equal(state.qpos, expected[state.time_ns].qpos)
        assert state.episode == 0
    assert second.states[-1].episode == 3


def test_in_lockstep_a_reset_waits_for_the_command_of_its_own_robot_alone(robot):
    config = LoopConfig(mode="lockstep", lockstep_timeout_s=60.0)
    with WorldRecorder.of(simulations(robot), config, lambda: POLICY) as recorder:
        first, second = recorder.robots
        recorder.wait(lambda: first.asked[-1:] == second.asked[-1:] == [True])
        done = first.port.restart()
        first.port.command(ZERO)
        assert done.result(20.0)
        assert (first.states[-1].episode, second.states[-1].episode) == (1, 0)
        assert recorder.loop.status.ticks == 0


def test_each_robot_has_a_watchdog_of_its_own(robot):
    config = LoopConfig(command_timeout_s=0.2, command_wait_s=0.0, on_fall="stay")
    with WorldRecorder.of(simulations(robot), config) as recorder:
        first, second = recorder.robots
        first.port.command(np.ones(17))
        recorder.wait(lambda: len(first.states) > 5)
        assert recorder.loop.status.ticks == 0  # the second waits for its first command
        second.answer = lambda _: np.ones(17)
        second.port.command(np.ones(17))
        recorder.wait(lambda: first.states[-1].time_ns > 10_000_000)
        wait_until(lambda: first.port.take_status().watchdog == "timeout")
        recorder.wait(lambda: not first.states[-1].joint_efforts.any())
        recorder.wait(lambda: second.states[-1].joint_efforts.any())
        wait_until(lambda: second.port.take_status().watchdog == "ok")


def test_a_push_and_a_divergence_concern_one_robot(robot):
    config = LoopConfig(hold_until_command=False, on_fall="stay", real_time_factor=20.0)
    with WorldRecorder.of(simulations(robot, wrench_limit=1e13), config) as recorder:
        first, second = recorder.robots
        recorder.wait(lambda: first.states)
        second.port.push("torso", Wrench(np.full(3, 1e12), np.full(3, 1e12)))
        recorder.wait(lambda: second.states[-1].episode > 0)
        assert first.states[-1].episode == 0
        assert first.port.take_status().divergences == 0
        assert second.port.take_status().divergences == 1


def test_time_is_one_for_all(robot):
    config = LoopConfig(hold_until_command=False, on_fall="stay")
    with WorldRecorder.of(simulations(robot), config) as recorder:
        assert recorder.loop.pause().result(20.0)
        assert recorder.loop.step().result(20.0)
        first, second = recorder.robots
        assert first.states[-1].time_ns == second.states[-1].time_ns
        assert recorder.loop.halt().result(20.0)
        assert [r.states[-1].episode for r in recorder.robots] == [1, 1]
