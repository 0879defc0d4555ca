# SPDX-License-Identifier: Apache-2.0
"""A run as arrays, read from a bag."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.bags import topics
from humanoid_mujoco_ros.bags.errors import BagError
from humanoid_mujoco_ros.bags.reader import Bag

Array = NDArray[np.float64]

_EPOCH_S = 1e9
"""Stamps below this are simulated time."""
_FOOT_TOPICS = ("left_foot/wrench", "right_foot/wrench")

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
        joints: Names.
        joint_states: values (n, 3, joints): positions [rad], velocities [rad/s], efforts [N·m].
        base: values (n, 13): position [m] and quaternion xyzw in odom, linear [m/s] and angular
            [rad/s] velocity in base_link.
        feet: Side → values (n, 6): force [N] and torque [N·m] in the foot's frame.
        commands: values (n, joints) [N·m].
        observations: values (n, 0).
        pushes: values (n, 6): force and torque in the link's frame.
        push_links: The link of each push.
        statuses: Of /diagnostics.
        logs: Warnings and errors.
        limits: Joint → limits.
        parameters: Node → its parameters.
        missing: Topic → what is not known without it.
        has_wall_time: Whether the bag's stamps are times of reception, not simulated time.
    """

    joints: list[str] = field(default_factory=list)
    joint_states: Track = field(default_factory=lambda: _empty(3, 0))
    base: Track = field(default_factory=lambda: _empty(13))
    feet: dict[str, Track] = field(default_factory=dict)
    commands: Track = field(default_factory=lambda: _empty(0))
    observations: Track = field(default_factory=lambda: _empty(0))
    pushes: Track = field(default_factory=lambda: _empty(6))
    push_links: list[str] = field(default_factory=list)
    statuses: list[Status] = field(default_factory=list)
    logs: list[LogLine] = field(default_factory=list)
    limits: dict[str, JointLimits] = field(default_factory=dict)
    parameters: dict[str, dict[str, Any]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    has_wall_time: bool = True

    @property
    def duration_s(self) -> float:
        """Robot time from the first state to the last."""
        tracks = [track for track in (self.joint_states, self.base) if len(track)]
        return max((float(track.times_s[-1]) for track in tracks), default=0.0)


def find_namespace(bag: Bag, asked: str | None) -> str:
    """The namespace of the robot in the bag.

    Args:
        bag: The bag.
        asked: The namespace that the user wants; None: the only one.

    Raises:
        BagError: There are several robots, or none of that name.
    """
    found = _namespaces(bag)
    if asked is not None:
        wanted = f"/{asked.strip('/')}"
        if found and wanted not in found:
            raise BagError(
                f"{bag.path} has no robot in {wanted}; joint states are in {', '.join(found)}"
            )
        return wanted
    if len(found) > 1 and "/" not in found:
        raise BagError(
            f"{bag.path} holds several robots; name one with --namespace: {', '.join(found)}"
        )
    return found[0] if found else "/"


def _namespaces(bag: Bag) -> list[str]:
    return sorted(
        name.removesuffix(topics.JOINT_STATES).rstrip("/") or "/"
        for name in bag.topics
        if name.endswith(f"/{topics.JOINT_STATES}")
    )


def read_run(bag: Bag, namespace: str | None = None) -> Run:
    """Reads all that a report needs; whatever the bag lacks is left empty.

    Raises:
        BagError: The namespace is not in the bag, or has to be named.
    """
    where = find_namespace(bag, namespace)
    reader = _RunReader(bag, where)
    return reader.read()


class _Rows:
    """Grows by one message."""

    def __init__(self) -> None:
        self.stamps_ns: list[int] = []
        self.received_ns: list[int] = []
        self.values: list[Any] = []
        self.names: list[str] = []


class _RunReader:
    """Reads one robot's run."""

    def __init__(self, bag: Bag, namespace: str) -> None:
        self._bag = bag
        self._run = Run()
        self._rows: dict[str, _Rows] = defaultdict(_Rows)
        self._names = {name: topics.resolve(name, namespace) for name in topics.RECORDED}
        self._namespace = namespace
        self._decoders: dict[str, Callable[[_Rows, Any], None]] = {
            "joint_states": self._joint_state,
            "odom": _odometry,
            "left_foot/wrench": _wrench,
            "right_foot/wrench": _wrench,
            "external_wrench": _wrench,
            "effort_controller/commands": _array,
        }
        self._statuses: list[tuple[int, Any]] = []
        self._logs: list[tuple[int, Any]] = []

    def read(self) -> Run:
        run = self._run
        run.missing = {
            name: missed
            for name, missed in WHAT_IS_MISSED.items()
            if not self._count(self._names[name])
        }
        self._read_messages()
        self._align()
        run.parameters = json.loads(self._bag.custom_data.get("parameters", "{}"))
        return run

    def _count(self, name: str) -> int:
        topic = self._bag.topics.get(name)
        return topic.count if topic is not None else 0

    def _read_messages(self) -> None:
        by_full_name = {full: name for name, full in self._names.items()}
        wanted = [
            self._names[name]
            for name in (*self._decoders, "observation", "/diagnostics", "/rosout")
        ]
        bag = self._bag
        for full, received_ns, data in bag.messages(wanted):
            name = by_full_name[full]
            if name == "observation":
                # Only when it came matters, and it is the largest message of all.
                self._add(name, received_ns, 0, ())
            elif name in ("/diagnostics", "/rosout"):
                message = bag.decode(full, data)
                kept = self._statuses if name == "/diagnostics" else self._logs
                kept.append((received_ns, message))
            else:
                message = bag.decode(full, data)
                rows = self._rows[name]
                before = len(rows.values)
                self._decoders[name](rows, message)
                if len(rows.values) > before:
                    header = getattr(message, "header", None)
                    rows.received_ns.append(received_ns)
                    rows.stamps_ns.append(_stamp_ns(header.stamp) if header is not None else 0)
        description = self._names["robot_description"]
        for full, _, data in bag.messages([description]):
            self._run.limits = read_limits(str(bag.decode(full, data).data))

    def _add(self, name: str, received_ns: int, stamp_ns: int, value: Any) -> None:
        rows = self._rows[name]
        rows.received_ns.append(received_ns)
        rows.stamps_ns.append(stamp_ns)
        rows.values.append(value)

    def _joint_state(self, rows: _Rows, message: Any) -> None:
        names = list(message.name)
        if not self._run.joints:
            self._run.joints = names
        joints = self._run.joints
        if set(joints) - set(names):
            return  # of another part of the robot; its joints are published on their own
        order = [names.index(joint) for joint in joints]
        columns = []
        for values in (message.position, message.velocity, message.effort):
            whole = len(values) == len(names)
            columns.append(np.asarray(values)[order] if whole else np.full(len(joints), np.nan))
        rows.values.append(columns)

    def _align(self) -> None:
        """Turns rows into tracks on one time axis: the robot's, which starts at 0."""
        run = self._run
        clock = next(
            (
                rows
                for rows in (self._rows[name] for name in ("joint_states", "odom"))
                if rows.values and any(rows.stamps_ns)
            ),
            None,
        )
        if clock is None:  # no stamps at all: the time of reception has to do
            start_ns = self._bag.start_ns
            known_received = known_stamps = np.array([start_ns, self._bag.end_ns], dtype=np.int64)
        else:
            known_received, known_stamps = np.array(clock.received_ns), np.array(clock.stamps_ns)
            start_ns = int(known_stamps[0])
        run.has_wall_time = self._bag.start_ns * 1e-9 > _EPOCH_S

        def to_robot_time_s(received_ns: Sequence[int] | NDArray[np.int64]) -> Array:
            received = np.asarray(received_ns) - known_received[0]
            stamps = np.interp(
                received, known_received - known_received[0], known_stamps - start_ns
            )
            return np.asarray(stamps * 1e-9)

        def track(name: str, shape: tuple[int, ...]) -> Track:
            rows = self._rows[name]
            if not rows.values:
                return _empty(*shape)
            received = np.array(rows.received_ns)
            stamps = np.array(rows.stamps_ns)
            usable = bool(stamps.all()) and clock is not None
            times_s = (stamps - start_ns) * 1e-9 if usable else to_robot_time_s(received)
            return Track(
                times_s,
                (received - self._bag.start_ns) * 1e-9,
                np.array(rows.values, dtype=np.float64),
            )

        run.joint_states = track("joint_states", (3, 0))
        run.base = track("odom", (13,))
        run.feet = {name.split("_")[0]: track(name, (6,)) for name in _FOOT_TOPICS}
        run.observations = track("observation", (0,))
        sizes = [len(value) for value in self._rows["effort_controller/commands"].values]
        if sizes and len(set(sizes)) == 1:
            run.commands = track("effort_controller/commands", (sizes[0],))
        # A push may be stamped by another clock than the robot's, or not at all.
        pushes = self._rows["external_wrench"]
        pushes.stamps_ns = [0] * len(pushes.stamps_ns)
        run.pushes = track("external_wrench", (6,))
        run.push_links = pushes.names
        self._keep_events(to_robot_time_s)

    def _keep_events(self, to_robot_time_s: Callable[[Sequence[int]], Array]) -> None:
        run = self._run
        others = [n.strip("/") for n in _namespaces(self._bag) if n != self._namespace]
        times_s = to_robot_time_s([received for received, _ in self._statuses])
        for time_s, (_, message) in zip(times_s, self._statuses, strict=True):
            for status in message.status:
                # This package's nodes put their namespace before their name.
                if status.name.split(":")[0].rpartition("/")[0] in others:
                    continue
                run.statuses.append(
                    Status(
                        time_s=float(time_s),
                        name=status.name,
                        level=int(np.asarray(status.level)),
                        message=status.message,
                        values={pair.key: pair.value for pair in status.values},
                    )
                )
        times_s = to_robot_time_s([received for received, _ in self._logs])
        run.logs = [
            LogLine(float(time_s), message.name, int(message.level), message.msg)
            for time_s, (_, message) in zip(times_s, self._logs, strict=True)
            if message.level >= 30  # WARN
        ]


def read_limits(urdf: str) -> dict[str, JointLimits]:
    """Joint → limits of a URDF; empty if it is none."""
    try:
        root = ElementTree.fromstring(urdf)
    except ElementTree.ParseError:
        return {}
    limits = {}
    for joint in root.iter("joint"):
        limit = joint.find("limit")
        if limit is not None:
            lower, upper, velocity, effort = (
                float(limit.get(key, "nan")) for key in ("lower", "upper", "velocity", "effort")
            )
            if joint.get("type") == "continuous":
                lower = upper = np.nan
            limits[joint.get("name", "")] = JointLimits(lower, upper, velocity, effort)
    return limits


def _odometry(rows: _Rows, message: Any) -> None:
    pose, twist = message.pose.pose, message.twist.twist
    rows.values.append(
        [
            *_xyz(pose.position),
            *_xyz(pose.orientation),
            pose.orientation.w,
            *_xyz(twist.linear),
            *_xyz(twist.angular),
        ]
    )


def _wrench(rows: _Rows, message: Any) -> None:
    rows.values.append([*_xyz(message.wrench.force), *_xyz(message.wrench.torque)])
    rows.names.append(message.header.frame_id)


def _array(rows: _Rows, message: Any) -> None:
    rows.values.append(np.asarray(message.data))


def _xyz(vector: Any) -> tuple[float, float, float]:
    return vector.x, vector.y, vector.z


def _stamp_ns(stamp: Any) -> int:
    return int(stamp.sec) * 10**9 + int(stamp.nanosec)


def _empty(*shape: int) -> Track:
    return Track(np.empty(0), np.empty(0), np.empty((0, *shape)))
