# SPDX-License-Identifier: Apache-2.0
"""A control loop whose states are kept, and that can be waited for."""

import threading
import time

from humanoid_mujoco_ros.simulation.lockstep_loop import LockstepLoop
from humanoid_mujoco_ros.simulation.placement import Placement
from humanoid_mujoco_ros.simulation.realtime_loop import RealTimeLoop
from humanoid_mujoco_ros.simulation.robot_port import Listener
from humanoid_mujoco_ros.simulation.simulation import Simulation, SimulationConfig
from humanoid_mujoco_ros.simulation.world import Member, World


class RobotRecorder:
    """Keeps each state of one robot, whether a policy was asked, and when; may answer it."""

    def __init__(self, new, answer):
        self.states = []
        self.asked = []
        self.times_s = []
        self.answer = answer
        self.port = None
        self._new = new

    def on_state(self, state, *, ask):
        now_s = time.monotonic()  # before anybody can answer it
        with self._new:
            self.times_s.append(now_s)
            self.asked.append(ask)
            self.states.append(state)
            self._new.notify_all()
        if ask and self.answer is not None:
            self.port.command(self.answer(state))


class _Running:
    """A loop that runs within a `with`, and can be waited for."""

    def start(self, world, config, policies, robots):
        loop = LockstepLoop if config.mode == "lockstep" else RealTimeLoop
        listeners = [Listener(robot.on_state, policies) for robot in robots]
        self.loop = loop(world, config, listeners)
        for robot, port in zip(robots, self.loop.ports, strict=True):
            robot.port = port

    def wait(self, condition, timeout_s=60.0):
        with self._new:
            assert self._new.wait_for(condition, timeout_s)

    def __enter__(self):
        self.loop.start()
        return self

    def __exit__(self, *_):
        self.loop.stop()


class Recorder(RobotRecorder, _Running):
    """Runs a loop of one robot and keeps its states."""

    def __init__(self, robot, config, policies=frozenset, answer=None, simulation=None):
        super().__init__(threading.Condition(), answer)
        simulation = simulation or Simulation(robot, SimulationConfig(seed=1))
        self.start(World([Member("", simulation)]), config, policies, [self])


class WorldRecorder(_Running):
    """Runs a loop of several robots and keeps the states of each in `robots`."""

    def __init__(self, world, config, policies=frozenset, answers=None):
        self._new = threading.Condition()
        answers = answers or [None] * len(world.members)
        self.robots = [RobotRecorder(self._new, answer) for answer in answers]
        self.start(world, config, policies, self.robots)

    @classmethod
    def of(cls, simulations, config, policies=frozenset, answers=None):
        """Robots called first and second, far apart."""
        names = ("first", "second")
        members = [
            Member(name, simulation, Placement(0.0, 3.0 * number))
            for number, (name, simulation) in enumerate(zip(names, simulations, strict=True))
        ]
        return cls(World(members), config, policies, answers)


def wait_until(condition, timeout_s=60.0):
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.002)
