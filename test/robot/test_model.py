# SPDX-License-Identifier: Apache-2.0
"""The robot model against the file it is made from."""

from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest

from humanoid_mujoco_ros.robot.card import Drive, RobotCard, StartPose, bare_card
from humanoid_mujoco_ros.robot.link_tree import LinkTree
from humanoid_mujoco_ros.robot.model import (
    ModelConfig,
    ModelError,
    RobotModel,
    gymnasium_humanoid_path,
)

PENDULUM = """
<mujoco>
  <compiler autolimits="true"/>
  <worldbody>
    <body name="base" pos="0 0 1">
      <freejoint/>
      <geom size=".1"/>
      {bodies}
    </body>
  </worldbody>
  <actuator>{actuators}</actuator>
</mujoco>
"""
LEG = '<body name="leg"><joint name="hip" axis="0 1 0"/><geom size=".05" pos="0 0 -.3"/></body>'
MOTOR = '<motor joint="hip" gear="50" ctrlrange="-1 1" ctrllimited="true"/>'
SLIDER = '<body name="rail"><joint name="lift" type="slide"/><geom size=".1"/></body>'
SITE = '<site name="s"/>'


@pytest.fixture(scope="module")
def robot():
    return RobotModel()


def write_model(tmp_path, bodies=LEG, actuators=MOTOR):
    path = tmp_path / "pendulum.xml"
    path.write_text(PENDULUM.format(bodies=bodies, actuators=actuators))
    return RobotCard("pendulum", str(path), left_foot="", right_foot="")


def add(config, text, *, tag="mujoco", before=None):
    """Writes `text` into an element of the model's file, at its end or before something."""
    path = Path(config.model)
    mark = before or f"</{tag}>"
    path.write_text(path.read_text().replace(mark, text + mark, 1))


def test_the_default_is_gymnasiums_humanoid_at_100_hz(robot):
    assert robot.name == "humanoid"
    assert robot.path == gymnasium_humanoid_path()
    assert robot.control_rate_hz == pytest.approx(100.0)
    assert len(robot.joints) == 17


def test_joint_and_actuator_orders_are_those_of_the_file(robot):
    plain = mujoco.MjModel.from_xml_path(str(gymnasium_humanoid_path()))
    assert robot.joints == tuple(plain.joint(j).name for j in range(1, plain.njnt))
    assert robot.action_joints == tuple(plain.actuator(a).name for a in range(plain.nu))
    assert robot.joints[:3] == ("abdomen_z", "abdomen_y", "abdomen_x")
    assert robot.action_joints[:3] == ("abdomen_y", "abdomen_z", "abdomen_x")


def test_effort_limits_are_gear_times_control_range(robot):
    limits = dict(zip(robot.joints, robot.effort_limits, strict=True))
    assert limits["abdomen_x"] == pytest.approx(40)
    assert limits["right_hip_y"] == pytest.approx(120)
    assert limits["left_knee"] == pytest.approx(80)
    assert limits["left_elbow"] == pytest.approx(10)


def test_sensors_leave_the_dynamics_as_they_are(robot):
    plain = mujoco.MjModel.from_xml_path(str(gymnasium_humanoid_path()))
    np.testing.assert_array_equal(robot.mj.body_mass, plain.body_mass)
    np.testing.assert_array_equal(robot.mj.body_inertia, plain.body_inertia)
    assert (robot.mj.nq, robot.mj.nv, robot.mj.nbody) == (plain.nq, plain.nv, plain.nbody)


def test_joint_order_permutes_any_order_of_all_names(robot):
    names = list(robot.joints)
    np.random.default_rng(0).shuffle(names)
    values = dict(zip(robot.joints, np.arange(17.0), strict=True))
    np.testing.assert_array_equal(
        np.arange(17.0)[robot.joint_order(names)], [values[name] for name in names]
    )


