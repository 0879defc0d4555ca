# SPDX-License-Identifier: Apache-2.0
"""The simulation against Gymnasium's Humanoid-v4 and MuJoCo itself."""

import itertools
from pathlib import Path

import gymnasium
import mujoco
import numpy as np
import pytest

from humanoid_mujoco_ros.policy import observation
from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.link_tree import LinkTree
from humanoid_mujoco_ros.robot.model import HEALTHY_HEIGHT_M, ModelConfig, ModelError, RobotModel
from humanoid_mujoco_ros.robot.state import Wrench
from humanoid_mujoco_ros.robot.vectors import VectorError
from humanoid_mujoco_ros.simulation.simulation import Simulation, SimulationConfig

CROOKED_ROBOT = Path(__file__).parents[1] / "robot" / "crooked_robot.xml"

NATIVE = ModelConfig(timestep_s=0.003, steps_per_control=5)


@pytest.fixture(scope="module")
def robot():
    return RobotModel()


@pytest.fixture
def humanoid_v4():
    with pytest.warns(DeprecationWarning, match="Humanoid-v4"):
        env = gymnasium.make("Humanoid-v4")
    yield env.unwrapped
    env.close()


def test_states_observations_and_rewards_equal_humanoid_v4s_exactly(humanoid_v4):
    robot = RobotModel(NATIVE)
    simulation = Simulation(robot, SimulationConfig(seed=5))
    expected, _ = humanoid_v4.reset(seed=5)
    np.testing.assert_array_equal(simulation.state().observation, expected)
    random = np.random.default_rng(1)
    falls = 0
    for _ in range(1000):
        efforts = random.uniform(-1, 1, 17) * robot.effort_limits
        action = np.empty(17)
        action[robot.actuator_indices] = efforts / robot.gear
        expected, reward, terminated, _, _ = humanoid_v4.step(action)
        state = simulation.step(efforts)
        np.testing.assert_array_equal(state.observation, expected)
        np.testing.assert_array_equal(state.qpos, humanoid_v4.data.qpos)
        np.testing.assert_array_equal(state.qvel, humanoid_v4.data.qvel)
        assert state.reward == reward
        assert state.fallen == terminated
        if terminated:
            falls += 1
            expected, _ = humanoid_v4.reset()
            np.testing.assert_array_equal(simulation.reset().observation, expected)
    assert falls > 10


def test_a_gymnasium_action_becomes_the_same_torques(humanoid_v4):
    robot = RobotModel(NATIVE)
    simulation = Simulation(robot, SimulationConfig(seed=0))
    humanoid_v4.reset(seed=0)
    action = np.random.default_rng(2).uniform(-0.4, 0.4, 17)
    humanoid_v4.step(action)
    state = simulation.step(robot.gear * action[robot.actuator_indices])
    np.testing.assert_allclose(state.observation, humanoid_v4._get_obs(), atol=1e-9)


def test_efforts_are_the_torques_that_mujoco_applies(robot):
    simulation = Simulation(robot)
    efforts = np.linspace(-1, 1, 17) * robot.effort_limits
    state = simulation.step(efforts)
    np.testing.assert_allclose(state.joint_efforts, efforts, rtol=1e-12)
    np.testing.assert_allclose(
        simulation.step(10 * efforts).joint_efforts, np.clip(10 * efforts, *limits(robot))
    )


def limits(robot):
    return -robot.effort_limits, robot.effort_limits


def test_state_is_a_copy(robot):
    simulation = Simulation(robot)
    before = simulation.state()
    qpos, joints = before.qpos.copy(), before.joint_positions.copy()
    simulation.step(robot.effort_limits)
    np.testing.assert_array_equal(before.qpos, qpos)
    np.testing.assert_array_equal(before.joint_positions, joints)


