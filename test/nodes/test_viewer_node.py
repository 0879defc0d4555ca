# SPDX-License-Identifier: Apache-2.0
"""viewer_node in a process of its own, in a real browser: what a person sees and does."""

from __future__ import annotations

import contextlib
import io
import re
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("viser")

from geometry_msgs.msg import WrenchStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from nav_msgs.msg import Odometry
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from std_srvs.srv import SetBool, Trigger

from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.ros import conversions
from humanoid_mujoco_ros.viewer import scene

pytestmark = [pytest.mark.processes, pytest.mark.browser, pytest.mark.slow]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SLOWLY = 0.4
"""Real-time factor: without a GPU the browser draws on the cores that the simulation needs."""
WIDTH, HEIGHT = 820, 400


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium that draws in software."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("there is no chromium on the PATH (apt-get install chromium)")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"],
        )
        yield chromium
        chromium.close()


class Site:
    """A simulation, its policy, the view, and the pages that show it."""

    def __init__(self, graph: Any, browser: Any) -> None:
        self.graph = graph
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.health = graph.health()
        self.odometry = graph.listen(Odometry, "odom", 100)
        self.wrenches = graph.listen(WrenchStamped, "external_wrench", 100)
        self._browser = browser
        self._contexts: list[Any] = []

    def start(self) -> None:
        self.graph.start(
            "simulation_node",
            {"real_time_factor": SLOWLY, "command_timeout": 2.0, "on_fall": "stay"},
        )
        self.graph.start("policy_node", {"policy": "balance", "observation_timeout": 0.0})
        self.graph.start("viewer_node", {"port": self.port})
        self.graph.spin_until(lambda: self.health.value("viewer_node", "url"))

    def begin(self, policy: str = "balance") -> None:
        """Undoes what the test before did: the robot stands again, driven by a policy."""
        for context in self._contexts:
            context.close()
        self._contexts.clear()
        self.until(lambda: self.clients == 0)
        self.set_parameter("simulation_node", "real_time_factor", SLOWLY)
        self.set_parameter("policy_node", "policy", policy)
        self.graph.call(SetBool, "simulation/pause", SetBool.Request(data=False))
        activate = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_ACTIVATE))
        self.graph.call(ChangeState, "policy_node/change_state", activate)
        assert self.graph.call(Trigger, "simulation/reset", Trigger.Request()).success
        self.odometry.clear()
        self.until(lambda: self.odometry and self.base[2] > 1.3)
        self.wrenches.clear()

    def set_parameter(self, node: str, name: str, value: str | float) -> None:
        parameter = Parameter(name, value=value).to_parameter_msg()
        request = SetParameters.Request(parameters=[parameter])
        (result,) = self.graph.call(SetParameters, f"{node}/set_parameters", request).results
        assert result.successful, result.reason

    def open(self) -> Page:
        context = self._browser.new_context(viewport={"width": WIDTH, "height": HEIGHT})
        self._contexts.append(context)
        return Page(self, context)

    def until(self, condition: Callable[[], object], timeout_s: float = 60.0) -> None:
        self.graph.spin_until(condition, timeout_s)

    @property
    def base(self) -> np.ndarray:
        return conversions.from_odometry(self.odometry[-1]).position

    @property
    def speed(self) -> float:
        """The real-time factor that the simulation reaches, by its own word."""
        return float(self.health.value("simulation_node", "real_time_factor") or "nan")

    @property
    def clients(self) -> int:
        return int(self.health.value("viewer_node", "browsers") or 0)

    def forces_world(self) -> list[np.ndarray]:
        """Forces on base_link so far, in the world: it stands upright in these tests."""
        quaternion = conversions.from_odometry(self.odometry[-1]).quaternion_wxyz
        return [
            rotation.rotate(quaternion, conversions.from_wrench(message).force)
            for message in self.wrenches
            if message.header.frame_id == "base_link"
        ]

    def close(self) -> None:
        for context in self._contexts:
            context.close()


