# SPDX-License-Identifier: Apache-2.0
"""A recorded run as arrays."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.bags.robot_clock import ClockJump

Array = NDArray[np.float64]

WHAT_IS_MISSED = {
    "joint_states": "joint positions, velocities and efforts, control period",
    "odom": "body height, speed, distance, falls",
    "left_foot/wrench": "forces on the left foot",
    "right_foot/wrench": "forces on the right foot",
    "observation": "latency from observation to command",
    "effort_controller/commands": "latency from observation to command",
    "robot_description": "limits of the joints",
    "/diagnostics": "return, overruns, the robot's own figures",
}
"""Topic → what a report lacks without it."""


@dataclass(frozen=True)
class Track:
    """Values over time.

    Attributes:
        times_s: (n,) robot time since the run's start.
        received_s: (n,) when the recorder received them, since the bag's start.
        values: (n, …).
    """

    times_s: Array
    received_s: Array
    values: Array

    def __len__(self) -> int:
        return len(self.times_s)


@dataclass(frozen=True)
class JointGroup:
    """Joints whose states come together.

    Attributes:
        joints: Names.
        track: values (n, 3, joints): positions [rad], velocities [rad/s], efforts [N·m]; NaN where
            a state says nothing.
    """

    joints: list[str]
    track: Track


@dataclass(frozen=True)
class JointLimits:
    """A joint's limits in the URDF; NaN where it has none."""

    lower: float = np.nan
    upper: float = np.nan
    velocity: float = np.nan
    effort: float = np.nan


@dataclass(frozen=True)
class Status:
    """One status of /diagnostics."""

    time_s: float
    name: str
    level: int
    """0: ok, 1: warning, 2: error, 3: stale."""
    message: str
    values: dict[str, str]


@dataclass(frozen=True)
class LogLine:
    """A warning or error of /rosout."""

    time_s: float
    node: str
    level: int
    text: str


@dataclass
class Run:
    """What happened; a track is empty where the bag lacks its topic.

    Attributes:
        joint_groups: The largest first.
        base: values (n, 13): position [m] and quaternion wxyz in odom, linear [m/s] and angular
            [rad/s] velocity in base_link.
        feet: Side → values (n, 6): force [N] and torque [N·m] in the foot's frame.
        commands: values (n, joints): efforts [N·m], or positions [rad] of a robot with drives.
        observations: values (n, 0).
        pushes: values (n, 6): force and torque in the link's frame.
        push_links: The link of each push.
        statuses: Of /diagnostics.
        logs: Warnings and errors.
        limits: Joint → limits.
        parameters: Node → its parameters.
        missing: Topic → what is not known without it.
        notes: What else to know before the figures are believed.
        clock_jumps: Where the robot's clock was set.
        has_wall_time: Whether the bag's stamps are times of reception, not simulated time.
    """

    joint_groups: list[JointGroup] = field(default_factory=list)
    base: Track = field(default_factory=lambda: empty_track(13))
    feet: dict[str, Track] = field(default_factory=dict)
    commands: Track = field(default_factory=lambda: empty_track(0))
    observations: Track = field(default_factory=lambda: empty_track(0))
    pushes: Track = field(default_factory=lambda: empty_track(6))
    push_links: list[str] = field(default_factory=list)
    statuses: list[Status] = field(default_factory=list)
    logs: list[LogLine] = field(default_factory=list)
    limits: dict[str, JointLimits] = field(default_factory=dict)
    parameters: dict[str, dict[str, Any]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    clock_jumps: list[ClockJump] = field(default_factory=list)
    has_wall_time: bool = True

    @property
    def joint_states(self) -> Track:
        """The states of the largest group of joints."""
        return self.joint_groups[0].track if self.joint_groups else empty_track(3, 0)

    @property
    def duration_s(self) -> float:
        """Robot time from the first state to the last."""
        tracks = [*(group.track for group in self.joint_groups), self.base]
        return max((float(track.times_s.max()) for track in tracks if len(track)), default=0.0)

    def parameter(self, key: str) -> str | None:
        """The value of a parameter, of whichever node has it."""
        return next((str(v[key]) for v in self.parameters.values() if key in v), None)


def empty_track(*shape: int) -> Track:
    """A track without a value."""
    return Track(np.empty(0), np.empty(0), np.empty((0, *shape)))


def as_number(text: str) -> float:
    """The number that a text is, such as a value of a status; NaN if it is none."""
    try:
        return float(text)
    except ValueError:
        return np.nan