@pytest.mark.parametrize(
    ("names", "match"),
    [
        (
            lambda names: [*names[:-1], "knee"],
            "joint 'knee' is not in the model; its joints are abd",
        ),
        (lambda names: names[1:], "lacks abdomen_z"),
        (lambda names: [*names, names[0]], "abdomen_z more than once"),
    ],
)
def test_joint_order_says_what_is_wrong(robot, names, match):
    with pytest.raises(ModelError, match=match):
        robot.joint_order(names(list(robot.joints)))


def test_unknown_link_is_answered_with_the_links_there_are(robot):
    assert robot.body_of_link("base_link") == robot.body_of_link("torso") == 1
    with pytest.raises(
        ModelError, match=r"'hand' is not in the model; its links are base_link, torso"
    ):
        robot.body_of_link("hand")


def test_another_torque_driven_robot_loads(tmp_path):
    robot = RobotModel(write_model(tmp_path))
    assert robot.name == "pendulum"
    assert robot.joints == ("hip",)
    np.testing.assert_allclose(robot.effort_limits, [50])
    assert np.isinf(robot.position_limits).all()


@pytest.mark.parametrize(
    ("bodies", "actuators", "match"),
    [
        (LEG, "", "none of its joints hip is driven by a motor; a card"),
        (LEG, '<motor name="m" joint="hip"/>', "motor 'm' of joint 'hip' has no limit: give it a"),
        (LEG, MOTOR + MOTOR, "joint 'hip' has two actuators, 'actuator_0' and 'actuator_1'"),
        (LEG, '<velocity name="v" joint="hip" kv="2"/>', "'v' of joint 'hip' is neither a torque"),
        (LEG, '<position joint="hip" kp="9" timeconst="1"/>', "neither a torque motor nor a posit"),
        (LEG, MOTOR.replace("-1 1", "1 2"), "cannot be off: its torque is within 50 and 100 N·m"),
        (LEG + SLIDER, MOTOR, "joint 'lift' is a slide joint; the joints of a robot must be hin"),
        (LEG + SLIDER.replace("slide", "ball"), MOTOR, "joint 'lift' is a ball joint"),
        (LEG + SITE, MOTOR + '<motor site="s" name="jet"/>', "'jet' acts on a site; only"),
        (LEG.replace('"leg"', '"odom"'), MOTOR, "a body of the robot is called odom"),
        (LEG, MOTOR + '<adhesion body="leg" name="glue" ctrlrange="0 1"/>', "acts on a body"),
        ("", "", "has no joints"),
        ("<nonsense/>", "", "MuJoCo cannot load"),
    ],
)
def test_a_robot_that_cannot_be_driven_is_refused_in_one_line(tmp_path, bodies, actuators, match):
    with pytest.raises(ModelError, match=match) as caught:
        RobotModel(write_model(tmp_path, bodies, actuators))
    assert "\n" not in str(caught.value)


def test_a_tendon_motor_is_refused(tmp_path):
    config = write_model(tmp_path, LEG, MOTOR + '<motor tendon="t" name="cable"/>')
    add(config, '<tendon><fixed name="t"><joint joint="hip" coef="1"/></fixed></tendon>')
    with pytest.raises(ModelError, match="'cable' acts on a tendon; only actuators on joints"):
        RobotModel(config)


def test_two_kinds_of_actuators_are_refused_unless_a_card_makes_them_one(tmp_path):
    arm = '<body name="arm"><joint name="elbow" axis="0 1 0"/><geom size=".05"/></body>'
    servo = '<position name="p" joint="elbow" kp="7" forcerange="-3 3" forcelimited="true"/>'
    config = write_model(tmp_path, LEG + arm, MOTOR.replace("<motor", '<motor name="m"') + servo)
    with pytest.raises(ModelError, match="'m' is a torque motor and 'p' a position servo"):
        RobotModel(config)
    robot = RobotModel(replace(config, actuation="effort"))
    assert robot.actuation == "effort"
    np.testing.assert_array_equal(robot.effort_limits, [50, 3])
    np.testing.assert_array_equal(robot.gear, [50, 1])


