# SPDX-License-Identifier: Apache-2.0
"""Robots whose sensors froze: states that do not advance, whatever their stamps do."""

from __future__ import annotations

import time
from collections.abc import Callable

from builtin_interfaces.msg import Time
from nav_msgs.msg import Odometry
from sensor_msgs.msg import JointState

from attacks.stage import FROZEN, Stage
from attacks.victims import Watch

_PERIOD_NS = 10_000_000
_STATES = 100
_TIMEOUT_S = 60.0
STAMPS: dict[str, Callable[[int], int]] = {
    "repeat": lambda tick: 0,
    "alternate": lambda tick: tick % 2,
    "go round in a ring of five": lambda tick: tick % 5,
    "run backwards": lambda tick: -tick,
}
"""What the stamps of a frozen state do: the stamp, in control periods, at a tick."""


class Robot:
    """Publishes states of the simulated robot in a namespace of its own, as hardware would."""

    def __init__(self, stage: Stage) -> None:
        """Learns some states from the simulation."""
        self._stage = stage
        self._joints: list[JointState] = []
        self._odometry: list[Odometry] = []
        subscriptions = [
            stage.node.create_subscription(JointState, "joint_states", self._joints.append, 10),
            stage.node.create_subscription(Odometry, "odom", self._odometry.append, 10),
        ]
        stage.until(lambda: min(len(self._joints), len(self._odometry)) >= _STATES, _TIMEOUT_S)
        for subscription in subscriptions:
            stage.node.destroy_subscription(subscription)
        names = (f"/{FROZEN}/joint_states", f"/{FROZEN}/odom")
        self._publishers = [
            stage.node.create_publisher(kind, name, 10)
            for kind, name in zip((JointState, Odometry), names, strict=True)
        ]
        self.published = 0

    def publish(self, index: int, stamp_ns: int) -> None:
        """Publishes one of the states with a stamp, then waits for a control period."""
        start_s = time.monotonic()
        stamp = Time(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
        for publisher, states in zip(self._publishers, (self._joints, self._odometry), strict=True):
            message = states[index % _STATES]
            message.header.stamp = stamp
            publisher.publish(message)
        self.published += 1
        self._stage.spin(max(0.0, _PERIOD_NS * 1e-9 - time.monotonic() + start_s))


def attack_states(stage: Stage, duration_s: float) -> dict[str, tuple[int, float | None]]:
    """Drives a policy by a robot that freezes.

    Returns:
        What the stamps did → how many states came, and the time from the freeze to the last
        command that was not zero [s]; None: the policy did not drive the robot before.
    """
    watch = Watch(stage.context, FROZEN)
    robot, result = Robot(stage), {}
    stage.end_all_but(FROZEN)
    for what, stamp in STAMPS.items():
        if not _drive(robot, watch):
            result[what] = (0, None)
            continue
        first, start_ns = robot.published, time.time_ns()
        end_s = time.monotonic() + duration_s / len(STAMPS)
        while time.monotonic() < end_s:
            tick = robot.published - first
            robot.publish(0, start_ns + stamp(tick) * _PERIOD_NS)
        stage.spin(0.5)
        result[what] = (
            robot.published - first,
            max(0.0, (watch.last_command_ns - start_ns) * 1e-9),
        )
    watch.close()
    return result


def _drive(robot: Robot, watch: Watch) -> bool:
    """Publishes states that advance until they are answered by efforts; whether they were."""
    begin_ns, end_s = time.time_ns(), time.monotonic() + _TIMEOUT_S
    while watch.last_command_ns < begin_ns:
        if time.monotonic() > end_s:
            return False
        robot.publish(robot.published, time.time_ns())
    return True
