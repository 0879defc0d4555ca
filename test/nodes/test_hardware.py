# SPDX-License-Identifier: Apache-2.0
"""The policy drives a robot that it knows only by its topics; the robot is a simulation."""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml

pytest.importorskip("rclpy")

from lifecycle_msgs.srv import GetState
from nav_msgs.msg import Odometry
from rcl_interfaces.srv import GetParameters
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from humanoid_mujoco_ros.robot.joint_map import JointMap
from humanoid_mujoco_ros.robot.model import ModelConfig, RobotModel, gymnasium_humanoid_path
from humanoid_mujoco_ros.share import share_directory

pytestmark = pytest.mark.processes

DEPTH = QoSProfile(depth=5000)
COMMANDS = "effort_controller/commands"

ENTRIES = {
    "right_knee": {"name": "rleg_kn", "sign": -1},
    "abdomen_y": {"name": "torso_pitch", "offset": 0.1},
    "left_elbow": {"name": "larm_el", "sign": -1, "offset": -0.5},
    "left_hip_z": {"name": "lleg_hz", "sign": -1, "offset": 0.25, "effort_limit": 35.0},
}

HARDWARE_CONFIG = share_directory("config") / "hardware.yaml"


def other_robot(path):
    """The humanoid as another maker would describe it, by the entries of the joint map."""
    tree = ElementTree.parse(gymnasium_humanoid_path())
    for element in tree.iter():
        for attribute in ("joint", "name"):
            entry = ENTRIES.get(element.get(attribute, ""))
            if entry and element.tag in ("joint", "motor"):
                element.set(attribute, entry["name"])
                if element.get("axis"):
                    turn(element, entry.get("sign", 1), np.degrees(entry.get("offset", 0.0)))
    # Left before right, against the model's order.
    pelvis = next(body for body in tree.iter("body") if body.get("name") == "pelvis")
    thigh = next(body for body in pelvis.iter("body") if body.get("name") == "left_thigh")
    pelvis.remove(thigh)
    first = next(i for i, child in enumerate(pelvis) if child.tag == "body")
    pelvis.insert(first, thigh)
    tree.write(path)
    return RobotModel(ModelConfig(model=str(path)))


def turn(joint, sign, offset_deg):
    axis = sign * np.array(joint.get("axis").split(), dtype=float)
    limits = sorted(sign * float(limit) + offset_deg for limit in joint.get("range").split())
    joint.set("axis", " ".join(map(str, axis)))
    joint.set("range", " ".join(map(str, limits)))
    joint.set("ref", str(offset_deg))
    joint.set("springref", str(offset_deg))


class Hardware:
    """The robot, which publishes what hardware does, and the file that describes it."""

    def __init__(self, graph, tmp_path):
        self.graph = graph
        self.model = other_robot(tmp_path / "other_robot.xml")
        self.command_joints = [*reversed(self.model.joints)]
        self.config = tmp_path / "robot.yaml"
        content = yaml.safe_load(HARDWARE_CONFIG.read_text())
        content["/**"]["ros__parameters"].update(
            joint_map=yaml.safe_dump(ENTRIES), joints=self.command_joints
        )
        self.config.write_text(yaml.safe_dump(content))
        self.odometry = graph.listen(Odometry, "odom", DEPTH)
        self.commands = graph.listen(Float64MultiArray, COMMANDS, DEPTH)

    def start(self):
        parameters = {
            "model": self.model.path,
            "joints": "[" + ",".join(self.command_joints) + "]",
            "publish_observation": False,
            "publish_clock": False,
            # On a busy machine a late command may let it fall: it is stood up again.
            "fall_reset_delay": 0.5,
        }
        return self.graph.start("simulation_node", parameters)

    def is_walking(self):
        """Whether it is upright a metre from where it started."""
        if not self.odometry:
            return False
        position = self.odometry[-1].pose.pose.position
        return position.x > 1.0 and position.z > 1.0


@pytest.fixture
def hardware(graph, tmp_path):
    return Hardware(graph, tmp_path)


def bring_up(graph, config):
    command = [sys.executable, "-m", "humanoid_mujoco_ros.cli", "hardware", "--config", str(config)]
    return graph.spawn(command)


