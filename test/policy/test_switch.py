# SPDX-License-Identifier: Apache-2.0
"""Another policy takes over while the robot moves, through the driver and the gate of the node."""

import importlib.util

import numpy as np
import pytest

from humanoid_mujoco_ros.policy.command_gate import CommandGate
from humanoid_mujoco_ros.policy.config import PolicyConfig
from humanoid_mujoco_ros.policy.driver import Driver
from humanoid_mujoco_ros.policy.recovery import LEAD_IN_M_S
from humanoid_mujoco_ros.robot.joint_map import JointMap
from humanoid_mujoco_ros.robot.model import ModelConfig, RobotModel
from humanoid_mujoco_ros.simulation.simulation import Simulation
from humanoid_mujoco_ros.simulation.start import StartConfig, start_qpos

STAND, WALK = np.zeros(3), np.array((0.6, 0.0, 0.0))
NEEDED = ("mjlab", "holosoma_inference", "onnxruntime")
missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
needs_g1 = pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


class Loop:
    """What policy_node and simulation_node do in lockstep, without the wire."""

    def __init__(self, robot):
        self.robot = robot
        self.simulation = Simulation(robot)
        joint_map = JointMap(robot)
        self.driver = Driver(robot, joint_map, joint_map.driven_joints)
        self.refused = []
        config = PolicyConfig(mode="lockstep")
        self.gate = CommandGate(
            self.driver.ramp(), config, robot.control_period_s, self.answer, lambda: True,
            self.refused.append,
        )  # fmt: skip
        self.ramp_count = round(config.ramp_s * robot.control_rate_hz)

    def answer(self, observation):
        commands = self.driver.answer(observation, self.velocity)
        if self.driver.has_handed_over:
            self.gate.switch()
        return commands

    def use(self, *policies):
        """As the node does at first, and when its parameter is set: a policy, and its helpers."""
        self.driver.use(*(self.driver.prepare(name, sample=False, seed=0) for name in policies))
        if self.gate.is_started:
            self.gate.switch()
        else:
            self.gate.start()

    def run(self, velocity, duration_s):
        """The commands (ticks, n) of a span; the robot stays up."""
        self.velocity = velocity
        commands = []
        for tick in range(round(duration_s * self.robot.control_rate_hz)):
            observed = self.simulation.state().observation.tolist()
            commands.append(self.gate.on_observation(observed, tick * 0.01))
            is_fallen = self.simulation.step(commands[-1]).fallen
            assert not is_fallen or self.driver.is_getting_up
        assert not self.refused
        return np.array(commands)


@pytest.mark.parametrize(
    ("robot", "spans"),
    [
        (
            "humanoid",
            [("balance", STAND), ("steer", WALK), ("steer", STAND), ("balance", STAND)],
        ),
        pytest.param(
            "g1",
            [("g1_fastsac", WALK), ("g1_ppo", WALK), ("g1_fastsac", STAND)],
            marks=needs_g1,
        ),
    ],
)
def test_the_robot_stays_up_and_no_command_jumps_when_another_policy_takes_over(robot, spans):
    loop = Loop(RobotModel(ModelConfig(robot=robot)))
    ranges = JointMap(loop.robot)
    is_position = loop.robot.actuation == "position"
    low, high = (ranges.target_ranges if is_position else ranges.effort_ranges).T
    last = None
    for policy, velocity in spans:
        loop.use(policy)
        commands = loop.run(velocity, 3.0)
        if last is not None:
            assert (np.abs(commands[0] - last) <= (high - low) / loop.ramp_count + 1e-9).all()
        last = commands[-1]


@pytest.mark.parametrize("policy", ["walk", "balance", "steer"])
def test_the_humanoid_gets_up_and_its_policy_goes_on(policy):
    robot = RobotModel()
    loop = Loop(robot)
    lying = start_qpos(robot, StartConfig(start_posture="supine"))
    loop.simulation.set_state(lying, np.zeros(robot.mj.nv))
    lead_in = [robot.card.lead_in] if policy in LEAD_IN_M_S else []
    loop.use(policy, robot.card.recovery, *lead_in)
    loop.run(STAND, 15.0)
    figures = loop.driver.figures()
    assert (figures["recoveries"], figures["getting_up"]) == (1, False)
