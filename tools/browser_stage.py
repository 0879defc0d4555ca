# SPDX-License-Identifier: Apache-2.0
"""What the scripts beside this file share: the nodes on a ROS domain of their own, and Chromium."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import Odometry
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from humanoid_mujoco_ros.bringup.supervisor import Supervisor, node_process

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
CHROMIUM_FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
"""Drawn in software, so that it works and looks the same where there is no GPU."""


class Stage:
    """The nodes, and what they say.

    Attributes:
        odometry: The latest message of odom.
        diagnostics: Node → figures, for each report since the list was cleared.
    """

    def __init__(self, domain_id: int) -> None:
        """Joins the graph of a domain, on this machine alone."""
        os.environ["ROS_DOMAIN_ID"] = str(domain_id)
        os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
        rclpy.init(args=[])
        self.node = Node("stage")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self.odometry: Odometry | None = None
        self.diagnostics: list[tuple[str, dict[str, str]]] = []
        self.node.create_subscription(Odometry, "odom", self._on_odom, 1)
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    @property
    def sim_time_s(self) -> float:
        """Stamp of the latest odometry; -1 before the first."""
        if self.odometry is None:
            return -1.0
        stamp = self.odometry.header.stamp
        return float(stamp.sec + 1e-9 * stamp.nanosec)

    def until(self, condition: Callable[[], object], timeout_s: float = 60.0) -> None:
        """Spins until the condition holds.

        Raises:
            TimeoutError: It did not.
        """
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"nothing happened within {timeout_s:g} s")
            self._executor.spin_once(timeout_sec=0.01)

    def spin(self, duration_s: float) -> None:
        """Spins for this time."""
        end_s = time.monotonic() + duration_s
        while time.monotonic() < end_s:
            self._executor.spin_once(timeout_sec=0.05)

    def close(self) -> None:
        """Leaves the graph."""
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown()

    def _on_odom(self, message: Odometry) -> None:
        self.odometry = message

    def _on_diagnostics(self, array: DiagnosticArray) -> None:
        for status in array.status:
            values = {pair.key: pair.value for pair in status.values}
            self.diagnostics.append((status.name.split(":")[0], values))


@contextlib.contextmanager
def stage(domain_id: int) -> Iterator[Stage]:
    """A stage that is left in the end."""
    result = Stage(domain_id)
    try:
        yield result
    finally:
        result.close()


@contextlib.contextmanager
def nodes(**parameters: dict[str, Any]) -> Iterator[Supervisor]:
    """Nodes with their parameters, ended in the end."""
    processes = []
    for node, values in parameters.items():
        arguments = ["--ros-args"]
        for name, value in values.items():
            arguments += ["-p", f"{name}:={value}"]
        processes.append(node_process(node, arguments))
    supervisor = Supervisor(processes, lambda text: print(text, file=sys.stderr))
    supervisor.start()
    try:
        yield supervisor
    finally:
        supervisor.stop()


@contextlib.contextmanager
def page(url: str, width: int, height: int, nice: int = 0) -> Iterator[Any]:
    """A page of Playwright that shows the view, without the notice that it is drawn in software."""
    from playwright.sync_api import sync_playwright

    if CHROMIUM is None:
        sys.exit("error: there is no chromium on the PATH (apt-get install chromium)")
    with sync_playwright() as playwright:
        if nice:
            os.nice(nice)  # inherited by Chromium; this script does little itself
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        try:
            tab = browser.new_page(viewport={"width": width, "height": height})
            tab.goto(url)
            tab.wait_for_selector("[data-figure]", timeout=60_000)
            tab.wait_for_timeout(3000)
            notice = tab.locator(".mantine-Notification-closeButton")
            if notice.count():
                notice.first.click()
                tab.wait_for_timeout(500)
            yield tab
        finally:
            browser.close()


def wait_for_page(the_stage: Stage) -> None:
    """Waits until viewer_node reports that it serves its page."""
    the_stage.until(lambda: any(node == "viewer_node" for node, _ in the_stage.diagnostics))
