# SPDX-License-Identifier: Apache-2.0
"""sumo_node: pushes two robots towards each other until one falls, and keeps the score."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

import numpy as np
from nav_msgs.msg import Odometry
from std_srvs.srv import Trigger

from humanoid_mujoco_ros.interaction.bout import Bout, BoutConfig
from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.model import BASE_LINK, ModelConfig, RobotModel
from humanoid_mujoco_ros.robot.state import Wrench
from humanoid_mujoco_ros.ros import conversions, diagnostics, parameters, runtime
from humanoid_mujoco_ros.ros.conversions import BaseReadings
from humanoid_mujoco_ros.ros.guard import GuardedNode
from humanoid_mujoco_ros.ros.shared_config import FramesConfig
from humanoid_mujoco_ros.ros.wrench_publisher import WrenchPublisher
from humanoid_mujoco_ros.simulation.robot_spec import WorldConfig, parse_robots


class SumoNode(GuardedNode):
    """The referee of two robots in one world.

    Subscribes: odom of both robots.

    Publishes: external_wrench of both, at the control rate; /diagnostics, with the score.

    Calls: simulation/reset, when a round is over.

    Parameters: the fields of BoutConfig, WorldConfig, FramesConfig and ModelConfig.
    """

    def __init__(self) -> None:
        """Begins to watch.

        Raises:
            ValueError: A parameter cannot be used, or there are not two robots.
        """
        super().__init__("sumo_node")
        model = parameters.declare(self, ModelConfig)
        prefix = parameters.declare(self, FramesConfig).frame_prefix
        self._specs = parse_robots(parameters.declare(self, WorldConfig).robots)
        if len(self._specs) != 2:
            raise ValueError(f"sumo takes two robots, not {len(self._specs)}")
        self._bout = Bout(parameters.declare(self, BoutConfig))
        self._fall_rules = [
            RobotModel(ModelConfig(robot=spec.robot) if spec.robot else model).fall_rule
            for spec in self._specs
        ]
        self._bases: dict[int, BaseReadings] = {}
        self._rejections = diagnostics.Rejections(self)
        self._wrenches = [
            WrenchPublisher(self, f"{prefix}{spec.name}/", f"{spec.name}/external_wrench")
            for spec in self._specs
        ]
        self._reset = self.create_client(Trigger, "simulation/reset")
        for number, spec in enumerate(self._specs):
            callback = partial(self.on_odom, number)
            self.create_subscription(Odometry, f"{spec.name}/odom", callback, 1)
        names = " and ".join(spec.name for spec in self._specs)
        self._diagnostics = diagnostics.DiagnosticsPublisher(self, "bout", names, self._health)

    @property
    def score(self) -> str:
        """The score in one line, such as "red 2 : 1 blue"."""
        (first, second), (points, others) = self._specs, self._bout.score
        return f"{first.name} {points} : {others} {second.name}"

    def on_odom(self, number: int, message: Odometry) -> None:
        """Takes where a robot is; with each word of the first both are pushed anew."""
        base = conversions.from_odometry(message)
        if not np.isfinite([*base.position, *base.quaternion_wxyz]).all():
            self._rejections.add(f"odom of {self._specs[number].name} is not finite")
            return
        self._bases[number] = base
        if number == 0 and len(self._bases) == 2:
            self._push(conversions.from_time(message.header.stamp))

    def _push(self, stamp_ns: int) -> None:
        bases = [self._bases[number] for number in (0, 1)]
        fallen = [
            bool(rule.is_fallen(base.position[2], base.quaternion_wxyz))
            for rule, base in zip(self._fall_rules, bases, strict=True)
        ]
        positions = [
            spec.placement.to_world(base.position)
            for spec, base in zip(self._specs, bases, strict=True)
        ]
        before = list(self._bout.score)
        forces, is_over = self._bout.update(stamp_ns * 1e-9, positions, fallen)
        if self._bout.score != before:
            self.get_logger().info(self.score)
        for spec, base, force, wrenches in zip(
            self._specs, bases, forces, self._wrenches, strict=True
        ):
            to_link = rotation.conjugate(base.quaternion_wxyz)
            in_link = rotation.rotate(to_link, spec.placement.turn_to_odom(force))
            push = {BASE_LINK: Wrench(in_link, np.zeros(3))} if force.any() else {}
            wrenches.publish(push, stamp_ns)
        if is_over and self._reset.service_is_ready():
            self._reset.call_async(Trigger.Request())

    def _health(self) -> diagnostics.Health:
        health = diagnostics.Health()
        health.values = {
            "score": self.score,
            "round": self._bout.round,
            "force_n": self._bout.force_n,
        }
        self._rejections.report_to(health)
        return health


def main(args: Sequence[str] | None = None) -> int:
    """Runs the node; the exit status is 2 when it could not start."""
    return runtime.run(SumoNode, args)


if __name__ == "__main__":
    sys.exit(main())