@pytest.mark.parametrize(
    ("joint", "motor", "expected"),
    [
        ("", 'gear="50" ctrlrange="-1 1"', (-50, 50)),
        ("", 'gear="-50" ctrlrange="-1 .2"', (-10, 50)),
        ("", 'gear="50" ctrlrange="-.2 1"', (-10, 50)),
        ("", 'gear="50" ctrlrange="0 1"', (0, 50)),
        ("", 'gear="10" ctrlrange="-9 9" forcerange="-2 3"', (-20, 30)),
        ('actuatorfrcrange="-20 25"', 'ctrlrange="-200 200"', (-20, 25)),
        ('actuatorfrcrange="-20 25"', "", (-20, 25)),
        ('actuatorfrcrange="-20 25"', 'gear="5" forcerange="-1 9"', (-5, 25)),
    ],
)
def test_the_smallest_of_all_limits_counts_and_is_what_mujoco_applies(
    tmp_path, joint, motor, expected
):
    config = write_model(
        tmp_path, LEG.replace('name="hip"', f'name="hip" {joint}'), f'<motor joint="hip" {motor}/>'
    )
    robot = RobotModel(config)
    np.testing.assert_allclose(robot.effort_ranges, [expected])
    np.testing.assert_allclose(robot.effort_limits, [min(abs(e) for e in expected)])
    data = mujoco.MjData(robot.mj)
    for limit, sign in zip(expected, (-1, 1), strict=True):
        data.ctrl[robot.actuator_indices] = sign * 1e6 / abs(robot.gear) * np.sign(robot.gear)
        mujoco.mj_forward(robot.mj, data)
        np.testing.assert_allclose(data.qfrc_actuator[robot.dof_indices], [limit])


def test_a_card_lowers_the_limit_that_mujoco_applies(tmp_path):
    card = replace(write_model(tmp_path), drives={"hip": Drive(effort_limit=7.0)})
    robot = RobotModel(card)
    np.testing.assert_array_equal(robot.effort_limits, [7])
    data = mujoco.MjData(robot.mj)
    data.ctrl[:] = 1.0
    mujoco.mj_forward(robot.mj, data)
    np.testing.assert_allclose(data.qfrc_actuator[robot.dof_indices], [7])
    no_limit = replace(write_model(tmp_path, LEG, '<motor joint="hip"/>'), drives=card.drives)
    np.testing.assert_array_equal(RobotModel(no_limit).effort_limits, [7])


def test_passive_hinges_are_joints_that_nobody_commands(tmp_path):
    toe = '<body name="toe"><joint name="toe_hinge" axis="0 1 0"/><geom size=".02"/></body>'
    robot = RobotModel(write_model(tmp_path, toe + LEG))
    assert robot.joints == ("toe_hinge", "hip")
    assert (robot.driven_joints, robot.passive_joints) == (("hip",), ("toe_hinge",))
    np.testing.assert_array_equal(robot.effort_limits, [0, 50])
    np.testing.assert_array_equal(robot.joint_order(["hip"]), [1])
    with pytest.raises(ModelError, match="joint 'toe_hinge' is passive: no motor drives it"):
        robot.joint_order(["toe_hinge", "hip"])
    with pytest.raises(ModelError, match="the list of joints lacks hip"):
        robot.joint_order([])


PROPS = """
<body name="table" pos="2 0 0"><geom type="box" size=".5 .5 .4"/></body>
<body name="ball" pos="2 0 1"><freejoint/><geom size=".1"/></body>
<body name="hand" mocap="true"><geom size=".1" contype="0" conaffinity="0"/></body>
<body name="door" pos="5 0 1"><joint name="door_hinge"/><geom size=".1"/><site name="knob"/></body>
"""


