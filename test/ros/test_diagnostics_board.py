# SPDX-License-Identifier: Apache-2.0
"""The board survives whatever is published on /diagnostics."""

import math

import pytest

pytest.importorskip("rclpy")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from humanoid_mujoco_ros.ros import diagnostics_board
from humanoid_mujoco_ros.ros.diagnostics_board import DiagnosticsBoard, Problem

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


class Clock:
    """A steady clock that a test sets."""

    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def board(clock):
    return DiagnosticsBoard("/", clock)


def array(*statuses):
    """An array of statuses, each (name, level, message, values)."""
    message = DiagnosticArray()
    for name, level, text, values in statuses:
        pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
        message.status.append(DiagnosticStatus(name=name, level=level, message=text, values=pairs))
    return message


def test_figures_are_known_as_long_as_the_node_speaks(board, clock):
    values = {"rate": "99.5", "paused": "True", "policy": ""}
    board.on_diagnostics(array(("simulation_node: physics", OK, "ok", values)))
    assert board.nodes == ["simulation_node"]
    assert board.number("simulation_node", "rate") == 99.5
    assert board.flag("simulation_node", "paused") is True
    assert board.text("simulation_node", "policy") is None
    clock.now_s += 4.0
    assert board.nodes == []
    assert math.isnan(board.number("simulation_node", "rate"))
    assert board.flag("simulation_node", "paused") is None
    assert board.values("simulation_node") == {}


@pytest.mark.parametrize("value", ["n/a", "", "1e400", "-inf", "nan", "0x10", "\x00", "一"])
def test_what_is_no_number_is_not_known(board, value):
    board.on_diagnostics(array(("simulation_node: x", OK, "ok", {"sim_time_s": value})))
    assert math.isnan(board.number("simulation_node", "sim_time_s"))
    assert board.flag("simulation_node", "sim_time_s") is None


def test_problems_are_told_the_worst_first(board, clock):
    board.on_diagnostics(
        array(
            ("simulation_node: physics", WARN, "the robot has fallen", {}),
            ("policy_node: policy", ERROR, "no observation", {}),
            ("recorder: bag", OK, "ok", {}),
            ("camera: driver", b"\x09", "of an unknown level", {}),
        )
    )
    assert board.problems() == [
        Problem(ERROR, "policy_node: no observation"),
        Problem(ERROR, "camera: of an unknown level"),
        Problem(WARN, "simulation_node: the robot has fallen"),
    ]
    clock.now_s += 7.0
    assert Problem(ERROR, "recorder: not heard for 7 s") in board.problems()
    clock.now_s += 60.0
    assert board.problems() == []


def test_each_namespace_has_its_own_board(clock):
    second = DiagnosticsBoard("/second", clock, ignore="viewer_node")
    second.on_diagnostics(
        array(
            ("simulation_node: physics", OK, "ok", {"rate": "1"}),
            ("second/simulation_node: physics", OK, "ok", {"rate": "2"}),
            ("/second/policy_node: policy", OK, "ok", {}),
            ("second/viewer_node: browser view", WARN, "of itself", {}),
        )
    )
    assert second.nodes == ["simulation_node", "policy_node"]
    assert second.number("simulation_node", "rate") == 2.0


def test_foreign_names_take_a_limited_room_and_no_place_of_ours(board, clock):
    names = [f"foreign_{i}" for i in range(46_200)]
    board.on_diagnostics(array(*((name, OK, "ok", {}) for name in names)))
    assert len(board.nodes) == diagnostics_board.MAX_OTHER_NODES
    board.on_diagnostics(array(("simulation_node: physics", OK, "ok", {"rate": "100"})))
    assert board.number("simulation_node", "rate") == 100.0
    # A newcomer gets the place of one that is long silent.
    board.on_diagnostics(array(("lidar: driver", OK, "ok", {})))
    assert "lidar" not in board.nodes
    clock.now_s += diagnostics_board.FORGET_S + 1.0
    board.on_diagnostics(array(("lidar: driver", OK, "ok", {})))
    assert board.nodes == ["lidar"]


def test_long_texts_are_cut_and_control_characters_are_left_out(board):
    values = {f"key {i}": "v" * 100_000 for i in range(1000)}
    board.on_diagnostics(array(("camera: x", ERROR, "red\x1b[31m\n" + "m" * 100_000, values)))
    (problem,) = board.problems()
    assert problem.text.startswith("camera: red [31m m")
    assert len(problem.text) < 320
    assert len(board.values("camera")) == diagnostics_board.MAX_VALUES
    assert {len(v) for v in board.values("camera").values()} == {diagnostics_board.MAX_VALUE_LENGTH}
    board.on_diagnostics(
        array(("\x1b[31m", ERROR, "", {}), ("n" * 5000, ERROR, "", {}), ("", ERROR, "", {}))
    )
    assert board.nodes == ["camera"]
