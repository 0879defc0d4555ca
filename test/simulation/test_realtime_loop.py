# SPDX-License-Identifier: Apache-2.0
"""The control loop in real time, without ROS."""

import threading
import time
from dataclasses import replace
from itertools import groupby

import mujoco
import numpy as np
import pytest
from loop_recorder import Recorder, wait_until

from humanoid_mujoco_ros.robot.model import ModelError, RobotModel
from humanoid_mujoco_ros.robot.state import Wrench
from humanoid_mujoco_ros.robot.vectors import VectorError
from humanoid_mujoco_ros.simulation.physics_loop import LoopConfig
from humanoid_mujoco_ros.simulation.realtime_loop import RealTimeLoop
from humanoid_mujoco_ros.simulation.robot_port import Listener
from humanoid_mujoco_ros.simulation.simulation import Simulation, SimulationConfig
from humanoid_mujoco_ros.simulation.world import Member, World

ZERO = np.zeros(17)
PERIOD_S = 0.01


@pytest.fixture(scope="module")
def robot():
    return RobotModel()


def test_physics_stands_still_until_the_first_command(robot):
    with Recorder(robot, LoopConfig()) as recorder:
        recorder.wait(lambda: len(recorder.states) > 5)
        assert {state.time_ns for state in recorder.states} == {10_000_000}
        recorder.port.command(ZERO)
        recorder.wait(lambda: recorder.states[-1].time_ns > 10_000_000)


def test_real_time_keeps_wall_time_times_the_factor(robot):
    config = LoopConfig(real_time_factor=2.0, hold_until_command=False)
    with Recorder(robot, config) as recorder:
        recorder.wait(lambda: len(recorder.states) > 20)
        start_s = time.monotonic()
        recorder.wait(lambda: len(recorder.states) > 220)
        elapsed_s = time.monotonic() - start_s
        late = recorder.port.take_status().overruns
    # A busy machine may be late: each such tick loses what it was late by.
    assert elapsed_s == pytest.approx(1.0, rel=0.1) or (late and elapsed_s > 0.9)


def test_the_pace_changes_while_it_runs_without_a_jump_or_an_overrun(robot):
    config = LoopConfig(real_time_factor=0.1, hold_until_command=False)
    with Recorder(robot, config) as recorder:
        # A tick of a tenth of a second is under way, and not waited for.
        for factor in (2.0, 0.5, 5.0):
            overruns = recorder.port.take_status().overruns
            assert recorder.loop.set_real_time_factor(factor).result(20.0)
            assert recorder.loop.real_time_factor == factor
            start_s = time.monotonic()
            end_ns = recorder.states[-1].time_ns + factor * 1e9
            recorder.wait(lambda end_ns=end_ns: recorder.states[-1].time_ns >= end_ns)
            elapsed_s = time.monotonic() - start_s
            late = recorder.port.take_status().overruns - overruns
            assert elapsed_s == pytest.approx(1.0, rel=0.1) or late
        steps_ns = np.diff([state.time_ns for state in recorder.states])
        assert set(steps_ns) <= {0, 10_000_000}
    with pytest.raises(ValueError, match="real_time_factor must be positive, not 0"):
        recorder.loop.set_real_time_factor(0.0)


def test_in_slow_motion_the_state_is_repeated_so_that_nobody_reports_it_silent(robot):
    config = LoopConfig(real_time_factor=0.05, hold_until_command=False)
    with Recorder(robot, config) as recorder:
        recorder.wait(lambda: len(recorder.states) > 40)
    assert all(recorder.asked)
    # A tick of 0.2 s has 7 states, fewer where the machine was late.
    counts = [len(list(same)) for _, same in groupby(recorder.states, lambda state: state.time_ns)]
    assert 2 <= max(counts) <= 7


