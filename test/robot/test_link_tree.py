# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import mujoco
import numpy as np
import pytest

from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.link_tree import LinkTree
from humanoid_mujoco_ros.robot.model import ModelConfig, ModelError, RobotModel

CROOKED_ROBOT = Path(__file__).parent / "crooked_robot.xml"


def no_feet(path: Path) -> RobotModel:
    return RobotModel(ModelConfig(path=str(path), left_foot="", right_foot=""))


@pytest.fixture(params=["humanoid", "crooked robot"], scope="module")
def model(request: pytest.FixtureRequest) -> RobotModel:
    return RobotModel() if request.param == "humanoid" else no_feet(CROOKED_ROBOT)


@pytest.fixture(scope="module")
def humanoid() -> RobotModel:
    return RobotModel()


def random_postures(model: RobotModel, count: int):
    """MuJoCo's data at random base poses and joint positions, with the arguments for a tree."""
    random = np.random.default_rng(1)
    data = mujoco.MjData(model.mj)
    for _ in range(count):
        position = random.uniform(-5, 5, 3)
        quaternion = rotation.normalized(random.normal(size=4))
        joints = random.uniform(-np.pi, np.pi, len(model.joints))
        data.qpos[:3], data.qpos[3:7], data.qpos[model.qpos_indices] = position, quaternion, joints
        mujoco.mj_kinematics(model.mj, data)
        yield data, (position, quaternion, joints)


def robot_with(tmp_path: Path, bodies: str, *, root: str = "trunk") -> RobotModel:
    path = tmp_path / "robot.xml"
    path.write_text(f"""
        <mujoco>
          <worldbody>
            <body name="{root}">
              <freejoint/>
              <geom size=".1"/>
              {bodies}
            </body>
          </worldbody>
          <actuator>
            <motor joint="knee" ctrlrange="-1 1" ctrllimited="true"/>
          </actuator>
        </mujoco>""")
    return no_feet(path)


def test_every_body_is_a_link_at_mujocos_own_pose(model):
    tree = LinkTree(model)
    for data, posture in random_postures(model, 100):
        poses = tree.poses(*posture)
        for name in model.bodies:
            position, quaternion = poses[name]
            body = model.mj.body(name).id
            np.testing.assert_allclose(position, data.xpos[body], rtol=0, atol=1e-9)
            np.testing.assert_allclose(
                rotation.to_matrix(quaternion), data.xmat[body].reshape(3, 3), rtol=0, atol=1e-9
            )


def test_every_hinge_turns_its_link_about_mujocos_own_anchor_and_axis(model):
    tree = LinkTree(model)
    for data, posture in random_postures(model, 20):
        poses = tree.poses(*posture)
        for joint in tree.moving:
            position, quaternion = poses[joint.child]
            j = model.mj.joint(joint.joint).id
            np.testing.assert_allclose(position, data.xanchor[j], rtol=0, atol=1e-9)
            axis = rotation.rotate(quaternion, joint.axis)
            np.testing.assert_allclose(axis, data.xaxis[j], rtol=0, atol=1e-9)


def test_the_imu_and_the_soles_are_frames_at_their_sites(humanoid):
    tree = LinkTree(humanoid)
    for data, posture in random_postures(humanoid, 100):
        poses = tree.poses(*posture)
        for name in ("imu_link", "l_sole", "r_sole"):
            position, quaternion = poses[name]
            site = humanoid.mj.site(name).id
            np.testing.assert_allclose(position, data.site_xpos[site], rtol=0, atol=1e-9)
            np.testing.assert_allclose(
                rotation.to_matrix(quaternion),
                data.site_xmat[site].reshape(3, 3),
                rtol=0,
                atol=1e-9,
            )


def test_base_link_is_where_the_base_is(model):
    tree = LinkTree(model)
    for _, posture in random_postures(model, 5):
        poses = tree.poses(*posture)
        for link in ("base_link", model.bodies[0]):
            np.testing.assert_allclose(poses[link][0], posture[0], atol=1e-12)
            np.testing.assert_allclose(poses[link][1], posture[1], atol=1e-12)


