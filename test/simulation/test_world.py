# SPDX-License-Identifier: Apache-2.0
"""Several robots in one world, without ROS."""

import itertools

import mujoco
import numpy as np
import pytest

from humanoid_mujoco_ros.robot.errors import ModelError
from humanoid_mujoco_ros.robot.mjcf import draft
from humanoid_mujoco_ros.robot.model import ModelConfig, RobotModel
from humanoid_mujoco_ros.simulation.placement import Placement
from humanoid_mujoco_ros.simulation.simulation import Simulation, SimulationConfig
from humanoid_mujoco_ros.simulation.start import StartConfig, start_qpos
from humanoid_mujoco_ros.simulation.world import Member, World

REST = np.zeros(17)
APART = (Placement(), Placement(3.0, 1.0, np.pi), Placement(0.0, 4.0, 1.0))
ARM_TO_ARM = (Placement(), Placement(0.0, 0.8))
"""The boxes around the robots overlap, and nothing touches."""


@pytest.fixture(scope="module")
def robot():
    return RobotModel()


def world_of(robot, placements, **config):
    return World(
        [
            Member(f"robot{i}", Simulation(robot, SimulationConfig(seed=i, **config)), placement)
            for i, placement in enumerate(placements)
        ]
    )


def thrown_at_each_other(robot, *others):
    """A world of two robots in the air that fly towards each other, and of others, which stand."""
    world = world_of(robot, [Placement(), Placement(1.0, 0.1, np.pi), *others])
    for member in world.members[:2]:
        simulation = member.simulation
        qpos, qvel = simulation.data.qpos.copy(), np.zeros(robot.mj.nv)
        qpos[2], qvel[0] = 5.0, 3.0
        simulation.set_state(qpos, qvel)
    return world


def wriggle(number, tick):
    return 30.0 * np.sin(0.1 * tick + np.arange(17) + number)


def run(world, ticks, command=wriggle):
    return [
        world.step([command(i, tick) for i in range(len(world.members))]) for tick in range(ticks)
    ]


def momentum(member):
    """(3,) [kg m/s] of a robot in the world."""
    simulation, data = member.simulation, member.simulation.data
    mujoco.mj_forward(simulation.model, data)
    mujoco.mj_subtreeVel(simulation.model, data)
    root = simulation.robot.root
    mass = simulation.model.body_subtreemass[root]
    return member.placement.turn_to_world(mass * data.subtree_linvel[root])


def assert_same(one, other):
    for name in ("qpos", "qvel", "observation", "joint_efforts", "reward", "episode_return"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), name)


@pytest.mark.parametrize("placements", [APART, ARM_TO_ARM], ids=["apart", "arm to arm"])
def test_a_robot_that_nothing_touches_moves_as_it_would_alone(robot, placements):
    world = world_of(robot, placements)
    assert world.are_any_near() == (placements is ARM_TO_ARM)
    alone = [Simulation(robot, SimulationConfig(seed=i)) for i, member in enumerate(world.members)]
    standing = lambda number, tick: 0.1 * wriggle(number, tick)  # noqa: E731
    for tick, states in enumerate(run(world, 40, standing)):
        for number, (state, simulation) in enumerate(zip(states, alone, strict=True)):
            assert_same(state, simulation.step(standing(number, tick)))
            assert not simulation.is_touched


def test_a_bystander_of_a_collision_moves_as_it_would_alone(robot):
    world = thrown_at_each_other(robot, Placement(0.0, 4.0))
    alone = Simulation(robot, SimulationConfig(seed=2))
    touches = 0
    for tick, states in enumerate(run(world, 25)):
        assert_same(states[2], alone.step(wriggle(2, tick)))
        touches += world.members[0].simulation.is_touched
    assert touches > 3


def test_what_one_robot_does_to_another_is_done_to_it(robot):
    world = thrown_at_each_other(robot)
    before = [momentum(member) for member in world.members]
    run(world, 25, lambda number, tick: REST)
    after = [momentum(member) for member in world.members]
    weight = 42.12 * -9.81 * np.array([0.0, 0.0, 0.25])
    np.testing.assert_allclose(sum(after), sum(before) + 2 * weight, atol=0.2)
    assert abs(after[0][0] - before[0][0]) > 50.0


