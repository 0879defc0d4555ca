# SPDX-License-Identifier: Apache-2.0
"""`humanoid drive` in a real pseudo-terminal."""

import os
import pty
import signal
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("rclpy")

from geometry_msgs.msg import Twist

from humanoid_mujoco_ros.bringup.drive import changed

COMMAND = [sys.executable, "-m", "humanoid_mujoco_ros.cli", "drive"]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("ww", (0.2, 0, 0)),
        ("\x1b[A\x1b[D", (0.1, 0, 0.1)),
        ("QeE", (0, -0.1, 0)),
        ("wd x", (0, 0, 0)),
        ("w" * 100, (2.0, 0, 0)),
        ("\x1b[", (0, 0, 0)),
    ],
)
def test_keys_change_the_velocity(keys, expected):
    np.testing.assert_allclose(changed(np.zeros(3), keys), expected)


@pytest.mark.processes
def test_keys_are_published_and_the_end_is_a_stop(graph):
    heard = graph.listen(Twist, "cmd_vel", 100)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        COMMAND, stdin=theirs, stdout=theirs, stderr=theirs, env=graph.environment
    )
    graph.processes.append(process)
    graph.spin_until(lambda: heard)
    os.write(ours, b"ww\x1b[C")
    graph.spin_until(lambda: heard[-1].linear.x == pytest.approx(0.2))
    graph.spin_until(lambda: heard[-1].angular.z == pytest.approx(-0.1))
    process.send_signal(signal.SIGTERM)
    graph.spin_until(lambda: process.poll() is not None)
    graph.spin_until(lambda: heard[-1].linear.x == 0.0)
    assert process.returncode == 0
    os.close(ours)
    os.close(theirs)


@pytest.mark.processes
def test_without_a_terminal_it_says_so_in_one_line(graph):
    result = subprocess.run(
        COMMAND, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=graph.environment
    )
    assert result.returncode == 2
    assert result.stderr == "error: humanoid drive reads keys, and its input is no terminal\n"