def test_the_robot_is_the_tree_with_the_free_joint_and_the_motors(tmp_path):
    others = '<motor joint="door_hinge"/><motor site="knob" gear="0 0 1 0 0 0"/>'
    config = write_model(tmp_path, LEG, others + MOTOR)
    add(config, PROPS, tag="worldbody", before='<body name="base"')
    robot = RobotModel(config)
    assert robot.bodies == ("base", "leg")
    assert robot.joints == robot.action_joints == ("hip",)
    assert robot.body_of_link("base_link") == robot.mj.body("base").id
    assert robot.body_of_link("leg") == robot.mj.body("leg").id
    assert robot.link_of_body(robot.mj.body("leg").id) == "leg"
    assert robot.link_of_body(robot.mj.body("ball").id) is None
    assert robot.link_of_body(0) is None
    assert robot.qpos_indices == robot.mj.joint("hip").qposadr
    np.testing.assert_allclose(robot.base.pose(robot.start_qpos)[0], [0, 0, 1])
    assert LinkTree(robot).links == ("base_link", "base", "imu_link", "leg")


def test_of_two_robots_a_card_names_one(tmp_path):
    config = write_model(tmp_path, LEG, MOTOR + MOTOR.replace("hip", "hip2"))
    second = LEG.replace('"leg"', '"leg2"').replace('"hip"', '"hip2"')
    add(config, f'<body name="twin"><freejoint/><geom size=".1"/>{second}</body>', tag="worldbody")
    with pytest.raises(
        ModelError, match="may be the robot, base, twin; a card's base can name one"
    ):
        RobotModel(config)
    robot = RobotModel(replace(config, base="twin"))
    assert robot.joints == ("hip2",)
    assert robot.bodies == ("twin", "leg2")


def test_nothing_in_the_world_that_moves_is_no_robot(tmp_path):
    path = tmp_path / "stone.xml"
    stone = '<body name="stone"><geom size=".1"/></body>'
    path.write_text(f"<mujoco><worldbody>{stone}</worldbody></mujoco>")
    with pytest.raises(ModelError, match=r"no body in its world \(stone\) is a robot"):
        RobotModel(RobotCard("robot", str(path), left_foot="", right_foot=""))


def test_a_fixed_base_stays_where_it_is(tmp_path):
    config = write_model(tmp_path)
    path = Path(config.model)
    path.write_text(path.read_text().replace("<freejoint/>", ""))
    robot = RobotModel(config)
    assert (robot.base.is_free, robot.base.joints) == (False, ())
    np.testing.assert_allclose(robot.base.pose(robot.start_qpos)[0], [0, 0, 1])


def test_names_of_our_own_do_not_collide_with_the_models(tmp_path):
    site = '<site name="imu" pos="0 0 .1"/><site name="l_sole"/>'
    config = write_model(tmp_path, site + LEG)
    sensors = '<gyro name="imu_gyro" site="imu"/><accelerometer name="imu_acc" site="imu"/>'
    add(config, f'<sensor>{sensors}<touch name="left_foot_contact" site="imu"/></sensor>')
    robot = RobotModel(replace(config, left_foot="leg"))
    assert (robot.imu_site, robot.accelerometer) == ("imu_link", "imu_accelerometer")
    assert robot.gyro == "imu_gyro_2"
    assert robot.foot_sensors == [("left", "leg", "left_foot_contact_2")]
    assert robot.sole_sites == {"left": "l_sole_2"}
    assert LinkTree(robot).links[-1] == "l_sole"
    gyro = robot.mj.sensor(robot.gyro)
    assert robot.mj.site(int(gyro.objid[0])).name == "imu_link"


def test_an_own_sole_of_the_foot_is_the_sole(tmp_path):
    foot = LEG.replace("<geom", '<site name="r_sole" pos="0 0 -.4"/><geom')
    robot = RobotModel(replace(write_model(tmp_path, foot), right_foot="leg"))
    assert robot.sole_sites == {"right": "r_sole"}
    np.testing.assert_allclose(robot.mj.site("r_sole").pos, [0, 0, -0.4])


def test_an_own_imu_site_is_where_the_imu_is(tmp_path):
    config = write_model(tmp_path, '<site name="imu_link" pos="0 .2 .1"/>' + LEG)
    robot = RobotModel(config)
    np.testing.assert_allclose(robot.mj.site(robot.imu_site).pos, [0, 0.2, 0.1])
    named = write_model(tmp_path, LEG.replace("<geom", '<site name="imu" pos="0 0 .3"/><geom'))
    robot = RobotModel(replace(named, imu_site="imu"))
    np.testing.assert_allclose(robot.mj.site(robot.imu_site).pos, [0, 0, 0.3])
    assert LinkTree(robot).links[-1] == "imu_link"


