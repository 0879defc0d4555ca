# SPDX-License-Identifier: Apache-2.0
"""The control loop, without ROS."""

import threading
import time

import numpy as np
import pytest

from humanoid_mujoco_ros.robot.model import ModelError, RobotModel
from humanoid_mujoco_ros.robot.state import Wrench
from humanoid_mujoco_ros.simulation.physics_loop import LoopConfig, PhysicsLoop
from humanoid_mujoco_ros.simulation.simulation import Simulation, SimulationConfig

ZERO = np.zeros(17)


@pytest.fixture(scope="module")
def robot():
    return RobotModel()


class Recorder:
    """A loop whose states are kept, and that can be waited for."""

    def __init__(self, robot, config, policies=frozenset, answer=None):
        self.states = []
        self.asked = []
        self._new = threading.Condition()
        self._answer = answer
        self.loop = PhysicsLoop(
            Simulation(robot, SimulationConfig(seed=1)), config, self.on_state, policies
        )

    def on_state(self, state, ask):
        with self._new:
            self.states.append(state)
            self.asked.append(ask)
            self._new.notify_all()
        if ask and self._answer is not None:
            self.loop.command(self._answer(state))

    def wait(self, condition, timeout_s=30.0):
        with self._new:
            assert self._new.wait_for(condition, timeout_s)

    def __enter__(self):
        self.loop.start()
        return self

    def __exit__(self, *_):
        self.loop.stop()


def wait_until(condition, timeout_s=30.0):
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.002)


def test_physics_stands_still_until_the_first_command(robot):
    with Recorder(robot, LoopConfig()) as recorder:
        recorder.wait(lambda: len(recorder.states) > 5)
        assert {state.time_ns for state in recorder.states} == {10_000_000}
        recorder.loop.command(ZERO)
        recorder.wait(lambda: recorder.states[-1].time_ns > 10_000_000)


def test_real_time_keeps_wall_time_times_the_factor(robot):
    config = LoopConfig(real_time_factor=2.0, hold_until_command=False)
    with Recorder(robot, config) as recorder:
        recorder.wait(lambda: len(recorder.states) > 20)
        start_s = time.monotonic()
        recorder.wait(lambda: len(recorder.states) > 220)
        elapsed_s = time.monotonic() - start_s
    assert elapsed_s == pytest.approx(1.0, rel=0.1)


def test_the_pace_changes_while_it_runs_without_a_jump_or_an_overrun(robot):
    config = LoopConfig(real_time_factor=0.1, hold_until_command=False)
    with Recorder(robot, config) as recorder:
        # A tick of a tenth of a second is under way, and not waited for.
        for factor in (2.0, 0.5, 5.0):
            overruns = recorder.loop.take_status().overruns
            assert recorder.loop.set_real_time_factor(factor).result(2.0)
            assert recorder.loop.real_time_factor == factor
            start_s = time.monotonic()
            end_ns = recorder.states[-1].time_ns + factor * 1e9
            recorder.wait(lambda end_ns=end_ns: recorder.states[-1].time_ns >= end_ns)
            elapsed_s = time.monotonic() - start_s
            late = recorder.loop.take_status().overruns - overruns
            # A busy machine may be late: each such tick loses what it was late by.
            assert elapsed_s == pytest.approx(1.0, rel=0.1) or late
        steps_ns = np.diff([state.time_ns for state in recorder.states])
        assert set(steps_ns) <= {0, 10_000_000}
    with pytest.raises(ValueError, match="real_time_factor must be positive, not 0"):
        recorder.loop.set_real_time_factor(0.0)


def test_in_slow_motion_the_state_is_repeated_so_that_nobody_takes_it_for_silent(robot):
    config = LoopConfig(real_time_factor=0.05, hold_until_command=False)
    with Recorder(robot, config) as recorder:
        recorder.wait(lambda: len(recorder.states) > 1)
        start_s, count = time.monotonic(), len(recorder.states)
        recorder.wait(lambda: len(recorder.states) >= count + 40)
        elapsed_s = time.monotonic() - start_s
    assert all(recorder.asked)
    assert elapsed_s / 40 < 0.04
    # A tick of 0.2 s has 7 of them.
    ticks = (recorder.states[-1].time_ns - recorder.states[0].time_ns) / 10_000_000
    assert ticks == pytest.approx(len(recorder.states) / 7, abs=2)


