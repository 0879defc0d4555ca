# SPDX-License-Identifier: Apache-2.0
"""Position drives against the formula that defines them and a pendulum solved by hand."""

from dataclasses import replace

import numpy as np
import pytest
from loop_recorder import Recorder

from humanoid_mujoco_ros.robot.card import Drive, RobotCard, StartPose
from humanoid_mujoco_ros.robot.joint_map import JointMap
from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.simulation.physics_loop import LoopConfig
from humanoid_mujoco_ros.simulation.simulation import Simulation, SimulationConfig

INERTIA, KP, KD, LIMIT = 0.5, 30.0, 1.5, 4.0
STILL = SimulationConfig(reset_noise_scale=0.0)


def pendulum(tmp_path, *, drive, gravity="0 0 0", joints=1, **changes) -> RobotModel:
    """Hinges side by side on a fixed base, without friction or damping, all with one inertia."""
    bodies = "".join(
        f'<body name="p{i}"><inertial pos="0 0 0" mass="1" diaginertia="1 {INERTIA} 1"/>'
        f'<joint name="q{i}" axis="0 1 0"/></body>'
        for i in range(joints)
    )
    path = tmp_path / "pendulum.xml"
    path.write_text(f"""
        <mujoco><option gravity="{gravity}"/><worldbody>
          <body name="base"><geom size=".1" contype="0" conaffinity="0"/>{bodies}</body>
        </worldbody></mujoco>""")
    card = RobotCard(
        name="pendulum",
        model=str(path),
        actuation="position",
        drives={"q*": drive},
        timestep_s=1e-4,
        steps_per_control=100,
    )
    return RobotModel(replace(card, **changes))


def test_a_drive_swings_as_a_damped_pendulum(tmp_path):
    robot = pendulum(tmp_path, drive=Drive(kp=KP, kd=KD))
    simulation = Simulation(robot, STILL)
    target = 0.7
    decay, natural = KD / (2 * INERTIA), KP / INERTIA
    omega = np.sqrt(natural - decay**2)
    for tick in range(1, 201):
        state = simulation.step(np.array([target]))
        t = tick * robot.control_period_s
        swing = np.cos(omega * t) + decay / omega * np.sin(omega * t)
        expected = target * (1 - np.exp(-decay * t) * swing)
        assert state.joint_positions[0] == pytest.approx(expected, abs=1e-6)
    assert state.joint_positions[0] == pytest.approx(target, abs=0.05)


def test_armature_of_the_card_is_inertia_at_the_joint(tmp_path):
    light = pendulum(tmp_path, drive=Drive(kp=KP, kd=KD))
    heavy = pendulum(tmp_path, drive=Drive(kp=KP, kd=KD, armature=INERTIA))
    states = [Simulation(robot, STILL).step(np.array([0.1])) for robot in (light, heavy)]
    ratio = states[0].joint_positions[0] / states[1].joint_positions[0]
    assert ratio == pytest.approx(2.0, rel=0.01)


def test_a_drive_is_limited_to_its_effort_limit(tmp_path):
    robot = pendulum(tmp_path, drive=Drive(kp=KP, kd=0.0, effort_limit=LIMIT))
    simulation = Simulation(robot, STILL)
    for tick in range(1, 21):
        state = simulation.step(np.array([-100.0]))
        t = tick * robot.control_period_s
        assert state.joint_efforts[0] == -LIMIT
        assert state.joint_positions[0] == pytest.approx(-0.5 * LIMIT / INERTIA * t**2, rel=1e-6)


@pytest.mark.parametrize("integrator", ["Euler", "implicitfast"])
def test_the_effort_is_the_formulas_at_every_physics_step(tmp_path, integrator):
    robot = pendulum(
        tmp_path,
        drive=Drive(kp=KP, kd=KD, effort_limit=LIMIT),
        gravity="3 0 -9.81",
        joints=3,
        timestep_s=0.002,
        steps_per_control=1,
        integrator=integrator,
    )
    simulation = Simulation(robot, SimulationConfig(reset_noise_scale=0.1))
    random = np.random.default_rng(1)
    before, limited = simulation.state(), 0
    for _ in range(200):
        targets = random.uniform(-0.3, 0.3, 3)
        state = simulation.step(targets)
        torque = KP * (targets - before.joint_positions) - KD * before.joint_velocities
        limited += int(np.sum(np.abs(torque) > LIMIT))
        expected = np.clip(torque, -LIMIT, LIMIT)
        np.testing.assert_allclose(state.joint_efforts, expected, atol=1e-12)
        before = state
    assert 0 < limited < 600


def test_the_loop_is_closed_at_every_physics_step_and_not_only_once_per_command(tmp_path):
    # A stiff drive that is computed once in 20 ms would shake itself to pieces.
    robot = pendulum(
        tmp_path, drive=Drive(kp=4000.0, kd=60.0), timestep_s=0.001, steps_per_control=20
    )
    simulation = Simulation(robot, STILL)
    for _ in range(50):
        state = simulation.step(np.array([1.0]))
    assert state.joint_positions[0] == pytest.approx(1.0, abs=1e-3)


def test_without_a_command_a_drive_goes_limp(tmp_path):
    robot = pendulum(tmp_path, drive=Drive(kp=KP, kd=KD))
    simulation = Simulation(robot, STILL)
    for _ in range(10):
        moving = simulation.step(np.array([1.0]))
    assert moving.joint_efforts[0] != 0
    speeds = [simulation.step(None).joint_velocities[0] for _ in range(10)]
    np.testing.assert_allclose(speeds, moving.joint_velocities[0])
    again = simulation.step(np.array([0.0]))
    assert again.joint_efforts[0] < 0