def test_base_twist_agrees_with_finite_differences_of_the_pose():
    # A tiny control period, so that the difference quotient is exact enough.
    robot = RobotModel(ModelConfig(timestep_s=1e-5, steps_per_control=1))
    simulation = Simulation(robot)
    qpos = simulation.state().qpos
    qpos[2] = 3.0
    qpos[3:7] = rotation.normalized([0.3, -0.5, 0.7, 0.2])
    random = np.random.default_rng(0)
    qvel = random.normal(size=robot.mj.nv)
    before = simulation.set_state(qpos, qvel)
    after = simulation.step(np.zeros(17))
    dt = 1e-5
    velocity_world = (after.base_position - before.base_position) / dt
    q = before.base_quaternion_wxyz
    np.testing.assert_allclose(
        before.base_linear_velocity,
        rotation.rotate(rotation.conjugate(q), velocity_world),
        atol=2e-3,
    )
    turn = rotation.multiply(rotation.conjugate(q), after.base_quaternion_wxyz)
    np.testing.assert_allclose(before.base_angular_velocity, 2 * turn[1:] / dt, atol=5e-3)


def test_imu_at_rest_reads_gravity_up(robot):
    simulation = Simulation(robot, SimulationConfig(reset_noise_scale=0.0))
    for _ in range(500):
        state = simulation.step(np.zeros(17))
    assert np.abs(state.qvel).max() < 0.05  # it lies still
    acceleration_world = rotation.rotate(state.imu.quaternion_wxyz, state.imu.linear_acceleration)
    np.testing.assert_allclose(acceleration_world, [0, 0, 9.81], atol=0.2)
    np.testing.assert_allclose(state.imu.angular_velocity, state.base_angular_velocity, atol=0.05)


def mujoco_at(robot, state):
    """MuJoCo's own data at the position and velocity of a state."""
    data = mujoco.MjData(robot.mj)
    data.qpos[:], data.qvel[:] = state.qpos, state.qvel
    mujoco.mj_forward(robot.mj, data)
    return data


def test_foot_wrench_is_mujocos_contact_force_on_the_foot(robot):
    simulation, here = Simulation(robot), Simulation(robot)
    touched = 0
    for _ in range(60):
        stepped = simulation.step(np.zeros(17))
        # After a step, sensors and cfrc_ext belong to different stages of the integrator.
        state = here.set_state(stepped.qpos, stepped.qvel)
        data = mujoco_at(robot, stepped)
        mujoco.mj_rnePostConstraint(robot.mj, data)
        for side in ("left", "right"):
            body = robot.mj.body(f"{side}_foot").id
            # cfrc_ext: torque about the subtree's centre of mass, force; world axes.
            torque_com, force_world = data.cfrc_ext[body, :3], data.cfrc_ext[body, 3:]
            lever = data.xpos[body] - data.subtree_com[robot.mj.body_rootid[body]]
            torque_world = torque_com - np.cross(lever, force_world)
            axes = data.xmat[body].reshape(3, 3)
            wrench = state.foot_wrenches[side]
            np.testing.assert_allclose(wrench.force, axes.T @ force_world, atol=1e-8)
            np.testing.assert_allclose(wrench.torque, axes.T @ torque_world, atol=1e-8)
            touched += force_world[2] > 50
    assert touched > 20


def test_a_push_changes_the_momentum_by_force_times_time(robot):
    mass = robot.mj.body_mass.sum()
    pushed, free = Simulation(robot), Simulation(robot)
    for simulation in (pushed, free):
        qpos = simulation.state().qpos
        qpos[2] = 5.0  # in the air
        simulation.set_state(qpos, np.zeros(robot.mj.nv))
    force = np.array([200.0, 0.0, 0.0])
    for _ in range(20):
        # Expressed in the torso's frame, which turns: renew it so that it stays 200 N along x.
        to_base = rotation.conjugate(pushed.state().base_quaternion_wxyz)
        pushed.set_external_wrench(
            "base_link", Wrench(rotation.rotate(to_base, force), np.zeros(3))
        )
        pushed.step(np.zeros(17))
        free.step(np.zeros(17))
    gained = com_velocity(pushed) - com_velocity(free)
    np.testing.assert_allclose(gained, force * 0.2 / mass, atol=0.02)