def test_the_map_takes_the_other_robots_joints_to_the_models(tmp_path):
    model, other = RobotModel(), other_robot(tmp_path / "other_robot.xml")
    joint_map = JointMap(model, ENTRIES)
    assert sorted(joint_map.robot_joints) == sorted(other.joints)
    assert other.joints != joint_map.robot_joints
    order = [other.joints.index(name) for name in joint_map.robot_joints]
    zero = other.mj.qpos0[other.qpos_indices][order]
    np.testing.assert_allclose(joint_map.positions_of_robot(zero), 0.0, atol=1e-9)
    limits = np.array([joint_map.positions_of_robot(x[order]) for x in other.position_limits.T])
    np.testing.assert_allclose(np.sort(limits.T, axis=1), model.position_limits, atol=1e-9)


def test_humanoid_hardware_makes_another_robot_walk_and_survives_its_unplugging(graph, hardware):
    health = graph.health()
    robot = hardware.start()
    bringup = bring_up(graph, hardware.config)
    graph.spin_until(lambda: hardware.is_walking() and hardware.commands)
    names = {name for name, _ in graph.node.get_topic_names_and_types()}
    assert "/clock" not in names

    robot.kill()
    robot.wait()
    for node, expected in (("observation_node", "no new state"), ("policy_node", "no observation")):
        graph.spin_until(
            lambda node=node, expected=expected: (
                health.levels.get(node) == 2 and expected in health.messages[node]
            )
        )
    graph.spin_until(lambda: not np.any(hardware.commands[-1].data))

    hardware.commands.clear()
    hardware.odometry.clear()
    hardware.start()
    graph.spin_until(hardware.is_walking)
    # Ten commands of a tenth more each: the ramp of 0.1 s.
    first = np.abs([command.data for command in hardware.commands[:3]]).max(axis=1)
    limit = max(hardware.model.effort_limits)
    assert (first <= limit * np.array([0.1, 0.2, 0.3]) + 1e-9).all()
    limited = hardware.command_joints.index("lleg_hz")
    assert np.abs([command.data[limited] for command in hardware.commands]).max() <= 35.0
    bringup.send_signal(signal.SIGINT)
    assert bringup.wait(60) == 0


def test_two_nodes_that_command_the_joints_are_refused(graph):
    health = graph.health()
    commands = graph.listen(Float64MultiArray, COMMANDS, DEPTH)
    states = graph.listen(JointState, "joint_states", DEPTH)
    graph.start("simulation_node", {"on_fall": "stay"})
    graph.start("policy_node")
    graph.spin_until(lambda: len(states) > 50 and commands)
    rival = graph.node.create_publisher(Float64MultiArray, COMMANDS, 1)
    expected = f"several nodes publish /{COMMANDS}: /policy_node, /test"
    for node in ("simulation_node", "policy_node"):
        graph.spin_until(lambda node=node: expected in health.messages.get(node, ""))
        assert health.levels[node] == 2
    commands.clear()
    rival.publish(Float64MultiArray(data=[5.0] * 17))
    graph.spin_for(0.3)
    assert len(commands) == 1
    assert not np.any(states[-1].effort)
    graph.node.destroy_publisher(rival)
    graph.spin_until(lambda: len(commands) > 10)
    graph.spin_until(lambda: np.any(states[-1].effort))
    for node in ("simulation_node", "policy_node"):
        graph.spin_until(lambda node=node: "several" not in health.messages[node])


@pytest.mark.parametrize(
    ("joint_map", "expected"),
    [
        (
            "{right_kne: {sign: -1}}",
            "joint 'right_kne' is not in the model; its joints are abdomen_z",
        ),
        ("{right_knee: {sgn: -1}}", "'right_knee' has no field 'sgn'; it has name, sign, offset"),
        ("{right_knee: {name: left_knee}}", "several joints are called left_knee"),
        ("[right_knee]", "joint_map is no list of joints"),
    ],
)
def test_a_joint_map_that_cannot_be_used_is_explained_before_anything_starts(
    graph, tmp_path, joint_map, expected
):
    content = yaml.safe_load(HARDWARE_CONFIG.read_text())
    content["/**"]["ros__parameters"]["joint_map"] = joint_map
    config = tmp_path / "robot.yaml"
    config.write_text(yaml.safe_dump(content))
    process = bring_up(graph, config)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert expected in output


