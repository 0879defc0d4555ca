# SPDX-License-Identifier: Apache-2.0
"""Reads rosbag2 bags, MCAP or SQLite, of whoever recorded them; damaged ones as far as they go."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import yaml
from rosbags.highlevel import AnyReader
from rosbags.interfaces import Connection, ConnectionExtRosbag2
from rosbags.typesys import Stores, get_typestore

from humanoid_mujoco_ros.bags.errors import BagError
from humanoid_mujoco_ros.bags.repair import recover


@dataclass(frozen=True)
class Topic:
    """A topic of a bag."""

    name: str
    type_name: str
    count: int
    """Number of messages."""
    qos: list[dict[str, str]]
    """Reliability and durability that each publisher offered, in rosbag2's words."""


@dataclass
class Bag:
    """An open bag.

    Attributes:
        path: Its folder or file.
        topics: By name.
        custom_data: What the recorder kept beside the messages.
        problems: What is wrong with the bag, in plain words; grows while reading.
        message_count: Messages of all topics.
        start_ns: Stamp of the first message.
        end_ns: Stamp of the last message.
    """

    path: Path
    topics: dict[str, Topic]
    custom_data: dict[str, str]
    message_count: int
    start_ns: int
    end_ns: int
    _reader: AnyReader
    problems: list[str] = field(default_factory=list)

    @property
    def duration_s(self) -> float:
        """Time between the first and the last message [s]."""
        return (self.end_ns - self.start_ns) * 1e-9

    def messages(
        self, names: Collection[str], start_ns: int | None = None, stop_ns: int | None = None
    ) -> Iterator[tuple[str, int, bytes]]:
        """Topic, stamp [ns] and serialised message, in the order of the stamps.

        Args:
            names: Topics; those that the bag lacks are skipped.
            start_ns: Leave out what came before.
            stop_ns: Leave out what came at this time or later.
        """
        connections = [c for c in self._reader.connections if c.topic in names]
        if not connections:
            return
        last_ns = self.start_ns
        try:
            for connection, stamp_ns, data in self._reader.messages(connections, start_ns, stop_ns):
                last_ns = stamp_ns
                yield connection.topic, stamp_ns, data
        except GeneratorExit:
            raise
        except Exception as error:  # whatever a broken file makes its decoders say
            after_s = (last_ns - self.start_ns) * 1e-9
            self._note(f"the bag is damaged after {after_s:.1f} s: {error}")

    def decode(self, topic: str, data: bytes) -> Any:
        """The message that was serialised on `topic`; arrays are numpy's."""
        return self._reader.deserialize(data, self.topics[topic].type_name)

    def _note(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)


@contextmanager
def open_bag(path: Path) -> Iterator[Bag]:
    """Opens a bag for reading.

    Args:
        path: A bag's folder, or one .mcap or .db3 file. Of a bag that was cut off (no
            metadata.yaml, no index, a torn end), all that can be read is read, and `problems`
            says so.

    Raises:
        BagError: There is no bag, or nothing in it can be read.
    """
    if not path.exists():
        raise BagError(f"{path} does not exist")
    with ExitStack() as stack:
        problems: list[str] = []
        try:
            reader = stack.enter_context(_reader(path))
            custom_data = _custom_data(path)
        except Exception as error:
            directory = Path(stack.enter_context(TemporaryDirectory(prefix="humanoid_bag_")))
            recovered = recover(path, directory / "recovered")
            problems.append(f"the bag was not closed properly or is damaged ({_line(error)})")
            problems += recovered.problems
            reader = stack.enter_context(_reader(directory / "recovered"))
            custom_data = _custom_data(directory / "recovered")
        if not reader.message_count:
            problems.append("the bag holds no message")
        yield Bag(
            path=path,
            topics=_topics(reader.connections),
            custom_data=custom_data,
            message_count=reader.message_count,
            start_ns=reader.start_time if reader.message_count else 0,
            end_ns=reader.end_time - 1 if reader.message_count else 0,
            _reader=reader,
            problems=problems,
        )


def _reader(path: Path) -> AnyReader:
    # Bags of Humble and before carry no definitions; the common messages have hardly changed.
    return AnyReader([path], default_typestore=get_typestore(Stores.ROS2_JAZZY))


def _custom_data(path: Path) -> dict[str, str]:
    metadata = path / "metadata.yaml"
    if not metadata.is_file():
        return {}
    content = yaml.safe_load(metadata.read_text())
    return content["rosbag2_bagfile_information"].get("custom_data") or {}


def _topics(connections: list[Connection]) -> dict[str, Topic]:
    found: dict[str, Topic] = {}
    for connection in connections:
        offered = cast(ConnectionExtRosbag2, connection.ext).offered_qos_profiles
        qos = [
            {
                "reliability": profile.reliability.name.lower(),
                "durability": profile.durability.name.lower(),
            }
            for profile in offered
        ]
        name = connection.topic
        before = found.get(name, Topic(name, connection.msgtype, 0, []))
        found[name] = Topic(
            name, before.type_name, before.count + connection.msgcount, before.qos + qos
        )
    return dict(sorted(found.items()))


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
