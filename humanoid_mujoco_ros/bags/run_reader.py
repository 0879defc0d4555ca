# SPDX-License-Identifier: Apache-2.0
"""Reads a run from a bag: whatever can be read, and notes on what cannot."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.bags import topics
from humanoid_mujoco_ros.bags.errors import BagError, reason
from humanoid_mujoco_ros.bags.reader import Bag
from humanoid_mujoco_ros.bags.recorded_run import (
    WHAT_IS_MISSED,
    JointGroup,
    JointLimits,
    LogLine,
    Run,
    Status,
    Track,
    as_number,
    empty_track,
)
from humanoid_mujoco_ros.bags.robot_clock import RobotClock
from humanoid_mujoco_ros.ros.topics import COMMANDS

_EPOCH_S = 1e9
"""Stamps below this are simulated time."""
_JOINT_COMMANDS = tuple(COMMANDS.values())
_FOOT_TOPICS = ("left_foot/wrench", "right_foot/wrench")
_LARGEST = 1e9
"""A larger number is no measurement, in any of the units."""
_MAX_GROUPS = 8
_MAX_JOINTS = 200
_MAX_KINDS = 20
"""Kinds of damaged messages that are told apart."""
_MAX_EVENTS = 50_000
"""Statuses, and lines of the log, that are kept."""
_MAX_VALUES = 100
"""Values of one status that are kept."""
_MAX_TEXT = 300
_WARN = 30
"""Level of a warning in /rosout."""


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


def read_run(bag: Bag, namespace: str | None = None) -> Run:
    """Reads all that a report needs; whatever the bag lacks is left empty.

    Raises:
        BagError: The namespace is not in the bag, or has to be named.
    """
    where = find_namespace(bag, namespace)
    names = {name: topics.full_name(name, where) for name in topics.RECORDED}
    run = Run(parameters=read_parameters(bag), has_wall_time=bag.start_ns * 1e-9 > _EPOCH_S)
    wanted = _usable_topics(bag, names, run)
    collected = _collect(bag, wanted)
    run.notes += collected.notes()
    run.limits = read_limits(collected.description)
    _align(run, collected, bag)
    others = [n.strip("/") for n in _namespaces(bag) if n != where]
    run.statuses = [
        s for s in run.statuses if s.name.split(":")[0].rpartition("/")[0] not in others
    ]
    return run


def read_parameters(bag: Bag) -> dict[str, dict[str, Any]]:
    """Node → its parameters, as the recorder kept them; empty if it did not."""
    try:
        recorded = json.loads(bag.custom_data.get("parameters", "{}"))
    except (ValueError, RecursionError) as error:
        bag.note(f"the recorded parameters cannot be read: {reason(error)}")
        return {}
    if not isinstance(recorded, dict):
        bag.note("the recorded parameters are no table of nodes")
        return {}
    return {node: values for node, values in recorded.items() if isinstance(values, dict)}


def read_limits(urdf: str) -> dict[str, JointLimits]:
    """Joint → limits of a URDF; empty if it is none."""
    try:
        root = ElementTree.fromstring(urdf)
    except (ElementTree.ParseError, ValueError):
        return {}
    limits = {}
    for joint in root.iter("joint"):
        limit = joint.find("limit")
        if limit is not None:
            lower, upper, velocity, effort = (
                as_number(limit.get(key, "nan")) for key in ("lower", "upper", "velocity", "effort")
            )
            if joint.get("type") == "continuous":
                lower = upper = np.nan
            limits[joint.get("name", "")] = JointLimits(lower, upper, velocity, effort)
    return limits


def _namespaces(bag: Bag) -> list[str]:
    return sorted(
        name.removesuffix(topics.JOINT_STATES).rstrip("/") or "/"
        for name in bag.topics
        if name.endswith(f"/{topics.JOINT_STATES}")
    )


def _namespace(status_name: str) -> str:
    return status_name.split(":")[0].rpartition("/")[0]


def _usable_topics(bag: Bag, names: dict[str, str], run: Run) -> dict[str, str]:
    """Full name → name, of the topics to read; notes those of another type."""
    usable = {}
    for name, full_name in names.items():
        topic = bag.topics.get(full_name)
        if topic is not None and topic.count and topic.type_name == topics.RECORDED[name]:
            usable[full_name] = name
            continue
        if topic is not None and topic.count and (name in WHAT_IS_MISSED or name in _DECODERS):
            run.notes.append(
                f"{full_name} holds {topic.type_name}, not {topics.RECORDED[name]}: not read"
            )
        if name in WHAT_IS_MISSED:
            run.missing[name] = WHAT_IS_MISSED[name]
    if not set(_JOINT_COMMANDS).isdisjoint(usable.values()):
        for name in _JOINT_COMMANDS:  # a robot obeys one of them
            run.missing.pop(name, None)
    return usable


@dataclass
class _Rows:
    """Grows by one message."""

    stamps_ns: list[int] = field(default_factory=list)
    received_ns: list[int] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    frames: list[str] = field(default_factory=list)

    def add(self, received_ns: int, stamp_ns: int, value: Any, frame: str = "") -> None:
        self.received_ns.append(received_ns)
        self.stamps_ns.append(stamp_ns)
        self.values.append(value)
        self.frames.append(frame)

    def track(self, clock: RobotClock, bag: Bag, *, has_stamps: bool = True) -> Track:
        """All rows on the time axis of the robot; there must be one."""
        received = np.array(self.received_ns, dtype=np.int64)
        stamps = np.array(self.stamps_ns, dtype=np.int64) if has_stamps else None
        return Track(
            clock.place(received, stamps),
            np.asarray((received - bag.start_ns) * 1e-9, dtype=np.float64),
            np.array(self.values, dtype=np.float64),
        )


@dataclass
class _Collected:
    """The messages of a run, decoded."""

    rows: dict[str, _Rows] = field(default_factory=dict)
    groups: dict[frozenset[str], tuple[list[str], _Rows]] = field(default_factory=dict)
    statuses: list[tuple[int, Status]] = field(default_factory=list)
    logs: list[tuple[int, LogLine]] = field(default_factory=list)
    description: str = ""
    left_out: Counter[str] = field(default_factory=Counter)
    """What was left out → how many times."""

    def leave_out(self, what: str) -> None:
        known = what in self.left_out or len(self.left_out) < _MAX_KINDS
        self.left_out[what if known else "other damaged messages"] += 1

    def rows_of(self, name: str) -> _Rows:
        return self.rows.setdefault(name, _Rows())

    def notes(self) -> list[str]:
        notes = [f"{count} times left out: {what}" for what, count in self.left_out.most_common()]
        if len(self.groups) > 1:
            names = "; ".join(", ".join(joints[:6]) for joints, _ in self.groups.values())
            notes.append(
                f"the joint states name {len(self.groups)} different sets of joints ({names}): "
                "each is shown over its own messages"
            )
        return notes


def _collect(bag: Bag, wanted: dict[str, str]) -> _Collected:
    collected = _Collected()
    for full_name, received_ns, data in bag.messages(wanted):
        name = wanted[full_name]
        if name == "observation":
            # Only when it came matters, and it is the largest message of all.
            collected.rows_of(name).add(received_ns, 0, ())
        elif name in _DECODERS:
            try:
                _DECODERS[name](collected, name, received_ns, bag.decode(full_name, data))
            except MemoryError:
                raise
            except Exception as error:  # the fields of a foreign message may hold anything
                collected.leave_out(reason(error))
    return collected


def _joint_state(collected: _Collected, name: str, received_ns: int, message: Any) -> None:
    names = list(message.name)
    if len(names) > _MAX_JOINTS:
        raise BagError(f"a message of {name} with {len(names)} joints; {_MAX_JOINTS} can be shown")
    if not names:
        raise BagError(f"a message of {name} without joints")
    key = frozenset(names)
    if key not in collected.groups:
        if len(collected.groups) == _MAX_GROUPS:
            raise BagError(f"a message of {name} with yet another set of joints")
        collected.groups[key] = (list(dict.fromkeys(names)), _Rows())
    joints, rows = collected.groups[key]
    order = [names.index(joint) for joint in joints]
    columns = np.full((3, len(joints)), np.nan)
    for column, values in zip(
        columns, (message.position, message.velocity, message.effort), strict=True
    ):
        if len(values) == len(names):
            column[:] = np.asarray(values)[order]
    columns[~(np.abs(columns) < _LARGEST)] = np.nan
    rows.add(received_ns, _stamp_ns(message), columns)


def _odometry(collected: _Collected, name: str, received_ns: int, message: Any) -> None:
    pose, twist = message.pose.pose, message.twist.twist
    values = [
        *_xyz(pose.position),
        pose.orientation.w,
        *_xyz(pose.orientation),
        *_xyz(twist.linear),
        *_xyz(twist.angular),
    ]
    collected.rows_of(name).add(received_ns, _stamp_ns(message), _measured(name, values))


def _wrench(collected: _Collected, name: str, received_ns: int, message: Any) -> None:
    values = [*_xyz(message.wrench.force), *_xyz(message.wrench.torque)]
    frame = str(message.header.frame_id)[:_MAX_TEXT]
    collected.rows_of(name).add(received_ns, _stamp_ns(message), _measured(name, values), frame)


def _array(collected: _Collected, name: str, received_ns: int, message: Any) -> None:
    collected.rows_of(name).add(received_ns, 0, np.array(message.data))


def _diagnostics(collected: _Collected, name: str, received_ns: int, message: Any) -> None:
    for status in message.status:
        if len(collected.statuses) == _MAX_EVENTS:
            raise BagError(f"a status of {name} after {_MAX_EVENTS} others")
        pairs = list(status.values)[:_MAX_VALUES]
        read = Status(
            time_s=np.nan,
            name=status.name[:_MAX_TEXT],
            level=int(np.asarray(status.level)),
            message=status.message[:_MAX_TEXT],
            values={pair.key[:_MAX_TEXT]: pair.value[:_MAX_TEXT] for pair in pairs},
        )
        collected.statuses.append((received_ns, read))


def _log(collected: _Collected, name: str, received_ns: int, message: Any) -> None:
    if message.level < _WARN:
        return
    if len(collected.logs) == _MAX_EVENTS:
        raise BagError(f"a line of {name} after {_MAX_EVENTS} others")
    text = message.msg[:_MAX_TEXT]
    line = LogLine(np.nan, message.name[:_MAX_TEXT], int(message.level), text)
    collected.logs.append((received_ns, line))


def _description(collected: _Collected, name: str, received_ns: int, message: Any) -> None:
    del name, received_ns
    collected.description = str(message.data)


_DECODERS: dict[str, Callable[[_Collected, str, int, Any], None]] = {
    "joint_states": _joint_state,
    "odom": _odometry,
    "left_foot/wrench": _wrench,
    "right_foot/wrench": _wrench,
    "external_wrench": _wrench,
    **dict.fromkeys(_JOINT_COMMANDS, _array),
    "/diagnostics": _diagnostics,
    "/rosout": _log,
    "robot_description": _description,
}


def _align(run: Run, collected: _Collected, bag: Bag) -> None:
    """Turns rows into tracks on one time axis: the robot's, which starts at 0."""
    groups = sorted(collected.groups.values(), key=lambda group: -len(group[1].values))
    states = groups[0][1] if groups else collected.rows_of("odom")
    clock = _clock(states, bag)
    run.clock_jumps = clock.jumps
    run.notes += _clock_notes(clock, len(states.values))
    run.joint_groups = [JointGroup(names, rows.track(clock, bag)) for names, rows in groups]

    def track(name: str, *shape: int, has_stamps: bool = True) -> Track:
        rows = collected.rows_of(name)
        if not rows.values:
            return empty_track(*shape)
        return rows.track(clock, bag, has_stamps=has_stamps)

    run.base = track("odom", 13)
    run.feet = {name.split("_")[0]: track(name, 6) for name in _FOOT_TOPICS}
    run.observations = track("observation", 0, has_stamps=False)
    sent = next((n for n in _JOINT_COMMANDS if collected.rows_of(n).values), _JOINT_COMMANDS[0])
    commands = collected.rows_of(sent)
    sizes = {len(value) for value in commands.values}
    if len(sizes) > 1:
        run.notes.append(f"commands have different numbers of joints: {sorted(sizes)[:6]}")
        commands.values = [np.empty(0)] * len(commands.values)
    run.commands = track(sent, 0, has_stamps=False)
    # A push may be stamped by another clock than the robot's, or not at all.
    run.pushes = track("external_wrench", 6, has_stamps=False)
    run.push_links = collected.rows_of("external_wrench").frames
    run.statuses = [
        Status(time_s, status.name, status.level, status.message, status.values)
        for time_s, status in _placed(clock, collected.statuses)
    ]
    run.logs = [
        LogLine(time_s, line.node, line.level, line.text)
        for time_s, line in _placed(clock, collected.logs)
    ]