def test_the_nodes_refuse_such_a_joint_map_too(graph):
    processes = [
        graph.start(node, {"joint_map": "'{right_kne: {sign: -1}}'"})
        for node in ("policy_node", "observation_node", "force_marker_node")
    ]
    for process in processes:
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 2
        assert "joint 'right_kne' is not in the model" in output


def test_what_the_config_sets_for_all_nodes_reaches_those_that_pair_and_disturbs_no_other(graph):
    file = ("--params-file", str(HARDWARE_CONFIG))
    for node in ("observation_node", "force_marker_node", "policy_node"):
        graph.start(node, None, *file)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    graph.start("viewer_node", {"port": port}, *file)
    request = GetParameters.Request(names=["pairing_tolerance"])
    for node in ("observation_node", "force_marker_node", "viewer_node"):
        (value,) = graph.call(GetParameters, f"{node}/get_parameters", request).values
        assert value.double_value == 0.005
    state = graph.call(GetState, "policy_node/get_state", GetState.Request())
    assert state.current_state.label in ("inactive", "active")


needs_launch = pytest.mark.skipif(
    shutil.which("ros2") is None or importlib.util.find_spec("launch_ros") is None,
    reason="launch_ros is not on PyPI; it comes with ROS 2",
)
LAUNCH = ["ros2", "launch", "humanoid_mujoco_ros", "hardware.launch.py"]


@needs_launch
def test_hardware_launch_makes_another_robot_walk(graph, hardware):
    hardware.start()
    process = graph.spawn([*LAUNCH, f"config:={hardware.config}"])
    graph.spin_until(hardware.is_walking)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert "Traceback" not in output
    assert "the links have no TF from here: the model's URDF does not fit" in output


@needs_launch
def test_hardware_launch_publishes_the_links_where_robot_state_publisher_is_installed(
    graph, tmp_path
):
    # In its place, a program that keeps its parameters.
    prefix, kept = tmp_path / "prefix", tmp_path / "kept.yaml"
    program = prefix / "lib/robot_state_publisher/robot_state_publisher"
    index = prefix / "share/ament_index/resource_index/packages"
    for directory in (index, program.parent):
        directory.mkdir(parents=True)
    (index / "robot_state_publisher").touch()
    program.write_text(
        "#!/bin/sh\n"
        'while [ "$1" != --params-file ]; do shift; done\n'
        f'cp "$2" {kept}.part && mv {kept}.part {kept}\n'
    )
    program.chmod(0o755)
    graph.environment["AMENT_PREFIX_PATH"] = f"{prefix}:{os.environ['AMENT_PREFIX_PATH']}"
    graph.spawn([*LAUNCH, "namespace:=r2"])
    graph.spin_until(kept.exists)
    (section,) = yaml.safe_load(kept.read_text()).values()
    parameters = section["ros__parameters"]
    assert parameters["frame_prefix"] == "r2/"
    links = ElementTree.fromstring(parameters["robot_description"]).findall("link")
    assert {"base_link", "imu_link", "left_foot"} <= {link.get("name") for link in links}


@needs_launch
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["viewer_port:=web"], "viewer_port is 'web', expected a whole number"),
        (["policy:=run"], "policy 'run' is neither shipped nor a file"),
        (
            ["robot_state_publisher:=true", "config:=JOINT_MAP"],
            "robot_state_publisher:=true: the model's URDF does not fit a robot with a joint_map",
        ),
    ],
)
def test_hardware_launch_explains_a_wrong_argument(graph, hardware, arguments, reason):
    arguments = [a.replace("JOINT_MAP", str(hardware.config)) for a in arguments]
    result = subprocess.run(
        [*LAUNCH, *arguments], env=graph.environment, capture_output=True, text=True, timeout=90
    )
    assert result.returncode != 0
    assert reason in result.stdout + result.stderr
    assert "process started" not in result.stdout


@needs_launch
def test_hardware_launch_describes_every_argument(graph):
    shown = subprocess.run(
        [*LAUNCH, "--show-args"], env=graph.environment, capture_output=True, text=True, timeout=60
    )
    for name in ("policy", "config", "namespace", "network", "viewer", "viewer_port",
                 "force_marker", "robot_state_publisher"):  # fmt: skip
        assert f"'{name}':" in shown.stdout
    assert "no description given" not in shown.stdout
