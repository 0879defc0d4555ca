# SPDX-License-Identifier: Apache-2.0
"""The page as a whole, and a browser that may send anything."""

import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

pytest.importorskip("viser")

from raw_browser import RawBrowser

from humanoid_mujoco_ros.interaction.push import PushPlan
from humanoid_mujoco_ros.interaction.spring import SpringConfig
from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.robot.posed_model import PosedModel
from humanoid_mujoco_ros.robot.state import Wrench
from humanoid_mujoco_ros.simulation.placement import Placement
from humanoid_mujoco_ros.viewer.config import ViewerConfig
from humanoid_mujoco_ros.viewer.page import Page
from humanoid_mujoco_ros.viewer.readings import Readings
from humanoid_mujoco_ros.viewer.robot_view import RobotSource

ROBOT = RobotModel()


class Recorder:
    """Writes down what is asked of the simulation and of the policy."""

    def __init__(self):
        self.asked = []

    def __getattr__(self, name):
        return lambda *values: self.asked.append((name, *values[:-1]))


class Stage:
    """A page, the browsers that show it, and the robot, or several with their names and places."""

    def __init__(self, **placements):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.simulation, self.policy = Recorder(), Recorder()
        sources = [self.source(*place) for place in placements.items() or [("", Placement())]]
        self.posed = sources[0].posed
        self.page = Page(ViewerConfig(port=self.port), sources)
        self.robot = self.page.robots[0]
        self.faults = []
        self.browsers = []

    def source(self, name, placement):
        posed = PosedModel(ROBOT)
        posed.set_pose([0, 0, 1.4], [1, 0, 0, 0], np.zeros(17))
        return RobotSource(
            posed=posed,
            spring=SpringConfig(),
            policies=["walk", "balance"],
            simulation=self.simulation,
            policy=self.policy,
            readings=lambda: Readings(is_pushable=True, body_height_m=1.4),
            efforts=lambda: np.zeros(17),
            name=name,
            placement=placement,
        )

    def open(self):
        """Another browser, which has loaded the page."""
        browser = RawBrowser(self.port)
        self.browsers.append(browser)
        self.until(lambda: self.page.client_count == len(self.browsers) and browser.values)
        return browser

    def close(self):
        for browser in self.browsers:
            browser.close()
        self.page.close()

    def draw(self):
        self.page.draw()
        count, last = self.page.faults.take()
        if count:
            self.faults.append(last)
        for browser in self.browsers:
            browser.listen()

    def until(self, condition, timeout_s=60.0):
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline_s, f"it did not happen; faults: {self.faults}"
            self.draw()


@pytest.fixture
def stage():
    stage = Stage()
    yield stage
    stage.close()


