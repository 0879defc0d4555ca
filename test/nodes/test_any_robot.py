# SPDX-License-Identifier: Apache-2.0
"""Every robot of a card on the real graph; the Unitree G1 driven by cmd_vel."""

import fnmatch
import importlib.util
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml

pytest.importorskip("rclpy")

from geometry_msgs.msg import Twist, WrenchStamped
from nav_msgs.msg import Odometry
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState
from tf2_msgs.msg import TFMessage

from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.card import load_card
from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.robot.state import Wrench
from humanoid_mujoco_ros.ros import conversions
from humanoid_mujoco_ros.share import share_directory

pytestmark = pytest.mark.processes

DEPTH = QoSProfile(depth=5000)
NEEDED = ("mjlab", "holosoma_inference", "onnxruntime")
missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
needs_g1 = pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")
G1 = {"robot": "g1", "mode": "lockstep"}
# Lockstep runs ahead of a client on a busy machine.
PATIENT = {"cmd_vel_timeout": 2.0}


def seconds(message):
    return message.header.stamp.sec + message.header.stamp.nanosec * 1e-9


def pose(message):
    base = conversions.from_odometry(message)
    return base.position, rotation.heading(base.quaternion_wxyz)


class Drive:
    """A client that commands a velocity again and again, in time with the states that it hears."""

    def __init__(self, graph, odom="odom"):
        self.graph = graph
        self.odometry = []
        self.publisher = graph.node.create_publisher(Twist, "cmd_vel", 1)
        self.velocity = None
        graph.node.create_subscription(Odometry, odom, self.on_odom, DEPTH)

    def on_odom(self, message):
        self.odometry.append(message)
        if self.velocity is not None and len(self.odometry) % 5 == 0:
            self.publisher.publish(conversions.to_twist(np.array(self.velocity)))

    def run(self, velocity, meets=lambda span: True, span_s=4.0):
        """Commands a velocity until a whole span of odometry `meets` what the test asks for.

        None: it commands nothing. How long a command takes to have its effect, in the time of a
        simulation that waits for nobody but its policy, is for the machine to say.
        """
        self.velocity = velocity
        self.odometry.clear()

        def is_met():
            if not self.odometry or seconds(self.odometry[-1]) < seconds(self.odometry[0]) + span_s:
                return False
            span = list(self.odometry)
            self.odometry.clear()
            return meets(span)

        self.graph.spin_until(is_met, 120.0)


def mean_motion(odometry):
    """Mean forward speed [m/s] along the heading, and mean yaw rate [rad/s]."""
    forward = np.mean([m.twist.twist.linear.x for m in odometry])
    yaw = np.unwrap([pose(m)[1] for m in odometry])
    return forward, (yaw[-1] - yaw[0]) / (seconds(odometry[-1]) - seconds(odometry[0]))


def stands(odometry):
    places = np.array([pose(m)[0] for m in odometry])
    return np.ptp(places[:, :2], axis=0).max() < 0.05 and places[:, 2].min() > 0.7


@needs_g1
@pytest.mark.parametrize("policy", ["g1_fastsac", "g1_ppo"])
def test_the_g1_walks_and_turns_as_commanded_and_stands_when_its_client_dies(graph, policy):
    health = graph.health()
    drive = Drive(graph)
    graph.start("simulation_node", {**G1, "on_fall": "stay"})
    graph.start("policy_node", {**G1, **PATIENT, "policy": policy})
    drive.run((0.8, 0.0, 0.0), lambda span: mean_motion(span)[0] >= 0.4)
    drive.run((0.0, 0.0, 0.8), lambda span: mean_motion(span)[1] >= 0.5)
    drive.run((0.8, 0.0, 0.0), lambda span: mean_motion(span)[0] >= 0.4)
    drive.run(None, stands, 2.0)
    assert health.value("simulation_node", "episode") == "0"


@needs_g1
def test_the_g1_stands_for_a_minute_and_again_on_the_same_trajectory(graph):
    def trajectory(duration_s):
        states = graph.listen(JointState, "joint_states", DEPTH)
        simulation = graph.start("simulation_node", {**G1, "duration": duration_s, "seed": 3})
        graph.spin_until(lambda: graph.node.count_publishers("joint_states"))
        policy = graph.start("policy_node", G1)
        graph.spin_until(lambda: simulation.poll() is not None, 120.0)
        graph.spin_for(0.3)
        output, _ = simulation.communicate()
        steps = round(duration_s * 50)
        assert f"{steps} steps since the last reset" in output  # so it did not fall
        policy.kill()
        policy.wait()
        return {seconds(m): np.array([m.position, m.velocity, m.effort]) for m in states}

    first, second = trajectory(60.0), trajectory(15.0)
    common = first.keys() & second.keys()
    assert len(common) >= 375
    for stamp in common:
        np.testing.assert_array_equal(first[stamp], second[stamp])


@needs_g1
def test_commands_beyond_the_policys_ranges_are_clipped_and_nonsense_is_refused(graph):
    health = graph.health()
    drive = Drive(graph)
    graph.start("simulation_node", {**G1, "on_fall": "stay"})
    policy = graph.start("policy_node", {**G1, **PATIENT})
    drive.run((50.0, 0.0, 0.0))
    graph.spin_until(lambda: health.value("policy_node", "command_clipped") == "True")
    assert health.value("policy_node", "command") == "50 0 0"
    drive.run((float("nan"), 0.0, 0.0))
    graph.spin_until(lambda: "velocity command" in health.value("policy_node", "last_rejection"))
    policy.terminate()
    output, _ = policy.communicate(timeout=60)
    assert output.count("is clipped to its ranges") == 1
    assert "Traceback" not in output


