# SPDX-License-Identifier: Apache-2.0
import mujoco
import numpy as np
import pytest

from humanoid_mujoco_ros.robot import rotation

RANDOM = np.random.default_rng(0)
QUATERNIONS = rotation.normalized(RANDOM.normal(size=(50, 4)))
OTHERS = rotation.normalized(RANDOM.normal(size=(50, 4)))
VECTORS = RANDOM.normal(size=(50, 3))


def quaternion_of(rpy):
    """MuJoCo's quaternion of roll, pitch, yaw about the fixed axes x, y, z."""
    quaternion = np.empty(4)
    mujoco.mju_euler2Quat(quaternion, rpy, "XYZ")
    return quaternion


def test_product_is_mujocos():
    for first, second in zip(QUATERNIONS, OTHERS, strict=True):
        expected = np.empty(4)
        mujoco.mju_mulQuat(expected, first, second)
        np.testing.assert_allclose(rotation.multiply(first, second), expected, atol=1e-15)


def test_rotated_vector_is_mujocos():
    for quaternion, vector in zip(QUATERNIONS, VECTORS, strict=True):
        expected = np.empty(3)
        mujoco.mju_rotVecQuat(expected, vector, quaternion)
        np.testing.assert_allclose(rotation.rotate(quaternion, vector), expected, atol=1e-14)


def test_axis_and_angle_give_mujocos_quaternion():
    for vector, angle in zip(VECTORS, np.linspace(-7, 7, 50), strict=True):
        axis = vector / np.linalg.norm(vector)
        expected = np.empty(4)
        mujoco.mju_axisAngle2Quat(expected, axis, angle)
        np.testing.assert_allclose(
            rotation.from_axis_angle(axis, angle), expected, rtol=0, atol=1e-15
        )


def test_matrix_is_mujocos():
    for quaternion in QUATERNIONS:
        expected = np.empty(9)
        mujoco.mju_quat2Mat(expected, quaternion)
        np.testing.assert_allclose(
            rotation.to_matrix(quaternion), expected.reshape(3, 3), atol=1e-14
        )


def test_conjugate_undoes_a_rotation():
    turned = rotation.rotate(QUATERNIONS, VECTORS)
    np.testing.assert_allclose(
        rotation.rotate(rotation.conjugate(QUATERNIONS), turned), VECTORS, atol=1e-14
    )
    np.testing.assert_allclose(
        rotation.multiply(QUATERNIONS, rotation.conjugate(QUATERNIONS)),
        np.tile(rotation.IDENTITY, (50, 1)),
        atol=1e-15,
    )


def test_normalized_has_length_one_and_makes_zeros_the_identity():
    values = np.array([[3.0, 0.0, 4.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    np.testing.assert_allclose(
        rotation.normalized(values), [[0.6, 0.0, 0.8, 0.0], [1.0, 0.0, 0.0, 0.0]]
    )


def test_a_batch_gives_what_each_of_it_gives():
    batch = QUATERNIONS.reshape(5, 10, 4)
    vectors = VECTORS.reshape(5, 10, 3)
    one = (2, 3)
    for result, single in (
        (rotation.multiply(batch, OTHERS[0]), rotation.multiply(batch[one], OTHERS[0])),
        (rotation.rotate(batch, vectors), rotation.rotate(batch[one], vectors[one])),
        (rotation.rotate(OTHERS[0], vectors), rotation.rotate(OTHERS[0], vectors[one])),
        (rotation.to_matrix(batch), rotation.to_matrix(batch[one])),
        (rotation.to_rpy(batch), rotation.to_rpy(batch[one])),
        (rotation.heading(batch), rotation.heading(batch[one])),
        (rotation.forward_speed(batch, vectors), rotation.forward_speed(batch[one], vectors[one])),
        (rotation.from_axis_angle((0, 0, 1), vectors[..., 0]),
         rotation.from_axis_angle((0, 0, 1), vectors[(*one, 0)])),
    ):  # fmt: skip
        assert result.shape == (5, 10, *single.shape)
        np.testing.assert_allclose(result[one], single, rtol=0, atol=1e-15)


def test_roll_pitch_yaw_turn_about_the_fixed_axes_x_then_y_then_z():
    roll, pitch, yaw = 0.3, -0.4, 2.5
    (cr, cp, cy), (sr, sp, sy) = np.cos([roll, pitch, yaw]), np.sin([roll, pitch, yaw])
    x = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    y = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    z = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    quaternion = quaternion_of((roll, pitch, yaw))
    np.testing.assert_allclose(rotation.to_matrix(quaternion), z @ y @ x, atol=1e-15)
    np.testing.assert_allclose(rotation.to_rpy(quaternion), (roll, pitch, yaw), atol=1e-15)


def test_roll_pitch_yaw_reproduce_any_rotation():
    again = [quaternion_of(rpy) for rpy in rotation.to_rpy(QUATERNIONS)]
    np.testing.assert_allclose(
        rotation.to_matrix(again), rotation.to_matrix(QUATERNIONS), atol=1e-14
    )


@pytest.mark.parametrize("from_lock", [0.0, 1e-16, 1e-12, 1e-9, 1e-8, 1e-7, 1e-5, 1e-3])
@pytest.mark.parametrize("sign", [1, -1])
def test_roll_pitch_yaw_reproduce_a_rotation_at_and_near_gimbal_lock(from_lock, sign):
    for roll, yaw in RANDOM.uniform(-3, 3, (20, 2)):
        quaternion = quaternion_of((roll, sign * (np.pi / 2 - from_lock), yaw))
        again = quaternion_of(rotation.to_rpy(quaternion))
        np.testing.assert_allclose(
            rotation.to_matrix(again), rotation.to_matrix(quaternion), atol=1e-15 * 5
        )


def test_the_identity_cannot_be_changed_by_accident():
    with pytest.raises(ValueError, match="read-only"):
        rotation.IDENTITY[0] = 2.0


@pytest.mark.parametrize("yaw", [0.0, 0.5 * np.pi, 2.5, -2.0])
@pytest.mark.parametrize("pitch", [0.0, 0.4])
def test_the_forward_speed_is_along_the_heading_also_of_a_body_that_leans(yaw, pitch):
    turn = rotation.from_axis_angle((0, 0, 1), yaw)
    body = rotation.multiply(turn, rotation.from_axis_angle((0, 1, 0), pitch))
    ahead = np.array([np.cos(yaw), np.sin(yaw), 0.0])
    left = np.array([-np.sin(yaw), np.cos(yaw), 0.0])
    assert rotation.heading(body) == pytest.approx(yaw)
    velocity = 1.5 * ahead + 0.3 * left + [0.0, 0.0, 9.0]
    assert rotation.forward_speed(body, velocity) == pytest.approx(1.5)
    assert rotation.forward_speed(body, velocity[:2]) == pytest.approx(1.5)
    assert isinstance(rotation.forward_speed(body, velocity), float)
