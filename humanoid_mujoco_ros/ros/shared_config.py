# SPDX-License-Identifier: Apache-2.0
"""Parameters that several nodes have in common."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from humanoid_mujoco_ros.robot.ranges import FINITE, bounded, check_ranges


@dataclass(frozen=True)
class PairingConfig:
    """How joint_states and odom belong together."""

    pairing_tolerance_s: float = bounded(0.0, 0.0, FINITE)
    """How far the stamps of a joint_states and an odom of one state may differ."""

    def __post_init__(self) -> None:
        """Checks the range.

        Raises:
            ValueError: It is negative.
        """
        check_ranges(self)


@dataclass(frozen=True)
class ProcessConfig:
    """What runs in the process of simulation_node."""

    with_policy: bool = False
    """Run policy_node in the process of simulation_node, which takes less memory. The topics stay
    the same; a policy that dies takes the simulation with it. For a robot that is alone."""

    def check(self, robots: Collection[object]) -> None:
        """Finds out whether that can be.

        Args:
            robots: Those that share a world; none: the robot is alone.

        Raises:
            ValueError: It cannot.
        """
        if self.with_policy and robots:
            raise ValueError(
                f"the policy can only run in the process of one robot, not of {len(robots)}: "
                "leave out with_policy (--single-process) or robots"
            )


@dataclass(frozen=True)
class FramesConfig:
    """What the frames of one robot have in common."""

    frame_prefix: str = ""
    """Goes before every frame's name, such as "robot2/" for a second robot."""

    def __post_init__(self) -> None:
        """Checks the prefix.

        Raises:
            ValueError: tf2 would refuse such frames.
        """
        if self.frame_prefix.startswith("/"):
            raise ValueError(f"frame_prefix must not begin with '/', not '{self.frame_prefix}'")
