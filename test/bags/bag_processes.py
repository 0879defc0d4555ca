# SPDX-License-Identifier: Apache-2.0
"""Starts recorders in a test's graph and waits for what they hear."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from rclpy.publisher import Publisher
from ros_graph import Graph, Health

RECORDER = [sys.executable, "-m", "humanoid_mujoco_ros.bags.recorder"]
BAG = [sys.executable, "-m", "humanoid_mujoco_ros.bags.command"]


def heard(health: Health, *topics: str) -> bool:
    """Whether the recorder says that it hears the publishers of all topics."""
    return set(topics) <= set(health.value("recorder", "topics_heard").split())


def connected(health: Health, *publishers: Publisher) -> bool:
    """Whether the recorder hears these publishers, and they know it.

    Discovery has two sides: what a publisher sends before it knows the recorder is lost.
    """
    names = [publisher.topic_name for publisher in publishers]
    return heard(health, *names) and all(p.get_subscription_count() for p in publishers)


def start_recorder(graph: Graph, path: Path, *options: str) -> subprocess.Popen[str]:
    """Starts a recorder; returns at once."""
    return graph.spawn([*RECORDER, str(path), *options])


def finish(process: subprocess.Popen[str], number: int = signal.SIGINT) -> str:
    """Ends a process and returns what it printed."""
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    return output
