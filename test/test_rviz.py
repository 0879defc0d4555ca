# SPDX-License-Identifier: Apache-2.0
"""Everything that rviz/humanoid.rviz shows is on the running graph, in a form that RViz takes."""

import importlib.util
import os
import shutil
from xml.etree import ElementTree

import pytest
import yaml

pytest.importorskip("rclpy")

from rclpy.qos import (
    DurabilityPolicy,
    LivelinessPolicy,
    QoSCompatibility,
    QoSProfile,
    ReliabilityPolicy,
    qos_check_compatible,
)
from std_msgs.msg import String
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import InteractiveMarkerFeedback

from humanoid_mujoco_ros.share import share_directory

pytestmark = pytest.mark.processes

AUTOMATIC = LivelinessPolicy.AUTOMATIC
TYPES = {
    "Marker": "visualization_msgs/msg/Marker",
    "RobotModel": "std_msgs/msg/String",
    "Wrench": "geometry_msgs/msg/WrenchStamped",
}
"""What RViz 2's displays subscribe to, by the name of their class in rviz_default_plugins."""
WITHOUT_TOPIC = {"Axes", "InteractiveMarkers", "TF"}
RVIZS_OWN = QoSProfile(
    depth=100,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.VOLATILE,
    liveliness=AUTOMATIC,
)
"""What RViz uses for interactive markers and tf, which the file does not say."""
LATCHED = QoSProfile(
    depth=100,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
    liveliness=AUTOMATIC,
)


def read(file):
    return yaml.safe_load(file.read_text())["Visualization Manager"]


def displays(config):
    """Class name, without its package, and properties of each display."""
    for display in config["Displays"]:
        package, _, name = display["Class"].partition("/")
        assert package == "rviz_default_plugins", "RViz shows a missing plugin in red"
        yield name, display


def qos_of(topic):
    return QoSProfile(
        liveliness=AUTOMATIC,
        depth=topic["Depth"],
        reliability=getattr(
            ReliabilityPolicy, topic["Reliability Policy"].upper().replace(" ", "_")
        ),
        durability=getattr(DurabilityPolicy, topic["Durability Policy"].upper().replace(" ", "_")),
    )


def check_topic(graph, topic, message_type, qos):
    publishers = graph.node.get_publishers_info_by_topic(topic)
    assert publishers, f"nobody publishes {topic}"
    for publisher in publishers:
        assert publisher.topic_type == message_type, topic
        compatibility, reason = qos_check_compatible(publisher.qos_profile, qos)
        assert compatibility == QoSCompatibility.OK, f"{topic}: {reason}"


def test_it_shows_what_the_graph_offers(graph):
    graph.start("simulation_node", {"hold_until_command": False})
    graph.start("force_marker_node")
    check_shown(graph, read(share_directory("rviz") / "humanoid.rviz"), prefix="")


@pytest.mark.skipif(
    shutil.which("ros2") is None or importlib.util.find_spec("launch_ros") is None,
    reason="launch_ros is not on PyPI; it comes with ROS 2",
)
def test_in_a_namespace_it_shows_the_robot_of_that_namespace(graph, tmp_path):
    # In the place of RViz, a program that keeps the file that RViz would read.
    prefix, kept = tmp_path / "prefix", tmp_path / "kept.rviz"
    index = prefix / "share/ament_index/resource_index/packages"
    program = prefix / "lib/rviz2/rviz2"
    for directory in (index, program.parent):
        directory.mkdir(parents=True)
    (index / "rviz2").touch()
    program.write_text(f'#!/bin/sh\ncp "$2" {kept}.part && mv {kept}.part {kept}\n')
    program.chmod(0o755)
    graph.environment["AMENT_PREFIX_PATH"] = f"{prefix}:{os.environ['AMENT_PREFIX_PATH']}"
    graph.spawn(["ros2", "launch", "humanoid_mujoco_ros", "sim.launch.py",
                 "namespace:=lab/r2", "rviz:=true", "viewer:=false"])  # fmt: skip
    graph.spin_until(kept.exists)
    check_shown(graph, read(kept), prefix="lab/r2/")


def check_shown(graph, config, prefix):
    """That the graph offers what the file shows of the robot whose names have a prefix."""
    transforms = graph.listen(TFMessage, "/tf", 100)
    fixed = graph.listen(TFMessage, "/tf_static", LATCHED)
    descriptions = graph.listen(String, f"/{prefix}robot_description", LATCHED)
    graph.spin_until(lambda: transforms and fixed and descriptions)
    graph.spin_until(lambda: graph.node.count_subscribers(f"/{prefix}force_marker/feedback"))

    shown = set()
    for name, display in displays(config):
        shown.add(name)
        assert display["Enabled"] is display["Value"] is True
        topic = display.get("Description Topic") or display.get("Topic")
        if topic is not None:
            assert topic["Value"].startswith(f"/{prefix}")
            check_topic(graph, topic["Value"], TYPES[name], qos_of(topic))
        else:
            assert name in WITHOUT_TOPIC
    assert shown == {*TYPES, *WITHOUT_TOPIC}

    markers = next(d for name, d in displays(config) if name == "InteractiveMarkers")
    namespace = markers["Interactive Markers Namespace"]
    assert namespace == f"/{prefix}force_marker"
    update = "visualization_msgs/msg/InteractiveMarkerUpdate"
    check_topic(graph, f"{namespace}/update", update, RVIZS_OWN)
    feedback = graph.node.get_subscriptions_info_by_topic(f"{namespace}/feedback")
    assert [f.topic_type for f in feedback] == ["visualization_msgs/msg/InteractiveMarkerFeedback"]
    graph.node.create_publisher(InteractiveMarkerFeedback, f"{namespace}/feedback", RVIZS_OWN)
    graph.spin_until(lambda: graph.node.count_publishers(f"{namespace}/feedback"))
    (client,) = graph.node.get_publishers_info_by_topic(f"{namespace}/feedback")
    compatibility, reason = qos_check_compatible(client.qos_profile, feedback[0].qos_profile)
    assert compatibility == QoSCompatibility.OK, f"{namespace}/feedback: {reason}"
    service = f"{namespace}/get_interactive_markers"
    graph.spin_until(lambda: service in dict(graph.node.get_service_names_and_types()))
    service_types = dict(graph.node.get_service_names_and_types())[service]
    assert service_types == ["visualization_msgs/srv/GetInteractiveMarkers"]
    check_topic(graph, "/tf", "tf2_msgs/msg/TFMessage", RVIZS_OWN)
    check_topic(graph, "/tf_static", "tf2_msgs/msg/TFMessage", LATCHED)

    parent = {
        t.child_frame_id: t.header.frame_id
        for message in (*transforms, *fixed)
        for t in message.transforms
    }
    frames = {
        config["Global Options"]["Fixed Frame"],
        config["Views"]["Current"]["Target Frame"],
        *(d["Reference Frame"] for _, d in displays(config) if "Reference Frame" in d),
    }
    assert frames == {f"{prefix}odom", f"{prefix}base_link", f"{prefix}imu_link"}
    # RViz puts a slash between the TF prefix and a link of the URDF.
    (model,) = (d for name, d in displays(config) if name == "RobotModel")
    tf_prefix = f"{model['TF Prefix']}/" if model["TF Prefix"] else ""
    links = ElementTree.fromstring(descriptions[-1].data).findall("link")
    frames |= {tf_prefix + link.get("name") for link in links}
    assert len(frames) > len(links) > 17
    for frame in frames:
        while frame != f"{prefix}odom":
            frame = parent[frame]
