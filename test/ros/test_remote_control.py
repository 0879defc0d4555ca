# SPDX-License-Identifier: Apache-2.0
"""Service calls one after another, against real services."""

import pytest

pytest.importorskip("rclpy")

from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import SetParameters
from std_srvs.srv import Trigger

from humanoid_mujoco_ros.ros.remote_control import Caller, PolicyClient, SimulationClient


class Said(list):
    """What a person was told."""

    def __call__(self, text, *, is_error):
        self.append((text, is_error))


@pytest.fixture
def transitions(graph):
    """The transitions that an active policy_node, which obeys, was asked for."""
    asked, node = [], graph.node

    def get_state(_, response):
        response.current_state.id = State.PRIMARY_STATE_ACTIVE
        return response

    def change_state(request, response):
        asked.append(request.transition.id)
        response.success = True
        return response

    node.create_service(GetState, "policy_node/get_state", get_state)
    node.create_service(ChangeState, "policy_node/change_state", change_state)
    # A service that answers without results.
    node.create_service(SetParameters, "policy_node/set_parameters", lambda _, response: response)
    return asked


def ready(graph, service_type, name):
    client = graph.node.create_client(service_type, name)
    graph.spin_until(client.service_is_ready)


def test_a_stop_replaces_the_loading_under_way(graph, transitions):
    policy, loading, stopping = PolicyClient(graph.node, Caller()), Said(), Said()
    ready(graph, GetState, "policy_node/get_state")
    ready(graph, ChangeState, "policy_node/change_state")
    policy.load("walk", loading)
    policy.stop(stopping)
    graph.spin_until(lambda: stopping)
    graph.spin_for(0.3)  # for what must not come
    assert stopping == [("stopped", False)]
    assert loading == []
    assert transitions == [Transition.TRANSITION_DEACTIVATE]


def test_an_answer_that_is_none_is_told_and_ends_nothing(graph, transitions):
    policy, said = PolicyClient(graph.node, Caller()), Said()
    for service_type, name in (
        (GetState, "get_state"),
        (ChangeState, "change_state"),
        (SetParameters, "set_parameters"),
    ):
        ready(graph, service_type, f"policy_node/{name}")
    policy.load("walk", said)
    graph.spin_until(lambda: said)
    assert said[0][1]
    assert "IndexError" in said[0][0]


def test_a_service_that_is_not_there_and_one_that_refuses_are_told(graph):
    simulation, said = SimulationClient(graph.node, graph.node, Caller()), Said()
    simulation.reset(said)
    assert not simulation.is_there
    assert said == [("there is no simulation/reset", True)]

    def refuse(_, response):
        response.success, response.message = False, "not now"
        return response

    graph.node.create_service(Trigger, "simulation/reset", refuse)
    graph.spin_until(lambda: simulation.is_there)
    simulation.reset(said)
    graph.spin_until(lambda: len(said) == 2)
    assert said[1] == ("not now", True)
