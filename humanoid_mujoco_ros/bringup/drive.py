# SPDX-License-Identifier: Apache-2.0
"""`humanoid drive`: drives a robot by cmd_vel with the keys of the terminal."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import rclpy
from nav_msgs.msg import Odometry
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rich.console import Console
from rich.live import Live
from rich.text import Text

from humanoid_mujoco_ros.ros.conversions import from_odometry
from humanoid_mujoco_ros.ros.namespaces import checked_namespace
from humanoid_mujoco_ros.ros.network import stay_local
from humanoid_mujoco_ros.ros.velocity_publisher import VelocityPublisher

Float64Array = NDArray[np.float64]

HELP = "W/S or ↑/↓ forward, A/D or ←/→ turn, Q/E sideways, space stops, Ctrl-C ends"
_STEPS = {
    **dict.fromkeys(("w", "\x1b[A"), (0.1, 0.0, 0.0)),
    **dict.fromkeys(("s", "\x1b[B"), (-0.1, 0.0, 0.0)),
    **dict.fromkeys(("a", "\x1b[D"), (0.0, 0.0, 0.1)),
    **dict.fromkeys(("d", "\x1b[C"), (0.0, 0.0, -0.1)),
    "q": (0.0, 0.1, 0.0),
    "e": (0.0, -0.1, 0.0),
}
"""Key → what it adds to vx, vy [m/s] and the yaw rate [rad/s]."""
_PERIOD_S = 0.1
_MOST = np.array([2.0, 1.0, 2.0])
_LAST_WORDS = 3
"""How often a stop is said at the end, since cmd_vel may be heard best-effort."""


@dataclass(frozen=True)
class DriveOptions:
    """Drive the robot with the keys of this terminal; a policy has to follow cmd_vel."""

    namespace: str = ""
    """The robot's namespace."""
    stamped: bool = False
    """Publish TwistStamped instead of Twist."""
    network: bool = False
    """Drive a robot on another machine of the network."""


def changed(velocity: Float64Array, keys: str) -> Float64Array:
    """The velocity (3,) after keys were pressed; unknown ones change nothing."""
    while keys:
        key = keys[:3] if keys.startswith("\x1b[") else keys[:1]
        keys = keys[len(key) :]
        if key == " ":
            velocity = np.zeros(3)
        elif key.lower() in _STEPS or key in _STEPS:
            step = _STEPS.get(key) or _STEPS[key.lower()]
            velocity = np.clip((velocity + step).round(3), -_MOST, _MOST)
    return velocity


class DriveNode(Node):
    """Publishes cmd_vel and hears odom."""

    def __init__(self, options: DriveOptions) -> None:
        """Commands nothing yet."""
        super().__init__("drive", namespace=options.namespace)
        self.velocity = np.zeros(3)
        self._speed: Float64Array | None = None
        self._publisher = VelocityPublisher(self, is_stamped=options.stamped)
        self.create_subscription(Odometry, "odom", self.on_odom, 1)

    def on_odom(self, message: Odometry) -> None:
        """Keeps how fast the robot is."""
        base = from_odometry(message)
        self._speed = np.array([*base.linear_velocity[:2], base.angular_velocity[2]])

    def send(self) -> None:
        """Publishes the command."""
        self._publisher.send(self.velocity)

    def line(self) -> Text:
        """The command and the robot's speed."""
        speed = "no odom" if self._speed is None else _shown(self._speed)
        return Text(f"{HELP}\ncommand  {_shown(self.velocity)}\nrobot    {speed}")


def _shown(velocity: Float64Array) -> str:
    vx, vy, yaw_rate = velocity
    return f"{vx:+.2f} m/s forward  {vy:+.2f} m/s left  {yaw_rate:+.2f} rad/s"


@contextlib.contextmanager
def _single_keys(terminal: int) -> Iterator[None]:
    """Lets the terminal hand over each key at once, and show none."""
    before = termios.tcgetattr(terminal)
    try:
        tty.setcbreak(terminal)
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _drive(node: DriveNode, terminal: int) -> None:
    with Live(node.line(), console=Console(), auto_refresh=False) as live:
        while True:
            if select.select([terminal], [], [], _PERIOD_S)[0]:
                keys = os.read(terminal, 64).decode(errors="ignore")
                if not keys:
                    return  # the terminal is gone
                node.velocity = changed(node.velocity, keys)
            rclpy.spin_once(node, timeout_sec=0.0)
            node.send()
            live.update(node.line(), refresh=True)


def run(options: DriveOptions) -> int:
    """Runs `humanoid drive`."""
    if not sys.stdin.isatty():
        print("error: humanoid drive reads keys, and its input is no terminal", file=sys.stderr)
        return 2
    try:
        options = replace(options, namespace=checked_namespace(options.namespace))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    stay_local(network=options.network)
    # rclpy's own handlers would end the context before the robot is told to stop.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    node = DriveNode(options)
    try:
        with _single_keys(sys.stdin.fileno()):
            _drive(node, sys.stdin.fileno())
    except KeyboardInterrupt:
        pass
    finally:
        node.velocity = np.zeros(3)
        for _ in range(_LAST_WORDS):
            node.send()
            rclpy.spin_once(node, timeout_sec=_PERIOD_S)
        node.destroy_node()
        rclpy.try_shutdown()
    return 0