def test_without_commands_the_effort_goes_to_zero(robot):
    with Recorder(robot, LoopConfig(command_timeout_s=0.05)) as recorder:
        recorder.port.command(np.ones(17))
        recorder.wait(lambda: recorder.states[-1].joint_efforts.any())
        recorder.wait(lambda: not recorder.states[-1].joint_efforts.any())
        assert recorder.port.take_status().watchdog == "timeout"


@pytest.mark.parametrize(("factor", "expected_s"), [(0.1, 1.0), (10.0, 0.1)])
def test_the_watchdog_is_stretched_in_slow_motion_and_never_shortened(robot, factor, expected_s):
    config = LoopConfig(command_timeout_s=0.1, real_time_factor=factor, on_fall="stay")
    with Recorder(robot, config) as recorder:
        start_s = time.monotonic()
        recorder.port.command(np.ones(17))
        recorder.wait(lambda: recorder.states[-1].joint_efforts.any())
        recorder.wait(lambda: not recorder.states[-1].joint_efforts.any())
        assert recorder.times_s[-1] - start_s >= expected_s


def test_lost_time_is_not_made_up(robot):
    stalled = threading.Event()

    class Stalling(Recorder):
        def on_state(self, state, *, ask):
            super().on_state(state, ask=ask)
            if len(self.states) == 20:
                stalled.wait(0.5)  # nobody sets it: the machine was busy with something else

    config = LoopConfig(hold_until_command=False, on_fall="stay")
    with Stalling(robot, config) as recorder:
        recorder.wait(lambda: len(recorder.states) > 120)
        assert recorder.port.take_status().overruns >= 1
    wall_s = np.array(recorder.times_s[20:])
    sim_s = np.array([state.time_ns for state in recorder.states[20:]]) * 1e-9
    # The simulation never gets ahead of the wall; a tick that is late by less than a period may be
    # followed by a shorter one.
    ahead_s = (sim_s - sim_s[0]) - (wall_s - wall_s[0])
    assert ahead_s.max() < 2 * PERIOD_S


def test_pause_step_and_resume(robot):
    config = LoopConfig(hold_until_command=False)
    with Recorder(robot, config) as recorder:
        assert recorder.loop.step().result(20.0) is False
        assert recorder.loop.resume().result(20.0) is False
        assert recorder.loop.pause().result(20.0) is True
        assert recorder.loop.pause().result(20.0) is False
        before_ns = recorder.states[-1].time_ns
        assert recorder.loop.step().result(20.0) is True
        assert recorder.states[-1].time_ns == before_ns + 10_000_000
        assert recorder.loop.resume().result(20.0) is True
        recorder.wait(lambda: recorder.states[-1].time_ns > before_ns + 50_000_000)


def lying_s(robot, config):
    """How long a robot lies before it is reset [s]."""
    with Recorder(robot, config) as recorder:
        recorder.wait(lambda: recorder.states[-1].episode == 2)
    fallen = [state.time_ns for state in recorder.states if state.fallen and state.episode == 0]
    return (fallen[-1] - fallen[0]) * 1e-9


@pytest.mark.parametrize(("recovery", "expected_s"), [("rise", 0.8), (None, 0.4)])
def test_a_robot_has_time_to_get_up_if_it_can(recovery, expected_s):
    robot = RobotModel(replace(RobotModel().card, recovery=recovery))
    config = LoopConfig(
        real_time_factor=20.0,
        hold_until_command=False,
        on_fall="recover",
        fall_reset_delay_s=0.4,
        recovery_timeout_s=0.8,
    )
    assert lying_s(robot, config) == pytest.approx(expected_s, abs=0.02)


def test_a_fallen_robot_is_reset_after_the_delay_or_stays(robot):
    fast = {"real_time_factor": 20.0, "hold_until_command": False, "fall_reset_delay_s": 0.5}
    assert lying_s(robot, LoopConfig(**fast)) == pytest.approx(0.5, abs=0.02)
    with Recorder(robot, LoopConfig(**fast, on_fall="stay", duration_s=4.0)) as recorder:
        wait_until(lambda: recorder.loop.finished)
    assert recorder.states[-1].episode == 0
    assert recorder.states[-1].fallen


