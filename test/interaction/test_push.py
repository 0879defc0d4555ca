# SPDX-License-Identifier: Apache-2.0
"""A measured push, on a posed robot."""

import numpy as np
import pytest

from humanoid_mujoco_ros.interaction.push import (
    DURATION_RANGE_S,
    FORCE_RANGE_N,
    SURVIVED_PUSH_S,
    MeasuredPush,
    PushError,
    PushPlan,
)
from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.model import ModelError, RobotModel
from humanoid_mujoco_ros.robot.posed_model import PosedModel

PERIOD_NS = 10_000_000


@pytest.fixture(scope="module")
def robot():
    return RobotModel()


def stand(posed, yaw=0.0, height=1.3, tilt=0.0):
    turned = rotation.from_axis_angle((0, 0, 1), yaw)
    quaternion = rotation.multiply(turned, rotation.from_axis_angle((1, 0, 0), tilt))
    posed.set_pose([0.0, 0.0, height], quaternion, np.zeros(len(posed.robot.joints)))


@pytest.mark.parametrize(
    ("direction", "expected"),
    [("forward", [0, 1]), ("back", [0, -1]), ("left", [-1, 0]), ("right", [1, 0])],
)
def test_it_acts_for_its_time_along_the_robots_heading(robot, direction, expected):
    posed = PosedModel(robot)
    push = MeasuredPush(posed)
    stand(posed, yaw=np.pi / 2)
    push.start(PushPlan(direction, 150.0, 0.2, "base_link"))
    impulse, moments = np.zeros(3), []
    for tick in range(40):
        stand(posed, yaw=np.pi / 2 + 0.01 * tick, tilt=0.02 * tick)  # it turns under the push
        applied = push.update(tick * PERIOD_NS)
        if applied is not None:
            _, quaternion = posed.link_pose("base_link")
            force_world = rotation.rotate(quaternion, applied.wrench.force)
            np.testing.assert_allclose(force_world, applied.arrow.force, atol=1e-9)
            impulse += force_world * PERIOD_NS * 1e-9
            center = posed.center_of_mass("base_link")
            moments.append(applied.wrench.torque - np.cross(center, applied.wrench.force))
    np.testing.assert_allclose(impulse[:2], 30.0 * np.array(expected), atol=1e-9)
    assert impulse[2] == pytest.approx(0.0, abs=1e-9)
    np.testing.assert_allclose(moments, 0.0, atol=1e-12)  # through the centre of mass


@pytest.mark.parametrize(
    ("period_ns", "ticks"), [(10_000_000, 5), (15_000_000, 4), (2_500_000, 20)]
)
def test_its_time_is_whole_control_periods(robot, period_ns, ticks):
    push = MeasuredPush(PosedModel(robot))
    push.start(PushPlan("left", 100.0, 0.05, "base_link"))
    start_ns = 123_456_789_000
    assert sum(push.update(start_ns + i * period_ns) is not None for i in range(50)) == ticks


def test_the_outcome_is_told(robot):
    posed = PosedModel(robot)
    push = MeasuredPush(posed)
    stand(posed)
    push.start(PushPlan("left", 100.0, 0.2, "base_link"))
    assert push.outcomes[-1].endswith("…")
    for tick in range(round((SURVIVED_PUSH_S + 0.5) * 100)):
        push.update(tick * PERIOD_NS)
    assert push.outcomes[-1] == "left, 100 N × 0.2 s = 20 N·s: stayed up"

    push.start(PushPlan("right", 300.0, 0.2, "base_link"))
    for tick in range(200):
        stand(posed, height=1.3 - 0.005 * tick)
        applied = push.update(tick * PERIOD_NS)
    assert push.outcomes[-1] == "right, 300 N × 0.2 s = 60 N·s: fell after 0.6 s"
    assert applied is None


def test_a_late_fall_counts_until_six_seconds_after_the_push(robot):
    posed = PosedModel(robot)
    push = MeasuredPush(posed)
    for fall_s, outcome in ((6.1, "fell after 6.1 s"), (6.3, "stayed up")):
        stand(posed)
        push.start(PushPlan("left", 100.0, 0.2, "base_link"))
        for tick in range(700):
            if tick == round(fall_s * 100):
                stand(posed, height=0.5)
            push.update(tick * PERIOD_NS)
        assert push.outcomes[-1].endswith(outcome)


def test_a_robot_on_the_ground_does_not_fall_again(robot):
    posed = PosedModel(robot)
    push = MeasuredPush(posed)
    stand(posed, height=0.2)
    push.start(PushPlan("left", 100.0, 0.2, "base_link"))
    for tick in range(30):
        push.update(tick * PERIOD_NS)
    assert push.outcomes[-1].endswith("20 N·s: it was down already")


def test_a_reset_interrupts_it(robot):
    push = MeasuredPush(PosedModel(robot))
    push.start(PushPlan("left", 100.0, 1.0, "base_link"))
    assert push.update(0) is not None
    push.cancel()
    assert push.update(PERIOD_NS) is None
    assert push.outcomes[-1].endswith("interrupted")


def test_an_unknown_link_is_refused(robot):
    with pytest.raises(ModelError, match="link 'tail' is not in the model"):
        MeasuredPush(PosedModel(robot)).start(PushPlan("left", 100.0, 1.0, "tail"))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"direction": "bogus"}, "no push direction 'bogus', only forward, back, left, right"),
        ({"force": 1e6}, r"push force must be within 10 and 600 N, not 1e\+06"),
        ({"force": 1e308}, "push force must be within"),
        ({"force": -150.0}, "push force must be within"),
        ({"force": np.nan}, "push force must be within 10 and 600 N, not nan"),
        ({"duration_s": np.inf}, "push time must be within 0.05 and 2 s, not inf"),
        ({"duration_s": 0.0}, "push time must be within"),
    ],
)
def test_a_push_out_of_bounds_is_refused(wrong, message):
    with pytest.raises(PushError, match=message):
        PushPlan(
            **{"direction": "left", "force": 150.0, "duration_s": 0.2, "link": "torso"} | wrong
        )


def test_the_bounds_themselves_are_allowed():
    for force, duration_s in zip(FORCE_RANGE_N, DURATION_RANGE_S, strict=True):
        PushPlan("left", force, duration_s, "torso")
