# SPDX-License-Identifier: Apache-2.0
"""The recorder as a process, its bags opened by rosbags and mcap."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("rosbags")

import rclpy
from bag_processes import RECORDER, connected, finish, heard, start_recorder
from geometry_msgs.msg import TwistStamped
from mcap.exceptions import EndOfFile
from mcap.reader import make_reader
from mcap.records import Channel, Message
from mcap.stream_reader import StreamReader
from rcl_interfaces.msg import ParameterValue
from rcl_interfaces.srv import GetParameters, ListParameters
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rosbags.highlevel import AnyReader
from rosbags.interfaces import QosDurability, QosReliability
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, String

from humanoid_mujoco_ros.bags.reader import open_bag
from humanoid_mujoco_ros.bags.repair import recover
from humanoid_mujoco_ros.bags.run_reader import read_parameters

pytestmark = pytest.mark.processes

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
BEST_EFFORT = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)


def joint_state(i):
    message = JointState(name=["knee"], position=[float(i)])
    message.header.stamp.sec = i
    return message


def mcap_file(path):
    (file,) = path.glob("*.mcap")
    return file


def test_what_is_recorded_is_what_was_published(graph, tmp_path):
    path = tmp_path / "run"
    health = graph.health()
    description = graph.node.create_publisher(String, "robot_description", LATCHED)
    description.publish(String(data="<robot/>"))
    # Offered as a sensor may do it, where the recorder expects a reliable publisher.
    states = graph.node.create_publisher(JointState, "joint_states", BEST_EFFORT)
    commands = graph.node.create_publisher(Float64MultiArray, "effort_controller/commands", 10)
    recorder = start_recorder(graph, path)
    graph.spin_until(
        lambda: heard(health, "/robot_description") and connected(health, states, commands)
    )
    sent = {"/joint_states": [], "/effort_controller/commands": []}
    before_ns = time.time_ns()
    for i in range(1, 101):
        for publisher, message in (
            (states, joint_state(i)),
            (commands, Float64MultiArray(data=[i, -0.1])),
        ):
            publisher.publish(message)
            sent[publisher.topic_name].append(message)
        graph.spin_for(0.005)
    output = finish(recorder)
    after_ns = time.time_ns()
    assert recorder.returncode == 0
    assert "wrote" in output

    with AnyReader([path]) as reader:
        topics = reader.topics
        received = {name: [] for name in topics}
        for connection, stamp_ns, data in reader.messages():
            received[connection.topic].append((stamp_ns, bytes(data)))
        # The bytes themselves may differ in their padding, which is left as it was in memory.
        for name, messages in sent.items():
            kind = type(messages[0])
            assert [deserialize_message(data, kind) for _, data in received[name]] == messages
        stamps = [stamp for name in sent for stamp, _ in received[name]]
        assert before_ns <= min(stamps) <= max(stamps) <= after_ns
        (_, text) = received["/robot_description"][0]
        assert reader.deserialize(text, "std_msgs/msg/String").data == "<robot/>"
        last = reader.deserialize(received["/joint_states"][-1][1], "sensor_msgs/msg/JointState")
        assert (last.name, list(last.position)) == (["knee"], [100.0])

        def offered(name):
            (connection,) = topics[name].connections
            (qos,) = connection.ext.offered_qos_profiles
            return qos.reliability, qos.durability

        assert offered("/robot_description") == (
            QosReliability.RELIABLE,
            QosDurability.TRANSIENT_LOCAL,
        )
        assert offered("/joint_states") == (QosReliability.BEST_EFFORT, QosDurability.VOLATILE)


def test_a_type_has_the_hash_by_which_ros_knows_it(graph, tmp_path):
    path = tmp_path / "run"
    health = graph.health()
    states = graph.node.create_publisher(JointState, "joint_states", 10)
    recorder = start_recorder(graph, path, "--topics", "joint_states")
    graph.spin_until(lambda: connected(health, states))
    states.publish(joint_state(1))
    graph.spin_until(lambda: health.value("recorder", "messages") == "1")
    finish(recorder)
    (info,) = graph.node.get_publishers_info_by_topic("/joint_states")
    with mcap_file(path).open("rb") as stream:
        summary = make_reader(stream).get_summary()
    channels = {channel.topic: channel for channel in summary.channels.values()}
    assert channels["/joint_states"].metadata["topic_type_hash"] == str(info.topic_type_hash)
    schema = summary.schemas[channels["/joint_states"].schema_id]
    assert (schema.name, schema.encoding) == ("sensor_msgs/msg/JointState", "ros2msg")
    assert b"MSG: std_msgs/Header" in schema.data
    assert b"MSG: builtin_interfaces/Time" in schema.data


def test_parameters_of_the_nodes_are_kept(graph, tmp_path):
    graph.node.declare_parameter("seed", 7)
    graph.node.declare_parameter("joints", ["knee", "hip"])
    graph.node.declare_parameter("gains", [0.1, 0.2])
    recorder = start_recorder(graph, tmp_path / "run")
    text = b'"seed": 7'

    def is_written():
        files = list((tmp_path / "run").glob("*.mcap"))
        return files and text in files[0].read_bytes()

    graph.spin_until(is_written)
    finish(recorder, signal.SIGTERM)
    assert recorder.returncode == 0
    with open_bag(tmp_path / "run") as bag:
        parameters = json.loads(bag.custom_data["parameters"])["/test"]
        assert "mujoco" in json.loads(bag.custom_data["versions"])
    assert parameters["seed"] == 7
    assert parameters["joints"] == ["knee", "hip"]
    assert parameters["gains"] == [0.1, 0.2]


def test_a_node_with_odd_answers_does_not_end_the_recording(graph, tmp_path):
    odd = rclpy.create_node("odd", context=graph.node.context, start_parameter_services=False)
    asked = []

    def answer(_, response):
        asked.append(True)
        response.values = [ParameterValue(type=99)]
        return response

    def names(_, response):
        response.result.names = ["strange"]
        return response

    odd.create_service(ListParameters, "odd/list_parameters", names)
    odd.create_service(GetParameters, "odd/get_parameters", answer)
    graph.executor.add_node(odd)
    health = graph.health()
    states = graph.node.create_publisher(JointState, "joint_states", 10)
    recorder = start_recorder(graph, tmp_path / "run", "--topics", "joint_states")
    graph.spin_until(lambda: health.value("recorder", "callback_errors") == "1")
    assert asked
    graph.spin_until(lambda: connected(health, states))
    states.publish(joint_state(1))
    graph.spin_until(lambda: health.value("recorder", "messages") == "1")
    finish(recorder)
    assert recorder.returncode == 0
    odd.destroy_node()


def test_only_the_topics_asked_for_in_a_namespace(graph, tmp_path):
    health = graph.health()
    mine = graph.node.create_publisher(String, "/robot2/notes", 10)
    other = graph.node.create_publisher(JointState, "/robot2/joint_states", 10)
    options = ("--topics", "notes", "--namespace", "robot2")
    recorder = start_recorder(graph, tmp_path / "run", *options)
    graph.spin_until(lambda: "/robot2/notes" in health.value("robot2/recorder", "topics_heard"))
    graph.spin_until(mine.get_subscription_count)
    mine.publish(String(data="mine"))
    other.publish(joint_state(1))
    graph.spin_until(lambda: health.value("robot2/recorder", "messages") == "1")
    finish(recorder)
    with open_bag(tmp_path / "run") as bag:
        assert list(bag.topics) == ["/robot2/notes"]
        assert bag.message_count == 1


def test_what_publishers_keep_is_recorded_from_the_first_message_on(graph, tmp_path):
    health = graph.health()
    recorder = start_recorder(graph, tmp_path / "run", "--topics", "joint_states")
    graph.spin_until(lambda: "recorder" in health.levels)
    # The recorder listens already, and expects a publisher that keeps nothing.
    kept = QoSProfile(depth=1000, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    states = graph.node.create_publisher(JointState, "joint_states", kept)
    for i in range(1, 51):
        states.publish(joint_state(i))
    graph.spin_until(lambda: states.get_subscription_count())
    for i in range(51, 101):
        states.publish(joint_state(i))
    graph.spin_until(lambda: int(health.value("recorder", "messages") or 0) >= 100)
    finish(recorder)
    with open_bag(tmp_path / "run") as bag:
        numbers = [bag.decode(name, data).position[0] for name, _, data in bag.messages(bag.topics)]
    assert numbers == list(range(1, 101))


def test_a_topic_of_another_type_than_expected(graph, tmp_path):
    health = graph.health()
    recorder = start_recorder(graph, tmp_path / "run")
    graph.spin_until(lambda: "recorder" in health.levels)
    velocity = graph.node.create_publisher(TwistStamped, "cmd_vel", LATCHED)
    velocity.publish(TwistStamped())
    graph.spin_until(lambda: heard(health, "/cmd_vel"))
    velocity.publish(TwistStamped())
    graph.spin_until(lambda: health.value("recorder", "messages") not in ("", "0"))
    finish(recorder)
    with open_bag(tmp_path / "run") as bag:
        topic = bag.topics["/cmd_vel"]
    assert topic.type_name == "geometry_msgs/msg/TwistStamped"
    assert topic.count > 0


def test_what_a_killed_recorder_has_written_is_not_lost(graph, tmp_path):
    path = tmp_path / "run"
    health = graph.health()
    states = graph.node.create_publisher(JointState, "joint_states", 10)
    recorder = start_recorder(graph, path)
    graph.spin_until(lambda: connected(health, states))

    # A reader that we did not write finds each message soon, without any repair.
    for i in range(1, 6):
        states.publish(joint_state(i))
        graph.spin_until(lambda i=i: states_in(path) == i)
    recorder.kill()
    recorder.communicate()
    assert not (path / "metadata.yaml").exists()

    count = len(messages_in(path))
    recovery = recover(path, tmp_path / "repaired")
    assert recovery.message_count == count
    with AnyReader([tmp_path / "repaired"]) as reader:
        connections = [c for c in reader.connections if c.topic == "/joint_states"]
        received = [
            round(reader.deserialize(data, c.msgtype).position[0])
            for c, _, data in reader.messages(connections)
        ]
    assert received == [1, 2, 3, 4, 5]


def messages_in(path):
    """The topic of every message in a file without an end."""
    topics, found = {}, []
    with mcap_file(path).open("rb") as stream, contextlib.suppress(EndOfFile):
        for record in StreamReader(stream).records:
            if isinstance(record, Channel):
                topics[record.id] = record.topic
            elif isinstance(record, Message):
                found.append(topics[record.channel_id])
    return found


def states_in(path):
    return messages_in(path).count("/joint_states")


def test_simulated_time_stamps(graph, tmp_path):
    path = tmp_path / "run"
    health = graph.health()
    clock = graph.node.create_publisher(Clock, "/clock", 1)
    states = graph.node.create_publisher(JointState, "joint_states", 10)
    recorder = start_recorder(graph, path, "--use-sim-time", "--topics", "joint_states")
    now = Clock()
    now.clock.sec = 42

    def hears():
        clock.publish(now)
        return connected(health, states)

    graph.spin_until(hears)
    states.publish(joint_state(1))
    graph.spin_until(lambda: health.value("recorder", "messages") == "1")
    now.clock.sec = 43
    for _ in range(10):
        clock.publish(now)
        graph.spin_for(0.1)
    states.publish(joint_state(2))
    graph.spin_until(lambda: health.value("recorder", "messages") == "2")
    finish(recorder)
    with open_bag(path) as bag:
        assert [ns for _, ns, _ in bag.messages(["/joint_states"])] == [42 * 10**9, 43 * 10**9]


def test_a_recording_whose_folder_is_gone_ends_at_once(graph, tmp_path):
    path = tmp_path / "run"
    health = graph.health()
    recorder = start_recorder(graph, path)
    graph.spin_until(lambda: "recorder" in health.levels)
    shutil.rmtree(path)
    graph.spin_until(lambda: recorder.poll() is not None)
    output, _ = recorder.communicate()
    assert recorder.returncode == 1
    assert f"error: cannot write {path}: the file is gone. The recording ends here\n" in output
    assert "Traceback" not in output


def test_a_folder_that_cannot_be_made_is_refused_at_once(tmp_path):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "run"
    done = subprocess.run(
        [*RECORDER, str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert done.stderr == f"error: cannot make {path}: Not a directory\n"


def test_parameters_of_every_type_are_kept(graph, tmp_path):
    graph.node.declare_parameter("bytes", [b"a", b"\xff"])
    graph.node.declare_parameter("flags", [True, False])
    graph.node.declare_parameter("nothing", float("nan"))
    recorder = start_recorder(graph, tmp_path / "run")
    text = b'"bytes": [97, 255]'

    def is_written():
        files = list((tmp_path / "run").glob("*.mcap"))
        return files and text in files[0].read_bytes()

    graph.spin_until(is_written)
    finish(recorder)
    assert recorder.returncode == 0
    with open_bag(tmp_path / "run") as bag:
        parameters = read_parameters(bag)["/test"]
    assert parameters["flags"] == [True, False]


def test_an_existing_folder_is_refused_in_one_line(tmp_path):
    done = subprocess.run(
        [*RECORDER, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert done.stderr == f"error: {tmp_path} exists already; a recording never overwrites one\n"


def test_a_full_disk_ends_the_recording_with_an_error(graph, tmp_path):
    path = tmp_path / "run"
    health = graph.health()
    notes = graph.node.create_publisher(String, "notes", 10)
    # A limit on the size of files fails a write as a full disk does.
    program = (
        "import resource, sys; from humanoid_mujoco_ros.bags.recorder import main; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000)); "
        "sys.exit(main(sys.argv[1:]))"
    )
    recorder = graph.spawn([sys.executable, "-c", program, str(path), "--topics", "notes"])
    graph.spin_until(lambda: connected(health, notes))
    sent = 0

    def is_over():
        nonlocal sent
        sent += 1
        notes.publish(String(data=os.urandom(5000).hex()))
        return recorder.poll() is not None

    graph.spin_until(is_over)
    output, _ = recorder.communicate(timeout=60)
    assert recorder.returncode == 1
    assert f"error: cannot write {path}: File too large" in output
    assert "Traceback" not in output
    assert 0 < recover(path, tmp_path / "repaired").message_count < sent
