# SPDX-License-Identifier: Apache-2.0
"""The driver: any policy on any robot, and what it refuses."""

import dataclasses
import importlib.util
from pathlib import Path

import mujoco
import numpy as np
import pytest

from humanoid_mujoco_ros.policy import checkpoint, fit, locate, policy_file
from humanoid_mujoco_ros.policy.card import ActionCard, Gait, InputTerm, PolicyCard
from humanoid_mujoco_ros.policy.checkpoint import CARD_INPUT, Checkpoint
from humanoid_mujoco_ros.policy.driver import Driver, PolicyError
from humanoid_mujoco_ros.policy.inference import Policy
from humanoid_mujoco_ros.policy.locate import resolve
from humanoid_mujoco_ros.policy.measurement import from_blocks
from humanoid_mujoco_ros.policy.observation import observe_data
from humanoid_mujoco_ros.policy.onnx_export import export
from humanoid_mujoco_ros.policy.state_vector import StateVector, has_humanoid_v4, observation_layout
from humanoid_mujoco_ros.robot.card import Drive, bare_card, load_card
from humanoid_mujoco_ros.robot.joint_map import JointMap
from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.robot.vectors import VectorError
from humanoid_mujoco_ros.simulation.drive import actuators_of
from humanoid_mujoco_ros.simulation.simulation import Simulation

CARDS = Path(__file__).parents[2] / "config" / "robots"
ZERO = np.zeros(3)
ROBOT = """<mujoco><worldbody><geom type="plane" size="9 9 1"/>
<body name="trunk" pos="0 0 1"><freejoint/><geom size=".1"/>
  <body pos="0 .1 0"><joint name="left" axis="0 1 0"/><geom size=".05" pos="0 0 -.2"/></body>
  <body pos="0 -.1 0"><joint name="right" axis="0 1 0"/><geom size=".05" pos="0 0 -.2"/></body>
  <body pos="0 0 .2"><joint name="head" axis="0 1 0"/><geom size=".03" pos="0 0 .1"/></body>
</body></worldbody>
<actuator>
  <motor name="m_right" joint="right" gear="20" ctrlrange="-1 1"/>
  <motor name="m_left" joint="left" gear="30" ctrlrange="-1 1"/>
</actuator></mujoco>"""
CARD = PolicyCard(
    joints=("right", "left"),
    control_rate_hz=100.0,
    inputs=(InputTerm("joint_pos"), InputTerm("joint_vel"), InputTerm("command")),
    action=ActionCard("position", scale=(0.5, 0.25)),
    default_joint_positions=(0.1, -0.2),
    stiffness=(40.0, 60.0),
    damping=(2.0, 3.0),
    command_ranges={"vx": (-1.0, 1.0)},
)
MATRIX = np.random.default_rng(1).standard_normal((2, 7)).astype(np.float32)


@pytest.fixture
def model(tmp_path):
    (tmp_path / "biped.xml").write_text(ROBOT)
    return bare_card(tmp_path / "biped.xml")


@pytest.fixture
def motors(model):
    return RobotModel(model)


@pytest.fixture
def drives(model):
    gains = {"right": Drive(40.0, 2.0), "left": Drive(60.0, 3.0)}
    return RobotModel(dataclasses.replace(model, actuation="position", drives=gains))


def linear_policy(path, card=CARD, size=7, **changes):
    """A policy that multiplies its input by MATRIX."""
    values = {
        "weights": (MATRIX[:, :size],),
        "biases": (np.zeros(2, np.float32),),
        "log_std": np.zeros(2, np.float32),
        "joints": card.joints,
        "model": "biped",
        "control_rate_hz": card.control_rate_hz,
        "normalization": "stored",
        "observation_mean": np.zeros(size),
        "observation_var": np.ones(size),
        "input": CARD_INPUT,
        "card": card,
    }
    Checkpoint(**(values | changes)).save(path)
    return str(path)


