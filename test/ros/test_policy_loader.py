# SPDX-License-Identifier: Apache-2.0
"""What loads policies for policy_node, in a node of its own without the wire."""

import shutil
import time

import pytest

pytest.importorskip("rclpy")

from rclpy.parameter import Parameter

from humanoid_mujoco_ros.policy import locate
from humanoid_mujoco_ros.policy.command_gate import CommandGate
from humanoid_mujoco_ros.policy.config import PolicyConfig
from humanoid_mujoco_ros.policy.driver import Driver
from humanoid_mujoco_ros.robot.joint_map import JointMap
from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.ros import parameters
from humanoid_mujoco_ros.ros.guard import GuardedNode
from humanoid_mujoco_ros.ros.health import Health
from humanoid_mujoco_ros.ros.policy_loader import PolicyLoader

LONG_AGO_S = 1000.0


@pytest.fixture
def loader_of(graph):
    """Makes a loader of a policy, which drives already; returns it, its driver and its gate."""
    nodes = []

    def make(policy, *, follow=False):
        overrides = [Parameter("policy", value=str(policy)), Parameter("follow", value=follow)]
        node = GuardedNode("loader", context=graph.context, parameter_overrides=overrides)
        nodes.append(node)
        robot = RobotModel()
        config = parameters.declare(node, PolicyConfig, changeable=("policy",))
        driver = Driver(robot, JointMap(robot), robot.joints)
        gate = CommandGate(
            driver.ramp(), config, robot.control_period_s, lambda o: driver.answer(o, (0, 0, 0)),
            lambda: True, lambda error: None,
        )  # fmt: skip
        loader = PolicyLoader(node, robot.card, driver, config, gate, lambda: None)
        loader.load()
        gate.start()
        return loader, driver, gate

    yield make
    for node in nodes:
        node.destroy_node()


@pytest.mark.parametrize(("policy", "is_taken"), [("balance", True), ("nonsense", False)])
def test_the_time_of_loading_a_policy_is_no_silence_of_the_robot(loader_of, policy, is_taken):
    loader, _, gate = loader_of("walk")
    gate.watchdog.feed(time.monotonic() - LONG_AGO_S)
    assert loader.check([Parameter("policy", value=policy)]).successful == is_taken
    assert gate.watchdog.age_s(time.monotonic()) < LONG_AGO_S / 2


def test_a_cleanup_ends_the_report_of_a_file_that_is_not_used(loader_of, tmp_path):
    file = tmp_path / "mine.safetensors"
    shutil.copy(locate.resolve("walk"), file)
    loader, driver, _ = loader_of(file, follow=True)

    def report():
        health = Health()
        loader.report_to(health)
        return health.message

    file.write_bytes(b"nothing")
    for _ in range(2):  # so that it looks the same twice
        loader.look()
    assert "the old policy goes on" in report()
    assert driver.name == str(file)
    loader.unload()
    assert report() == "ok"
    assert (driver.name, driver.kind) == ("", None)