def com_velocity(simulation):
    data = mujoco_at(simulation.robot, simulation.state())
    mujoco.mj_subtreeVel(simulation.robot.mj, data)
    return data.subtree_linvel[1].copy()


def test_a_push_stays_out_of_the_contact_forces_and_ends(robot):
    simulation, free = Simulation(robot), Simulation(robot)
    qpos = simulation.state().qpos
    qpos[2] = 5.0
    simulation.set_state(qpos, np.zeros(robot.mj.nv))
    simulation.set_external_wrench("pelvis", Wrench(np.array([0, 100.0, 0]), np.zeros(3)))
    state = simulation.step(np.zeros(17))
    block = {b.name: b for b in observation.layout(robot.mj)}["cfrc_ext"]
    np.testing.assert_allclose(state.observation[block.slice], 0.0, atol=1e-9)
    simulation.set_external_wrench("pelvis", None)
    before, after = simulation.state(), simulation.step(np.zeros(17))
    free.set_state(before.qpos, before.qvel)
    np.testing.assert_allclose(after.qvel, free.step(np.zeros(17)).qvel, atol=1e-9)
    with pytest.raises(ModelError, match="link 'tail' is not in the model"):
        simulation.set_external_wrench("tail", None)


@pytest.mark.parametrize("restart", ["reset", "set_state"])
def test_a_push_ends_with_the_episode(robot, restart):
    pushed = Simulation(robot, SimulationConfig(reset_noise_scale=0.0))
    free = Simulation(robot, SimulationConfig(reset_noise_scale=0.0))
    pushed.set_external_wrench("torso", Wrench(np.array([0, 100.0, 0]), np.zeros(3)))
    assert np.abs(pushed.step(np.zeros(17)).qvel - free.step(np.zeros(17)).qvel).max() > 0.01
    for simulation in (pushed, free):
        if restart == "reset":
            simulation.reset()
        else:
            simulation.set_state(robot.mj.qpos0, np.zeros(robot.mj.nv))
    np.testing.assert_array_equal(pushed.step(np.zeros(17)).qpos, free.step(np.zeros(17)).qpos)


@pytest.mark.parametrize("component", [5.01 * 9.81, 1e12, 1e305, np.nan, -np.inf])
@pytest.mark.parametrize("kind", ["force", "torque"])
def test_a_wrench_beyond_some_body_weights_is_refused(robot, component, kind):
    simulation = Simulation(robot)
    vector = np.array([0.0, component * robot.mj.body_subtreemass[1], 0.0])
    other = np.zeros(3)
    wrench = Wrench(vector, other) if kind == "force" else Wrench(other, vector)
    with pytest.raises(VectorError, match=f"external {kind}"):
        simulation.set_external_wrench("torso", wrench)
    if np.isfinite(component):
        with pytest.raises(VectorError, match=r"may be 20\d\d N.*parameter wrench_limit"):
            simulation.check_external_wrench("torso", wrench)


def test_a_wrench_of_some_body_weights_is_taken(robot):
    simulation = Simulation(robot, SimulationConfig(wrench_limit=2.0))
    assert simulation.largest_wrench == pytest.approx(2 * 9.81 * robot.mj.body_mass.sum())
    just_right = Wrench(np.array([0.0, 0.99 * simulation.largest_wrench, 0.0]), np.zeros(3))
    simulation.set_external_wrench("torso", just_right)
    # Each component is small enough, the vector is not.
    too_long = Wrench(np.full(3, 0.99 * simulation.largest_wrench), np.zeros(3))
    with pytest.raises(VectorError, match="external force on torso"):
        simulation.set_external_wrench("torso", too_long)