@pytest.mark.parametrize(
    ("geoms", "lowest"),
    [
        ('<geom size=".05" pos=".1 0 -.02"/>', -0.07),
        ('<geom size=".05" pos="0 0 .1"/><geom type="box" size=".1 .1 .02" pos="0 0 -.1"/>', -0.12),
        ('<geom type="box" size=".1 .1 .02" pos="0 0 -.1"/><geom size=".05" pos="0 0 .1"/>', -0.12),
        ('<geom type="capsule" fromto="-.1 0 -.03 .1 0 -.03" size=".02"/>', -0.05),
        ('<geom type="capsule" fromto="0 0 .1 0 0 -.3" size=".02"/>', -0.32),
        ('<geom type="cylinder" fromto="-.1 0 -.03 .1 0 -.03" size=".02"/>', -0.05),
        ('<geom type="box" size=".02 .05 .1" euler="0 90 0" pos="0 0 -.03"/>', -0.05),
        ('<geom type="ellipsoid" size=".1 .2 .03" euler="0 90 0"/>', -0.1),
        ('<geom type="mesh" mesh="wedge" pos="0 0 -.1"/>', -0.15),
        (
            '<geom size=".05"/><geom size=".3" contype="0" conaffinity="0"/>',
            -0.05,
        ),
        (
            '<geom size=".05" contype="0"/><geom size=".3" contype="0" conaffinity="0"/>',
            -0.05,
        ),
    ],
)
def test_the_sole_is_the_lowest_point_of_the_foot(tmp_path, geoms, lowest):
    foot = f'<body name="foot"><joint name="hip" axis="0 1 0"/>{geoms}</body>'
    config = write_model(tmp_path, foot, MOTOR)
    vertices = "0 0 -.05  .1 0 -.05  0 .2 -.05  0 0 .3  .1 .2 .05"
    add(config, f'<asset><mesh name="wedge" vertex="{vertices}"/></asset>')
    robot = RobotModel(replace(config, left_foot="foot"))
    data = mujoco.MjData(robot.mj)
    mujoco.mj_kinematics(robot.mj, data)
    base_height = data.body("foot").xpos[2]
    sole = data.site(robot.sole_sites["left"]).xpos
    np.testing.assert_allclose(sole[2] - base_height, lowest, atol=1e-7)


HOME = '<keyframe><key name="low" qpos="0 0 .3 1 0 0 0 .1"/>{}</keyframe>'
AT_HOME = '<key name="home" qpos="1 2 .5 2 0 0 0 .6"/>'


def test_a_robot_starts_in_its_home_keyframe_or_the_one_that_its_card_names(tmp_path):
    config = write_model(tmp_path)
    add(config, HOME.format(""))
    np.testing.assert_allclose(RobotModel(config).start_qpos, [0, 0, 1, 1, 0, 0, 0, 0])
    low = replace(config, start=StartPose(keyframe="low", joints={"hip": -0.2}))
    np.testing.assert_allclose(RobotModel(low).start_qpos, [0, 0, 0.3, 1, 0, 0, 0, -0.2])
    config = write_model(tmp_path)
    add(config, HOME.format(AT_HOME))
    np.testing.assert_allclose(RobotModel(config).start_qpos, [1, 2, 0.5, 1, 0, 0, 0, 0.6])
    high = replace(config, start=StartPose(height=3.0))
    np.testing.assert_allclose(RobotModel(high).start_qpos, [0, 0, 3, 1, 0, 0, 0, 0])
    with pytest.raises(
        ModelError, match=r"keyframe 'up' is not in .*; its keyframes are low, home"
    ):
        RobotModel(replace(config, start=StartPose(keyframe="up")))