def test_every_links_mount_has_it_where_the_tree_has_it(model):
    tree = LinkTree(model)
    for data, posture in random_postures(model, 50):
        for link, (position, quaternion) in tree.poses(*posture).items():
            mounted_position, axes = tree.mount(link).pose(data)
            np.testing.assert_allclose(mounted_position, position, rtol=0, atol=1e-9)
            np.testing.assert_allclose(axes, rotation.to_matrix(quaternion), rtol=0, atol=1e-9)


def test_an_unknown_link_is_answered_with_all_links(humanoid):
    with pytest.raises(
        ModelError,
        match=r"'hand' is not in the model; its links are base_link, torso, imu_link, .*r_sole",
    ):
        LinkTree(humanoid).mount("hand")


def test_it_is_a_tree_with_one_root_and_parents_come_before_children(model):
    tree = LinkTree(model)
    reached = {"base_link"}
    for joint in tree.joints:
        assert joint.parent in reached
        assert joint.child not in reached
        reached.add(joint.child)
    assert reached == set(tree.links)
    assert len(tree.links) == len(tree.joints) + 1
    assert set(model.bodies) <= reached


def test_moving_joints_are_the_models_in_the_models_order(model):
    tree = LinkTree(model)
    assert tuple(joint.joint for joint in tree.moving) == model.joints
    assert tuple(joint.name for joint in tree.moving) == model.joints
    assert set(tree.moving) | set(tree.fixed) == set(tree.joints)
    assert all(joint.axis is None and joint.joint is None for joint in tree.fixed)


def test_a_frame_is_added_only_where_hinges_share_a_body_or_miss_its_origin(humanoid):
    tree = LinkTree(humanoid)
    chain = [(j.parent, j.child) for j in tree.joints]
    # Three hinges at the origin of the thigh: two frames between, the last turns the thigh itself.
    assert ("pelvis", "right_hip_x_link") in chain
    assert ("right_hip_x_link", "right_hip_z_link") in chain
    assert ("right_hip_z_link", "right_thigh") in chain
    # One hinge above the origin of the shin: it turns a frame at the hinge, which carries the shin.
    assert ("right_thigh", "right_knee_link") in chain
    assert ("right_knee_link", "right_shin") in chain
    # One hinge at the origin of the arm: nothing between.
    assert ("right_upper_arm", "right_lower_arm") in chain


def test_links_without_a_body_have_no_mass(humanoid):
    tree = LinkTree(humanoid)
    assert tuple(tree.body_ids) == humanoid.bodies
    assert tree.body_ids["torso"] == 1
    assert "base_link" not in tree.body_ids
    assert "abdomen_z_link" not in tree.body_ids


def test_transforms_for_tf_lead_from_base_link_to_every_link(model):
    tree = LinkTree(model)
    for _, (position, quaternion, joints) in random_postures(model, 5):
        turned = tree.moving_quaternions(joints)
        assert turned.shape == (len(tree.moving), 4)
        np.testing.assert_allclose(np.linalg.norm(turned, axis=1), 1.0, atol=1e-14)
        local = {j.child: (j.parent, j.position, j.quaternion_wxyz) for j in tree.fixed}
        local |= {j.child: (j.parent, j.position, turned[i]) for i, j in enumerate(tree.moving)}
        for link, (expected_position, expected_quaternion) in tree.poses(
            position, quaternion, joints
        ).items():
            p, q, frame = np.zeros(3), rotation.IDENTITY, link
            while frame != "base_link":
                frame, offset, turn = local[frame]
                p, q = offset + rotation.rotate(turn, p), rotation.multiply(turn, q)
            np.testing.assert_allclose(
                position + rotation.rotate(quaternion, p), expected_position, atol=1e-12
            )
            np.testing.assert_allclose(
                rotation.multiply(quaternion, q), expected_quaternion, atol=1e-12
            )


