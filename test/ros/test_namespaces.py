# SPDX-License-Identifier: Apache-2.0
"""Namespaces of the command line."""

import pytest

pytest.importorskip("rclpy")

from humanoid_mujoco_ros.bags import recorder
from humanoid_mujoco_ros.bringup import policy_use
from humanoid_mujoco_ros.ros.namespaces import checked_namespace


@pytest.mark.parametrize("text", ["a/b", "/a/b", "a/b/", "//a/b//"])
def test_slashes_around_a_namespace_do_not_matter(text):
    assert checked_namespace(text) == "a/b"
    assert checked_namespace("/") == checked_namespace("") == ""


@pytest.mark.parametrize("text", ["a-b", "a b", "1a", "a//b"])
def test_a_namespace_that_ros_would_refuse_is_one_clear_line(text, tmp_path, capsys):
    bag = tmp_path / "bag"
    assert recorder.record(recorder.RecordOptions(bag, namespace=text)) == 2
    assert policy_use.run(policy_use.UseOptions("walk", namespace=text)) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"error: --namespace '{text}' is not one: ") for line in lines)
    assert not bag.exists()
