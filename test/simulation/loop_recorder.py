# SPDX-License-Identifier: Apache-2.0
"""A control loop whose states are kept, and that can be waited for."""

import threading
import time

from humanoid_mujoco_ros.simulation.lockstep_loop import LockstepLoop
from humanoid_mujoco_ros.simulation.realtime_loop import RealTimeLoop
from humanoid_mujoco_ros.simulation.simulation import Simulation, SimulationConfig


class Recorder:
    """Runs a loop and keeps each state, whether a policy was asked, and when."""

    def __init__(self, robot, config, policies=frozenset, answer=None, simulation=None):
        self.states = []
        self.asked = []
        self.times_s = []
        self._new = threading.Condition()
        self.answer = answer
        simulation = simulation or Simulation(robot, SimulationConfig(seed=1))
        loop = LockstepLoop if config.mode == "lockstep" else RealTimeLoop
        self.loop = loop(simulation, config, self.on_state, policies)

    def on_state(self, state, *, ask):
        now_s = time.monotonic()  # before anybody can answer it
        with self._new:
            self.times_s.append(now_s)
            self.asked.append(ask)
            self.states.append(state)
            self._new.notify_all()
        if ask and self.answer is not None:
            self.loop.command(self.answer(state))

    def wait(self, condition, timeout_s=60.0):
        with self._new:
            assert self._new.wait_for(condition, timeout_s)

    def __enter__(self):
        self.loop.start()
        return self

    def __exit__(self, *_):
        self.loop.stop()


def wait_until(condition, timeout_s=60.0):
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.002)