@pytest.mark.parametrize("path", ["", str(CROOKED_ROBOT)])
def test_a_wrench_on_any_link_does_the_work_of_its_force_and_torque_there(path):
    """Against finite differences of the links' poses, one degree of freedom after the other."""
    robot = RobotModel(ModelConfig(path=path, left_foot="", right_foot="") if path else None)
    tree = LinkTree(robot)
    random = np.random.default_rng(6)
    qpos = robot.mj.qpos0.copy()
    qpos[:3] = random.uniform(-1, 1, 3)
    qpos[3:7] = rotation.normalized(random.normal(size=4))
    qpos[7:] += random.uniform(-1, 1, robot.mj.nq - 7)
    simulation = Simulation(robot)
    simulation.set_state(qpos, np.zeros(robot.mj.nv))
    here = poses_of_links(robot, tree, qpos)

    def moved(dof, step):
        there, velocity = qpos.copy(), np.zeros(robot.mj.nv)
        velocity[dof] = 1.0
        mujoco.mj_integratePos(robot.mj, there, velocity, step)
        return poses_of_links(robot, tree, there)

    step = 1e-5
    ahead, behind = ([moved(i, s) for i in range(robot.mj.nv)] for s in (step, -step))
    for link in tree.links:
        wrench = Wrench(random.normal(size=3), random.normal(size=3))
        simulation.set_external_wrench(link, wrench)
        forces = simulation.external_forces()
        quaternion = here[link][1]
        force, torque = (rotation.rotate(quaternion, v) for v in (wrench.force, wrench.torque))
        work = []
        for a, b in zip(ahead, behind, strict=True):
            turn = rotation.multiply(a[link][1], rotation.conjugate(b[link][1]))
            turned = 2.0 * turn[1:] * np.sign(turn[0])
            work.append((force @ (a[link][0] - b[link][0]) + torque @ turned) / (2 * step))
        np.testing.assert_allclose(forces, work, atol=1e-7, err_msg=link)
        simulation.set_external_wrench(link, None)


def poses_of_links(robot, tree, qpos):
    return tree.poses(qpos[:3], qpos[3:7], qpos[robot.qpos_indices])


def test_a_push_on_a_sole_is_the_same_push_at_the_foot_with_its_moment(robot):
    at_sole, at_foot = Simulation(robot), Simulation(robot)
    site = robot.mj.site("l_sole")
    force, torque = np.array([20.0, 30.0, 10.0]), np.array([1.0, -2.0, 3.0])
    at_sole.set_external_wrench("l_sole", Wrench(force, torque))
    at_foot.set_external_wrench("left_foot", Wrench(force, torque + np.cross(site.pos, force)))
    assert np.abs(np.cross(site.pos, force)).max() > 0.5
    for _ in range(20):
        pushed, expected = at_sole.step(np.zeros(17)), at_foot.step(np.zeros(17))
    np.testing.assert_allclose(pushed.qpos, expected.qpos, atol=1e-9)


def test_pushes_on_links_of_one_body_add_up_and_end_by_themselves(robot):
    both, single = Simulation(robot), Simulation(robot)
    for link in ("base_link", "torso"):
        both.set_external_wrench(link, Wrench(np.array([0.0, 50.0, 0.0]), np.zeros(3)))
    single.set_external_wrench("torso", Wrench(np.array([0.0, 100.0, 0.0]), np.zeros(3)))
    np.testing.assert_allclose(
        both.step(np.zeros(17)).qpos, single.step(np.zeros(17)).qpos, atol=1e-12
    )
    both.set_external_wrench("base_link", None)
    both.step(np.zeros(17))
    single.set_external_wrench("torso", Wrench(np.array([0.0, 50.0, 0.0]), np.zeros(3)))
    single.step(np.zeros(17))
    np.testing.assert_allclose(both.state().qpos, single.state().qpos, atol=1e-12)


