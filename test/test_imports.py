"""Imports point inwards only: nodes → core, training → core."""

import subprocess
import sys
from pathlib import Path

import pytest

CORE = Path(__file__).parents[1] / "humanoid_mujoco_ros" / "core"
FORBIDDEN = ("rclpy", "std_msgs", "sensor_msgs", "humanoid_mujoco_ros.nodes",
             "humanoid_mujoco_ros.training", "torch", "viser", "gymnasium")  # fmt: skip


@pytest.mark.parametrize("module", sorted(path.stem for path in CORE.glob("[a-z]*.py")))
def test_core_imports_neither_ros_nor_nodes_nor_training(module):
    program = f"""
import sys, humanoid_mujoco_ros.core.{module}
print(*[name for name in {FORBIDDEN!r} if name in sys.modules])
"""
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert output.split() == []