def other_g1(folder):
    """The card of the G1 as another maker would describe it, and the joint map to it."""
    cards = share_directory("config") / "robots"
    robot = RobotModel(load_card("g1", cards))
    entries = {name: {"name": f"motor_{i}"} for i, name in enumerate(robot.joints)}
    for name in ("left_knee_joint", "right_hip_roll_joint"):
        entries[name]["sign"] = -1
    tree = ElementTree.parse(robot.path)
    tree.find("compiler").set("meshdir", str(robot.path.parent / "assets"))
    for joint in tree.iter("joint"):
        if joint.get("name") in entries:
            entry = entries[joint.get("name")]
            sign = entry.get("sign", 1)
            joint.set("name", entry["name"])
            joint.set("axis", " ".join(str(sign * float(x)) for x in joint.get("axis").split()))
            ends = sorted(sign * float(x) for x in joint.get("range").split())
            joint.set("range", " ".join(map(str, ends)))
    tree.write(folder / "g1_other.xml")
    card = yaml.safe_load((cards / "g1.yaml").read_text())
    card |= {"model": "g1_other.xml", "policy": "none"}
    for values in (card["drives"], card["start"]["joints"]):
        for pattern, value in list(values.items()):
            del values[pattern]
            for name in fnmatch.filter(robot.joints, pattern):
                sign = entries[name].get("sign", 1)
                values[entries[name]["name"]] = (
                    dict(value) if isinstance(value, dict) else sign * value
                )
    path = folder / "g1_other.yaml"
    path.write_text(yaml.safe_dump(card, sort_keys=False))
    return path, entries


@needs_g1
def test_hardware_mode_walks_a_g1_of_other_joint_names_without_odometry(graph, tmp_path):
    card, entries = other_g1(tmp_path)
    joints = [entry["name"] for entry in entries.values()][::-1]
    config = yaml.safe_load((share_directory("config") / "hardware.yaml").read_text())
    config["/**"]["ros__parameters"].update(joint_map=yaml.safe_dump(entries), joints=joints)
    config["/**/observation_node"]["ros__parameters"]["mode"] = "lockstep"
    config["/**/policy_node"]["ros__parameters"].update(mode="lockstep", **PATIENT)
    file = tmp_path / "robot.yaml"
    file.write_text(yaml.safe_dump(config))
    drive = Drive(graph, "truth/odom")
    health = graph.health()
    command = [sys.executable, "-m", "humanoid_mujoco_ros.cli", "hardware", "--robot", "g1"]
    graph.spawn([*command, "--config", str(file)])
    robot = {
        "robot": card,
        "mode": "lockstep",
        "joints": f"[{', '.join(joints)}]",
        "publish_observation": False,
        "publish_clock": False,
    }
    graph.start("simulation_node", robot, "-r", "odom:=truth/odom")
    drive.run((0.8, 0.0, 0.0), lambda span: mean_motion(span)[0] >= 0.4)
    assert graph.node.count_publishers("odom") == graph.node.count_subscribers("odom") == 0
    assert health.value("simulation_node", "episode") == "0"


@needs_g1
def test_go1_stands_in_its_drives_without_a_policy_and_takes_a_push(graph):
    health = graph.health()
    odometry = graph.listen(Odometry, "odom", DEPTH)
    parameters = {"robot": "go1", "policy": "none"}
    graph.start("simulation_node", {"robot": "go1", "hold_until_command": False})
    graph.start("policy_node", parameters)
    graph.spin_until(lambda: odometry and seconds(odometry[-1]) > 5.0)
    assert odometry[-1].pose.pose.position.z > 0.2
    graph.spin_until(lambda: "not active" in health.messages.get("policy_node", ""))
    assert graph.node.count_publishers("position_controller/commands") == 0
    push = graph.node.create_publisher(WrenchStamped, "external_wrench", 10)
    wrench = conversions.to_wrench(
        Wrench(np.array((0.0, 20.0, 0.0)), np.zeros(3)), "base_link", conversions.to_time(0)
    )

    def is_moved():
        push.publish(wrench)
        return odometry[-1].twist.twist.linear.y > 0.03

    graph.spin_until(is_moved)
    graph.spin_until(lambda: abs(odometry[-1].twist.twist.linear.y) < 0.01)
    assert odometry[-1].pose.pose.position.z > 0.2


@pytest.mark.parametrize("robot", ["ant", "walker2d", "half_cheetah", "hopper"])
def test_gymnasiums_other_robots_live_on_the_graph(graph, robot):
    states = graph.listen(JointState, "joint_states", DEPTH)
    odometry = graph.listen(Odometry, "odom", DEPTH)
    tf = graph.listen(TFMessage, "/tf", DEPTH)
    graph.start("simulation_node", {"robot": robot})
    graph.spin_until(lambda: len(states) > 20 and odometry and tf)
    assert np.isfinite(states[-1].position).all()
    frames = {transform.child_frame_id for transform in tf[-1].transforms}
    assert ("base_footprint" in frames) == (robot == "ant")
