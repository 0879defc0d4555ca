# SPDX-License-Identifier: Apache-2.0
"""What any neighbour may send to a node in a process of its own does not end it."""

import socket

import pytest

pytest.importorskip("rclpy")

from builtin_interfaces.msg import Time
from rcl_interfaces.msg import Parameter, ParameterValue
from rcl_interfaces.srv import GetParameters, SetParameters
from rosgraph_msgs.msg import Clock

pytestmark = pytest.mark.processes

NODES = ("simulation_node", "policy_node", "observation_node", "force_marker_node", "viewer_node")


@pytest.mark.parametrize("name", NODES)
def test_a_time_before_zero_and_a_parameter_of_no_type_leave_a_node_alive(graph, name):
    parameters = {"use_sim_time": True}
    if name == "viewer_node":
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            parameters["port"] = probe.getsockname()[1]
    if name == "simulation_node":
        parameters["publish_clock"] = False
    health = graph.health()
    process = graph.start(name, parameters)
    clock = graph.node.create_publisher(Clock, "/clock", 1)

    def is_counted():
        clock.publish(Clock(clock=Time(sec=-5)))
        return int(health.value(name, "callback_errors") or 0) > 0

    graph.spin_until(is_counted)
    request = SetParameters.Request(
        parameters=[Parameter(name="use_sim_time", value=ParameterValue(type=99))]
    )
    (result,) = graph.call(SetParameters, f"{name}/set_parameters", request).results
    assert not result.successful
    request = GetParameters.Request(names=["use_sim_time"])
    assert graph.call(GetParameters, f"{name}/get_parameters", request).values[0].bool_value
    process.terminate()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "Traceback" not in output