def high_up(robot):
    """A simulation of a robot at rest far above the floor, where only gravity and pushes act."""
    simulation = Simulation(robot, SimulationConfig(seed=1))
    qpos = robot.mj.qpos0.copy()
    qpos[2] = 5000.0
    simulation.set_state(qpos, np.zeros(robot.mj.nv))
    return simulation


def horizontal_momentum(robot, state):
    """(2,) [kg m/s], world."""
    data = mujoco.MjData(robot.mj)
    data.qpos[:], data.qvel[:] = state.qpos, state.qvel
    mujoco.mj_forward(robot.mj, data)
    mujoco.mj_subtreeVel(robot.mj, data)
    return data.subtree_linvel[1][:2] * robot.mj.body_subtreemass[1]


@pytest.mark.parametrize("link", ["torso", "l_sole", "abdomen_z_link"])
def test_a_push_ends_when_it_is_not_renewed(robot, link):
    config = LoopConfig(hold_until_command=False, wrench_timeout_s=0.05, on_fall="stay")
    with Recorder(robot, config, simulation=high_up(robot)) as recorder:
        recorder.port.push(link, Wrench(np.array([0, 50.0, 0]), np.zeros(3)))
        recorder.wait(lambda: horizontal_momentum(robot, recorder.states[-1])[1] > 0.1)

        def is_over():
            """Whether nothing has pushed the robot in the last 20 ticks; 50 N give 0.5 a tick."""
            last = [horizontal_momentum(robot, state) for state in recorder.states[-20:]]
            return len(last) == 20 and np.ptp(last, axis=0).max() < 0.01

        recorder.wait(is_over)
        assert recorder.states[-1].episode == recorder.states[0].episode  # no reset ended it
        with pytest.raises(ModelError, match="'tail' is not in the model"):
            recorder.port.push("tail", Wrench(np.zeros(3), np.zeros(3)))


@pytest.mark.parametrize("vector", [[1e300, 0, 0], [0, 2100.0, 0], [0, np.nan, 0]])
def test_a_push_beyond_the_limit_is_refused(robot, vector):
    port = Recorder(robot, LoopConfig()).port
    for wrench in (
        Wrench(np.array(vector), np.zeros(3)),
        Wrench(np.zeros(3), np.array(vector)),
    ):
        with pytest.raises(VectorError, match=r"external (force|torque)"):
            port.push("torso", wrench)


class SlowPolicy:
    """Answers the newest state that was not answered yet, some time after it came."""

    def __init__(self, needs_s):
        self.needs_s = needs_s
        self.recorder = None
        self.answered_ns = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        while not self._stopping.is_set():
            states = self.recorder.states
            if not states or states[-1].time_ns in self.answered_ns[-1:]:
                time.sleep(0.0005)
                continue
            state = states[-1]
            self._stopping.wait(self.needs_s)  # what its inference takes
            self.answered_ns.append(state.time_ns)
            self.recorder.port.command(np.full(17, state.time_ns * 1e-9))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stopping.set()
        self._thread.join()


POLICY = frozenset({"policy"})


def test_a_slow_policy_costs_time_and_every_state_is_answered(robot):
    """The policy needs 15 ms for a state, of which 100 come in a second."""
    config = LoopConfig(command_wait_s=5.0, command_timeout_s=60.0, on_fall="stay")
    policy = SlowPolicy(0.015)
    policy.recorder = recorder = Recorder(robot, config, lambda: POLICY)
    with policy, recorder:
        recorder.wait(lambda: recorder.states and recorder.states[-1].time_ns > 4e8)
        status = recorder.port.take_status()
    efforts = np.array([s.joint_efforts[0] for s in recorder.states])
    times_ns = np.array([s.time_ns for s in recorder.states])
    ticks = np.flatnonzero(np.diff(times_ns) > 0) + 1
    # Each tick applied the answer to the state before it.
    np.testing.assert_allclose(efforts[ticks], times_ns[ticks - 1] * 1e-9)
    assert status.command_waits
    assert status.command_waited_s
    # What was waited for is not made up: no tick comes sooner than the policy answers.
    wall_s = np.array(recorder.times_s)[ticks]
    assert np.diff(wall_s).min() > 0.0149


