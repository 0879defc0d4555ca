# SPDX-License-Identifier: Apache-2.0
"""A training that is watched while it goes on."""

import shutil
import socket

import pytest

pytest.importorskip("rclpy")

from humanoid_mujoco_ros.policy import locate
from humanoid_mujoco_ros.training.watching import free_port, watching

pytestmark = pytest.mark.processes


def test_a_port_that_is_taken_is_left_to_its_owner():
    with socket.socket() as owner:
        owner.bind(("127.0.0.1", 0))
        owner.listen()
        taken = owner.getsockname()[1]
        assert free_port(taken) != taken
    assert free_port(taken) == taken


def test_the_robot_follows_the_training_and_ends_with_it(graph, tmp_path, capsys):
    policy, newer = tmp_path / "hopper.safetensors", tmp_path / "newer"
    shutil.copy(locate.resolve("hopper"), policy)
    log = tmp_path / "watch.log"

    def loaded():
        return log.read_text().count(f"loaded from {policy}")

    with watching(policy, "hopper"):
        address = capsys.readouterr().out.split()[3]
        graph.spin_until(lambda: loaded() == 1)
        shutil.copy(policy, newer)
        newer.replace(policy)
        graph.spin_until(lambda: loaded() == 2)
        graph.spin_until(lambda: graph.node.count_subscribers("observation"))
        graph.spin_until(lambda: f"browser view: {address}" in log.read_text())
    graph.spin_until(lambda: not graph.node.count_subscribers("observation"))
