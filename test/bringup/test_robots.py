# SPDX-License-Identifier: Apache-2.0
"""`humanoid sim --robots`: several robots in one world."""

import sys

import pytest

pytest.importorskip("rclpy")

from rclpy.serialization import deserialize_message
from sensor_msgs.msg import JointState

from humanoid_mujoco_ros.bags.reader import open_bag
from humanoid_mujoco_ros.bags.verify import verify
from humanoid_mujoco_ros.bringup.sim import SimOptions, check, processes


def test_each_robot_has_a_policy_in_its_namespace_and_a_seed_of_its_own(tmp_path):
    options = SimOptions(
        robots="first=humanoid:walk second=humanoid@2,0", namespace="lab", seed=7, viewer=False
    )
    world, first, second = check(options)
    assert (world.namespace, first.namespace, second.namespace) == (
        "lab",
        "lab/first",
        "lab/second",
    )
    assert world.nodes.keys() == {"simulation_node"}
    assert world.nodes["simulation_node"]["robots"] == options.robots
    assert first.nodes == {"policy_node": {"robot": "humanoid", "policy": "walk", "seed": 7}}
    assert second.nodes == {"policy_node": {"robot": "humanoid", "seed": 8}}
    nodes = processes(options, [world, first, second], tmp_path)
    names = ["simulation_node", "first/policy_node", "second/policy_node"]
    assert [node.name for node in nodes] == names
    assert "__ns:=/lab/second" in nodes[2].arguments


def test_a_robot_alone_has_all_nodes_in_one_namespace():
    (group,) = check(SimOptions(viewer=False))
    assert (group.namespace, list(group.nodes)) == ("", ["simulation_node", "policy_node"])


@pytest.mark.parametrize(
    ("robots", "complaint"),
    [
        ("0", "0 robots in one world"),
        ("a=humanoid b=centaur", "robot b: robot 'centaur' is neither one of"),
        ("a=humanoid:dance", "robot a: policy 'dance'"),
        ("a=humanoid b=humanoid@0.1,0", "robots a and b overlap at the start"),
        ("a=humanoid:none b=humanoid_v4:none", "robots a and b cannot share a world"),
    ],
)
def test_robots_that_cannot_be_are_refused_before_anything_starts(robots, complaint):
    with pytest.raises(ValueError, match=complaint) as error:
        check(SimOptions(robots=robots, viewer=False))
    assert "\n" not in str(error.value)


@pytest.mark.processes
def test_one_seed_gives_one_trajectory_of_robots_that_collide(graph, tmp_path):
    """The second stands in the first one's way; the recording has both."""
    robots = ("first=humanoid:walk", "second=humanoid:balance@0.9,0.2,180")
    options = ("--no-viewer", "--mode", "lockstep", "--duration", "4", "--seed", "3")
    command = [sys.executable, "-m", "humanoid_mujoco_ros.cli", "sim", *options]

    def trajectory(bag):
        process = graph.spawn([*command, "--robots", *robots, "--record", str(bag)])
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output
        assert output.count("done at 4.01 s") == 2, output
        with open_bag(bag) as recording:
            names = [f"/{robot}/joint_states" for robot in ("first", "second")]
            return [(name, values(data)) for name, _, data in recording.messages(names)]

    def values(data):
        # Not the bytes: those between the values may be any.
        state = deserialize_message(data, JointState)
        stamp = (state.header.stamp.sec, state.header.stamp.nanosec)
        return (*stamp, *state.position, *state.velocity, *state.effort)

    one, other = (trajectory(tmp_path / name) for name in ("one", "other"))
    for robot in ("first", "second"):
        states = [[state for name, state in run if robot in name] for run in (one, other)]
        assert len(states[0]) > 400
        # Each state as often as the loop was asked for it, which depends on when a policy comes.
        assert list(dict.fromkeys(states[0])) == list(dict.fromkeys(states[1]))
    # Alone, the second would not have moved so.
    assert verify(tmp_path / "one", "second").difference is not None