def driver_of(robot, name, entries=None, order=None):
    joint_map = JointMap(robot, entries)
    names = dict(zip(robot.joints, joint_map.robot_joints, strict=True))
    driver = Driver(robot, joint_map, order or [names[j] for j in robot.driven_joints])
    assert (driver.kind, driver.takes_commands, driver.clipped) == (None, False, False)
    driver.load(name, sample=False, seed=0)
    return driver


def state(robot):
    """A state of the robot, and the inputs of CARD in it, by hand."""
    random = np.random.default_rng(4)
    data = mujoco.MjData(robot.mj)
    data.qpos[:] = random.uniform(-0.3, 0.3, robot.mj.nq)
    data.qpos[3:7] /= np.linalg.norm(data.qpos[3:7])
    data.qvel[:] = random.uniform(-0.5, 0.5, robot.mj.nv)
    left, right = (robot.mj.joint(name).id for name in ("left", "right"))
    q = np.array([data.qpos[robot.mj.jnt_qposadr[j]] for j in (right, left)])
    dq = np.array([data.qvel[robot.mj.jnt_dofadr[j]] for j in (right, left)])
    return data, q, dq


def test_a_policy_that_reads_the_whole_observation_acts_as_before():
    robot = RobotModel()
    policy = Policy(checkpoint.load(resolve("walk"), robot), robot)
    entries = {"right_knee": {"name": "knie", "sign": -1, "offset": 0.4}}
    names = [{"right_knee": "knie"}.get(name, name) for name in robot.joints]
    driver = driver_of(robot, "walk", entries, names[::-1])
    assert (driver.kind, driver.takes_commands) == ("effort", False)
    data = mujoco.MjData(robot.mj)
    mujoco.mj_forward(robot.mj, data)
    efforts = policy.efforts(observe_data(data))
    efforts[robot.joints.index("right_knee")] *= -1.0
    answer = driver.answer(observe_data(data).tolist(), np.ones(3))
    np.testing.assert_allclose(answer, efforts[::-1], atol=1e-4)


def test_the_limits_come_in_the_order_of_the_commands():
    robot = RobotModel()
    names = list(robot.joints)
    np.random.default_rng(2).shuffle(names)
    driver = Driver(robot, JointMap(robot, {"right_knee": {"effort_limit": 7.0}}), names)
    expected = dict(zip(robot.joints, robot.effort_limits, strict=True)) | {"right_knee": 7.0}
    largest = driver.ramp().blend(np.full(len(names), 1e9), 1.0)
    assert dict(zip(names, largest, strict=True)) == expected


def test_positions_go_out_as_the_robot_counts_them(drives, tmp_path):
    name = linear_policy(tmp_path / "a.safetensors")
    entries = {"left": {"name": "l", "sign": -1.0, "offset": 0.7}}
    driver = driver_of(drives, name, entries, ("l", "right"))
    assert (driver.kind, driver.takes_commands) == ("position", True)
    data, q, dq = state(drives)
    command = np.array((0.4, 0.1, -0.2))
    answer = driver.answer(StateVector(drives).of_data(data).tolist(), command)
    action = MATRIX @ np.concatenate((q - (0.1, -0.2), dq, command))
    right, left = np.array((0.1, -0.2)) + np.array((0.5, 0.25)) * action
    np.testing.assert_allclose(answer, (-left + 0.7, right), atol=1e-5)


def test_a_robot_driven_by_effort_gets_the_torques_of_the_policys_drives(motors, tmp_path):
    driver = driver_of(motors, linear_policy(tmp_path / "a.safetensors"))
    assert driver.kind == "effort"
    data, q, dq = state(motors)
    observed = StateVector(motors).of_data(data).tolist()
    assert [b.name for b in observation_layout(motors)] == [
        b.name for b in StateVector(motors).layout
    ]  # because of the passive head
    action = MATRIX @ np.concatenate((q - (0.1, -0.2), dq, ZERO))
    target = np.array((0.1, -0.2)) + np.array((0.5, 0.25)) * action
    right, left = np.array((40.0, 60.0)) * (target - q) - np.array((2.0, 3.0)) * dq
    np.testing.assert_allclose(driver.answer(observed, ZERO), (left, right), atol=1e-4)


