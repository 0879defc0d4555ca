# SPDX-License-Identifier: Apache-2.0
import re
import socket

import pytest

pytest.importorskip("rclpy")

from rcl_interfaces.srv import ListParameters

from humanoid_mujoco_ros.bringup.config import (
    NODE_PARAMETERS,
    NODES,
    ConfigError,
    check_parameters,
    config_file,
    node_configs,
    read_parameters,
    write_parameters,
)
from humanoid_mujoco_ros.bringup.options import GraphOptions
from humanoid_mujoco_ros.policy.locate import named_cards, shipped_policies
from humanoid_mujoco_ros.ros.parameters import field_docs, named_fields


def test_a_shipped_config_is_found_by_name_and_any_other_by_path(tmp_path):
    assert config_file("sim", ("sim",)).name == "sim.yaml"
    path = tmp_path / "mine.yaml"
    path.write_text("/**:\n  ros__parameters: {}\n")
    assert config_file(str(path), ("sim",)) == path
    with pytest.raises(ConfigError, match=r"'lab' is neither a file nor one of sim, mine$"):
        config_file("lab", ("sim", "mine"))
    with pytest.raises(
        ConfigError, match=r"is a robot, not a config: --robot humanoid_v4, or robot:=humanoid_v4$"
    ):
        config_file("humanoid_v4", ("sim",))


def test_a_node_gets_what_is_set_for_all_and_for_itself(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "/**:\n  ros__parameters: {a: 1, b: 1}\n"
        "/**/policy_node:\n  ros__parameters: {b: 2}\n"
        "/second/policy_node:\n  ros__parameters: {b: 3}\n"
    )
    assert read_parameters(path, "policy_node") == {"a": 1, "b": 2}


def test_written_parameters_read_back(tmp_path):
    path = tmp_path / "overrides.yaml"
    write_parameters(path, {"policy_node": {"policy": "walk"}, "viewer_node": {}})
    assert read_parameters(path, "policy_node") == {"policy": "walk"}
    assert read_parameters(path, "viewer_node") == {}


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("- 1", "not a ROS parameter file"),
        ("a: [", "cannot use"),
        ("node: {policy: walk}", "'node/policy' has no ros__parameters"),
    ],
)
def test_a_file_that_sets_no_parameters_is_explained(tmp_path, text, match):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=match):
        read_parameters(path, "policy_node")


@pytest.mark.parametrize("node", NODES)
def test_the_known_parameters_of_a_node_are_those_it_declares(graph, node):
    parameters = {"port": free_port()} if node == "viewer_node" else {}
    graph.start(node, parameters)
    request = ListParameters.Request()
    declared = graph.call(ListParameters, f"/{node}/list_parameters", request).result.names
    known = {*NODE_PARAMETERS[node], "use_sim_time"}
    for config_type in node_configs(node):
        known |= {name for name, _ in named_fields(config_type)}
    assert {name for name in declared if not name.startswith("start_type_desc")} == known


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_the_help_names_every_policy_that_there_is():
    text = field_docs(GraphOptions)["policy"]
    words = set(re.findall(r"\w+", text.partition(", a file")[0]))
    assert {*shipped_policies(), *named_cards()} <= words


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("policy_nod: {ros__parameters: {policy: walk}}", "no node 'policy_nod'; did you mean po"),
        ("/a/viewr_node: {ros__parameters: {port: 1}}", "no node 'viewr_node'; did you mean viewe"),
        ("/**: {ros__parameters: {joints: abc}}", "joints is 'abc' .str., expected a list of str"),
        ("/**: {ros__parameters: {joints: [1]}}", r"joints is \[1\] .list., expected a list of st"),
        ("/**: {ros__parameters: {joint_map: 3}}", "joint_map is 3 .int., expected a str"),
        ("/**: {ros__parameters: {joint_map: {a: {sign: -1}}}}", "joint_map has parameters below"),
        ("policy_node: {ros__parameters: {polcy: walk}}", "policy_node has no parameter 'polcy'"),
    ],
)
def test_a_name_or_a_kind_that_a_node_would_not_notice_is_told(tmp_path, text, match):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=match):
        check_parameters(path, {"policy_node": {}})


def test_sections_of_other_packages_nodes_are_left_alone(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("/teleop: {ros__parameters: {speed: 1.0}}\n/**: {ros__parameters: {rate: 2.0}}")
    assert check_parameters(path, {"policy_node": {}}) == {"policy_node": {"rate": 2.0}}


@pytest.mark.parametrize(
    "parameters", ["{mode: fast, gravity: 9.8}", "{use_sim_time: true}", "{physics: {rate: 1}}"]
)
def test_a_node_of_a_similar_name_but_with_other_parameters_is_left_alone(tmp_path, parameters):
    path = tmp_path / "mine.yaml"
    path.write_text(f"simulator_node: {{ros__parameters: {parameters}}}")
    assert check_parameters(path, {"simulation_node": {}}) == {"simulation_node": {}}
    path.write_text("simulator_node: {ros__parameters: {mode: lockstep}}")
    with pytest.raises(ConfigError, match="no node 'simulator_node'; did you mean simulation_node"):
        check_parameters(path, {"simulation_node": {}})
