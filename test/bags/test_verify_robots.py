# SPDX-License-Identifier: Apache-2.0
"""Lockstep runs of other robots, recorded from the loop itself and simulated again."""

import json
import threading

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("rosbags")

import biped
import synthetic_run
from biped import DRIVES, MOTORS
from rosbags.rosbag2 import StoragePlugin, Writer

from humanoid_mujoco_ros.bags.errors import BagError
from humanoid_mujoco_ros.bags.verify import verify
from humanoid_mujoco_ros.robot.model import ModelConfig, RobotModel
from humanoid_mujoco_ros.simulation.lockstep_loop import LockstepLoop
from humanoid_mujoco_ros.simulation.physics_loop import LoopConfig
from humanoid_mujoco_ros.simulation.robot_port import Listener
from humanoid_mujoco_ros.simulation.simulation import Simulation, SimulationConfig
from humanoid_mujoco_ros.simulation.start import StartConfig, start_qpos
from humanoid_mujoco_ros.simulation.world import Member, World

SEED = 4
TICKS = 60
START_POSE = [0.5, -0.2, 0.3]
TOPICS = {MOTORS: "effort_controller/commands", DRIVES: "position_controller/commands"}


def record(folder, actuators, topic=None):
    """A bag of a lockstep run in which a passive joint swings along; its commands are random."""
    model = biped.write(folder, actuators)
    robot = RobotModel(ModelConfig(robot=str(model)))
    order = robot.joint_order(biped.JOINTS)
    random = np.random.default_rng(0)
    states, commands, done = [], [], threading.Event()

    def on_state(state, *, ask):
        if not ask or done.is_set():
            return
        states.append(state)
        if len(states) == TICKS:
            done.set()
            return
        commands.append(random.uniform(-9, 9, 2))
        by_joint = np.zeros(3)
        by_joint[order] = commands[-1]
        loop.ports[0].command(by_joint)

    simulation = Simulation(robot, SimulationConfig(seed=SEED))
    simulation.start_at(start_qpos(robot, StartConfig(start_pose=START_POSE)))
    listener = Listener(on_state, lambda: frozenset({1}))
    loop = LockstepLoop(World([Member("", simulation)]), LoopConfig(mode="lockstep"), [listener])
    loop.start()
    assert done.wait(60.0)
    loop.stop()
    parameters = {
        "mode": "lockstep",
        "robot": str(model),
        "seed": SEED,
        "joints": biped.JOINTS,
        "start_pose": START_POSE,
    }
    path = folder / "run"
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as bag:
        bag.set_custom_data("parameters", json.dumps({"/simulation_node": parameters}))
        writer = synthetic_run.Robot(bag)
        for tick, state in enumerate(states):
            now_ns = synthetic_run.START_NS + tick * synthetic_run.PERIOD_NS
            content = synthetic_run.message(
                "sensor_msgs/msg/JointState",
                header=synthetic_run.header(state.time_ns),
                name=list(robot.joints),
                position=state.joint_positions,
                velocity=state.joint_velocities,
                effort=state.joint_efforts,
            )
            writer.send("joint_states", now_ns, content)
            if tick < len(commands):
                sent = synthetic_run.numbers(commands[tick])
                writer.send(topic or TOPICS[actuators], now_ns + 1000, sent)
    return path


@pytest.mark.parametrize("actuators", [MOTORS, DRIVES], ids=["motors", "drives"])
def test_a_robot_with_a_passive_joint_is_reproduced_bit_for_bit(tmp_path, actuators):
    verdict = verify(record(tmp_path, actuators))
    assert (verdict.difference, verdict.remark) == (None, None)
    assert verdict.compared == verdict.recorded == TICKS


def test_commands_of_the_other_kind_do_not_count(tmp_path):
    path = record(tmp_path, DRIVES, topic="effort_controller/commands")
    with pytest.raises(BagError, match="has no /position_controller/commands; its topics are"):
        verify(path)