def test_efforts_are_fractions_of_the_motors_control(motors, tmp_path):
    card = dataclasses.replace(CARD, action=ActionCard("effort", limit=0.5))
    driver = driver_of(motors, linear_policy(tmp_path / "a.safetensors", card))
    data, q, dq = state(motors)
    action = np.clip(MATRIX @ np.concatenate((q - (0.1, -0.2), dq, ZERO)), -0.5, 0.5)
    answer = driver.answer(StateVector(motors).of_data(data).tolist(), ZERO)
    np.testing.assert_allclose(answer, (30.0 * action[1], 20.0 * action[0]), atol=1e-4)


def test_a_command_beyond_the_training_is_clipped_and_said(drives, tmp_path):
    driver = driver_of(drives, linear_policy(tmp_path / "a.safetensors"))
    observed = StateVector(drives).of_data(state(drives)[0]).tolist()
    answer = driver.answer(observed, np.array((3.0, 0.0, 0.0)))
    assert driver.clipped
    np.testing.assert_array_equal(answer, driver.answer(observed, np.array((1.0, 0.0, 0.0))))
    assert not driver.clipped


def test_its_memory_ends_with_a_reset_and_with_an_answer_that_is_no_number(drives, tmp_path):
    inputs = (InputTerm("last_action"), InputTerm("joint_pos"), InputTerm("command"))
    card = dataclasses.replace(CARD, inputs=inputs)
    driver = driver_of(drives, linear_policy(tmp_path / "a.safetensors", card))
    observed = StateVector(drives).of_data(state(drives)[0]).tolist()
    first = driver.answer(observed, ZERO)
    assert np.abs(driver.answer(observed, ZERO) - first).max() > 1e-3
    driver.reset()
    np.testing.assert_array_equal(driver.answer(observed, ZERO), first)
    with np.errstate(all="ignore"), pytest.raises(VectorError, match="the policy's answer is not"):
        driver.answer(observed, np.array((0.0, np.nan, 0.0)))
    np.testing.assert_array_equal(driver.answer(observed, ZERO), first)


def test_its_memory_ends_with_a_reset_of_the_simulation(drives, tmp_path):
    inputs = (InputTerm("last_action"), InputTerm("joint_pos", history=2))
    card = dataclasses.replace(CARD, inputs=inputs)
    name = linear_policy(tmp_path / "a.safetensors", card, 6)
    simulation = Simulation(drives)
    order = drives.joint_order(drives.driven_joints)
    driver = driver_of(drives, name)
    for _ in range(30):
        targets = np.zeros(len(drives.joints))
        targets[order] = driver.answer(simulation.state().observation.tolist(), ZERO)
        simulation.step(targets)
    started = simulation.reset().observation.tolist()
    np.testing.assert_array_equal(
        driver.answer(started, ZERO), driver_of(drives, name).answer(started, ZERO)
    )


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"robot": "g1"}, "drives the robot 'g1', this one is 'biped'"),
        (
            {"joints": ("right", "tail")},
            "'tail' of the policy is not in the robot; .* are left, rig",
        ),
        ({"joints": ("right", "head")}, "'head' of the policy is passive: no motor drives it"),
        ({"control_rate_hz": 50.0}, r"trained at 50\.00 Hz, .* controlled at 100\.00 Hz"),
        ({"action": ActionCard("effort")}, "commands efforts, the robot's drives expect positions"),
        (
            {"stiffness": (40.0, 66.0)},
            "a stiffness of 66 at joint 'left', the robot's drive has 60",
        ),
        ({"damping": (2.1, 3.0)}, r"a damping of 2\.1 at joint 'right', the robot's drive has 2"),
        (
            {"inputs": (InputTerm("joint_pos", history=3), InputTerm("base_height"))},
            "reads 7 values, its input terms have 7: ",
        ),
        (
            {"inputs": (InputTerm("joint_pos"), InputTerm("base_ang_vel"))},
            "reads 7 values, its input terms have 5: joint_pos 2, base_ang_vel 3",
        ),
        ({"inputs": (InputTerm("humanoid_v4"),)}, "reads 'humanoid_v4', the .* has only height, "),
        ({"inputs": (InputTerm("ant_v4"),)}, "no place for the robot's passive joints head"),
    ],
)
def test_a_policy_that_does_not_fit_is_refused_with_the_reason(drives, tmp_path, changes, match):
    card = dataclasses.replace(CARD, **changes)
    name = linear_policy(tmp_path / "a.safetensors", card)
    if "have 7" in match:  # it fits
        driver_of(drives, name)
        return
    with pytest.raises(PolicyError, match=match) as caught:
        driver_of(drives, name)
    assert "\n" not in str(caught.value)