def test_without_commands_the_effort_goes_to_zero(robot):
    with Recorder(robot, LoopConfig(command_timeout_s=0.05)) as recorder:
        recorder.loop.command(np.ones(17))
        recorder.wait(lambda: recorder.states[-1].joint_efforts.any())
        assert recorder.loop.take_status().watchdog == "ok"
        recorder.wait(
            lambda: len(recorder.states) > 3 and not recorder.states[-1].joint_efforts.any()
        )
        assert recorder.loop.take_status().watchdog == "timeout"


def test_pause_step_and_resume(robot):
    config = LoopConfig(hold_until_command=False)
    with Recorder(robot, config) as recorder:
        assert recorder.loop.step().result(2.0) is False
        assert recorder.loop.pause(True).result(2.0) is True
        assert recorder.loop.pause(True).result(2.0) is False
        before_ns = recorder.states[-1].time_ns
        assert recorder.loop.step().result(2.0) is True
        assert recorder.states[-1].time_ns == before_ns + 10_000_000
        assert recorder.loop.pause(False).result(2.0) is True
        recorder.wait(lambda: recorder.states[-1].time_ns > before_ns + 50_000_000)


def test_a_fallen_robot_is_reset_after_the_delay_or_stays(robot):
    fast = {"real_time_factor": 20.0, "hold_until_command": False, "fall_reset_delay_s": 0.5}
    with Recorder(robot, LoopConfig(**fast)) as recorder:
        recorder.wait(lambda: recorder.states[-1].episode == 2)
    fallen = [state.time_ns for state in recorder.states if state.fallen and state.episode == 0]
    assert (fallen[-1] - fallen[0]) * 1e-9 == pytest.approx(0.5, abs=0.02)
    with Recorder(robot, LoopConfig(**fast, on_fall="stay", duration_s=4.0)) as recorder:
        wait_until(lambda: recorder.loop.finished)
    assert recorder.states[-1].episode == 0
    assert recorder.states[-1].fallen


@pytest.mark.parametrize("link", ["torso", "l_sole", "abdomen_z_link"])
def test_a_push_ends_when_it_is_not_renewed(robot, link):
    with Recorder(robot, LoopConfig(hold_until_command=False, wrench_timeout_s=0.05)) as recorder:
        recorder.loop.push(link, Wrench(np.array([50.0, 0, 0]), np.zeros(3)))
        wait_until(lambda: recorder.loop._simulation._wrenches)
        wait_until(lambda: not recorder.loop._simulation._wrenches)
        with pytest.raises(ModelError, match="'tail' is not in the model"):
            recorder.loop.push("tail", Wrench(np.zeros(3), np.zeros(3)))


def test_lockstep_makes_one_step_per_command_the_same_each_time(robot):
    def run():
        config = LoopConfig(mode="lockstep", duration_s=3.0)
        answer = lambda state: np.sin(state.time_ns * 1e-8 + np.arange(17))  # noqa: E731
        with Recorder(robot, config, lambda: frozenset({"policy"}), answer) as recorder:
            wait_until(lambda: recorder.loop.finished)
        return recorder

    first, second = run(), run()
    assert first.loop.take_status().ticks == 300
    assert sum(first.asked) == 301
    for a, b in zip(first.states, second.states, strict=True):
        np.testing.assert_array_equal(a.qpos, b.qpos)