def test_without_a_wait_the_last_command_is_held_for_a_slow_policy(robot):
    config = LoopConfig(command_wait_s=0.0, command_timeout_s=60.0, on_fall="stay")
    policy = SlowPolicy(0.1)
    policy.recorder = recorder = Recorder(robot, config, lambda: POLICY)
    with policy, recorder:
        recorder.wait(lambda: recorder.states and recorder.states[-1].time_ns > 8e8)
        status = recorder.port.take_status()
    assert len(set(policy.answered_ns)) < status.ticks / 2
    assert status.command_waits == 0


def test_a_policy_that_stops_answering_is_waited_for_no_longer(robot):
    config = LoopConfig(command_wait_s=0.2, command_timeout_s=60.0, on_fall="stay")
    with Recorder(robot, config, lambda: POLICY, answer=lambda _: ZERO) as recorder:
        recorder.wait(lambda: len(recorder.states) > 10)
        before = recorder.port.take_status()
        recorder.answer = None
        recorder.wait(lambda: recorder.port.take_status().command_waits > before.command_waits)
        start_s, waits = time.monotonic(), recorder.port.take_status().command_waits
        ticks = recorder.port.take_status().ticks
        recorder.wait(lambda: recorder.port.take_status().ticks > ticks + 200)
        elapsed_s = time.monotonic() - start_s
    # Otherwise each of the 200 ticks would have waited.
    assert recorder.port.take_status().command_waits - waits <= elapsed_s + 1


def test_a_node_that_commands_at_a_rate_of_its_own_is_not_waited_for(robot):
    config = LoopConfig(command_wait_s=0.5, command_timeout_s=60.0, on_fall="stay")
    with Recorder(robot, config, frozenset) as recorder:
        for count in range(0, 40, 4):
            recorder.port.command(ZERO)
            recorder.wait(lambda count=count: len(recorder.states) > count + 4)
        assert recorder.port.take_status().command_waits == 0


def test_a_pause_during_a_wait_for_a_command_makes_no_tick(robot):
    config = LoopConfig(command_wait_s=60.0, command_timeout_s=120.0, on_fall="stay")
    with Recorder(robot, config, lambda: POLICY) as recorder:
        recorder.port.command(ZERO)
        recorder.wait(lambda: recorder.states[-1].time_ns == 20_000_000)
        # The second tick waits for an answer, for a minute if nothing else happens.
        assert recorder.loop.pause().result(20.0)
        count = len(recorder.states)
        recorder.wait(lambda: len(recorder.states) > count + 3)
        assert recorder.states[-1].time_ns == 20_000_000


def test_the_fall_timer_starts_again_with_each_episode(robot):
    """With much noise the robot starts fallen; each episode lasts the whole delay."""
    simulation = Simulation(robot, SimulationConfig(seed=0, reset_noise_scale=0.9))
    config = LoopConfig(
        real_time_factor=20.0, hold_until_command=False, fall_reset_delay_s=0.05, duration_s=0.5
    )
    with Recorder(robot, config, simulation=simulation) as recorder:
        wait_until(lambda: recorder.loop.finished)
    episodes = [list(same) for _, same in groupby(recorder.states, lambda state: state.episode)]
    assert len(episodes) > 3
    for states in episodes[:3]:
        assert states[1].fallen
        assert states[-1].episode_steps == 5