@pytest.fixture
def browser(stage):
    return stage.open()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"frame_rate_hz": 0.5}, "within 1 and 60"),
        ({"frame_rate_hz": 100.0}, "within 1 and 60"),
        ({"port": 0}, "port must be positive, not 0"),
        ({"port": 70000}, "within 1 and 65535"),
        ({"allowed_origins": "robot.example"}, "expected an origin such as"),
        ({"allowed_origins": "https://a.example https://b.example/path"}, "b.example/path"),
        ({"allowed_origins": "http://a.example:port"}, "expected an origin"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        ViewerConfig(**wrong)


def test_a_push_comes_with_the_states_and_ends(stage):
    assert stage.robot.on_state(0) == {}
    stage.robot.push(PushPlan("forward", 100.0, 0.05, "base_link"))
    pushed = [stage.robot.on_state(tick * 10_000_000) for tick in range(8)]
    assert [list(wrenches) for wrenches in pushed] == [["base_link"]] * 5 + [[]] * 3
    np.testing.assert_allclose(pushed[0]["base_link"].force, [100.0, 0.0, 0.0])


def test_losing_the_robot_ends_the_push(stage):
    stage.robot.push(PushPlan("forward", 100.0, 2.0, "base_link"))
    assert stage.robot.on_state(0)
    stage.robot.robot_lost()
    assert stage.robot.on_state(10_000_000) == {}


def test_frames_are_drawn_whatever_the_readings(stage):
    stage.robot.on_foot_wrench("left", Wrench(np.array([0.0, 0.0, 400.0]), np.zeros(3)))
    for _ in range(3):
        stage.draw()
    assert stage.page.frames == 3


def test_the_panel_pushes_as_it_is_told(stage, browser):
    browser.set("Force (N)", 200)
    browser.set("Direction", "forward")
    browser.set("Push", True)
    stage.until(lambda: stage.robot.on_state(0))
    np.testing.assert_allclose(stage.robot.on_state(0)["base_link"].force, [200.0, 0.0, 0.0])


@pytest.mark.parametrize(
    ("label", "value", "expected"),
    [
        ("Force (N)", 1e6, 600.0),
        ("Force (N)", 1e308, 600.0),
        ("Force (N)", -1e308, 10.0),
        ("Time (s)", 1e9, 2.0),
        ("Direction", "bogus", "forward"),
        ("Link", "bogus", "base_link"),
        ("Policy", "bogus", "walk"),
        ("Speed", 1e308, 2.0),
    ],
)
def test_a_bogus_value_goes_back_into_its_range(stage, browser, label, value, expected):
    other = stage.open()
    browser.set(label, value)
    browser.set("Push", True)
    browser.set("Stop policy", True)
    stage.until(lambda: ("stop",) in stage.policy.asked)
    stage.until(lambda: other.values[label] == expected)
    assert all(0.1 <= factor <= 2.0 for _, factor in stage.simulation.asked)
    for wrench in stage.robot.on_state(0).values():
        assert np.linalg.norm(wrench.force) <= 600.0 + 1e-9


def test_values_that_are_none_are_refused_and_the_panel_cannot_be_rebuilt(stage, browser):
    other, before = stage.open(), dict(browser.values)
    for label in ("Force (N)", "Speed", "Direction", "Time", "Follow"):
        for value in (float("nan"), float("inf"), [1], None, {}):
            browser.set(label, value)
        browser.update(label, {"removed": True, "value": 1})
        browser.update(label, {"label": "Owned"})
    browser.set("Force (N)", "many")
    browser.set("Time", "Explode")
    browser.update("Stop policy", {"removed": True})
    browser.set("Stop policy", True)
    stage.until(lambda: ("stop",) in stage.policy.asked)
    assert stage.simulation.asked == []
    assert stage.faults
    other.listen(timeout_s=0.3)
    assert {**other.values, "Time": None} == {**before, "Time": None}


def test_the_policy_that_is_chosen_is_loaded(stage, browser):
    browser.set("Policy", "balance")
    browser.set("Load", True)
    stage.until(lambda: stage.policy.asked == [("load", "balance")])
    browser.set("Policy", "file or hf://…")
    browser.set("Address", "  hf://a/b ")
    browser.set("Load", True)
    stage.until(lambda: stage.policy.asked[-1] == ("load", "hf://a/b"))


def test_a_link_that_is_not_there_is_refused(stage):
    with pytest.raises(ValueError, match="link 'tail' is not in the model"):
        stage.robot.push(PushPlan("left", 100.0, 0.2, "tail"))


def test_a_drag_pulls_until_its_end(stage, browser):
    stage.robot.on_state(0)
    browser.drag("start")
    stage.until(lambda: stage.robot.on_state(0))
    browser.drag("end")
    stage.until(lambda: not stage.robot.on_state(0))


def test_a_drag_of_the_robot_that_is_shown_keeps_its_plots(stage, browser):
    def drawn():
        return max(browser.plots.values(), key=max, default=[0])

    stage.until(lambda: drawn()[-1] > 5 * 8)  # more than come between two drawings
    browser.drag("start")
    stage.until(lambda: stage.robot.is_held)
    count = len(drawn())
    stage.until(lambda: len(drawn()) > count)
    assert drawn() == sorted(drawn())


def test_a_lost_connection_lets_go(stage, browser):
    browser.drag("start")
    stage.until(lambda: stage.robot.on_state(0))
    browser.close()
    stage.until(lambda: not stage.robot.on_state(0))


def test_a_browser_without_a_sign_of_life_loses_the_robot(stage, browser):
    browser.drag("start")
    stage.until(lambda: stage.robot.on_state(0))
    start_s = time.monotonic()
    stage.until(lambda: not stage.robot.on_state(0))  # this one never answers
    assert time.monotonic() - start_s > 1.0


def test_a_browser_with_signs_of_life_keeps_the_robot(stage, browser):
    browser.is_alive = True
    browser.drag("start")
    stage.until(lambda: stage.robot.on_state(0))
    start_s = time.monotonic()
    while time.monotonic() < start_s + 3.0:  # a silent one loses it after 2 s
        stage.draw()
        time.sleep(0.05)  # as the node does; without, the browser cannot read all that is drawn
        assert stage.robot.on_state(0)
    browser.is_alive = False
    stage.until(lambda: not stage.robot.on_state(0))


def test_a_flood_of_drags_makes_no_thread_and_no_wrench_that_is_not_finite(stage, browser):
    browser.drag("start")
    stage.until(lambda: stage.robot.on_state(0))
    threads = threading.active_count()
    for i in range(3000):
        bad = [float("nan"), 1e308, float("inf"), 0.3][i % 4]
        browser.drag("start", instance=[0, 10**9, -1, None][i // 4 % 4], end=(bad, 0.0, 1.4))
        browser.drag("update", start=(bad, bad, bad), end=(0.0, bad, 1.4))
        if i % 100 == 0:
            stage.draw()
            for wrench in stage.robot.on_state(i * 10_000_000).values():
                assert np.isfinite([*wrench.force, *wrench.torque]).all()
                assert np.linalg.norm(wrench.force) <= 300.0 + 1e-9
    assert threading.active_count() <= threads
    browser.set("Stop policy", True)
    stage.until(lambda: ("stop",) in stage.policy.asked)
    assert stage.faults


def test_the_viewer_imports_no_ros():
    program = "import sys, humanoid_mujoco_ros.viewer.page; print('rclpy' in sys.modules)"
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert output.strip() == "False"


def test_the_configuration_needs_no_server():
    program = "import sys, humanoid_mujoco_ros.viewer.config; print('viser' in sys.modules)"
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert output.strip() == "False"


@pytest.fixture
def two_robots():
    stage = Stage(first=Placement(), second=Placement(2.0, 0.0, np.pi / 2))
    yield stage
    stage.close()


def test_of_several_robots_the_one_that_was_clicked_is_pulled_and_has_the_panel(two_robots):
    stage, browser = two_robots, two_robots.open()
    first, second = stage.page.robots
    assert browser.values["Robot"] == "first"
    browser.drag("start", start=(2, 0, 1.4), end=(2, 0.3, 1.4), robot="second")
    stage.until(lambda: browser.values["Robot"] == "second")
    (wrench,) = second.on_state(0).values()
    # The mouse pulls along y of the world, which is ahead of the robot.
    assert wrench.force[0] > 10.0
    np.testing.assert_allclose(wrench.force[1:], 0.0, atol=1e-6)
    assert first.on_state(0) == {}
    browser.drag("end", robot="second")
    stage.until(lambda: not second.is_held)
    stage.draw()
    # Now the scene follows that robot: what is beside it is in the middle.
    browser.drag("start", start=(0, 0, 1.4), end=(0, 0.3, 1.4), robot="second")
    stage.until(lambda: second.is_held)
    (wrench,) = second.on_state(1).values()
    assert wrench.force[0] > 10.0


def test_a_person_chooses_a_robot_by_its_name(two_robots):
    stage, browser = two_robots, two_robots.open()
    browser.set("Robot", "second")
    stage.until(lambda: np.allclose(stage.page.chosen.position, [2.0, 0.0, 1.4]))
    browser.set("Robot", "third")
    stage.until(lambda: browser.values["Robot"] == "first")
    assert stage.page.chosen is stage.page.robots[1]