def test_lockstep_waits_for_a_policy_and_asks_a_newcomer_anew(robot):
    policies = set()
    config = LoopConfig(mode="lockstep")
    with Recorder(robot, config, lambda: frozenset(policies)) as recorder:
        recorder.wait(lambda: recorder.states)
        assert recorder.asked == [False]
        policies.add("first")
        recorder.wait(lambda: recorder.asked == [False, True])
        recorder.loop.command(ZERO)
        recorder.wait(lambda: len(recorder.states) == 3)
        policies.clear()
        policies.add("second")
        recorder.wait(lambda: len(recorder.states) == 4)
        assert recorder.states[3].time_ns == recorder.states[2].time_ns


def test_lockstep_steps_and_resets_once_the_command_under_way_has_come(robot):
    config = LoopConfig(mode="lockstep")
    with Recorder(robot, config, lambda: frozenset({"policy"})) as recorder:
        recorder.wait(lambda: recorder.asked == [False, True])
        assert recorder.loop.pause(True).result(2.0)
        assert recorder.loop.step().result(2.0)
        recorder.loop.command(ZERO)
        recorder.wait(lambda: len(recorder.states) == 3)
        assert recorder.loop.reset().result(2.0)
        assert recorder.states[-1].episode == 0
        recorder.loop.command(ZERO)
        recorder.wait(lambda: recorder.states[-1].episode == 1)
        assert recorder.states[-1].time_ns == recorder.states[-2].time_ns
        assert recorder.loop.take_status().ticks == 1


def test_an_unanswered_lockstep_observation_is_an_error_not_a_hang(robot):
    config = LoopConfig(mode="lockstep", lockstep_timeout_s=0.1)
    with Recorder(robot, config, lambda: frozenset({"policy"})) as recorder:
        wait_until(lambda: "no command answered" in recorder.loop.take_status().error)
        recorder.loop.command(ZERO)
        recorder.wait(lambda: recorder.states[-1].time_ns == 20_000_000)
        wait_until(lambda: recorder.loop.take_status().error)
    config = LoopConfig(mode="lockstep", lockstep_timeout_s=0.1, duration_s=9.0)
    with Recorder(robot, config, lambda: frozenset({"policy"})) as recorder:
        recorder.wait(lambda: any(recorder.asked))
        recorder.loop.command(ZERO)
        wait_until(lambda: recorder.loop.finished)


def test_divergence_resets_the_robot_and_is_counted(robot):
    with Recorder(robot, LoopConfig(hold_until_command=False)) as recorder:
        recorder.loop.push("torso", Wrench(np.full(3, 1e12), np.full(3, 1e12)))
        recorder.wait(lambda: recorder.states[-1].episode > 0)
        status = recorder.loop.take_status()
        assert status.divergences == 1
        assert "diverged" in status.last_divergence


def test_a_breakdown_ends_the_loop_with_an_error(robot, capsys):
    def break_down(state, _ask):
        if state.time_ns > 50_000_000:
            raise MemoryError("no room")

    loop = PhysicsLoop(Simulation(robot), LoopConfig(hold_until_command=False), break_down)
    loop.start()
    wait_until(lambda: loop.finished)
    assert loop.take_status().error == "the simulation broke down: MemoryError: no room"
    assert "Traceback" in capsys.readouterr().err
    with pytest.raises(RuntimeError, match="the simulation has ended"):
        loop.reset().result(1.0)


def test_requests_after_the_end_are_refused(robot):
    recorder = Recorder(robot, LoopConfig())
    with recorder:
        pass
    with pytest.raises(RuntimeError, match="has ended"):
        recorder.loop.reset().result(1.0)


@pytest.mark.parametrize("name", ["real_time_factor", "command_timeout_s", "wrench_timeout_s"])
def test_a_rate_or_timeout_must_be_positive(name):
    with pytest.raises(ValueError, match=f"{name} must be positive, not -1"):
        LoopConfig(**{name: -1.0})


@pytest.mark.parametrize("factor", [float("inf"), 1e-9])
def test_a_real_time_factor_must_be_of_use(factor):
    with pytest.raises(ValueError, match=r"must be within 0\.0001 and 10000, not"):
        LoopConfig(real_time_factor=factor)
