# SPDX-License-Identifier: Apache-2.0
"""Several robots in one simulation_node, over real topics."""

import re
import signal
import socket
import sys

import numpy as np
import pytest

pytest.importorskip("rclpy")

from geometry_msgs.msg import WrenchStamped
from nav_msgs.msg import Odometry
from raw_browser import RawBrowser
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import SetBool, Trigger
from tf2_msgs.msg import TFMessage

pytestmark = pytest.mark.processes

LATCHED = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
ROBOTS = "first=humanoid second=humanoid@2,1,90"
FREE = {"hold_until_command": False, "on_fall": "stay"}


def test_each_robot_has_its_own_topics_frames_watchdog_and_episodes(graph):
    static = graph.listen(TFMessage, "/tf_static", LATCHED)
    odom = {name: graph.listen(Odometry, f"{name}/odom") for name in ("first", "second")}
    states = {name: graph.listen(JointState, f"{name}/joint_states") for name in odom}
    health = graph.health()
    process = graph.start("simulation_node", {"robots": ROBOTS, "seed": 5, **FREE})
    graph.spin_until(lambda: all(odom.values()))
    assert graph.node.count_publishers("/clock") == 1
    assert graph.node.count_publishers("joint_states") == 0
    for name, messages in odom.items():
        frames = (messages[0].header.frame_id, messages[0].child_frame_id)
        assert frames == (f"{name}/odom", f"{name}/base_link")
    graph.spin_until(lambda: len(static) == 3)
    places = {
        transform.child_frame_id: transform.transform
        for message in static
        for transform in message.transforms
        if transform.header.frame_id == "world"
    }
    assert places.keys() == {"first/odom", "second/odom"}
    second = places["second/odom"]
    assert (second.translation.x, second.translation.y) == (2.0, 1.0)
    np.testing.assert_allclose(second.rotation.z, np.sqrt(0.5))

    commands = graph.node.create_publisher(Float64MultiArray, "first/effort_controller/commands", 1)

    def is_first_driven():
        commands.publish(Float64MultiArray(data=[5.0] * 17))
        return any(states["first"][-1].effort)

    graph.spin_until(is_first_driven)
    graph.spin_until(
        lambda: (
            health.value("first/simulation_node", "watchdog") in ("ok", "timeout")
            and health.value("second/simulation_node", "watchdog") == "waiting"
        )
    )
    assert not any(any(state.effort) for state in states["second"])

    assert graph.call(Trigger, "second/simulation/reset", Trigger.Request()).success
    graph.spin_until(lambda: health.value("second/simulation_node", "episode") == "1")
    assert health.value("first/simulation_node", "episode") == "0"
    assert graph.call(Trigger, "simulation/reset", Trigger.Request()).success
    graph.spin_until(lambda: health.value("second/simulation_node", "episode") == "2")
    graph.spin_until(lambda: health.value("first/simulation_node", "episode") == "1")
    assert graph.call(SetBool, "first/simulation/pause", SetBool.Request(data=True)).success
    answer = graph.call(SetBool, "simulation/pause", SetBool.Request(data=True))
    assert answer.message == "the simulation was paused already"
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0


@pytest.mark.parametrize(
    ("robots", "complaint"),
    [
        ("first=humanoid first=humanoid", "2 robots are called first"),
        ("first=humanoid second=humanoid@0.1,0", "robots first and second overlap at the start"),
        ("first=humanoid second=centaur", "centaur"),
    ],
)
def test_robots_that_cannot_be_end_the_start_in_one_line(graph, capfd, robots, complaint):
    assert graph.run_here("simulation_node", {"robots": robots}) == 2
    output = "".join(capfd.readouterr())
    assert output.startswith("error: "), output
    assert output.count("\n") == 1
    assert complaint in output


def test_the_page_pulls_the_robot_that_is_grabbed_and_no_other(graph):
    pytest.importorskip("viser")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    wrenches = {
        name: graph.listen(WrenchStamped, f"{name}/external_wrench") for name in ("first", "second")
    }
    health = graph.health()
    graph.start("viewer_node", {"robots": ROBOTS, "port": port})
    unseen = "second: robot not seen yet"
    graph.spin_until(lambda: unseen in health.messages.get("viewer_node", ""))
    # They fall at the start, and stay: the second's feet lie where it stood.
    graph.start("simulation_node", {"robots": ROBOTS, **FREE, "mode": "realtime"})
    graph.spin_until(lambda: health.messages.get("viewer_node") == "ok")
    browser = RawBrowser(port)
    try:
        browser.listen()
        for phase in ("start", "update"):
            browser.drag(phase, start=(2, 1, 0.1), end=(2, 1.3, 0.5), robot="second")
        graph.spin_until(lambda: any(message.wrench.force.x for message in wrenches["second"]))
        assert wrenches["second"][-1].header.frame_id.startswith("second/")
        assert not wrenches["first"]
    finally:
        browser.close()


def test_two_robots_are_shoved_until_one_falls_and_a_round_follows(graph):
    health = graph.health()
    command = [sys.executable, "-m", "humanoid_mujoco_ros.cli", "sim", "--world", "sumo"]
    run = graph.spawn([*command, "--no-viewer", "--mode", "lockstep"])

    def has_gone_on_after_a_point():
        points = re.findall(r"[1-9]", health.value("sumo_node", "score"))
        return points and int(health.value("sumo_node", "round")) > len(points)

    graph.spin_until(has_gone_on_after_a_point, 120.0)
    run.send_signal(signal.SIGINT)
    output, _ = run.communicate(timeout=60)
    assert "red 1 : 0 blue" in output or "red 0 : 1 blue" in output, output
    assert run.returncode == 0, output