def test_a_robot_that_gets_up_in_time_is_not_reset(robot):
    """It lies for 4 ticks of 10, less than the delay of 6, again and again."""
    simulation = Simulation(robot, SimulationConfig(seed=0))
    standing, lying = robot.mj.qpos0.copy(), robot.mj.qpos0.copy()
    lying[2] = 0.5

    class Falling(Recorder):
        sets = 0

        def on_state(self, state, *, ask):
            super().on_state(state, ask=ask)
            tick = state.time_ns // 10_000_000
            self.sets += 1
            simulation.set_state(lying if tick % 10 < 4 else standing, np.zeros(robot.mj.nv))

    config = LoopConfig(
        real_time_factor=20.0, hold_until_command=False, fall_reset_delay_s=0.06, duration_s=0.5
    )
    with Falling(robot, config, simulation=simulation) as recorder:
        wait_until(lambda: recorder.loop.finished)
    assert sum(state.fallen for state in recorder.states) > 10
    # Setting a state begins an episode; a reset would begin one more.
    assert simulation.state().episode == recorder.sets


def test_a_push_that_still_waits_ends_with_the_episode(robot):
    def first_step(push_n):
        with Recorder(robot, LoopConfig(hold_until_command=False)) as recorder:
            assert recorder.loop.pause().result(20.0)
            recorder.port.push("torso", Wrench(np.array([push_n, 0, 0]), np.zeros(3)))
            assert recorder.port.reset().result(20.0)
            assert recorder.loop.step().result(20.0)
            return recorder.states[-1].qvel

    np.testing.assert_array_equal(first_step(500.0), first_step(0.0))


def test_divergence_resets_the_robot_and_is_counted(robot):
    simulation = Simulation(robot, SimulationConfig(wrench_limit=1e13))
    config = LoopConfig(hold_until_command=False)
    with Recorder(robot, config, simulation=simulation) as recorder:
        recorder.port.push("torso", Wrench(np.full(3, 1e12), np.full(3, 1e12)))
        recorder.wait(lambda: recorder.states[-1].episode > 0)
        status = recorder.port.take_status()
        assert status.divergences == 1
        assert "diverged" in status.last_divergence


def test_a_breakdown_ends_the_loop_with_an_error(robot, capsys):
    def break_down(state, *, ask):
        if state.time_ns > 50_000_000:
            raise MemoryError("no room")

    config = LoopConfig(hold_until_command=False)
    world = World([Member("", Simulation(robot))])
    loop = RealTimeLoop(world, config, [Listener(break_down)])
    loop.start()
    wait_until(lambda: loop.finished)
    assert loop.status.error == "the simulation broke down: MemoryError: no room"
    assert "Traceback" in capsys.readouterr().err
    with pytest.raises(RuntimeError, match="the simulation has ended"):
        loop.ports[0].reset().result(1.0)


def test_requests_after_the_end_are_refused(robot):
    recorder = Recorder(robot, LoopConfig())
    with recorder:
        pass
    with pytest.raises(RuntimeError, match="has ended"):
        recorder.port.reset().result(1.0)


@pytest.mark.parametrize("name", ["real_time_factor", "command_timeout_s", "wrench_timeout_s"])
def test_a_rate_or_timeout_must_be_positive(name):
    with pytest.raises(ValueError, match=f"{name} must be positive, not -1"):
        LoopConfig(**{name: -1.0})


@pytest.mark.parametrize("factor", [float("inf"), 1e-9])
def test_a_real_time_factor_must_be_of_use(factor):
    with pytest.raises(ValueError, match=r"must be within 0\.0001 and 10000, not"):
        LoopConfig(real_time_factor=factor)


@pytest.mark.parametrize("value", [-1.0, float("nan")])
def test_a_wait_must_not_be_negative(value):
    with pytest.raises(ValueError, match=f"command_wait_s must not be negative, not {value}"):
        LoopConfig(command_wait_s=value)