def _placed(clock: RobotClock, events: list[tuple[int, Any]]) -> list[tuple[float, Any]]:
    times_s = clock.place(np.array([received_ns for received_ns, _ in events], dtype=np.int64))
    return [(float(time_s), event) for time_s, (_, event) in zip(times_s, events, strict=True)]


def _clock(states: _Rows, bag: Bag) -> RobotClock:
    if not states.values:  # the time of reception has to do
        span_ns: NDArray[np.int64] = np.array([bag.start_ns, bag.end_ns], dtype=np.int64)
        return RobotClock(span_ns, span_ns)
    received = np.array(states.received_ns, dtype=np.int64)
    return RobotClock(received, np.array(states.stamps_ns, dtype=np.int64))


def _clock_notes(clock: RobotClock, count: int) -> list[str]:
    notes = []
    if clock.unstamped:
        notes.append(f"{clock.unstamped} of {count} states of the robot carry no stamp")
    if clock.jumps:
        first = clock.jumps[0]
        where = f"{'back' if first.by_s < 0 else 'ahead'} by {abs(first.by_s):.2f} s"
        times = "once" if len(clock.jumps) == 1 else f"{len(clock.jumps)} times"
        notes.append(
            f"the robot's clock was set {times}, first {where} at {first.time_s:.2f} s: time goes "
            "on by the recorder's clock there, and distance and speed are those of the parts"
        )
    return notes


def _measured(name: str, values: list[float]) -> list[float]:
    if not np.all(np.abs(values) < _LARGEST):
        raise BagError(f"a message of {name} with numbers that are no measurement")
    return values


def _xyz(vector: Any) -> tuple[float, float, float]:
    return vector.x, vector.y, vector.z


def _stamp_ns(message: Any) -> int:
    stamp = message.header.stamp
    return int(stamp.sec) * 10**9 + int(stamp.nanosec)
