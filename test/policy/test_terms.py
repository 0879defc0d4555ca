# SPDX-License-Identifier: Apache-2.0
"""Each term against a truth from outside: MuJoCo's functions, its sensors, Gymnasium's vectors."""

import warnings

import mujoco
import numpy as np
import pytest

from humanoid_mujoco_ros.policy import terms
from humanoid_mujoco_ros.policy.measurement import Measurement, from_blocks

RANDOM = np.random.default_rng(7)
N = 3


def measurement(count=20, observation=None):
    quaternions = RANDOM.standard_normal((count, 4))
    return Measurement(
        height=RANDOM.standard_normal((count, 1)),
        quaternion_wxyz=quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True),
        joint_positions=RANDOM.standard_normal((count, N)),
        linear_velocity=RANDOM.standard_normal((count, 3)),
        angular_velocity=RANDOM.standard_normal((count, 3)),
        joint_velocities=RANDOM.standard_normal((count, N)),
        joint_efforts=RANDOM.standard_normal((count, N)),
        observation=observation,
    )


def inputs(m, phases=(0.3, -1.2)):
    count = len(m.height)
    return terms.TermInputs(
        measurement=m,
        command=RANDOM.standard_normal((count, 3)),
        default_joint_positions=np.array((0.1, 0.2, 0.3)),
        last_action=RANDOM.standard_normal((count, N)),
        phases=np.tile(phases, (count, 1)),
        velocity_error=RANDOM.standard_normal((count, 3)),
        hold_error=RANDOM.standard_normal((count, 3)),
    )


def rotated(quaternion, vector, inverse=False):
    result, q = np.zeros(3), quaternion.copy()
    if inverse:
        mujoco.mju_negQuat(q, q)
    mujoco.mju_rotVecQuat(result, vector, q)
    return result


def test_gravity_is_what_mujoco_rotates_into_the_base():
    m = measurement()
    expected = [rotated(q, np.array((0, 0, -1.0)), inverse=True) for q in m.quaternion_wxyz]
    actual = terms.TERMS["projected_gravity"].compute(inputs(m))
    np.testing.assert_allclose(actual, expected, atol=1e-12)


def test_the_body_velocity_is_what_mujoco_rotates_into_the_base():
    m = measurement()
    expected = [
        rotated(q, v, inverse=True)
        for q, v in zip(m.quaternion_wxyz, m.linear_velocity, strict=True)
    ]
    actual = terms.TERMS["base_lin_vel_body"].compute(inputs(m))
    np.testing.assert_allclose(actual, expected, atol=1e-12)


def test_the_heading_frame_turns_with_yaw_and_does_not_tilt():
    m = measurement()
    velocity = terms.TERMS["base_lin_vel"].compute(inputs(m))
    np.testing.assert_allclose(velocity[:, 2], m.linear_velocity[:, 2])
    for q, v, actual in zip(m.quaternion_wxyz, m.linear_velocity, velocity, strict=True):
        ahead = rotated(q, np.array((1.0, 0, 0)))
        ahead = np.array((ahead[0], ahead[1], 0.0)) / np.hypot(ahead[0], ahead[1])
        left = np.cross((0.0, 0.0, 1.0), ahead)
        np.testing.assert_allclose(actual[:2], (v @ ahead, v @ left), atol=1e-12)


def test_a_robot_that_turns_sees_the_same():
    """No term but those of Gymnasium depends on the heading, whose zero a robot cannot know."""
    m = measurement(1)
    turn = np.array((np.cos(0.7), 0.0, 0.0, np.sin(0.7)))
    quaternion = np.zeros(4)
    mujoco.mju_mulQuat(quaternion, turn, m.quaternion_wxyz[0])
    turned = Measurement(
        m.height,
        quaternion[None],
        m.joint_positions,
        rotated(turn, m.linear_velocity[0])[None],
        m.angular_velocity,
        m.joint_velocities,
        m.joint_efforts,
    )
    first, second = inputs(m), None
    second = terms.TermInputs(
        turned,
        first.command,
        first.default_joint_positions,
        first.last_action,
        first.phases,
        first.velocity_error,
        first.hold_error,
    )
    for name, term in terms.TERMS.items():
        if not name.endswith(("_v4", "_v5")):
            np.testing.assert_allclose(
                term.compute(first), term.compute(second), atol=1e-12, err_msg=name
            )


def test_the_joints_count_from_the_default_pose():
    m = measurement()
    given = inputs(m)
    np.testing.assert_array_equal(
        terms.TERMS["joint_pos"].compute(given), m.joint_positions - (0.1, 0.2, 0.3)
    )


