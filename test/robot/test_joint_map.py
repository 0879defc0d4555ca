# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from humanoid_mujoco_ros.robot.joint_map import JointMap, JointMapError
from humanoid_mujoco_ros.robot.model import ModelConfig, RobotModel

ENTRIES = {
    "right_knee": {"name": "rleg_kn", "sign": -1, "offset": 0.2, "effort_limit": 30},
    "abdomen_z": {"name": "torso_yaw"},
}


@pytest.fixture(scope="module")
def robot() -> RobotModel:
    return RobotModel()


@pytest.fixture(scope="module")
def joint_map(robot) -> JointMap:
    return JointMap(robot, ENTRIES)


def test_without_entries_the_robot_is_the_model(robot):
    joint_map = JointMap(robot)
    values = np.arange(17.0)
    assert joint_map.robot_joints == robot.joints
    np.testing.assert_array_equal(joint_map.positions_of_robot(values), values)
    np.testing.assert_array_equal(joint_map.signed(values), values)
    np.testing.assert_array_equal(joint_map.effort_limits, robot.effort_limits)
    np.testing.assert_array_equal(joint_map.command_order(robot.joints), np.arange(17))


def test_positions_are_turned_and_shifted_to_the_models(robot, joint_map):
    knee = robot.joints.index("right_knee")
    model_positions = np.linspace(-1, 1, 17)
    robot_positions = model_positions.copy()
    robot_positions[knee] = -1 * model_positions[knee] + 0.2
    np.testing.assert_allclose(joint_map.positions_of_robot(robot_positions), model_positions)
    np.testing.assert_allclose(joint_map.positions_to_robot(model_positions), robot_positions)


def test_velocities_and_efforts_change_sign_where_the_robot_turns_the_other_way(robot, joint_map):
    velocities = np.random.default_rng(5).normal(size=17)
    expected = velocities.copy()
    expected[robot.joints.index("right_knee")] *= -1
    np.testing.assert_array_equal(joint_map.signed(velocities), expected)


def test_the_lower_effort_limit_counts(robot):
    joint_map = JointMap(
        robot, {"right_knee": {"effort_limit": 30}, "left_knee": {"effort_limit": 500}}
    )
    limits = dict(zip(robot.joints, joint_map.effort_limits, strict=True))
    assert limits["right_knee"] == 30
    assert limits["left_knee"] == 80


def test_commands_come_in_the_order_of_the_robots_names(joint_map):
    names = list(joint_map.robot_joints)
    np.random.default_rng(3).shuffle(names)
    assert "torso_yaw" in names
    values = dict(zip(joint_map.robot_joints, np.arange(17.0), strict=True))
    np.testing.assert_array_equal(
        np.arange(17.0)[joint_map.command_order(names)], [values[name] for name in names]
    )


def test_passive_joints_are_measured_and_not_commanded(tmp_path):
    path = tmp_path / "leg.xml"
    path.write_text("""
        <mujoco><worldbody><body name="base"><freejoint/><geom size=".1"/>
          <body name="leg"><joint name="hip"/><geom size=".1"/>
            <body name="toe"><joint name="toe"/><geom size=".1"/></body></body></body></worldbody>
        <actuator><motor joint="hip" ctrlrange="-1 1" ctrllimited="true"/></actuator></mujoco>""")
    leg = RobotModel(ModelConfig(path=str(path), left_foot="", right_foot=""))
    joint_map = JointMap(leg, {"toe": {"name": "sole_spring"}})
    assert joint_map.robot_joints == ("hip", "sole_spring")
    np.testing.assert_array_equal(joint_map.command_order(["hip"]), [0])
    with pytest.raises(JointMapError, match="joint 'sole_spring' is passive: no motor drives it"):
        joint_map.command_order(["hip", "sole_spring"])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (lambda n: ["right_knee", *n[1:]], "joint 'right_knee' is not in the model; the robot's"),
        (lambda n: n[1:], "lacks torso_yaw"),
        (lambda n: [*n, "rleg_kn"], "names rleg_kn more than once"),
    ],
)
def test_a_wrong_list_of_joints_is_explained(joint_map, names, message):
    with pytest.raises(JointMapError, match=message):
        joint_map.command_order(names(list(joint_map.robot_joints)))


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"knee": {}}, "joint 'knee' is not in the model; its joints are abdomen_z"),
        ({"right_knee": {"sgn": 1}}, "'right_knee' has no field 'sgn'; it has name, sign"),
        ({"right_knee": {"sign": 2}}, "sign of 'right_knee' is 2, expected 1 or -1"),
        ({"right_knee": {"offset": np.inf}}, "offset of 'right_knee' is inf"),
        ({"right_knee": {"offset": "far"}}, "offset of 'right_knee' is 'far', not a number"),
        ({"right_knee": {"effort_limit": -1}}, "effort_limit of 'right_knee' is -1"),
        ({"right_knee": -1}, "'right_knee' needs fields such as name, not '-1'"),
        ({"right_knee": {"name": "left_knee"}}, "several joints are called left_knee"),
    ],
)
def test_a_wrong_map_is_explained(robot, entries, message):
    with pytest.raises(JointMapError, match=message):
        JointMap(robot, entries)
