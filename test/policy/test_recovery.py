# SPDX-License-Identifier: Apache-2.0
"""When a policy hands over to the one that gets the robot up, and when it gets the robot back."""

import mujoco
import numpy as np
import pytest

from humanoid_mujoco_ros.policy.observation import observe_data
from humanoid_mujoco_ros.policy.recovery import (
    LEAD_IN_M_S,
    LEAD_IN_S,
    STOOD_S,
    Recovering,
    StandingRule,
)
from humanoid_mujoco_ros.policy.state_vector import observation_layout
from humanoid_mujoco_ros.robot.model import ModelConfig, RobotModel

STANDING, CROUCHING, LYING = 1.28, 1.1, 0.3
ON_THE_BACK = (0.7, 0.0, -0.7, 0.0)


class Says:
    """A policy that always answers the same."""

    task = normalization = ""
    takes_commands = clipped = has_handed_over = False

    def __init__(self, effort, robot):
        self.efforts = np.full(len(robot.joints), effort)
        self.resets = 0

    def reset(self, heading_rad=0.0):
        self.resets += 1
        self.heading_rad = heading_rad

    def answer(self, observation, velocity):
        self.velocity = velocity
        return self.efforts


class Robot:
    """Observations of a robot that is put into postures, and what is answered to them."""

    def __init__(self, task="", lead_in=None):
        self.model = RobotModel()
        self.walk, self.rise = Says(1.0, self.model), Says(2.0, self.model)
        self.walk.task = task
        self.lead_in = None if lead_in is None else Says(lead_in, self.model)
        self.brain = Recovering(self.walk, self.rise, self.model, self.lead_in)
        blocks = {block.name: block.slice for block in observation_layout(self.model)}
        self.height, self.quaternion = blocks["height"], blocks["orientation"]
        self.speed = blocks["linear_velocity"]
        self.size = observation_layout(self.model)[-1].slice.stop

    def answer(self, height, quaternion=(1, 0, 0, 0), speed=0.0):
        observation = np.zeros(self.size)
        observation[self.height], observation[self.quaternion] = height, quaternion
        observation[self.speed] = (speed, 0, 0)
        return self.brain.answer(observation, np.zeros(3))[0]

    def answers(self, height, seconds, **posture):
        return [self.answer(height, **posture) for _ in range(round(seconds * 100))]


@pytest.fixture
def robot():
    return Robot()


def test_a_robot_that_stands_is_left_to_its_policy(robot):
    assert set(robot.answers(STANDING, 2.0)) == {1.0}
    assert set(robot.answers(CROUCHING, 2.0)) == {1.0}
    assert not robot.brain.has_handed_over
    assert robot.rise.resets == 0


def test_a_fall_hands_over_until_the_robot_has_stood_for_a_while(robot):
    robot.answer(STANDING)
    assert robot.answer(LYING, ON_THE_BACK) == 2.0
    assert robot.brain.has_handed_over
    assert robot.rise.resets == 1
    assert robot.answer(LYING, ON_THE_BACK) == 2.0
    assert not robot.brain.has_handed_over
    for height in np.arange(LYING, STANDING, 0.05):
        assert robot.answer(height) == 2.0
    assert set(robot.answers(STANDING, STOOD_S - 0.03)) == {2.0}
    assert robot.answers(STANDING, 0.05)[-1] == 1.0
    assert robot.walk.resets == 1
    assert robot.brain.watch.recoveries == 1


def get_up(robot):
    robot.answer(LYING, ON_THE_BACK)
    for height in np.arange(LYING, STANDING, 0.05):
        robot.answer(height)
    return robot.answers(STANDING, STOOD_S + LEAD_IN_S + 0.5)


@pytest.mark.parametrize(("task", "speed"), LEAD_IN_M_S.items())
def test_a_policy_that_cannot_set_off_is_led_in(task, speed):
    robot = Robot(task, lead_in=3.0)
    answers = get_up(robot)
    assert answers.count(3.0) == round(LEAD_IN_S * 100)
    assert answers[-1] == 1.0
    np.testing.assert_array_equal(robot.lead_in.velocity, (speed, 0.0, 0.0))
    np.testing.assert_array_equal(robot.walk.velocity, np.zeros(3))
    assert (robot.lead_in.resets, robot.walk.resets) == (1, 1)


def test_a_robot_that_falls_while_it_is_led_in_gets_up_again():
    robot = Robot("walk", lead_in=3.0)
    robot.answer(LYING, ON_THE_BACK)
    for height in np.arange(LYING, STANDING, 0.05):
        robot.answer(height)
    assert robot.answers(STANDING, STOOD_S + 0.5)[-1] == 3.0
    assert robot.answer(LYING, ON_THE_BACK) == 2.0
    assert get_up(robot)[-1] == 1.0
    assert robot.brain.watch.recoveries == 2


def test_a_robot_that_is_reset_is_not_led_in():
    robot = Robot("walk", lead_in=3.0)
    robot.answers(LYING, 1.0)
    assert robot.answer(STANDING) == 1.0


def test_a_policy_goes_on_where_the_robot_looks_once_it_is_up(robot):
    robot.answers(LYING, 0.1)
    yaw = 2.0
    turned = (np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2))
    assert robot.answer(STANDING, turned) == 1.0
    assert robot.walk.heading_rad == pytest.approx(yaw)


@pytest.mark.parametrize(
    "posture",
    [{"height": CROUCHING}, {"height": STANDING, "quaternion": ON_THE_BACK},
     {"height": STANDING, "speed": 1.0}],
)  # fmt: skip
def test_a_robot_that_does_not_stand_still_is_not_up(robot, posture):
    robot.answer(LYING)
    for height in np.arange(LYING, STANDING, 0.05):
        robot.answer(height)
    assert {robot.answer(**posture) for _ in range(300)} == {2.0}


def test_standing_counts_only_without_interruption(robot):
    robot.answer(LYING)
    for height in np.arange(LYING, STANDING, 0.05):
        robot.answer(height)
    robot.answers(STANDING, 0.8 * STOOD_S)
    robot.answer(CROUCHING + 0.05)
    assert set(robot.answers(STANDING, 0.8 * STOOD_S)) == {2.0}


def test_a_robot_that_was_put_on_its_feet_is_up_at_once(robot):
    robot.answers(LYING, 1.0)
    assert robot.answer(STANDING) == 1.0
    assert robot.brain.has_handed_over
    assert robot.brain.watch.recoveries == 0


def test_an_observation_without_the_height_is_left_to_the_policy(robot):
    size = observation_layout(robot.model, "imu")[-1].slice.stop
    robot.answer(LYING)
    assert robot.brain.has_handed_over
    assert robot.brain.answer(np.zeros(size), np.zeros(3))[0] == 1.0
    assert not robot.brain.has_handed_over


def test_the_heights_are_those_of_the_robot():
    stands = StandingRule(RobotModel(ModelConfig(robot="hopper")))
    assert stands.pose.min_height == pytest.approx(0.857 * 1.25)


def test_the_observation_of_a_real_state_is_understood(robot):
    """The layout that this test fills in is the one that the simulation fills in."""
    data = mujoco.MjData(robot.model.mj)
    data.qpos[:] = robot.model.start_qpos
    mujoco.mj_forward(robot.model.mj, data)
    assert robot.brain.answer(observe_data(data), np.zeros(3))[0] == 1.0
    data.qpos[2], data.qpos[3:7] = LYING, ON_THE_BACK
    mujoco.mj_forward(robot.model.mj, data)
    assert robot.brain.answer(observe_data(data), np.zeros(3))[0] == 2.0