def test_a_policy_with_other_joints_missing_or_without_gains_is_refused(motors, drives, tmp_path):
    one = dataclasses.replace(
        CARD, joints=("right",), action=ActionCard("position"), default_joint_positions=(),
        stiffness=(40.0,), damping=(2.0,), inputs=(InputTerm("joint_pos"),),
    )  # fmt: skip
    only = {"weights": (np.ones((1, 1), np.float32),), "biases": (np.zeros(1, np.float32),),
            "log_std": np.zeros(1, np.float32)}  # fmt: skip
    name = linear_policy(tmp_path / "a.safetensors", one, 1, **only)
    with pytest.raises(PolicyError, match=r"drives 1 joints and not left; .* are left, right"):
        driver_of(drives, name)
    soft = dataclasses.replace(CARD, damping=())
    with pytest.raises(PolicyError, match="card has no damping to make efforts of them"):
        driver_of(motors, linear_policy(tmp_path / "b.safetensors", soft))


def test_an_unknown_term_in_a_file_is_named(drives, tmp_path):
    from safetensors import safe_open
    from safetensors.numpy import save_file

    path = tmp_path / "a.safetensors"
    linear_policy(path)
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    metadata["card"] = metadata["card"].replace("joint_vel", "height_scan")
    save_file(tensors, path, metadata)
    with pytest.raises(PolicyError, match="its card: there is no input term 'height_scan'; the te"):
        driver_of(drives, str(path))


def test_the_named_policies_that_fit_a_robot_are_known():
    assert {"walk", "balance"} <= set(fit.fitting_names(RobotModel()))
    assert "walk" not in fit.fitting_names(RobotModel(load_card("humanoid_v4", CARDS)))
    for package in ("mjlab", "holosoma_inference"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"the package {package} is not installed: make robots")
    assert fit.fitting_names(RobotModel(load_card("g1", CARDS))) == ["g1_fastsac", "g1_ppo"]
    assert fit.fitting_names(RobotModel(load_card("go1", CARDS))) == []


def test_sampled_actions_scatter_as_the_policy_says(drives, tmp_path):
    name = linear_policy(tmp_path / "a.safetensors", log_std=np.log([0.2, 0.4]).astype(np.float32))
    driver = driver_of(drives, name)
    observed = StateVector(drives).of_data(state(drives)[0]).tolist()
    mean = driver.answer(observed, ZERO)
    driver.load(name, sample=True, seed=3)
    spread = np.array([driver.answer(observed, ZERO) for _ in range(4000)])
    np.testing.assert_allclose(spread.mean(axis=0), mean, atol=0.01)
    np.testing.assert_allclose(spread.std(axis=0), (0.25 * 0.4, 0.5 * 0.2), rtol=0.05)


