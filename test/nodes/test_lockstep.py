# SPDX-License-Identifier: Apache-2.0
"""Lockstep over real topics: the same seed gives the same trajectory bit for bit."""

import signal

import numpy as np
import pytest

pytest.importorskip("rclpy")

from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger

pytestmark = pytest.mark.processes

SIMULATION = {"mode": "lockstep", "seed": 7}
POLICY = {"mode": "lockstep", "action": "sample", "seed": 3}
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
DEPTH = QoSProfile(depth=2000)


def trajectory(graph, duration_s):
    """Runs both nodes and returns stamp and values of every joint state that came."""
    descriptions = graph.listen(String, "robot_description", LATCHED)
    states = graph.listen(JointState, "joint_states", DEPTH)
    process = graph.start("simulation_node", {**SIMULATION, "duration": duration_s})
    # Only then does the run begin whose every state is to be heard.
    graph.spin_until(lambda: descriptions and graph.node.count_publishers("joint_states"))
    policy = graph.start("policy_node", POLICY)
    graph.spin_until(lambda: process.poll() is not None, 60.0)
    graph.spin_for(0.3)
    assert process.returncode == 0
    policy.send_signal(signal.SIGINT)
    policy.wait()
    return {
        (m.header.stamp.sec, m.header.stamp.nanosec): np.array([m.position, m.velocity, m.effort])
        for m in states
    }


def test_the_same_seed_gives_the_same_joint_states_bit_for_bit(graph):
    first, second = trajectory(graph, 5.0), trajectory(graph, 5.0)
    # At ten times real time a listener on a busy machine may miss some; each that came depends on
    # all before it.
    common = first.keys() & second.keys()
    assert max(common) >= (5, 0)
    for stamp in common:
        np.testing.assert_array_equal(first[stamp], second[stamp])


def test_the_simulation_pauses_steps_and_resets_between_two_commands(graph):
    states = graph.listen(JointState, "joint_states", DEPTH)
    graph.start("simulation_node", SIMULATION)
    graph.start("policy_node", POLICY)
    graph.spin_until(lambda: len(states) > 50)
    assert graph.call(SetBool, "simulation/pause", SetBool.Request(data=True)).success
    graph.spin_for(0.3)
    count = len(states)
    for step in range(1, 4):
        assert graph.call(Trigger, "simulation/step", Trigger.Request()).success
        graph.spin_until(lambda step=step: len(states) == count + step)
    assert graph.call(Trigger, "simulation/reset", Trigger.Request()).success
    graph.spin_until(lambda: len(states) == count + 4)
    assert graph.call(SetBool, "simulation/pause", SetBool.Request(data=False)).success
    graph.spin_until(lambda: len(states) > count + 100)


def test_a_restarted_policy_goes_on_where_the_killed_one_ended(graph):
    states = graph.listen(JointState, "joint_states", DEPTH)
    graph.start("simulation_node", SIMULATION)
    policy = graph.start("policy_node", POLICY)
    graph.spin_until(lambda: len(states) > 100)
    policy.kill()
    policy.wait()
    graph.spin_for(0.3)
    count = len(states)
    graph.start("policy_node", POLICY)
    graph.spin_until(lambda: len(states) > count + 100)


def test_a_policy_that_never_answers_is_an_error_not_a_hang(graph):
    process = graph.start(
        "simulation_node", {**SIMULATION, "duration": 1000.0, "lockstep_timeout": 0.5}
    )
    states = graph.listen(JointState, "joint_states", DEPTH)
    policy = graph.start("policy_node", POLICY)
    graph.spin_until(lambda: len(states) > 10)
    policy.kill()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "no command answered the observation within 0.5 s" in output
