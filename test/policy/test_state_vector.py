# SPDX-License-Identifier: Apache-2.0
"""Robots of Gymnasium's list: dynamics and observations equal their environments' exactly."""

from pathlib import Path

import gymnasium
import numpy as np
import pytest
from following import follow

from humanoid_mujoco_ros.policy.measurement import from_blocks
from humanoid_mujoco_ros.policy.state_vector import StateVector, observation_layout
from humanoid_mujoco_ros.robot.card import RobotCard, load_card
from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.robot.posed_model import PosedModel
from humanoid_mujoco_ros.simulation.simulation import Simulation

CARDS = Path(__file__).parents[2] / "config" / "robots"
ENVIRONMENTS = {
    "ant": "Ant-v4",
    "half_cheetah": "HalfCheetah-v4",
    "hopper": "Hopper-v4",
    "walker2d": "Walker2d-v4",
}


@pytest.mark.filterwarnings("ignore:.*out of date:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*deprecated")
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_states_and_observations_equal_the_environments_over_1000_random_steps(name):
    robot = RobotModel(load_card(name, CARDS))
    vector = StateVector(robot)
    simulation = Simulation(robot)
    env = gymnasium.make(ENVIRONMENTS[name]).unwrapped
    observed, _ = env.reset(seed=3)
    state = simulation.set_state(env.data.qpos.copy(), env.data.qvel.copy())
    random = np.random.default_rng(2)
    clips = name in ("hopper", "walker2d")
    falls = 0
    for _ in range(1000):
        own = vector.of(state.qpos, state.qvel, np.zeros(robot.mj.nv))[: -len(robot.joints)]
        if clips:
            speeds = slice(len(robot.joints) + 2, None)
            own[speeds] = np.clip(own[speeds], -10, 10)
        np.testing.assert_array_equal(own, observed)
        efforts = random.uniform(-1, 1, len(robot.joints)) * robot.effort_limits
        action = np.empty(len(robot.joints))
        action[robot.actuator_indices] = efforts / robot.gear
        observed, _, terminated, _, _ = env.step(action)
        state = simulation.step(efforts)
        assert state.fallen == terminated
        if terminated:
            falls += 1
            observed, _ = env.reset()
            state = simulation.set_state(env.data.qpos.copy(), env.data.qvel.copy())
    env.close()
    assert falls > 0 or name in ("ant", "half_cheetah")


def test_a_measurement_reads_the_blocks_back():
    robot = RobotModel(load_card("walker2d", CARDS))
    vector = StateVector(robot)
    state = Simulation(robot).step(0.2 * robot.effort_limits)
    efforts = np.zeros(robot.mj.nv)
    efforts[robot.dof_indices] = state.joint_efforts
    observed = vector.of(state.qpos, state.qvel, efforts)
    assert observed.shape == (vector.size,)
    posed = PosedModel(robot)
    follow(posed, state)
    np.testing.assert_allclose(vector.of_data(posed.data()), observed, atol=1e-12)
    blocks = {block.name: block.slice for block in vector.layout}
    read = from_blocks(observed, blocks, len(robot.joints))
    np.testing.assert_array_equal(read.joint_positions, state.joint_positions)
    np.testing.assert_array_equal(read.joint_velocities, state.joint_velocities)
    np.testing.assert_array_equal(read.joint_efforts, state.joint_efforts)
    np.testing.assert_allclose(read.height[0], state.base_position[2])
    np.testing.assert_allclose(read.quaternion_wxyz, state.base_quaternion_wxyz)
    np.testing.assert_allclose(read.angular_velocity, state.base_angular_velocity)


def test_a_free_base_is_observed_as_humanoid_v4_begins():
    robot = RobotModel()
    state = Simulation(robot).step(robot.effort_limits)
    vector = StateVector(robot)
    observed = vector.of(state.qpos, state.qvel, np.zeros(robot.mj.nv))
    np.testing.assert_array_equal(observed[:45], state.observation[:45])
    rows = vector.of(np.stack([state.qpos] * 3), np.stack([state.qvel] * 3), np.zeros((3, 23)))
    np.testing.assert_array_equal(rows[1], observed)


def test_a_fixed_base_is_not_observed(tmp_path):
    path = tmp_path / "arm.xml"
    path.write_text("""
        <mujoco><worldbody><body name="stand"><geom size=".1"/>
          <body name="arm"><joint name="j"/><geom size=".1"/></body></body></worldbody>
        <actuator><motor joint="j" ctrlrange="-1 1" ctrllimited="true"/></actuator></mujoco>""")
    vector = StateVector(RobotModel(RobotCard("robot", str(path), left_foot="", right_foot="")))
    assert [block.name for block in vector.layout] == [
        "joint_positions",
        "joint_velocities",
        "joint_efforts",
    ]


@pytest.mark.parametrize("name", ["humanoid", "ant", "walker2d"])
def test_what_nothing_measures_has_no_block_and_the_rest_is_as_ever(name):
    robot = RobotModel(load_card(name, CARDS))
    state = Simulation(robot).step(np.zeros(len(robot.joints)))
    values = state.qpos, state.qvel, np.ones(robot.mj.nv)
    whole = StateVector(robot)
    blocks = dict(zip([b.name for b in whole.layout], whole.layout, strict=True))
    turn = "pitch" if name == "walker2d" else "orientation"
    joints = ["joint_positions", "joint_velocities", "joint_efforts"]
    for base, names in (
        ("imu", [turn, "joint_positions", "angular_velocity", *joints[1:]]),
        ("none", joints),
    ):
        vector = StateVector(robot, base)
        assert [block.name for block in vector.layout] == names
        assert vector.size == vector.layout[-1].slice.stop == sum(b.size for b in vector.layout)
        for block in vector.layout:
            expected = whole.of(*values)[blocks[block.name].slice]
            np.testing.assert_array_equal(vector.of(*values)[block.slice], expected)
        assert vector.layout == observation_layout(robot, base)
