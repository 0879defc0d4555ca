# SPDX-License-Identifier: Apache-2.0
"""Counts what a recording loses at full load: `python3 tools/soak.py --duration 300`.

The whole graph runs in real time with the browser view, and a browser that looks at it if asked.
Whatever was published says how often: states carry the number of their tick in their stamp, and the
policy reports how many observations it answered.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

TESTS = Path(__file__).resolve().parents[1] / "test"
sys.path[:0] = [str(TESTS), str(TESTS / "bags")]

from bag_processes import finish, heard, start_recorder  # noqa: E402
from ros_graph import Graph  # noqa: E402

from humanoid_mujoco_ros.bags.reader import Bag, open_bag  # noqa: E402

STAMPED = ("/joint_states", "/odom", "/imu/data", "/left_foot/wrench", "/right_foot/wrench")
PERIOD_NS = 10_000_000


@dataclass(frozen=True)
class Options:
    """Measure what a recording loses."""

    duration: float = 300.0
    """Seconds of recording."""
    policy: str = "walk"
    """The policy that walks."""
    browser: bool = False
    """Look at the browser view with a headless Chromium, which draws in software."""
    port: int = 8099
    """Port of the browser view."""


def ticks(bag: Bag, topic: str) -> list[int]:
    """The tick of each message, from its stamp."""
    found = []
    for _, _, data in bag.messages([topic]):
        message = bag.decode(topic, data)
        if topic == "/tf":
            stamp = message.transforms[0].header.stamp
        else:
            stamp = message.clock if topic == "/clock" else message.header.stamp
        found.append(round((stamp.sec * 10**9 + stamp.nanosec) / PERIOD_NS))
    return found


def between(bag: Bag, topic: str) -> int:
    """Messages that came after the first 5 s, when all is connected, and before the last 2 s."""
    start_ns, stop_ns = bag.start_ns + 5 * 10**9, bag.end_ns - 2 * 10**9
    return sum(1 for _ in bag.messages([topic], start_ns, stop_ns))


def answered(bag: Bag) -> tuple[int, int]:
    """Commands that the policy reports between its first and last status, and those recorded."""
    reports, commands = [], []
    for topic, stamp_ns, data in bag.messages(["/diagnostics", "/effort_controller/commands"]):
        if topic != "/diagnostics":
            commands.append(stamp_ns)
            continue
        for status in bag.decode(topic, data).status:
            if status.name.startswith("policy_node"):
                values = {pair.key: pair.value for pair in status.values}
                reports.append((stamp_ns, int(values["answered_observations"])))
    first, last = reports[0][0], reports[-1][0]
    return sum(n for _, n in reports[1:]), sum(first < ns <= last for ns in commands)


def cpu_s(pid: int) -> float:
    """Processor time that a process has used [s]."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(options: Options, path: Path) -> float:
    """Records; returns the share of a core that the recorder took."""
    graph = Graph()
    try:
        health = graph.health()
        recorder = start_recorder(graph, path)
        simulation = graph.start("simulation_node")
        policy = graph.start("policy_node", {"policy": options.policy})
        graph.start("viewer_node", {"port": options.port})
        graph.start("force_marker_node")
        graph.spin_until(lambda: heard(health, *STAMPED, "/effort_controller/commands"), 60)
        before_s, start_s = cpu_s(recorder.pid), time.monotonic()
        look_or_wait(options)
        share = (cpu_s(recorder.pid) - before_s) / (time.monotonic() - start_s)
        for process in (simulation, policy):
            process.send_signal(signal.SIGINT)
        simulation.wait(60)
        print(finish(recorder))
    finally:
        graph.close()
    return share


def look_or_wait(options: Options) -> None:
    """Lets the time pass, with a browser at the view if asked for."""
    if not options.browser:
        time.sleep(options.duration)
        return
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        browser.new_page().goto(f"http://127.0.0.1:{options.port}")
        time.sleep(options.duration)
        browser.close()


def main() -> int:
    """Prints the counts; the exit status is 1 if anything was lost."""
    options = tyro.cli(Options)
    lost = 0
    with tempfile.TemporaryDirectory(prefix="humanoid_soak_") as directory:
        path = Path(directory) / "run"
        share = run(options, path)
        size_mb = sum(file.stat().st_size for file in path.iterdir()) / 1e6
        with open_bag(path) as bag:
            print(f"{'topic':<30}{'published':>10}{'received':>10}{'lost':>6}")
            for topic in (*STAMPED, "/tf", "/clock"):
                found = np.array(ticks(bag, topic))
                # While physics waits for the first command, one tick is published many times.
                received = len(set(found))
                published = int(found.max() - found.min()) + 1
                lost += published - received
                print(f"{topic:<30}{published:>10}{received:>10}{published - received:>6}")
            published, received = between(bag, "/joint_states"), between(bag, "/observation")
            # Observations carry no stamp; one may lie on each edge of the span.
            missing = max(0, published - received - 2)
            print(f"{'/observation':<30}{published:>10}{received:>10}{missing:>6}")
            lost += missing
            published, received = answered(bag)
            # Zero commands of the watchdog come on top. The policy counts an answer after it has
            # sent it, so one may fall into the next report.
            missing = max(0, published - received - 1)
            print(f"{'/effort_controller/commands':<30}{published:>10}{received:>10}{missing:>6}")
            lost += missing
            print(f"{bag.message_count} messages, {size_mb:.1f} MB, {bag.duration_s:.1f} s; "
                  f"the recorder took {100 * share:.0f} % of a core")  # fmt: skip
    print("nothing was lost" if not lost else f"{lost} messages were LOST")
    return int(lost > 0)


if __name__ == "__main__":
    sys.exit(main())