def test_robots_collide_as_in_one_mujoco_model(robot):
    """The reference: both robots attached to one model, which MuJoCo steps as any other."""
    world = thrown_at_each_other(robot)
    spec = draft(robot.path, robot.card)
    spec.spec.delete(spec.root)
    drafts = [draft(robot.path, robot.card) for _ in world.members]
    for i, one in enumerate(drafts):
        spec.spec.worldbody.add_frame().attach_body(one.root, f"{i}/", "")
    model = spec.spec.compile()
    model.opt.timestep, model.opt.integrator = robot.mj.opt.timestep, robot.mj.opt.integrator
    model.opt.jacobian, model.opt.solver = mujoco.mjtJacobian.mjJAC_DENSE, robot.mj.opt.solver
    data = mujoco.MjData(model)
    for i, member in enumerate(world.members):
        own, q, v = member.simulation.data, data.qpos[24 * i :], data.qvel[23 * i :]
        q[:24], v[:23] = own.qpos, own.qvel
        q[:3] = member.placement.to_world(own.qpos[:3])
        mujoco.mju_mulQuat(q[3:7], member.placement.quaternion_wxyz, own.qpos[3:7])
        v[:3] = member.placement.turn_to_world(own.qvel[:3])
    touched_ticks = 0
    for _ in range(14):
        states = world.step([REST, REST])
        mujoco.mj_step(model, data, nstep=robot.card.steps_per_control)
        touched_ticks += world.members[0].simulation.is_touched
        for i, (member, state) in enumerate(zip(world.members, states, strict=True)):
            position = member.placement.to_world(state.base_position)
            np.testing.assert_allclose(position, data.qpos[24 * i :][:3], atol=2e-3)
    assert touched_ticks > 5


def test_a_foot_feels_the_robot_that_it_stands_on(robot):
    world = world_of(robot, [Placement(), Placement(0.0, 4.0)], reset_noise_scale=0.0)
    above, below = (member.simulation for member in world.members)
    lying = start_qpos(robot, StartConfig(start_posture="supine"))
    lying[1] -= 4.0  # in its odom, which lies beside that of the other
    below.set_state(lying, np.zeros(robot.mj.nv))
    standing = robot.start_qpos.copy()
    standing[2] += 0.2
    above.set_state(standing, np.zeros(robot.mj.nv))
    foot = robot.body_of_link("left_foot")
    forces = []
    for states in run(world, 20, lambda number, tick: REST):
        axes = above.data.xmat[foot].reshape(3, 3)
        forces.append((axes @ states[0].foot_wrenches["left"].force)[2])
        assert above.data.xpos[foot][2] > 0.1  # not on the floor
        contacts = states[0].observation[-84:].reshape(14, 6)
        assert contacts[foot].any() == (forces[-1] != 0.0)
    assert max(forces) > 100.0


def test_a_reset_leaves_the_others_alone(robot):
    world, undisturbed = (world_of(robot, APART) for _ in range(2))
    for tick in range(40):
        if tick == 20:
            world.members[1].simulation.reset()
        commands = [wriggle(i, tick) for i in range(3)]
        states, expected = world.step(commands), undisturbed.step(commands)
        assert_same(states[0], expected[0])
        assert_same(states[2], expected[2])
    assert [state.episode for state in states] == [0, 1, 0]


def test_one_seed_gives_one_trajectory_of_robots_that_collide(robot):
    first, second = (run(thrown_at_each_other(robot), 30) for _ in range(2))
    for one, other in zip(itertools.chain(*first), itertools.chain(*second), strict=True):
        assert_same(one, other)


def test_a_simulation_that_breaks_down_is_told_of_the_robot_it_is(robot):
    world = world_of(robot, APART)
    world.members[1].simulation.set_state(robot.start_qpos, np.full(robot.mj.nv, 1e12))
    states = world.step([REST] * 3)
    assert [isinstance(state, FloatingPointError) for state in states] == [False, True, False]


def test_robots_that_overlap_or_keep_different_time_are_refused(robot):
    with pytest.raises(ModelError, match="robots robot0 and robot1 overlap at the start"):
        world_of(robot, [Placement(), Placement(0.1, 0.0)])
    slower = RobotModel(ModelConfig(robot="humanoid_v4"))
    members = [Member("a", Simulation(robot)), Member("b", Simulation(slower), Placement(2.0))]
    with pytest.raises(ModelError, match=r"a is controlled at 100 Hz in .* 2.5 ms, b at 66.67"):
        World(members)
