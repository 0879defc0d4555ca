# SPDX-License-Identifier: Apache-2.0
"""What `humanoid hardware` finds out before it starts anything."""

import importlib.util

import pytest

pytest.importorskip("rclpy")

from humanoid_mujoco_ros.bringup.hardware import HardwareOptions, check

NEEDED = ("mjlab", "holosoma_inference", "onnxruntime")
missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
needs_g1 = pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def told(tmp_path, **options):
    """What observation_node is told of the base, on top of a config that says `base_from`."""
    base_from = options.pop("base_from", None)
    config = tmp_path / "robot.yaml"
    said = f"{{base_from: {base_from}}}" if base_from else "{}"
    config.write_text(f"/**/observation_node:\n  ros__parameters: {said}\n")
    nodes = check(HardwareOptions(config=str(config), **options))
    return nodes["observation_node"].get("base_from")


@needs_g1
def test_the_least_that_the_policy_needs_is_asked_of_the_robot(tmp_path):
    assert told(tmp_path, robot="g1") == "imu"
    assert told(tmp_path, robot="g1", policy="none") is None
    assert told(tmp_path, robot="g1", base_from="odom") is None  # the config says it


def test_a_policy_that_needs_more_than_the_config_allows_is_one_line(tmp_path):
    assert told(tmp_path) == "odom"
    expected = (
        "policy 'steer' reads base_lin_vel, which needs base_from: odom; "
        "observation_node has base_from: imu"
    )
    with pytest.raises(ValueError, match=f"^{expected}$"):
        told(tmp_path, policy="steer", base_from="imu")
