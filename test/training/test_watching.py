# SPDX-License-Identifier: Apache-2.0
"""A training that is watched while it goes on."""

import shutil

import pytest

pytest.importorskip("rclpy")

from humanoid_mujoco_ros.policy import locate
from humanoid_mujoco_ros.training.watching import watching

pytestmark = pytest.mark.processes


def test_the_robot_follows_the_training_and_ends_with_it(graph, tmp_path):
    policy, newer = tmp_path / "hopper.safetensors", tmp_path / "newer"
    shutil.copy(locate.resolve("hopper"), policy)
    log = tmp_path / "watch.log"

    def loaded():
        return log.read_text().count(f"loaded from {policy}")

    with watching(policy, "hopper"):
        graph.spin_until(lambda: loaded() == 1)
        shutil.copy(policy, newer)
        newer.replace(policy)
        graph.spin_until(lambda: loaded() == 2)
        graph.spin_until(lambda: graph.node.count_subscribers("observation"))
    graph.spin_until(lambda: not graph.node.count_subscribers("observation"))