class Page:
    """The view in one browser."""

    def __init__(self, site: Site, context: Any) -> None:
        self.site = site
        self.page = context.new_page()
        before = site.clients
        self.page.goto(site.url)
        self.page.wait_for_selector("canvas", timeout=120_000)
        site.until(lambda: site.clients > before)
        site.until(lambda: self.figure("Height") is not None)
        notice = self.page.locator(".mantine-Notification-closeButton")
        if notice.count():
            notice.first.click()

    def close(self) -> None:
        self.page.close()

    def freeze(self) -> None:
        """Stops the page's scripts, as a page that hangs; its connection stays open."""
        debugger = self.page.context.new_cdp_session(self.page)
        debugger.send("Debugger.enable")
        debugger.send("Debugger.pause")

    def figure(self, label: str) -> float | None:
        """A number of the panel; None while it is a dash."""
        tile = self.page.locator(f'[data-figure="{label}"]')
        if not tile.count():
            return None
        found = re.search(r"\n\s*(-?[\d.]+)", tile.first.inner_text())
        return float(found.group(1)) if found else None

    def health(self) -> str:
        return str(self.page.locator("[data-health]").first.inner_text())

    def click(self, button: str) -> None:
        self.page.get_by_role("button", name=button, exact=True).first.click()

    def pixels(self) -> np.ndarray:
        """The picture of the canvas, (height, width, 3)."""
        image = pytest.importorskip("PIL.Image")
        box = self.canvas()
        shot = self.page.screenshot(clip=dict(zip(("x", "y", "width", "height"), box, strict=True)))
        return np.asarray(image.open(io.BytesIO(shot)).convert("RGB"), dtype=int)

    def is_humanoid_centred(self) -> bool:
        """Whether the humanoid's orange limbs are in the middle of the picture."""
        pixels = self.pixels()
        red, _, blue = np.moveaxis(pixels, -1, 0)
        orange = (red > 150) & (blue < 90) & (red - blue > 90)
        _, columns = np.nonzero(orange)
        if columns.size < 300:
            return False
        return bool(abs(columns.mean() / pixels.shape[1] - 0.5) < 0.15)

    def arrow_size(self) -> int:
        """How many pixels the arrow of a push has."""
        red, green, blue = np.moveaxis(self.pixels(), -1, 0)
        return int(((red > 170) & (green < 90) & (blue < 110) & (blue > 20)).sum())

    def canvas(self) -> tuple[float, float, float, float]:
        """Left, top, width and height of the canvas."""
        box = self.page.locator("canvas[data-engine]").first.bounding_box()
        return box["x"], box["y"], box["width"], box["height"]

    def project(self, point: np.ndarray) -> tuple[float, float]:
        """Where a point of the scene (3,) [m] is on the page."""
        eye, target = np.array(scene.CAMERA_POSITION), np.array(scene.CAMERA_LOOK_AT)
        ahead = (target - eye) / np.linalg.norm(target - eye)
        right = np.cross(ahead, [0, 0, 1])
        right /= np.linalg.norm(right)
        offset = point - eye
        left, top, width, height = self.canvas()
        focal = 0.5 * height / np.tan(0.5 * scene.CAMERA_FOV_RAD)
        x, y = offset @ right, offset @ np.cross(right, ahead)
        depth = offset @ ahead
        return left + 0.5 * width + focal * x / depth, top + 0.5 * height - focal * y / depth

    def grab_torso(self, to_right_px: float) -> None:
        """Presses the mouse on the torso and pulls it to the right of the picture."""
        count = len(self.site.forces_world())
        # The robot's base is near the scene's origin, but sways; its head belongs to the torso.
        for height in (0.0, 0.19, -0.12, 0.05):
            x, y = self.project(np.array([0.0, 0.0, self.site.base[2] + height]))
            self.page.mouse.move(x, y)
            self.page.mouse.down()
            for step in range(1, 6):
                self.page.mouse.move(x + to_right_px * step / 5, y)
            with contextlib.suppress(pytest.fail.Exception):
                self.site.until(lambda: len(self.site.forces_world()) > count, 3.0)
                return
            self.page.mouse.up()
        pytest.fail("the mouse does not find the torso")

    def keep_pulling(self, to_right_px: float) -> bool:
        """Grabs the torso again if a busy machine has made the page lose it; true."""
        if not np.any(self.site.forces_world()[-1]):
            self.page.mouse.up()
            self.grab_torso(to_right_px)
        return True


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def choose(page: Page, policy: str) -> None:
    page.page.get_by_role("combobox", name="Policy").click()
    page.page.get_by_role("option", name=policy).click()