def test_a_hidden_gait_clock_shows_zeros():
    shown = inputs(measurement(1))
    np.testing.assert_allclose(
        terms.TERMS["phase"].compute(shown), [[np.sin(0.3), np.cos(0.3)]], atol=1e-15
    )
    hidden = inputs(measurement(1), phases=(np.nan, np.nan))
    for name in ("phase", "phase_sin", "phase_cos"):
        np.testing.assert_array_equal(terms.TERMS[name].compute(hidden), [[0.0, 0.0]])


@pytest.mark.parametrize("name", [n for n in terms.TERMS if not n.endswith(("_v4", "_v5"))])
def test_the_size_is_that_of_the_table(name):
    term, given = terms.TERMS[name], inputs(measurement(4))
    assert term.compute(given).shape == (4, term.size(terms.Sizes(N, 2, 0)))


def test_an_unknown_term_is_named_with_those_there_are():
    with pytest.raises(terms.TermError, match="no input term 'heading'; the terms are base_height"):
        terms.find("heading")


GYMNASIUM = {
    "ant_v4": ("Ant-v4", 2),
    "half_cheetah_v4": ("HalfCheetah-v4", 1),
    "walker2d_v4": ("Walker2d-v4", 1),
    "hopper_v4": ("Hopper-v4", 1),
}
"""Term → Gymnasium's environment, and how many coordinates of the root it hides."""


def start(name):
    """A Gymnasium environment with the observation of its first state."""
    gymnasium = pytest.importorskip("gymnasium")
    with warnings.catch_warnings(action="ignore"):  # v4 is old, and what is meant
        env = gymnasium.make(name)
    return env, env.reset(seed=3)[0]


@pytest.mark.parametrize("name", GYMNASIUM)
def test_gymnasiums_vectors_are_met_over_1000_random_steps(name):
    env, observed = start(GYMNASIUM[name][0])
    hidden, term = GYMNASIUM[name][1], terms.TERMS[name]
    data, n = env.unwrapped.data, env.unwrapped.model.nu
    env.action_space.seed(5)
    for _ in range(1000):
        vector = np.concatenate((data.qpos[hidden:], data.qvel, np.ones(n)))
        m = from_blocks(vector, {}, n)
        given = terms.TermInputs(m, np.zeros(3), np.zeros(n), np.zeros(n), np.zeros(0))
        np.testing.assert_array_equal(term.compute(given), observed)
        assert term.size(terms.Sizes(n, 0, len(vector))) == len(observed)
        observed, _, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            observed = env.reset()[0]
    env.close()


def test_humanoid_v5_is_348_of_the_376_values_of_v4():
    from humanoid_mujoco_ros.policy.observation import observe_data

    env, observed = start("Humanoid-v5")
    env.action_space.seed(5)
    for _ in range(1000):
        vector = observe_data(env.unwrapped.data)
        given = terms.TermInputs(
            from_blocks(vector, {}, 17), np.zeros(3), np.zeros(17), np.zeros(17), np.zeros(0)
        )
        np.testing.assert_array_equal(terms.TERMS["humanoid_v5"].compute(given), observed)
        observed, _, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            observed = env.reset()[0]
    assert observed.size == 348
    env.close()


def test_blocks_of_an_observation_become_a_measurement():
    vector = np.arange(1.0, 20.0)
    blocks = {"height": slice(0, 1), "orientation": slice(1, 5), "joint_positions": slice(5, 8),
              "linear_velocity": slice(8, 11), "angular_velocity": slice(11, 14),
              "joint_velocities": slice(14, 17)}  # fmt: skip
    m = from_blocks(vector, blocks, 3)
    for name, field in {"height": m.height, "orientation": m.quaternion_wxyz,
                        "joint_positions": m.joint_positions, "linear_velocity": m.linear_velocity,
                        "angular_velocity": m.angular_velocity,
                        "joint_velocities": m.joint_velocities}.items():  # fmt: skip
        np.testing.assert_array_equal(field, vector[blocks[name]], err_msg=name)
    np.testing.assert_array_equal(m.joint_efforts, np.zeros(3))


def test_a_robot_in_a_plane_has_a_pitch_instead_of_an_orientation():
    vector = np.array((0.9, 0.4, 1.0, 2.0, 3.0, 0.5))
    blocks = {"height": slice(0, 1), "pitch": slice(1, 2), "linear_velocity": slice(2, 4),
              "angular_velocity": slice(4, 5)}  # fmt: skip
    m = from_blocks(vector, blocks, 0)
    expected = np.zeros(4)
    mujoco.mju_axisAngle2Quat(expected, np.array((0.0, 1.0, 0.0)), 0.4)
    np.testing.assert_allclose(m.quaternion_wxyz, expected)
    np.testing.assert_array_equal(m.linear_velocity, (1.0, 0.0, 2.0))
    np.testing.assert_array_equal(m.angular_velocity, (0.0, 3.0, 0.0))
