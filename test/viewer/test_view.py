# SPDX-License-Identifier: Apache-2.0
"""The server of the page."""

import socket
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("viser")

from humanoid_mujoco_ros.interaction.spring import SpringConfig
from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.robot.posed_model import PosedModel
from humanoid_mujoco_ros.robot.state import Wrench
from humanoid_mujoco_ros.viewer.panel import Figures, number
from humanoid_mujoco_ros.viewer.push import PushPlan
from humanoid_mujoco_ros.viewer.view import View, ViewerConfig, ViewError, serve


class NoActions:
    """Actions that nobody carries out."""

    def __getattr__(self, name):
        return lambda *_: None


@pytest.fixture
def port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def view(port):
    posed = PosedModel(RobotModel())
    view = View(ViewerConfig(port=port), SpringConfig(), posed, NoActions())
    view.posed = posed
    yield view
    view.close()


def draw(view):
    view.draw(lambda: (Figures(), []), lambda: np.zeros(17))


def test_a_taken_port_is_refused(port):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with pytest.raises(ViewError, match=rf"cannot use 127\.0\.0\.1:{port}: .*in use"):
            serve(ViewerConfig(port=port))


def test_an_address_of_another_machine_is_refused(port):
    with pytest.raises(ViewError, match=r"cannot use 192\.0\.2\.1"):
        serve(ViewerConfig(host="192.0.2.1", port=port))


@pytest.mark.parametrize("wrong", [{"frame_rate_hz": 0.5}, {"frame_rate_hz": 100.0}, {"port": 0}])
def test_a_configuration_out_of_range_is_refused(wrong):
    with pytest.raises(ValueError, match="must be within 1 and"):
        ViewerConfig(**wrong)


def test_nobody_can_share_the_page_through_visers_tunnel(view):
    assert view._server.request_share_url() is None


def test_a_push_comes_with_the_states_and_ends(view):
    view.posed.set_pose([0, 0, 1.4], [1, 0, 0, 0], np.zeros(17))
    assert view.on_state(0) == {}
    view.post(lambda: view.push(PushPlan("forward", 100.0, 0.03, "base_link")))
    draw(view)
    pushed = [view.on_state(tick * 10_000_000) for tick in range(6)]
    assert [list(wrenches) for wrenches in pushed] == [["base_link"]] * 3 + [[]] * 3
    np.testing.assert_allclose(pushed[0]["base_link"].force, [100.0, 0.0, 0.0])


def test_losing_the_robot_ends_the_push(view):
    view.push(PushPlan("forward", 100.0, 2.0, "base_link"))
    assert view.on_state(0)
    view.robot_lost()
    assert view.on_state(10_000_000) == {}


def test_frames_are_drawn_whatever_the_figures(view):
    view.on_foot_wrench("left", Wrench(np.array([0.0, 0.0, 400.0]), np.zeros(3)))
    for _ in range(3):
        draw(view)
    assert view.frames == 3


def test_a_figure_that_is_not_known_is_a_dash():
    assert number(float("nan"), "{:.1f}") == "–"
    assert number(1.25, "{:.2f}") == "1.25"


def test_the_viewer_imports_no_ros():
    program = "import sys, humanoid_mujoco_ros.viewer.view; print('rclpy' in sys.modules)"
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert output.strip() == "False"
