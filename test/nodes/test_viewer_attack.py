# SPDX-License-Identifier: Apache-2.0
"""viewer_node among strangers: hostile browsers, foreign diagnostics, an open network."""

import re
import socket

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("viser")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import Twist, WrenchStamped
from raw_browser import RawBrowser
from rcl_interfaces.msg import Log

from humanoid_mujoco_ros.ros import conversions

pytestmark = pytest.mark.processes


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_hostile_browsers_and_foreign_diagnostics_end_nothing(graph):
    health, port = graph.health(), free_port()
    wrenches = graph.listen(WrenchStamped, "external_wrench", 1000)
    graph.start("simulation_node", {"on_fall": "stay"})
    graph.start("policy_node")
    viewer = graph.start("viewer_node", {"port": port})
    graph.spin_until(lambda: health.value("viewer_node", "url"))
    graph.spin_until(lambda: int(health.value("simulation_node", "ticks") or 0) > 10)
    browser = RawBrowser(port)
    graph.spin_until(lambda: browser.listen() or "Push" in browser.values)
    names = [f"foreign_{i}: x" for i in range(20_000)]
    array = DiagnosticArray(status=[DiagnosticStatus(name=name) for name in names])
    figures = {"sim_time_s": "n/a", "paused": "maybe", "step_count": "1e999"}
    pairs = [KeyValue(key=key, value=value) for key, value in figures.items()]
    array.status.append(DiagnosticStatus(name="policy_node: x", level=b"\x63", values=pairs))
    publisher = graph.node.create_publisher(DiagnosticArray, "/diagnostics", 10)
    publisher.publish(array)
    for label, value in (("Force (N)", 1e308), ("Direction", "bogus"), ("Link", "bogus")):
        browser.set(label, value)
        browser.set("Push", True)
    for i in range(500):
        bad = [float("nan"), 1e308, 0.4][i % 3]
        browser.drag("start", instance=[0, 99, None][i // 3 % 3], end=(bad, 0.0, 1.4))
        browser.drag("update", start=(bad, bad, bad), end=(0.0, bad, 1.4))
        browser.set("Stop policy", True)
        browser.socket.send(b"garbage")
    graph.spin_until(lambda: int(health.value("viewer_node", "rejected_messages") or 0) > 0)
    browser.close()
    graph.spin_until(lambda: len(wrenches) > 10 and not any(map(force, wrenches[-1:])))
    assert all(np.isfinite(force(message)) and force(message) < 900 for message in wrenches)
    frames = int(health.value("viewer_node", "frames"))
    graph.spin_until(lambda: int(health.value("viewer_node", "frames")) != frames or frames >= 20)
    assert viewer.poll() is None
    viewer.terminate()
    output, _ = viewer.communicate(timeout=60)
    assert "Traceback" not in output
    assert len(output.splitlines()) < 30
    assert max(map(len, output.splitlines())) < 400


def force(message):
    wrench = conversions.from_wrench(message)
    return float(np.linalg.norm(wrench.force))


def test_the_token_is_printed_in_the_terminal_and_nowhere_else(graph):
    log = graph.listen(Log, "/rosout", 100)
    health, port = graph.health(), free_port()
    viewer = graph.start("viewer_node", {"port": port, "host": "0.0.0.0"})
    graph.spin_until(lambda: health.value("viewer_node", "url"))
    viewer.terminate()
    output, _ = viewer.communicate(timeout=60)
    (link, _) = re.findall(r"http://\S+:\d+/\?token=(\S+)", output)
    assert len(link) > 20
    assert not any(link in message.msg for message in log)
    assert not any(link in value for value in health.values["viewer_node"].values())


def test_a_held_button_of_the_pad_drives_and_a_page_that_goes_stops_the_robot(graph):
    health, port = graph.health(), free_port()
    heard = graph.listen(Twist, "cmd_vel", 1000)
    graph.start("viewer_node", {"port": port})
    graph.spin_until(lambda: health.messages.get("viewer_node"))
    browser = RawBrowser(port)
    graph.spin_until(lambda: browser.listen() or "Forward" in browser.values)

    def hold():
        browser.hold("Forward", 10)
        return any(message.linear.x == pytest.approx(0.8) for message in heard)

    graph.spin_until(hold)
    browser.close()
    graph.spin_until(lambda: heard[-1].linear.x == 0.0)