def test_a_limp_drive_has_power_again_after_a_reset(tmp_path):
    robot = pendulum(tmp_path, drive=Drive(kp=KP, kd=KD), start=StartPose(joints={"q0": 0.3}))
    simulation = Simulation(robot, STILL)
    simulation.step(None)
    state = simulation.reset()
    assert state.joint_positions[0] == 0.3
    assert state.joint_efforts[0] == pytest.approx(0.0, abs=1e-12)
    simulation.step(None)
    state = simulation.set_state(np.array([0.5]), np.zeros(1))
    assert state.joint_efforts[0] == pytest.approx(KP * (0.3 - 0.5))
    assert simulation.step(np.array([1.0])).joint_efforts[0] > 0


def test_a_drive_that_holds_stays_where_the_commands_ended(tmp_path):
    robot = pendulum(tmp_path, drive=Drive(kp=KP, kd=6.0), without_command="hold")
    simulation = Simulation(robot, STILL)
    for _ in range(10):
        last = simulation.step(np.array([1.0]))
    for _ in range(300):
        state = simulation.step(None)
    assert state.joint_positions[0] == pytest.approx(last.joint_positions[0], abs=1e-4)
    assert abs(state.joint_velocities[0]) < 1e-4


def test_motors_rest_without_a_command():
    robot = RobotModel()
    simulation = Simulation(robot)
    simulation.step(robot.effort_limits)
    assert not simulation.step(None).joint_efforts.any()


def test_passive_joints_are_left_alone(tmp_path):
    robot = pendulum(tmp_path, drive=Drive(kp=KP, kd=KD), joints=2)
    robot = RobotModel(replace(robot.card, drives={"q1": Drive(kp=KP, kd=KD)}))
    assert (robot.joints, robot.driven_joints) == (("q0", "q1"), ("q1",))
    state = Simulation(robot, STILL).step(np.array([1.0, 1.0]))
    assert state.joint_efforts[0] == 0
    assert state.joint_positions[0] == 0
    assert state.joint_positions[1] > 0


def test_runs_are_equal_bit_for_bit(tmp_path):
    robot = pendulum(tmp_path, drive=Drive(kp=KP, kd=KD, effort_limit=LIMIT), joints=3)
    trajectories = []
    for _ in range(2):
        simulation = Simulation(robot, SimulationConfig(seed=4))
        random = np.random.default_rng(2)
        states = []
        for tick in range(50):
            state = simulation.step(None if tick in (20, 21) else random.uniform(-2, 2, 3))
            states.append(np.concatenate((state.qpos, state.qvel, state.joint_efforts)))
        trajectories.append(np.array(states).tobytes())
    assert trajectories[0] == trajectories[1]


def test_one_simulations_limp_drives_leave_another_alone(tmp_path):
    robot = pendulum(tmp_path, drive=Drive(kp=KP, kd=KD))
    limp, other = Simulation(robot, STILL), Simulation(robot, STILL)
    limp.step(None)
    assert other.step(np.array([1.0])).joint_efforts[0] > 0
    assert Simulation(robot, STILL).step(np.array([1.0])).joint_efforts[0] > 0


def test_the_loop_takes_power_from_the_drives_of_a_silent_policy(tmp_path):
    robot = pendulum(tmp_path, drive=Drive(kp=KP, kd=0.0), gravity="0 0 -9.81")
    config = LoopConfig(on_fall="stay")
    simulation = Simulation(robot, STILL)
    with Recorder(robot, config, simulation=simulation) as recorder:
        recorder.port.command(np.array([1.0]))
        recorder.wait(lambda: recorder.states[-1].joint_efforts[0] > 0)
        recorder.wait(lambda: recorder.states[-1].joint_efforts[0] == 0)
        assert recorder.port.take_status().watchdog == "timeout"
        recorder.port.command(np.array([1.0]))
        recorder.wait(lambda: recorder.states[-1].joint_efforts[0] != 0)


def test_a_target_beyond_the_joints_range_ends_at_it(tmp_path):
    robot = pendulum(tmp_path, drive=Drive(kp=KP, kd=KD), joints=2)
    path = robot.path
    text = path.read_text().replace('name="q0"', 'name="q0" limited="true" range="-20 40"')
    path.write_text(text)
    robot = RobotModel(robot.card)
    np.testing.assert_allclose(robot.target_ranges[0], np.deg2rad([-20, 40]))
    assert np.isinf(robot.target_ranges[1]).all()
    told, limited = Simulation(robot, STILL), Simulation(robot, STILL)
    beyond = told.step(np.array([9.0, 9.0]))
    at_it = limited.step(np.array([np.deg2rad(40), 9.0]))
    np.testing.assert_array_equal(beyond.joint_efforts, at_it.joint_efforts)
    assert beyond.joint_efforts[1] > 2 * beyond.joint_efforts[0]


def test_the_targets_of_a_servo_are_within_its_range_and_its_joints(tmp_path):
    path = tmp_path / "servo.xml"
    path.write_text("""
        <mujoco><compiler angle="radian"/><worldbody><body name="base"><geom size=".1"/>
          <body><inertial pos="0 0 0" mass="1" diaginertia="1 1 1"/>
            <joint name="q" axis="0 1 0" limited="true" range="-1 1"/></body></body></worldbody>
        <actuator><position name="q" joint="q" kp="30" ctrllimited="true" ctrlrange="-.5 2"/>
        </actuator></mujoco>""")
    robot = RobotModel(RobotCard(name="servo", model=str(path)))
    np.testing.assert_allclose(robot.target_ranges, [[-0.5, 1.0]])
    mapped = JointMap(robot, {"q": {"name": "q", "sign": -1, "offset": 0.25}})
    np.testing.assert_allclose(mapped.target_ranges, [[-0.75, 0.75]])
