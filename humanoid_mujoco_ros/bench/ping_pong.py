# SPDX-License-Identifier: Apache-2.0
"""The reference for messages: an observation out and a command back, between two processes.

Bare rclpy, with the executor and the interpreter's settings of this package's nodes, and nothing
else: what is slower than this, the package has to answer for.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field

import rclpy
from rclpy.node import Node
from std_msgs.msg import Float64MultiArray

from humanoid_mujoco_ros.policy.state_vector import observation_layout
from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.ros import conversions
from humanoid_mujoco_ros.ros.latency_histogram import LatencyHistogram
from humanoid_mujoco_ros.ros.runtime import SWITCH_INTERVAL_S, create_executor

_TIMEOUT_S = 20.0
_WARM_UP_S = 0.5


@dataclass
class PingPong:
    """What the ping-pong measured so far."""

    rates_hz: list[float] = field(default_factory=list)
    """Round trips per second, one after another, of each run."""
    latencies: LatencyHistogram = field(default_factory=LatencyHistogram)
    """From sending an observation to the command, at the control rate."""


class _Ping(Node):
    def __init__(self) -> None:
        super().__init__("ping", start_parameter_services=False)
        robot = RobotModel()
        layout = conversions.to_layout(observation_layout(robot))
        self._values = [0.5] * (layout.dim[-1].stride + layout.dim[-1].size)
        self._message = Float64MultiArray(layout=layout, data=self._values)
        self.period_s = robot.control_period_s
        self._publisher = self.create_publisher(Float64MultiArray, "ping_pong/observation", 1)
        self.create_subscription(Float64MultiArray, "ping_pong/commands", self._on_answer, 1)
        self._sent_s = 0.0
        self._number = 0.0
        self.repeats = False
        self.latencies_s: list[float] = []

    def is_answered(self) -> bool:
        return self._publisher.get_subscription_count() > 0 and (
            self.count_publishers("ping_pong/commands") > 0
        )

    def send(self) -> None:
        self._number += 1.0
        self._message.data[0] = self._number
        self._sent_s = time.monotonic()
        self._publisher.publish(self._message)

    def _on_answer(self, message: Float64MultiArray) -> None:
        if message.data[0] != self._number:
            return  # a late answer; two balls in the air would be no round trips
        self.latencies_s.append(time.monotonic() - self._sent_s)
        if self.repeats:
            self.send()


def play(results: PingPong, duration_s: float) -> None:
    """Adds a run to `results`: half of the time at the control rate, half as fast as it goes.

    Raises:
        RuntimeError: The other process does not answer.
    """
    pong = subprocess.Popen([sys.executable, "-m", __spec__.name], stdin=subprocess.DEVNULL)
    ping = _Ping()
    executor = create_executor()
    executor.add_node(ping)
    is_over = threading.Event()

    def spin() -> None:
        while not is_over.is_set():
            executor.spin_once(timeout_sec=0.1)

    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    thread = threading.Thread(target=spin)
    thread.start()
    try:
        _await_answers(ping)
        _pace(ping, duration_s / 2)
        results.latencies += LatencyHistogram(ping.latencies_s)
        ping.latencies_s.clear()
        ping.repeats = True
        start_s = time.monotonic()
        ping.send()
        time.sleep(duration_s / 2)
        ping.repeats = False
        results.rates_hz.append(len(ping.latencies_s) / (time.monotonic() - start_s))
    finally:
        is_over.set()
        thread.join()
        sys.setswitchinterval(interval_s)
        executor.shutdown()
        ping.destroy_node()
        pong.kill()
        pong.wait()


def _await_answers(ping: _Ping) -> None:
    deadline_s = time.monotonic() + _TIMEOUT_S
    while not ping.is_answered() or not ping.latencies_s:
        if time.monotonic() > deadline_s:
            raise RuntimeError("the ping-pong's other process does not answer")
        if ping.is_answered():
            ping.send()
        time.sleep(0.05)
    _pace(ping, _WARM_UP_S)
    ping.latencies_s.clear()


def _pace(ping: _Ping, duration_s: float) -> None:
    """Sends at the control rate for a while."""
    deadline_s = start_s = time.monotonic()
    while deadline_s < start_s + duration_s:
        deadline_s += ping.period_s
        time.sleep(max(0.0, deadline_s - time.monotonic()))
        ping.send()
    time.sleep(ping.period_s)


def main() -> None:
    """Answers observations with commands until the process that started it is gone."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    rclpy.init(args=[])
    node = Node("pong", start_parameter_services=False)
    publisher = node.create_publisher(Float64MultiArray, "ping_pong/commands", 1)
    command = Float64MultiArray(data=[0.5] * len(RobotModel().driven_joints))

    def on_observation(message: Float64MultiArray) -> None:
        command.data[0] = message.data[0]
        publisher.publish(command)

    node.create_subscription(Float64MultiArray, "ping_pong/observation", on_observation, 1)
    executor = create_executor()
    executor.add_node(node)
    parent = os.getppid()
    while os.getppid() == parent:
        executor.spin_once(timeout_sec=0.2)


if __name__ == "__main__":
    main()
