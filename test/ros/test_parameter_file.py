# SPDX-License-Identifier: Apache-2.0
"""Parameter files as rcl itself reads them."""

import math
import os

import pytest

pytest.importorskip("rclpy")

import rclpy
from rclpy.node import Node

from humanoid_mujoco_ros.robot.errors import YamlError
from humanoid_mujoco_ros.ros.parameter_file import load_yaml, sections

SERVICE = "start_type_description_service"


def of_rcl(path, node, namespace, domain_id):
    """What a real node gets of the file."""
    context = rclpy.Context()
    rclpy.init(context=context, args=[], domain_id=domain_id)
    try:
        node = Node(
            node,
            namespace=namespace,
            context=context,
            # Without that service, whose end once span in rmw for ever.
            cli_args=["--ros-args", "--params-file", str(path), "-p", f"{SERVICE}:=false"],
            use_global_arguments=False,
            automatically_declare_parameters_from_overrides=True,
            start_parameter_services=False,
            enable_rosout=False,
        )
        values = {
            name: parameter.value
            for name, parameter in node.get_parameters_by_prefix("").items()
            if name not in ("use_sim_time", SERVICE)
        }
        node.destroy_node()
    finally:
        rclpy.shutdown(context=context)
    return values


def of_ours(path, node, namespace):
    values = {}
    for section in sections(path):
        if section.is_for(f"{namespace}/{node}"):
            values.update(section.parameters)
    return values


FILES = {
    "node": "policy_node: {ros__parameters: {a: 1}}",
    "absolute": "/policy_node: {ros__parameters: {a: 1}}",
    "one part": "/*/policy_node: {ros__parameters: {a: 1}}",
    "one part, nothing else": "/*: {ros__parameters: {a: 1}}",
    "any parts": "/**/policy_node: {ros__parameters: {a: 1}}",
    "in a namespace": "/first/**: {ros__parameters: {a: 1}}",
    "nested": "first: {policy_node: {ros__parameters: {a: 1}}, b: {ros__parameters: {a: 2}}}",
    "nested wildcard": "/*: {policy_node: {ros__parameters: {a: 1}}}",
    "nested wildcards": "/**: {policy_node: {ros__parameters: {a: 1}}}",
    "two robots": "/first/policy_node: {ros__parameters: {a: 1}}\n"
    "/second/policy_node: {ros__parameters: {a: 2}}",
    "the later wins": "/**/policy_node: {ros__parameters: {a: 1}}\n/**: {ros__parameters: {a: 2}}",
    "twice": "/**: {ros__parameters: {a: 1}}\n/**: {ros__parameters: {b: 2}}",
    "documents": "/**: {ros__parameters: {a: 1}}\n---\n/**: {ros__parameters: {b: 2}}",
    "nested parameters": "/**: {ros__parameters: {a: {b: {c: 1}}, d.e: 2, f: [1, 2]}}",
    "quoted": "/**: {ros__parameters: {a: '1', b: \"true\", c: 'no'}}",
    "no parameters": "policy_node: {}",
    "nothing": "",
}
SCALARS = """
25e-4 1e3 0x10 010 0o10 .5 5. 1_000 yes y N On off TRUE .inf -.inf .nan inf +1 +1.5 2024-01-01
1E5 -3 t ~ null -0 1.0.0 9223372036854775807 9223372036854775808 1f . - e5 1e =
"""
FILES |= {text: f"/**: {{ros__parameters: {{a: {text}}}}}" for text in SCALARS.split()}


@pytest.mark.parametrize("name", FILES)
def test_a_node_gets_what_rcl_gives_it(graph, tmp_path, name):
    path = tmp_path / "parameters.yaml"
    path.write_text(FILES[name])
    for namespace in ("", "/first", "/first/deeper"):
        ours = of_ours(path, "policy_node", namespace)
        of_a_node = of_rcl(path, "policy_node", namespace, graph.domain_id)
        assert ours.keys() == of_a_node.keys()
        for parameter, value in ours.items():
            other = of_a_node[parameter]
            assert type(value) is type(other) or list(value) == list(other)
            assert value == other or math.isnan(value) or list(value) == list(other)


BOMB = "a: &a [x, x]\n" + "".join(f"b{i}: &b{i} [*a, *a]\n" for i in range(30))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (BOMB, r"line 2: aliases \(\*\) are not allowed"),
        ("[" * 60_000, "nested more than 20 levels deep"),
        ("a: " * 20_000, "mapping values are not allowed here"),
        ("{a: " * 10_000, "nested more than 20 levels deep"),
        ("x" * 100_000, "at most 65536 are read"),
        ("a: [", "line 1: expected the node content"),
        ("a: 1\n---\nb: 1", "expected one document, not 2"),
    ],
)
@pytest.mark.timeout(30)
def test_a_hostile_text_is_refused_at_once(text, reason):
    with pytest.raises(YamlError, match=reason):
        load_yaml(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("- 1", "expected node names"),
        ("node: {policy: walk}", "'node/policy' has no ros__parameters"),
        ("/**: {ros__parameters: 1}", "ros__parameters holds no parameters"),
        ("/**: {ros__parameters: {a: }}", "'a' has no value"),
    ],
)
def test_a_file_of_another_kind_is_explained(tmp_path, text, reason):
    path = tmp_path / "parameters.yaml"
    path.write_text(text)
    with pytest.raises(YamlError, match=reason):
        sections(path)


def test_files_that_never_end_are_not_read(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(YamlError, match="not a regular file"):
        sections(fifo)
    sparse = tmp_path / "sparse"
    with sparse.open("wb") as file:
        file.truncate(10 * 1024**3)
    with pytest.raises(YamlError, match="it has 10737418240 bytes"):
        sections(sparse)
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(YamlError, match="not UTF-8"):
        sections(binary)