def test_a_robot_falls_at_five_sevenths_of_its_height(robot, tmp_path):
    assert (robot.fall_rule.min_height, robot.fall_rule.max_height) == HEALTHY_HEIGHT_M == (1, 2)
    crooked = RobotModel(ModelConfig(path=str(CROOKED_ROBOT), left_foot="", right_foot=""))
    low, high = crooked.fall_rule.min_height, crooked.fall_rule.max_height
    assert (low, high) == pytest.approx((5 / 7, 10 / 7))
    simulation = Simulation(crooked)
    for height, falls in ((low + 1e-6, False), (low - 1e-6, True), (high + 1e-6, True)):
        qpos = crooked.mj.qpos0.copy()
        qpos[2] = height
        assert simulation.set_state(qpos, np.zeros(crooked.mj.nv)).fallen == falls
    sunken = tmp_path / "sunken.xml"
    sunken.write_text(CROOKED_ROBOT.read_text().replace('pos=".3 -.2 1"', 'pos=".3 -.2 0"'))
    robot = RobotModel(ModelConfig(path=str(sunken), left_foot="", right_foot=""))
    assert not Simulation(robot).state().fallen


def test_time_never_goes_back_and_never_is_zero(robot):
    simulation = Simulation(robot)
    times = [simulation.state().time_ns]
    for i in range(20):
        times.append(simulation.step(np.zeros(17)).time_ns)
        if i % 5 == 0:
            times.append(simulation.reset().time_ns)
    assert times[0] == 10_000_000
    assert np.all(np.diff(times) >= 0)
    assert times[-1] == 21 * 10_000_000


def test_a_reset_starts_a_new_episode(robot):
    simulation = Simulation(robot)
    for _ in range(3):
        state = simulation.step(np.zeros(17))
    assert state.episode_steps == 3
    assert state.episode_return > 3 * 4
    fresh = simulation.reset()
    assert (fresh.episode, fresh.episode_steps, fresh.episode_return) == (1, 0, 0.0)
    assert not fresh.fallen


def test_divergence_is_reported_and_leaves_no_file(robot, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # there MuJoCo would write its log
    simulation = Simulation(robot, SimulationConfig(wrench_limit=1e13))
    simulation.set_external_wrench("torso", Wrench(np.full(3, 1e12), np.full(3, 1e12)))
    with pytest.raises(FloatingPointError, match="diverged"):
        run(simulation, 100)
    assert not list(tmp_path.iterdir())


def run(simulation, ticks):
    for _ in range(ticks):
        simulation.step(np.zeros(17))


def test_masked_contact_forces_are_zero(robot):
    masked = Simulation(robot, SimulationConfig(mask_cfrc_ext=True))
    full = Simulation(robot)
    for _ in range(30):
        a, b = masked.step(np.zeros(17)).observation, full.step(np.zeros(17)).observation
    assert not a[-84:].any()
    assert b[-84:].any()
    np.testing.assert_array_equal(a[:-84], b[:-84])


def test_the_layout_covers_the_376_values_in_order(robot):
    blocks = observation.layout(robot.mj)
    assert blocks[0].start == 0
    for block, following in itertools.pairwise(blocks):
        assert following.start == block.start + block.size
    assert observation.size(robot.mj) == 376
    state = Simulation(robot).step(np.zeros(17))
    by_name = {block.name: state.observation[block.slice] for block in blocks}
    assert by_name["height"][0] == state.qpos[2]
    np.testing.assert_array_equal(by_name["joint_positions"], state.joint_positions)
    np.testing.assert_array_equal(by_name["joint_velocities"], state.joint_velocities)
    np.testing.assert_array_equal(by_name["qfrc_actuator"][6:], state.joint_efforts)


def test_a_batch_is_observed_row_by_row(robot):
    states = []
    simulation = Simulation(robot)
    for _ in range(4):
        d = mujoco_at(robot, simulation.step(np.zeros(17)))
        states.append([a.copy() for a in (d.qpos, d.qvel, d.cinert, d.cvel, d.qfrc_actuator)])
    batch = observation.observe(*(np.stack(parts) for parts in zip(*states, strict=True)), None)
    for row, parts in zip(batch, states, strict=True):
        np.testing.assert_array_equal(row, observation.observe(*parts, None))