def test_joints_at_zero_turn_by_the_joints_own_quaternions(model):
    tree = LinkTree(model)
    np.testing.assert_array_equal(
        tree.moving_quaternions(np.zeros(len(model.joints))),
        [joint.quaternion_wxyz for joint in tree.moving],
    )


def test_a_tree_keeps_no_view_of_the_model_and_cannot_be_changed(humanoid):
    tree = LinkTree(humanoid)
    for joint in tree.joints:
        assert not np.shares_memory(joint.position, humanoid.mj.body_pos)
        with pytest.raises(ValueError, match="read-only"):
            joint.position[0] = 1.0


def test_a_base_pose_need_not_be_normalised(humanoid):
    tree = LinkTree(humanoid)
    joints = np.zeros(17)
    once = tree.poses(np.zeros(3), (0.6, 0.0, 0.8, 0.0), joints)
    twice = tree.poses(np.zeros(3), (1.2, 0.0, 1.6, 0.0), joints)
    for link in tree.links:
        np.testing.assert_allclose(once[link][0], twice[link][0], atol=1e-14)
        np.testing.assert_allclose(once[link][1], twice[link][1], atol=1e-14)


def test_a_root_body_called_base_link_keeps_its_mass_in_a_link_below_it(tmp_path):
    leg = '<body name="leg"><joint name="knee" pos="0 0 .1"/><geom size=".1"/></body>'
    tree = LinkTree(robot_with(tmp_path, leg, root="base_link"))
    assert tree.links[:2] == ("base_link", "base_link_inertia")
    assert tree.body_ids == {"base_link_inertia": 1, "leg": 2}
    np.testing.assert_array_equal(tree.joints[0].position, np.zeros(3))


def test_a_body_without_a_name_is_a_link_with_a_number(tmp_path):
    model = robot_with(tmp_path, '<body><joint name="knee"/><geom size=".1"/></body>')
    assert model.bodies == ("trunk", "body_2")
    assert LinkTree(model).links == ("base_link", "trunk", "imu_link", "body_2")


def test_a_frame_between_hinges_whose_name_a_body_has_gets_a_number(tmp_path):
    model = robot_with(
        tmp_path, '<body name="knee_link"><joint name="knee" pos="0 0 1"/><geom size=".1"/></body>'
    )
    tree = LinkTree(model)
    assert tree.links == ("base_link", "trunk", "imu_link", "knee_link_2", "knee_link")
    assert tree.moving[0].child == "knee_link_2"


@pytest.mark.parametrize("name", ["imu_link", "l_sole"])
def test_a_body_with_the_name_of_a_frame_of_ours_is_that_frame(tmp_path, name):
    leg = f'<body name="{name}" pos="0 0 .3"><joint name="knee"/><geom size=".1"/></body>'
    path = tmp_path / "robot.xml"
    robot_with(tmp_path, leg)
    model = RobotModel(ModelConfig(path=str(path), left_foot="trunk", right_foot=""))
    tree = LinkTree(model)
    assert tree.links.count(name) == 1
    data = mujoco.MjData(model.mj)
    mujoco.mj_kinematics(model.mj, data)
    np.testing.assert_allclose(tree.mount(name).pose(data)[0], data.body(name).xpos)
    imu_body = int(model.mj.site(model.imu_site).bodyid[0])
    assert model.mj.body(imu_body).name == (name if name == "imu_link" else "trunk")


def test_a_body_deep_in_the_tree_may_be_called_base_link(tmp_path):
    model = robot_with(
        tmp_path, '<body name="base_link"><joint name="knee"/><geom size=".1"/></body>'
    )
    tree = LinkTree(model)
    assert tree.links == ("base_link", "trunk", "imu_link", "base_link_inertia")
    assert model.body_of_link("base_link") == 1
