# SPDX-License-Identifier: Apache-2.0
"""A short attack on the running nodes: what it holds does not depend on the machine's speed."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("viser")
pytest.importorskip("rosbags")

TOOLS = Path(__file__).parents[1] / "tools"

pytestmark = [pytest.mark.processes, pytest.mark.slow]


def test_nothing_that_arrives_ends_a_node_and_every_stop_is_one():
    # A busy machine may be late in many ways, but never for ever.
    command = [sys.executable, TOOLS / "attack.py", "--minutes", "0.1", "--stop-s", "5"]
    result = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=280
    )
    assert result.returncode == 0, result.stdout
    assert "FAULT" not in result.stdout
    assert "stops by two lifecycle calls" in result.stdout
