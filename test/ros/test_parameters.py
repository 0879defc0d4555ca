# SPDX-License-Identifier: Apache-2.0
"""Parameters that a real node declares for a configuration."""

from dataclasses import dataclass, field, make_dataclass
from typing import Literal

import pytest

pytest.importorskip("rclpy")

from rcl_interfaces.srv import DescribeParameters
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.parameter import Parameter

from humanoid_mujoco_ros.robot.joint_map import JointMapError
from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.ros import parameters


@dataclass(frozen=True)
class Config:
    """A configuration."""

    period_s: float = field(default=0.1, metadata={"minimum": 0.0})
    """Time between two."""
    share: float = field(default=0.5, metadata={"minimum": 0.0, "maximum": 1.0})
    port: int = field(default=80, metadata={"minimum": 1, "maximum": 65535})
    count: int = field(default=0, metadata={"maximum": 9})
    free: float = 0.0
    mode: Literal["slow", "fast"] = "slow"


@pytest.fixture
def declare(graph):
    """Declares a configuration with some values set from outside."""
    nodes = []

    def declare(config_type, changeable=(), **values):
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        node = Node(f"node_{len(nodes)}", context=graph.context, parameter_overrides=overrides)
        nodes.append(node)
        graph.executor.add_node(node)
        return parameters.declare(node, config_type, changeable)

    declare.nodes = nodes
    yield declare
    for node in nodes:
        node.destroy_node()


def test_ranges_texts_and_choices_are_in_the_descriptors(graph, declare):
    assert declare(Config, period=0.2) == Config(period_s=0.2)
    names = ["period", "share", "port", "count", "free", "mode"]
    request = DescribeParameters.Request(names=names)
    response = graph.call(DescribeParameters, "node_0/describe_parameters", request)
    found = {descriptor.name: descriptor for descriptor in response.descriptors}
    assert found["period"].description == "Time between two."
    assert found["period"].floating_point_range[0].from_value == 0.0
    assert found["period"].floating_point_range[0].to_value > 1e300
    assert found["share"].floating_point_range[0].to_value == 1.0
    assert found["port"].integer_range[0].from_value == 1
    assert found["port"].integer_range[0].to_value == 65535
    assert found["count"].integer_range[0].from_value == -(2**63)
    assert not found["free"].floating_point_range
    assert found["mode"].additional_constraints == "one of slow, fast"
    assert all(descriptor.read_only for descriptor in found.values())


@pytest.mark.parametrize("wrong", [{"share": 1.5}, {"period": -0.1}, {"port": 0}, {"count": 10}])
def test_a_value_out_of_range_is_refused_at_the_start_and_later(declare, wrong):
    with pytest.raises(ParameterException, match=next(iter(wrong))):
        declare(Config, **wrong)
    declare(Config, changeable=("share", "period_s", "port", "count"))
    (result,) = declare.nodes[-1].set_parameters(
        [Parameter(name, value=value) for name, value in wrong.items()]
    )
    assert not result.successful


def test_a_configuration_without_a_source_file_has_no_texts(declare):
    made = make_dataclass("Made", [("speed_s", float, 1.0)], frozen=True)
    assert parameters.field_docs(made) == {}
    assert declare(made).speed_s == 1.0


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("knee: [", "not usable YAML"),
        ("a: &a [1]\nb: *a", "are not allowed"),
        ("[" * 50_000, "nested more than 20 levels deep"),
        ("x" * 100_000, "at most 65536"),
        ("1", "no list of joints"),
    ],
)
def test_a_hostile_joint_map_is_refused(text, reason):
    with pytest.raises(JointMapError, match=reason):
        parameters.parse_joint_map(text, RobotModel())
