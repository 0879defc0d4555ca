# SPDX-License-Identifier: Apache-2.0
"""A lockstep run, recorded from its nodes and simulated again from its commands."""

import json
import shutil

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("rosbags")

import biped
import numpy as np
import yaml
from bag_processes import connected, finish, heard, start_recorder
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from ros_graph import Graph
from std_msgs.msg import Float64MultiArray

from humanoid_mujoco_ros.bags.command import main
from humanoid_mujoco_ros.bags.definitions import definition
from humanoid_mujoco_ros.bags.errors import BagError
from humanoid_mujoco_ros.bags.reader import open_bag
from humanoid_mujoco_ros.bags.report import main as report
from humanoid_mujoco_ros.bags.verify import verify
from humanoid_mujoco_ros.bags.writer import BagWriter

pytestmark = pytest.mark.processes

SEED = 3
DURATION_S = 5.0


@pytest.fixture(scope="module")
def bag_path(tmp_path_factory):
    """Seconds of a walk, with a fall and a reset if the policy falls."""
    path = tmp_path_factory.mktemp("verify") / "walk"
    graph = Graph()
    try:
        health = graph.health()
        recorder = start_recorder(graph, path)
        graph.start("policy_node", {"autostart": False, "mode": "lockstep"})
        simulation = graph.start(
            "simulation_node",
            {"mode": "lockstep", "seed": SEED, "duration": DURATION_S, "fall_reset_delay": 0.5},
        )
        graph.spin_until(lambda: heard(health, "/joint_states", "/effort_controller/commands"))
        for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
            request = ChangeState.Request(transition=Transition(id=transition))
            assert graph.call(ChangeState, "policy_node/change_state", request).success
        graph.spin_until(lambda: simulation.poll() is not None)
        assert simulation.returncode == 0
        finish(recorder)
    finally:
        graph.close()
    return path


def changed(bag_path, tmp_path, **parameters):
    """The bag with other parameters of the simulation."""
    path = shutil.copytree(bag_path, tmp_path / "walk")
    content = yaml.safe_load((path / "metadata.yaml").read_text())
    custom_data = content["rosbag2_bagfile_information"]["custom_data"]
    recorded = json.loads(custom_data["parameters"])
    recorded["/simulation_node"].update(parameters)
    custom_data["parameters"] = json.dumps(recorded)
    (path / "metadata.yaml").write_text(yaml.safe_dump(content))
    return path


def test_the_recorded_joint_states_are_reproduced_bit_for_bit(bag_path, capsys):
    verdict = verify(bag_path)
    assert verdict.difference is None
    assert verdict.remark is None
    assert verdict.compared >= DURATION_S * 100
    assert main(["verify", str(bag_path)]) == 0
    assert capsys.readouterr().out.startswith("reproduced: ")


def test_another_seed_does_not_reproduce_them(bag_path, tmp_path, capsys):
    path = changed(bag_path, tmp_path, seed=SEED + 1)
    assert main(["verify", str(path)]) == 1
    output = capsys.readouterr().out
    assert "NOT reproduced: the first difference is at 0.010 s: position of abdomen_z" in output
    assert "mujoco" in output


def test_a_realtime_run_cannot_be_verified(bag_path, tmp_path, capsys):
    assert main(["verify", str(changed(bag_path, tmp_path, mode="realtime"))]) == 2
    assert "only lockstep says which command answers which state" in capsys.readouterr().err


def test_a_bag_without_parameters_cannot_be_verified(bag_path, tmp_path, capsys):
    (file,) = bag_path.glob("*.mcap")
    alone = shutil.copy(file, tmp_path / "alone.mcap")
    assert main(["verify", str(alone)]) == 2
    assert "does not hold the parameters of /simulation_node" in capsys.readouterr().err


