# SPDX-License-Identifier: Apache-2.0
"""The memory of a steering policy, against motions whose outcome is known."""

from __future__ import annotations

import numpy as np

from humanoid_mujoco_ros.policy.measurement import Measurement
from humanoid_mujoco_ros.policy.steering import (
    COMMAND_RATE,
    ERROR_TIME_S,
    HOLD_LIMIT,
    START_SPEED_M_S,
    SteeringMemory,
    base_velocity,
)
from humanoid_mujoco_ros.robot import rotation

PERIOD_S = 0.01
ZERO = np.zeros(3)


def told(command):
    """A memory that has followed a command for long, still standing."""
    memory = SteeringMemory(PERIOD_S)
    for _ in range(200):
        memory.follow(command)
    return memory


def turned(yaw, tilt=0.0):
    """An orientation: tilted about its own x axis, then turned about the vertical."""
    about_z = rotation.from_axis_angle((0.0, 0.0, 1.0), yaw)
    return rotation.multiply(about_z, rotation.from_axis_angle((1.0, 0.0, 0.0), tilt))


def moving(yaw=0.0, velocity_world=(0.0, 0.0, 0.0), turn=0.0, tilt=0.0):
    """A base that is tilted about its own x axis, moves, and turns about the vertical."""
    quaternion = turned(yaw, tilt)
    return Measurement(
        np.ones(1),
        quaternion,
        np.zeros(1),
        np.array(velocity_world),
        rotation.rotate(rotation.conjugate(quaternion), (0.0, 0.0, turn)),
        np.zeros(1),
        np.zeros(1),
    )


def test_the_velocity_is_that_of_the_heading_frame_whatever_the_tilt():
    for yaw in (0.0, 1.0, -2.5):
        world = rotation.rotate(turned(yaw), (0.8, -0.3, 0.2))
        found = base_velocity(moving(yaw, world, turn=0.6, tilt=0.4))
        np.testing.assert_allclose(found, (0.8, -0.3, 0.6), atol=1e-12)


def test_the_velocity_error_settles_at_the_lasting_error():
    memory = told((0.7, 0.1, -0.2))
    periods = round(ERROR_TIME_S / PERIOD_S)
    for i in range(8 * periods):
        memory.advance(moving(velocity_world=(0.5, 0.0, 0.0)))
        if i == periods - 1:
            share = 1.0 - np.exp(-1.0)
            np.testing.assert_allclose(memory.velocity_error[0], 0.2 * share, rtol=0.01)
    np.testing.assert_allclose(memory.velocity_error, (0.2, 0.1, -0.2), atol=1e-3)


def test_the_hold_error_points_to_where_the_robot_began_to_stand():
    memory = SteeringMemory(PERIOD_S)
    place, yaw = np.zeros(2), 0.3
    for i in range(100):
        velocity = np.array((0.2 * np.cos(0.03 * i), 0.1, 0.0))
        turn = 0.4 * np.sin(0.05 * i)
        place, yaw = place + velocity[:2] * PERIOD_S, yaw + turn * PERIOD_S
        memory.advance(moving(yaw, velocity, turn))
    back = rotation.rotate(turned(-yaw), (*-place, 0.0))
    np.testing.assert_allclose(memory.hold_error[:2], back[:2], atol=2e-3)
    np.testing.assert_allclose(memory.hold_error[2], 0.3 - yaw, atol=1e-9)


def test_the_place_to_hold_comes_along_when_the_robot_is_carried_off():
    memory = SteeringMemory(PERIOD_S)
    for _ in range(300):
        memory.advance(moving(velocity_world=(0.3, 0.0, 0.0)))
    np.testing.assert_allclose(memory.hold_error[0], -HOLD_LIMIT[0])


def test_it_steps_with_a_command_and_stands_after_the_step_in_which_it_ends():
    memory = SteeringMemory(PERIOD_S)
    memory.advance(moving())
    assert not memory.stepping
    assert np.isnan(memory.phases).all()
    memory = told((0.3, 0.0, 0.0))
    memory.advance(moving())
    assert memory.stepping
    left, right = memory.phases
    np.testing.assert_allclose(right - left, np.pi)
    for _ in range(20):
        memory.advance(moving())
    for _ in range(200):
        memory.follow(ZERO)
    first_half = memory.phase < np.pi
    steps = 0
    while memory.stepping:
        assert (memory.phase < np.pi) == first_half
        memory.advance(moving())
        steps += 1
        assert steps < 100
    assert np.all(memory.hold_error == 0)


def test_a_push_makes_it_step_without_a_command_toward_the_side_it_goes_to():
    for side in (1.0, -1.0):
        memory = SteeringMemory(PERIOD_S)
        while not memory.stepping:
            memory.advance(moving(velocity_world=(0.0, side * 2 * START_SPEED_M_S, 0.0)))
        left_swings = memory.phase > np.pi
        assert left_swings == (side > 0)


def test_a_batch_remembers_what_its_robots_would_alone():
    random = np.random.default_rng(0)
    batch = SteeringMemory(PERIOD_S, (3,))
    alone = [SteeringMemory(PERIOD_S) for _ in range(3)]
    for _ in range(200):
        command = random.uniform(-1, 1, (3, 3)) * (random.random((3, 1)) < 0.3)
        quaternion = rotation.normalized(random.uniform(-0.3, 0.3, (3, 4)) + (1, 0, 0, 0))
        linear, angular = random.standard_normal((2, 3, 3))
        one = np.ones((3, 1))
        batch.follow(command)
        batch.advance(Measurement(one, quaternion, one, linear, angular, one, one))
        for i, memory in enumerate(alone):
            memory.follow(command[i])
            memory.advance(
                Measurement(one[i], quaternion[i], one[i], linear[i], angular[i], one[i], one[i])
            )
    for name in ("command", "velocity_error", "hold_error", "stepping", "phase"):
        expected = [getattr(memory, name) for memory in alone]
        np.testing.assert_allclose(getattr(batch, name), expected, atol=1e-12, err_msg=name)
    batch.reset(np.array([1]))
    assert not batch.stepping[1]
    assert not batch.velocity_error[1].any()
    assert batch.velocity_error[0].any()


def test_the_command_that_is_followed_changes_no_faster_than_it_may():
    memory = SteeringMemory(PERIOD_S)
    for i in range(1, 200):
        memory.follow((0.3, -9.0, 0.0))
        expected = (min(0.3, COMMAND_RATE[0] * i * PERIOD_S), -COMMAND_RATE[1] * i * PERIOD_S, 0.0)
        np.testing.assert_allclose(memory.command, expected, atol=1e-9)
