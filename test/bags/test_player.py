# SPDX-License-Identifier: Apache-2.0
"""The player as a process: what it publishes, and when it refuses to."""

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("rosbags")

import synthetic_run
from bag_processes import BAG, finish
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import WrenchStamped
from nav_msgs.msg import Odometry
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosbags.rosbag2 import StoragePlugin
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, String

from humanoid_mujoco_ros.bags import qos
from humanoid_mujoco_ros.bags.command import PlayOptions, main
from humanoid_mujoco_ros.bags.player import choose_topics
from humanoid_mujoco_ros.bags.reader import open_bag

pytestmark = pytest.mark.processes

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@pytest.fixture(scope="module")
def bag_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("player") / "walk"
    synthetic_run.write(path)
    return path


def renamed(path, names):
    """The synthetic run with some topics under other names."""

    class Renaming(synthetic_run.Robot):
        def send(self, topic, time_ns, content, latched=False):
            super().send(names.get(topic, topic), time_ns, content, latched)

    with synthetic_run.Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as bag:
        robot = Renaming(bag)
        for tick in range(100):
            robot.tick(tick)
    return path


@pytest.mark.parametrize(
    "disguise", ["/effort_controller{ns}commands", "/effort_controller/{node}/../commands"]
)
def test_no_name_is_a_way_to_publish_commands(disguise, tmp_path):
    path = renamed(tmp_path / "walk", {"effort_controller/commands": disguise})
    with open_bag(path) as bag:
        assert disguise in bag.topics
        played, _ = choose_topics(bag, PlayOptions(path))
        assert "/effort_controller/commands" not in played.values()
        assert disguise not in played
        assert played["/joint_states"] == "/joint_states"


def test_a_name_is_published_as_ros_resolves_it(tmp_path):
    path = renamed(tmp_path / "walk", {"odom": "/{node}{ns}odom", "joint_states": "/a b"})
    with open_bag(path) as bag:
        played, left_out = choose_topics(bag, PlayOptions(path, commands=True))
    assert played["/{node}{ns}odom"] == "/player/odom"
    assert "/a b" not in played
    assert left_out == []


def test_a_stream_that_was_kept_for_late_listeners_is_no_latched_state():
    kept = [{"reliability": "reliable", "durability": "transient_local"}]
    assert qos.is_latched("/tf_static", kept)
    assert qos.is_latched("/map", kept)
    assert qos.to_publish("/map", kept).durability == DurabilityPolicy.TRANSIENT_LOCAL
    for name in ("/odom", "/robot2/odom", "/tf", "/robot2/effort_controller/commands"):
        assert not qos.is_latched(name, kept)
        assert qos.to_publish(name, kept).durability == DurabilityPolicy.VOLATILE


def test_commands_in_disguise_reach_nobody(graph, tmp_path):
    names = {"effort_controller/commands": "/effort_controller{ns}commands"}
    path = renamed(tmp_path / "walk", names)
    commands = graph.listen(Float64MultiArray, "effort_controller/commands", 100)
    odometry = graph.listen(Odometry, "odom", 1000)
    player = play(graph, path, "--loop")
    graph.spin_until(lambda: len(odometry) > 150)
    output = finish(player)
    assert "not published: /effort_controller{ns}commands" in output
    assert commands == []


def play(graph, bag_path, *options):
    return graph.spawn([*BAG, "play", str(bag_path), *options])


def seconds(message):
    return message.header.stamp.sec + message.header.stamp.nanosec * 1e-9


def test_a_run_is_published_again_without_its_commands(graph, bag_path):
    # A view is no robot.
    graph.node.create_publisher(DiagnosticArray, "/diagnostics", 10)
    graph.node.create_publisher(WrenchStamped, "external_wrench", 10)
    odometry = graph.listen(Odometry, "odom", 1000)
    descriptions = graph.listen(String, "robot_description", LATCHED)
    clock = graph.listen(Clock, "/clock", 1000)
    commands = graph.listen(Float64MultiArray, "effort_controller/commands", 100)
    pushes = graph.listen(WrenchStamped, "external_wrench", 100)
    player = play(graph, bag_path, "--rate", "2", "--start", "2")
    graph.spin_until(lambda: player.poll() is not None)
    output, _ = player.communicate()
    assert player.returncode == 0
    assert "not published: /effort_controller/commands, /external_wrench" in output
    # From 2 s to 8 s at 100 Hz; the first are lost if discovery is slow.
    assert 1 <= len(odometry) <= 601
    stamps = [seconds(message) for message in odometry]
    assert stamps == sorted(stamps)
    assert (stamps[-1], odometry[-1].child_frame_id) == (13.0, "base_link")
    assert stamps[0] >= 7.0
    assert odometry[0].twist.twist.linear.x == synthetic_run.SPEED_M_S
    # Latched before the start, and still there.
    assert [message.data for message in descriptions] == [synthetic_run.URDF]
    # The bag has no /clock: it follows the stamps of the bag.
    assert clock[-1].clock.sec == synthetic_run.START_NS // 10**9 + 8
    assert (commands, pushes) == ([], [])


def test_commands_are_published_when_told_to(graph, bag_path):
    commands = graph.listen(Float64MultiArray, "effort_controller/commands", 100)
    options = ("--commands", "--rate", "8", "--topics", "effort_controller/commands", "--loop")
    player = play(graph, bag_path, *options)
    graph.spin_until(lambda: len(commands) > 10)
    assert list(commands[0].data) == [40.0, -1.0]
    finish(player)
    assert player.returncode == 0


def test_it_begins_again_at_the_end(graph, bag_path):
    states = graph.listen(JointState, "joint_states", 1000)
    player = play(graph, bag_path, "--loop", "--rate", "20", "--topics", "joint_states")

    def has_begun_again():
        stamps = [seconds(message) for message in states]
        return stamps != sorted(stamps)

    graph.spin_until(has_begun_again)
    assert "published 801 messages" in finish(player)
    assert player.returncode == 0


def test_a_live_robot_is_left_alone(graph, bag_path):
    odometry = graph.node.create_publisher(Odometry, "odom", 10)
    seen = graph.listen(JointState, "joint_states")
    player = play(graph, bag_path, "--rate", "8", "--commands")
    graph.spin_until(lambda: player.poll() is not None)
    output, _ = player.communicate()
    assert player.returncode == 2
    assert "error: /test is live and publishes /odom: " in output
    # On an idle machine none; where discovery is slow, it is noticed within a second or so.
    assert len(seen) < 801
    graph.node.destroy_publisher(odometry)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--rate", "0"], "the rate must be positive"),
        (["--start", "9"], "the start must be between 0 and the bag's 8.0 s"),
        (["--topics", "odour"], "/odour is not in"),
        (["--topics", "external_wrench"], "nothing to play: /external_wrench"),
    ],
)
def test_wrong_options_are_refused_in_one_line(bag_path, capsys, options, reason):
    assert main(["play", str(bag_path), *options]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert reason in error
    assert error.count("\n") == 1
