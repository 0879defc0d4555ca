# SPDX-License-Identifier: Apache-2.0
"""Where an episode starts, and a base that is placed."""

import numpy as np
import pytest
from loop_recorder import Recorder

from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.card import RobotCard
from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.simulation.extent import extent
from humanoid_mujoco_ros.simulation.physics_loop import LoopConfig
from humanoid_mujoco_ros.simulation.simulation import BaseMotion, Simulation, SimulationConfig
from humanoid_mujoco_ros.simulation.start import StartConfig, start_qpos

STILL = np.zeros(3)


@pytest.fixture(scope="module")
def robot():
    return RobotModel()


@pytest.fixture(scope="module")
def planar():
    return RobotModel(
        RobotCard(
            "walker2d", "gymnasium:walker2d.xml", timestep_s=0.002, left_foot="", right_foot=""
        )
    )


def test_the_default_is_the_start_of_the_card(robot):
    np.testing.assert_array_equal(start_qpos(robot, StartConfig()), robot.start_qpos)


@pytest.mark.parametrize("posture", ["supine", "prone"])
def test_a_lying_robot_rests_just_above_the_floor(robot, posture):
    qpos = start_qpos(robot, StartConfig(posture, (3.0, 4.0, 0.5)))
    lower, upper = extent(robot, qpos)
    assert 0.0 < lower[2] < 0.05
    assert upper[2] - lower[2] < 0.8
    np.testing.assert_allclose(qpos[:2], (3.0, 4.0))
    np.testing.assert_array_equal(qpos[7:], robot.start_qpos[7:])


def test_a_pose_turns_and_moves_a_posture(robot):
    qpos = start_qpos(robot, StartConfig("", (1.0, -2.0, 0.7)))
    np.testing.assert_allclose(qpos[:3], (1.0, -2.0, robot.start_qpos[2]))
    assert rotation.heading(qpos[3:7]) == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (StartConfig("handstand"), "start_posture 'handstand' is unknown; there are supine, prone"),
        (StartConfig("", (1.0, 2.0)), "has 2 values, expected 3"),
        (StartConfig("", (np.inf, 2.0, 0.0)), "value 0 is inf"),
        (StartConfig("", (2000.0, 2.0, 0.0)), "1000 m at most"),
    ],
)
def test_a_start_that_cannot_be_is_refused(robot, config, reason):
    with pytest.raises(ValueError, match=reason.replace("(", r"\(")):
        start_qpos(robot, config)


def test_a_robot_in_a_plane_stays_in_it(planar):
    qpos = start_qpos(planar, StartConfig("", (2.0, 0.0, 0.0)))
    assert planar.base.pose(qpos)[0][0] == pytest.approx(2.0)
    with pytest.raises(ValueError, match="its joints do not let it"):
        start_qpos(planar, StartConfig("", (0.0, 1.0, 0.0)))


def test_episodes_elsewhere_are_the_same_for_the_same_seed(robot):
    starts = []
    for _ in range(2):
        simulation = Simulation(robot, SimulationConfig(seed=7))
        simulation.start_qpos = start_qpos(robot, StartConfig("supine", (1.0, 1.0, 1.0)))
        starts.append([simulation.reset().qpos for _ in range(3)])
    np.testing.assert_array_equal(*starts)
    assert not np.array_equal(starts[0][0], starts[0][1])


def test_a_base_is_placed_and_the_rest_stays(robot):
    simulation = Simulation(robot)
    before = simulation.step(np.full(17, 0.3))
    turn = rotation.from_axis_angle((0.0, 0.0, 1.0), 1.0)
    after = simulation.place_base(
        BaseMotion(np.array([1.0, 2.0, 3.0]), turn, np.array([0.5, 0.0, 0.0]), STILL)
    )
    np.testing.assert_allclose(after.base_position, (1.0, 2.0, 3.0))
    np.testing.assert_allclose(after.base_quaternion_wxyz, turn)
    world = rotation.rotate(turn, after.base_linear_velocity)
    np.testing.assert_allclose(world, (0.5, 0.0, 0.0), atol=1e-12)
    np.testing.assert_array_equal(after.joint_positions, before.joint_positions)
    np.testing.assert_array_equal(after.joint_velocities, before.joint_velocities)
    assert (after.episode, after.time_ns) == (before.episode, before.time_ns)
    assert abs(simulation.step(None).reward) < 20.0  # not for the jump of 1 m


def test_a_base_that_cannot_be_there_stays_where_it_is(planar):
    simulation = Simulation(planar)
    before = simulation.state()
    place, upright = before.base_position, before.base_quaternion_wxyz
    for motion, reason in [
        (BaseMotion(place + (0.0, 1.0, 0.0), upright, STILL, STILL), "cannot be at that pose"),
        (BaseMotion(place, upright, np.array([0.0, 1.0, 0.0]), STILL), "cannot move so"),
    ]:
        with pytest.raises(ValueError, match=reason):
            simulation.place_base(motion)
        np.testing.assert_array_equal(simulation.state().qpos, before.qpos)
        np.testing.assert_array_equal(simulation.state().qvel, before.qvel)


def test_a_falling_base_accelerates_as_gravity_does(robot):
    simulation = Simulation(robot, SimulationConfig(reset_noise_scale=0.0))
    simulation.place_base(BaseMotion(np.array([0.0, 0.0, 9.0]), rotation.IDENTITY, STILL, STILL))
    linear, _ = simulation.base_acceleration()
    before = simulation.state()
    after = simulation.step(None)
    velocity = [
        rotation.rotate(s.base_quaternion_wxyz, s.base_linear_velocity) for s in (before, after)
    ]
    measured = (velocity[1] - velocity[0]) / robot.control_period_s
    np.testing.assert_allclose(linear, measured, atol=1.5)
    assert linear[2] < -5.0


@pytest.mark.parametrize("mode", ["realtime", "lockstep"])
def test_steps_that_are_waited_for_are_answered_one_by_one(robot, mode):
    config = LoopConfig(mode=mode, hold_until_command=False)
    policy = frozenset({"policy"})
    with Recorder(robot, config, lambda: policy, lambda state: np.zeros(17)) as run:
        assert run.loop.advance().result(30) is False  # time runs
        assert run.loop.halt().result(30)
        assert run.loop.status.stopped
        assert not run.loop.halt().result(30)
        ticks = run.loop.status.ticks
        for _ in range(5):
            assert run.loop.advance().result(30)
        assert run.loop.status.ticks == ticks + 5
        assert run.loop.status.paused
        assert not run.loop.status.stopped


def test_a_step_that_nobody_answers_is_withdrawn_or_given_up(robot):
    config = LoopConfig(mode="lockstep", lockstep_timeout_s=60.0)
    with Recorder(robot, config) as run:
        run.loop.pause().result(30)
        step = run.loop.advance()
        run.loop.withdraw(step)
        assert step.result(30) is False
        last = run.loop.advance()
        run.loop.stop()
        with pytest.raises(RuntimeError, match="the simulation has ended"):
            last.result(30)
    with Recorder(robot, LoopConfig(mode="lockstep", lockstep_timeout_s=0.2)) as run:
        run.loop.pause().result(30)
        with pytest.raises(TimeoutError, match="no command answered"):
            run.loop.advance().result(30)
