# SPDX-License-Identifier: Apache-2.0
"""What the panel says about the nodes."""

import math

import numpy as np

from humanoid_mujoco_ros.viewer.history import History
from humanoid_mujoco_ros.viewer.status import (
    ERROR,
    OK,
    WARN,
    NodeStatus,
    Problem,
    StatusBoard,
    robot_silence,
)


def board(**statuses):
    result = StatusBoard()
    for node, status in statuses.items():
        result.update(node, status)
    return result


def test_figures_are_known_as_long_as_the_node_speaks():
    statuses = board(simulation_node=NodeStatus(OK, "ok", {"rate": "99.5", "paused": "True"}, 10.0))
    assert statuses.number("simulation_node", "rate", 11.0) == 99.5
    assert statuses.flag("simulation_node", "paused", 11.0) is True
    assert math.isnan(statuses.number("simulation_node", "rate", 14.0))
    assert statuses.flag("simulation_node", "paused", 14.0) is None
    assert math.isnan(statuses.number("simulation_node", "paused", 11.0))
    assert math.isnan(statuses.number("policy_node", "rate", 11.0))


def test_problems_are_told_the_worst_first():
    statuses = board(
        simulation_node=NodeStatus(WARN, "the robot has fallen", {}, 10.0),
        policy_node=NodeStatus(ERROR, "no observation", {}, 10.0),
        recorder=NodeStatus(OK, "ok", {}, 10.0),
    )
    assert statuses.problems(10.5) == [
        Problem(ERROR, "policy_node: no observation"),
        Problem(WARN, "simulation_node: the robot has fallen"),
    ]


def test_a_node_that_fell_silent_is_missed_for_a_while():
    statuses = board(policy_node=NodeStatus(OK, "ok", {}, 10.0))
    assert statuses.problems(17.0) == [Problem(ERROR, "policy_node: not heard for 7 s")]
    assert statuses.problems(100.0) == []


def test_a_robot_that_falls_silent_is_told_with_its_time():
    assert robot_silence(0.3, 0.0, 50.0, "why") is None
    assert robot_silence(None, 0.0, 0.5, "why") is None
    assert robot_silence(4.2, 0.0, 50.0, "why").text == "robot not seen for 4 s: why"
    assert robot_silence(None, 0.0, 50.0, "why").text == "robot not seen yet: why"


def test_the_history_keeps_its_window_and_leaves_out_what_is_not_known():
    history = History(("height", "rate"), window_s=2.0, max_samples=100)
    assert [len(column) for column in history.series("height")] == [0, 0]
    for tick in range(50):
        history.add(0.1 * tick, {"height": tick} | ({"rate": 100.0} if tick > 40 else {}))
    time_s, height = history.series("height")
    np.testing.assert_allclose(time_s, np.arange(-20, 1) * 0.1, atol=1e-9)
    np.testing.assert_array_equal(height, np.arange(29, 50))
    assert len(history.series("rate")[0]) == 9