def test_an_onnx_file_acts_as_what_it_was_made_of_and_its_card_beside_it_counts(drives, tmp_path):
    pytest.importorskip("onnx", reason="onnx is not installed: make robots")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: make robots")
    own = linear_policy(tmp_path / "a.safetensors")
    path = tmp_path / "a.onnx"
    export(checkpoint.load(Path(own), drives), path)
    observed = StateVector(drives).of_data(state(drives)[0]).tolist()
    command = np.array((0.4, -0.1, 0.2))
    expected = driver_of(drives, own).answer(observed, command)
    driver = driver_of(drives, str(path))
    np.testing.assert_allclose(driver.answer(observed, command), expected, atol=1e-5)
    with pytest.raises(PolicyError, match="no standard deviations to sample actions with"):
        driver.load(str(path), sample=True, seed=0)
    path.with_suffix(".yaml").write_text("default_joint_positions: [0.2, 0.1]")
    moved = driver_of(drives, str(path)).answer(observed, command)
    assert np.abs(moved - expected).max() > 0.01
    path.with_suffix(".yaml").write_text("inputs: [joint_pos, wind]")
    with pytest.raises(PolicyError, match=r"a\.onnx: there is no input term 'wind'; the terms are"):
        driver.load(str(path), sample=False, seed=0)
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 722000\n")
    with pytest.raises(PolicyError, match="this is a git-LFS pointer"):
        driver.load(str(path), sample=False, seed=0)


@pytest.mark.parametrize("card", ["humanoid", "ant", "walker2d"])
def test_the_measurement_is_mujocos_by_the_policys_joints(card):
    robot = RobotModel(load_card(card, CARDS))
    random = np.random.default_rng(2)
    data = mujoco.MjData(robot.mj)
    data.qpos[:] = robot.mj.qpos0 + random.uniform(-0.2, 0.2, robot.mj.nq)
    data.qvel[:] = random.uniform(-1.0, 1.0, robot.mj.nv)
    data.ctrl[:] = random.uniform(-0.3, 0.3, robot.mj.nu)
    mujoco.mj_forward(robot.mj, data)
    observed = observe_data(data) if has_humanoid_v4(robot) else StateVector(robot).of_data(data)
    names = tuple(random.permutation(robot.joints))
    measured = from_blocks(observed, fit.blocks_by_joint(robot, names, "odom"), len(names))
    joints = [data.joint(name) for name in names]
    np.testing.assert_array_equal(measured.joint_positions, [j.qpos[0] for j in joints])
    np.testing.assert_array_equal(measured.joint_velocities, [j.qvel[0] for j in joints])
    efforts = [j.qfrc_actuator[0] for j in joints]
    np.testing.assert_array_equal(measured.joint_efforts, efforts)
    root = data.body(robot.base.body)
    np.testing.assert_allclose(measured.height, root.xpos[2:], atol=1e-12)
    rotation, expected = np.zeros(9), root.xmat
    mujoco.mju_quat2Mat(
        rotation, measured.quaternion_wxyz / np.linalg.norm(measured.quaternion_wxyz)
    )
    np.testing.assert_allclose(rotation, expected, atol=1e-12)


@pytest.mark.parametrize(("name", "least_m_s"), [("g1_fastsac", 0.5), ("g1_ppo", 0.4)])
def test_the_g1_stands_walks_turns_and_stands_again(name, least_m_s):
    """In plain MuJoCo, under robot names, signs and offsets that are not the model's."""
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: make robots")
    for package in ("mjlab", "holosoma_inference"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"the package {package} is not installed: make robots")
    robot = RobotModel(load_card("g1", CARDS))
    joint_map = JointMap(robot, {"left_knee_joint": {"name": "k", "sign": -1, "offset": 0.3}})
    driver = Driver(robot, joint_map, joint_map.robot_joints)
    driver.load(name, sample=False, seed=0)
    driver.reset()
    assert (driver.kind, driver.takes_commands) == ("position", True)
    actuators, vector = actuators_of(robot), StateVector(robot)
    data = mujoco.MjData(actuators.model)
    data.qpos[:] = robot.start_qpos
    actuators.reset(data)
    mujoco.mj_forward(actuators.model, data)
    rate_hz, poses = 50, []

    def go(command, seconds):
        for _ in range(round(seconds * rate_hz)):
            targets = driver.answer(vector.of_data(data).tolist(), np.array(command))
            actuators.command(data, joint_map.positions_of_robot(targets))
            mujoco.mj_step(actuators.model, data, robot.card.steps_per_control)
            position, quaternion = robot.base.pose(data.qpos)
            yaw = 2.0 * np.arctan2(quaternion[3], quaternion[0])
            poses.append((*position, yaw))
            assert not robot.fall_rule.is_fallen(position[2], quaternion), len(poses)

    for command, seconds in (((0, 0, 0), 2), ((0.8, 0, 0), 6), ((0, 0, 0.8), 4), ((0, 0, 0), 4)):
        go(command, seconds)
    path = np.array(poses)
    path[:, 3] = np.unwrap(path[:, 3])
    walked = np.hypot(*(path[8 * rate_hz - 1, :2] - path[4 * rate_hz, :2])) / 4.0
    turned = (path[12 * rate_hz - 1, 3] - path[9 * rate_hz, 3]) / 3.0
    stood = np.hypot(*(path[-1, :2] - path[-2 * rate_hz, :2])) / 2.0
    assert walked >= least_m_s
    assert turned >= 0.5
    assert stood <= 0.1


