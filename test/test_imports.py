# SPDX-License-Identifier: Apache-2.0
"""Imports point one way: nodes → ros → (viewer, interaction, policy, simulation) → robot."""

import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "humanoid_mujoco_ros"
LIBRARY = ("robot", "simulation", "policy", "interaction")
FORBIDDEN = ("rclpy", "std_msgs", "sensor_msgs", "humanoid_mujoco_ros.nodes",
             "humanoid_mujoco_ros.training", "torch", "viser", "gymnasium")  # fmt: skip


@pytest.mark.parametrize(
    "module",
    sorted(
        f"{folder}.{path.stem}"
        for folder in LIBRARY
        for path in (PACKAGE / folder).glob("[a-z]*.py")
    ),
)
def test_the_library_imports_neither_ros_nor_nodes_nor_training(module):
    program = f"""
import sys, humanoid_mujoco_ros.{module}
print(*[name for name in {FORBIDDEN!r} if name in sys.modules])
"""
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert output.split() == []
