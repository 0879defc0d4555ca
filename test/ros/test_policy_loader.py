# SPDX-License-Identifier: Apache-2.0
"""What loads policies for policy_node, in a node of its own without the wire."""

import dataclasses
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

    def make(policy, card=None, **parameters_):
        parameters_["policy"] = str(policy)
        overrides = [Parameter(name, value=value) for name, value in parameters_.items()]
        node = GuardedNode("loader", context=graph.context, parameter_overrides=overrides)
        nodes.append(node)
        robot = RobotModel(card)
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


def report(loader):
    health = Health()
    loader.report_to(health)
    return health.message


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

    file.write_bytes(b"nothing")
    for _ in range(2):  # so that it looks the same twice
        loader.look()
    assert "the old policy goes on" in report(loader)
    assert driver.name == str(file)
    loader.unload()
    assert report(loader) == "ok"
    assert (driver.name, driver.kind) == ("", None)


@pytest.mark.parametrize(
    ("of_card", "wanted", "recover", "expected"),
    [
        (None, "", True, ""),
        ("balance", "", False, ""),
        ("balance", "", True, "balance"),
        ("balance", "steer", True, "steer"),
        ("balance", "none", True, ""),
        ("walk", "", True, ""),  # it drives already
    ],
)
def test_the_recovery_is_that_of_the_parameter_or_of_the_card(
    loader_of, of_card, wanted, recover, expected
):
    card = dataclasses.replace(RobotModel().card, recovery=of_card)
    loader, driver, _ = loader_of("walk", card, recovery=wanted, recover=recover)
    assert driver.recovery == expected
    assert report(loader) == "ok"


def test_a_recovery_that_cannot_be_used_is_reported_until_a_cleanup(loader_of):
    loader, driver, _ = loader_of("walk", recovery="nonsense", recover=True)
    assert (driver.name, driver.recovery) == ("walk", "")
    assert "the robot will not get up: policy 'nonsense' is neither" in report(loader)
    loader.unload()
    assert report(loader) == "ok"


def test_a_lead_in_that_cannot_be_used_is_reported_and_the_robot_still_gets_up(loader_of):
    card = dataclasses.replace(RobotModel().card, lead_in="nonsense")
    loader, driver, _ = loader_of("walk", card, recovery="balance", recover=True)
    assert (driver.name, driver.recovery) == ("walk", "balance")
    assert "the robot may fall once it is up: policy 'nonsense' is neither" in report(loader)
    loader, _, _ = loader_of("steer", card, recovery="balance", recover=True)
    assert report(loader) == "ok"  # it needs none