STANDS = dataclasses.replace(CARD, inputs=(InputTerm("projected_gravity"), InputTerm("joint_vel")))
FLIES = dataclasses.replace(CARD, inputs=(InputTerm("joint_pos"), InputTerm("base_lin_vel")))


def test_a_policy_reads_the_same_of_a_robot_that_measures_no_more_than_it_needs(drives, tmp_path):
    data, _, _ = state(drives)
    whole, imu, none = (
        StateVector(drives, b).of_data(data).tolist() for b in ("odom", "imu", "none")
    )
    joints = linear_policy(tmp_path / "joints.safetensors")
    stands = linear_policy(tmp_path / "stands.safetensors", STANDS, 5)
    for name, observations in ((joints, (imu, none)), (stands, (imu,))):
        driver = driver_of(drives, name)
        expected = driver.answer(whole, ZERO)
        for observed in observations:
            np.testing.assert_array_equal(driver.answer(observed, ZERO), expected)
            driver.ramp().start(observed)
    assert np.abs(driver.answer(imu, ZERO)).max() > 0.1


def test_a_policy_that_reads_what_the_robot_does_not_measure_is_refused(drives, tmp_path):
    data, _, _ = state(drives)
    imu, none = (StateVector(drives, b).of_data(data).tolist() for b in ("imu", "none"))
    stands = linear_policy(tmp_path / "stands.safetensors", STANDS, 5)
    flies = linear_policy(tmp_path / "flies.safetensors", FLIES, 5)
    driver = driver_of(drives, flies)
    text = (
        "the policy reads base_lin_vel, which needs odom; the observation is made of joint_states"
    )
    with pytest.raises(VectorError, match=f"^{text} and imu/data$"):
        driver.answer(imu, ZERO)
    driver.load(stands, sample=False, seed=0)
    driver.answer(imu, ZERO)
    with pytest.raises(PolicyError, match=rf"flies\.safetensors': {text} and imu/data$"):
        driver.load(flies, sample=False, seed=0)
    with pytest.raises(
        VectorError, match=r"reads projected_gravity, which needs imu/data; .* alone$"
    ):
        driver.answer(none, ZERO)


def test_what_a_policy_needs_to_know_of_the_base_follows_from_its_terms(drives, tmp_path):
    for card, size, needed in (
        (CARD, 7, ("none", "")),
        (STANDS, 5, ("imu", "projected_gravity")),
        (FLIES, 5, ("odom", "base_lin_vel")),
        (dataclasses.replace(CARD, gait=Gait(kind="steering")), 7, ("odom", "the steering gait")),
    ):
        name = linear_policy(tmp_path / "a.safetensors", card, size)
        found = policy_file.load(locate.find(name), drives)
        assert fit.needed_base(found, drives) == needed
    walk = RobotModel()
    assert fit.needed_base(policy_file.load(locate.find("walk"), walk), walk)[0] == "odom"