def test_a_taken_port_is_one_clear_line(graph):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = graph.start("viewer_node", {"port": port})
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert f"cannot use 127.0.0.1:{port}" in output
    assert "Traceback" not in output


def test_it_listens_on_this_machine_alone(graph):
    health = graph.health()
    port = free_port()
    graph.start("viewer_node", {"port": port})
    graph.spin_until(lambda: health.value("viewer_node", "url"))
    listening = [
        line.split()[1]
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
        if line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A"
    ]
    assert listening == [f"0100007F:{port:04X}"]


@pytest.fixture(scope="module")
def started(shared_graph, browser) -> Iterator[Site]:
    """One site for all tests: its nodes take long to start."""
    site = Site(shared_graph, browser)
    site.start()
    try:
        yield site
    finally:
        site.close()


@pytest.fixture
def site(started) -> Site:
    started.begin()
    return started


def test_the_page_shows_a_walking_humanoid_and_its_numbers(started):
    site = started
    site.begin("walk")
    page = site.open()
    site.until(lambda: page.is_humanoid_centred())
    first = page.pixels()
    assert first.mean() > 150  # a bright scene
    steps, start = page.figure("Steps"), site.base[0]
    site.until(lambda: site.base[0] > start + 0.5)
    site.until(lambda: page.figure("Steps") > (steps or 0))
    assert page.figure("Height") == pytest.approx(site.base[2], abs=0.1)
    assert page.figure("Forward") > 0.2
    site.until(lambda: page.figure("Real time") == pytest.approx(site.speed, abs=0.02))
    assert "policy 'walk' is in control" in page.health()
    second = page.pixels()
    moved = np.abs(second - first).max(axis=-1) > 40
    assert 200 < moved.sum() < 0.3 * moved.size  # it walks; the camera keeps it in the middle


def test_a_mouse_drag_pulls_the_torso_its_way_until_the_release(site):
    page = site.open()
    site.until(lambda: page.figure("Steps"))
    assert not site.wrenches
    assert page.arrow_size() < 5
    start = site.base
    page.grab_torso(to_right_px=100.0)
    site.until(
        lambda: (
            page.keep_pulling(100.0)
            and np.linalg.norm(site.forces_world(), axis=-1).max(initial=0.0) > 30.0
        )
    )
    # Right in the picture, as the camera sees it.
    ahead = np.array(scene.CAMERA_LOOK_AT) - np.array(scene.CAMERA_POSITION)
    right = np.cross(ahead, [0, 0, 1]) / np.linalg.norm(np.cross(ahead, [0, 0, 1]))
    force = max(site.forces_world(), key=np.linalg.norm)
    assert force @ right > 0.7 * np.linalg.norm(force)
    site.until(lambda: page.keep_pulling(100.0) and (site.base - start) @ right > 0.03)
    site.until(lambda: page.keep_pulling(100.0) and page.arrow_size() > 50)
    page.page.mouse.up()
    expect_the_force_to_end(site)
    site.until(lambda: page.arrow_size() < 5)


def test_closing_the_page_in_mid_drag_ends_the_force(site):
    page = site.open()
    page.grab_torso(to_right_px=60.0)
    site.until(lambda: len(site.forces_world()) > 10)
    page.close()
    expect_the_force_to_end(site)


def test_a_page_that_hangs_loses_the_robot_and_slows_nobody(site):
    hanging, watching = site.open(), site.open()
    hanging.grab_torso(to_right_px=60.0)
    site.until(lambda: len(site.forces_world()) > 10)
    site.until(lambda: watching.figure("Steps"))
    site.until(lambda: hanging.keep_pulling(60.0) and np.any(site.forces_world()[-1]))
    hanging.freeze()
    expect_the_force_to_end(site)
    steps = watching.figure("Steps")
    site.until(lambda: watching.figure("Steps") > steps + 50)


def expect_the_force_to_end(site: Site) -> None:
    """The last wrench is zero, and no other follows."""
    site.until(lambda: not np.any(site.forces_world()[-1]))
    count = len(site.wrenches)
    site.graph.spin_for(0.5)
    assert len(site.wrenches) == count


