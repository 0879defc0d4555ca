# SPDX-License-Identifier: Apache-2.0
"""Who can reach the graph."""

import os
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

from sensor_msgs.msg import JointState

pytestmark = pytest.mark.processes


def bound_addresses(pid):
    """Local IPv4 addresses of the UDP sockets of a process."""
    links = [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()]
    sockets = {link[8:-1] for link in links if link.startswith("socket:[")}
    addresses = set()
    for line in Path(f"/proc/{pid}/net/udp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[9] in sockets:
            octets = bytes.fromhex(fields[1].partition(":")[0])
            addresses.add(".".join(str(octet) for octet in reversed(octets)))
    return addresses


def nodes(process):
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [process.pid, *map(int, children)]


@pytest.mark.skipif(
    os.environ.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp") != "rmw_fastrtps_cpp",
    reason="other middleware binds in its own way",
)
@pytest.mark.parametrize("options", [(), ("--network",)])
def test_sockets_are_bound_to_the_loopback_unless_the_network_is_asked_for(graph, options):
    states = graph.listen(JointState, "joint_states")
    command = [sys.executable, "-m", "humanoid_mujoco_ros.cli", "sim", "--no-viewer", *options]
    process = graph.spawn(command)
    graph.spin_until(lambda: len(states) > 10)  # a node with other settings hears them
    found = set().union(*map(bound_addresses, nodes(process)))
    # 239.255.0.1 is the multicast group of discovery, here that of the loopback interface.
    assert (found <= {"127.0.0.1", "239.255.0.1"}) == (not options), found
    assert "fastrtps" in Path(f"/proc/{nodes(process)[1]}/maps").read_text()  # shared memory