def test_a_cut_bag_is_reproduced_as_far_as_it_goes(bag_path, tmp_path):
    path = shutil.copytree(bag_path, tmp_path / "walk")
    (path / "metadata.yaml").unlink()
    (file,) = path.glob("*.mcap")
    with file.open("r+b") as stream:
        stream.truncate(file.stat().st_size * 2 // 3)
    verdict = verify(path)
    assert verdict.difference is None
    assert 0 < verdict.compared < DURATION_S * 100


def test_a_bag_cut_amid_its_commands_is_reproduced_up_to_the_last(bag_path, tmp_path):
    """A topic that was discovered late lies behind the others in the file."""
    answered = 100
    commands_left = answered
    writer = BagWriter(tmp_path / "cut")
    with open_bag(bag_path) as bag:
        for key, value in bag.custom_data.items():
            writer.set_custom_data(key, value)
        names = ("/joint_states", "/effort_controller/commands")
        for name in names:
            type_name = bag.topics[name].type_name
            writer.add_topic(name, type_name, definition(type_name), [])
        for name, stamp_ns, data in bag.messages(names):
            if name == "/effort_controller/commands":
                commands_left -= 1
                if commands_left < 0:
                    continue
            writer.write(name, stamp_ns, stamp_ns, data)
    writer.close()
    with pytest.raises(BagError, match="holds 100 commands for"):
        verify(writer.path)
    (writer.path / "metadata.yaml").unlink()
    verdict = verify(writer.path)
    assert verdict.difference is None
    assert verdict.compared == answered + 1
    assert verdict.remark.startswith("only the first 1.01 s: the bag is cut off")


def test_every_topic_of_the_run_is_in_the_bag_in_full(bag_path):
    with open_bag(bag_path) as bag:
        counts = {name: topic.count for name, topic in bag.topics.items()}
    ticks = round(DURATION_S * 100)
    assert counts["/observation"]  # of which only the newest is kept
    for name in ("/odom", "/imu/data", "/left_foot/wrench", "/right_foot/wrench"):
        assert counts[name] >= ticks
    for name in ("/tf", "/clock"):
        assert counts[name] >= ticks
    assert counts["/tf_static"] == counts["/robot_description"] == 1
    assert counts["/diagnostics"] > 0


def test_a_robot_with_drives_and_a_passive_joint_is_reproduced(graph, tmp_path):
    """Somebody else than policy_node commands it."""
    path = tmp_path / "targets"
    targets = graph.node.create_publisher(Float64MultiArray, "position_controller/commands", 10)

    def answer(observation):
        angle = 0.5 * np.sin(10.0 * sum(observation.data))
        targets.publish(Float64MultiArray(data=[angle, -angle]))

    health = graph.health()
    recorder = start_recorder(graph, path)
    robot = {
        "robot": biped.write(tmp_path, biped.DRIVES),
        "joints": f"[{', '.join(biped.JOINTS)}]",
    }
    simulation = graph.start("simulation_node", {**robot, "mode": "lockstep", "duration": 1.0})
    graph.spin_until(lambda: heard(health, "/joint_states") and connected(health, targets))
    # The simulation hears the targets too: both know them.
    graph.spin_until(lambda: targets.get_subscription_count() == 2)
    graph.spin_until(lambda: "/simulation_node" in health.value("recorder", "parameters_of"))
    graph.node.create_subscription(Float64MultiArray, "observation", answer, 1)
    graph.spin_until(lambda: simulation.poll() is not None)
    assert simulation.returncode == 0
    finish(recorder)
    verdict = verify(path)
    assert (verdict.difference, verdict.remark) == (None, None)
    assert verdict.compared >= 100
    assert report([str(path), "-o", str(tmp_path / "page.html")]) == 0
    assert "effort_controller" not in (tmp_path / "page.html").read_text()  # nothing is missing


def test_a_real_run_gives_a_whole_report(bag_path, tmp_path):
    assert report([str(bag_path), "-o", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text()
    assert "What to know" not in page
    assert "lockstep" in page
    assert "left_shoulder2" in page