def test_stop_lets_it_fall_and_reset_and_start_stand_it_up(site):
    page = site.open()
    site.until(lambda: page.figure("Steps"))
    page.click("Stop policy")
    site.until(lambda: site.base[2] < 0.7)
    site.until(lambda: "fallen" in page.health())
    page.click("Reset")
    site.until(lambda: site.base[2] > 1.2)
    site.until(lambda: page.page.get_by_role("button", name="Start policy").count())
    page.click("Start policy")
    page.click("Reset")
    site.until(lambda: "'balance' is in control" in page.health())
    site.until(lambda: page.figure("Steps") > 50)
    assert site.base[2] > 1.0


def test_pause_stops_time_and_step_advances_one_period(site):
    page = site.open()
    site.until(lambda: page.figure("Steps"))
    page.click("Pause")
    site.until(lambda: page.page.get_by_role("button", name="Step", exact=True).count())
    site.graph.spin_for(0.5)  # what was still under way
    before = conversions.from_time(site.odometry[-1].header.stamp)
    site.graph.spin_for(0.5)
    assert conversions.from_time(site.odometry[-1].header.stamp) == before
    page.click("Step")
    site.until(lambda: conversions.from_time(site.odometry[-1].header.stamp) == before + 10_000_000)
    page.click("Resume")
    site.until(lambda: conversions.from_time(site.odometry[-1].header.stamp) > before + 100_000_000)


def test_the_speed_is_shown_and_chosen(site):
    page = site.open()
    slider = page.page.get_by_text("Speed", exact=True).locator(
        "xpath=following::*[@role='slider']"
    )

    def shown():
        return float(slider.first.get_attribute("aria-valuenow") or "nan")

    def target():
        return float(site.health.value("simulation_node", "real_time_factor_target"))

    site.until(lambda: shown() == pytest.approx(SLOWLY))
    for _ in range(2):
        slider.first.press("ArrowLeft")
    site.until(lambda: target() == pytest.approx(SLOWLY - 0.1))
    site.until(lambda: shown() == pytest.approx(SLOWLY - 0.1))
    site.until(lambda: page.figure("Real time") == pytest.approx(SLOWLY - 0.1, abs=0.03))
    # Somebody else chooses too.
    site.set_parameter("simulation_node", "real_time_factor", 0.2)
    site.until(lambda: shown() == pytest.approx(0.2))
    assert target() == pytest.approx(0.2)


def test_a_measured_push_gives_its_impulse_and_says_what_came_of_it(site):
    page = site.open()
    site.until(lambda: page.figure("Steps"))
    page.click("Reset")  # a busy machine may have let it fall
    site.until(lambda: site.base[2] > 1.35)
    page.page.get_by_role("button", name="Push", exact=True).first.click()
    site.until(lambda: site.wrenches and not np.any(site.forces_world()[-1]))
    forces = np.array(site.forces_world()[:-1])
    assert 0 < len(forces) <= 20  # 0.2 s at 100 Hz; a busy machine may skip a state
    impulse = forces.mean(axis=0) * 0.2
    # To its left; its heading sways as it walks.
    np.testing.assert_allclose(impulse, [0.0, 30.0, 0.0], atol=10.0)
    assert np.linalg.norm(forces, axis=1) == pytest.approx(150.0)
    site.until(
        lambda: page.page.get_by_text(
            re.compile("left, 150 N × 0.2 s = 30 N·s: (fell|stayed)")
        ).count()
    )


def test_another_policy_is_loaded_and_a_wrong_one_is_explained(site):
    page = site.open()
    site.until(lambda: "'balance' is in control" in page.health())
    choose(page, "walk")
    page.click("Load")
    site.until(lambda: "'walk' is in control" in page.health())
    choose(page, "file or hf://…")
    address = page.page.get_by_text("Address", exact=True).locator("xpath=following::input[1]")
    address.fill("/nowhere/policy.safetensors")
    page.click("Load")
    site.until(lambda: "neither shipped nor a file" in page.page.inner_text("body"))
    site.until(lambda: "'walk' is in control" in page.health())


def test_a_silent_robot_is_reported(site):
    page = site.open()
    site.until(lambda: page.figure("Steps"))
    simulation = site.graph.processes[0]
    simulation.send_signal(signal.SIGSTOP)
    try:
        site.until(lambda: re.search(r"robot not seen for \d+ s", page.health()))
    finally:
        simulation.send_signal(signal.SIGCONT)
    site.until(lambda: "robot not seen" not in page.health())