def test_a_keyframe_that_is_not_finite_is_refused(tmp_path):
    config = write_model(tmp_path)
    add(config, HOME.format(AT_HOME.replace("1 2 .5", "1 2 nan")))
    with pytest.raises(ModelError, match="keyframe 'home' has numbers that are none"):
        RobotModel(config)


def test_a_floor_is_added_where_the_card_wants_it_or_nothing_carries_the_robot(tmp_path):
    config = replace(write_model(tmp_path), floor=False)
    assert RobotModel(config).mj.ngeom == 2
    bare = RobotModel(bare_card(Path(config.model)))
    assert bare.mj.geom("floor").type == mujoco.mjtGeom.mjGEOM_PLANE
    add(config, '<geom type="plane" size="1 1 1" conaffinity="0"/>', tag="worldbody")
    assert RobotModel(bare_card(Path(config.model))).mj.ngeom == 3
    assert RobotModel(replace(config, floor=True)).mj.ngeom == 4


def test_feet_of_a_bare_model_are_the_bodies_of_that_name(tmp_path):
    foot = '<body name="left_foot"><joint name="hip" axis="0 1 0"/><geom size=".1"/></body>'
    robot = RobotModel(bare_card(Path(write_model(tmp_path, foot).model)))
    assert [side for side, _, _ in robot.foot_sensors] == ["left"]


def test_position_servos_of_the_model_are_drives(tmp_path):
    servo = '<general joint="hip" biastype="affine" gear="2" gainprm="30" biasprm="6 -40 -5" '
    servo += 'ctrlrange="-1 1" forcerange="-8 8" ctrllimited="true" forcelimited="true"/>'
    robot = RobotModel(write_model(tmp_path, LEG, servo))
    assert robot.actuation == "position"
    # At the joint: the gear counts for the length and for the force.
    np.testing.assert_allclose([robot.kp[0], robot.kd[0]], [160, 20])
    np.testing.assert_allclose(robot.effort_ranges, [[-16, 16]])
    # MuJoCo's own servo at the same target gives the same torque.
    plain = mujoco.MjModel.from_xml_path(str(robot.path))
    for control, angle, speed in ((0.5, 0.1, -0.2), (-0.3, 0.05, 0.3), (5.0, 0.3, 0.0)):
        target = (30 * np.clip(control, -1, 1) + 6) / (40 * 2)
        torques = []
        for model, signal in ((plain, control), (robot.mj, target)):
            data = mujoco.MjData(model)
            data.qpos[7], data.qvel[6], data.ctrl[0] = angle, speed, signal
            mujoco.mj_forward(model, data)
            torques.append(data.qfrc_actuator[6])
        assert torques[0] == pytest.approx(torques[1], rel=1e-12)
    # The servo's own range limits the target.
    np.testing.assert_allclose(robot.mj.actuator_ctrlrange[0], [-24 / 80, 36 / 80])


@pytest.mark.parametrize(
    ("config", "match"),
    [
        (ModelConfig(model="missing.xml"), r"missing\.xml does not exist"),
        (ModelConfig(timestep_s=-0.01), "timestep_s must be positive, not -0.01"),
        (ModelConfig(steps_per_control=-1), "at least 1, not -1"),
        (ModelConfig(integrator="heun"), "integrator 'heun' is unknown; MuJoCo has Euler, RK4"),
        (
            replace(ModelConfig().card(), left_foot="paw"),
            r"left_foot 'paw' is not in .*its bodies are torso",
        ),
    ],
)
def test_a_wrong_config_is_explained(config, match):
    with pytest.raises(ModelError, match=match):
        RobotModel(config)


def test_options_that_are_no_numbers_and_gears_of_zero_are_refused(tmp_path):
    config = write_model(tmp_path)
    add(config, '<option gravity="0 nan 0"/>')
    with pytest.raises(ModelError, match="its option gravity has numbers that are none"):
        RobotModel(config)
    config = write_model(tmp_path, actuators='<motor name="m" joint="hip" gear="0"/>')
    with pytest.raises(ModelError, match="'m' of joint 'hip' has gear 0, so it never acts"):
        RobotModel(config)
