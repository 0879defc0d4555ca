# SPDX-License-Identifier: Apache-2.0
"""Reads rosbag2 bags, MCAP or SQLite, from any recorder; damaged ones as far as they go."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from rosbags.interfaces import Connection, ConnectionExtRosbag2
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_typestore

from humanoid_mujoco_ros.bags.errors import BagError, reason
from humanoid_mujoco_ros.bags.mcap_records import check_file
from humanoid_mujoco_ros.bags.repair import (
    read_custom_data,
    read_metadata,
    recover,
    storage_files,
)

_LAST_NS = 2**63 - 1


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
    _reader: Reader
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        # The definitions of the bag itself are foreign text, and those of the messages that are
        # decoded here are the same in all of ROS 2.
        self._types = get_typestore(Stores.ROS2_JAZZY)

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
                last_ns = int(stamp_ns)
                yield connection.topic, last_ns, bytes(data)
        except (GeneratorExit, MemoryError):
            raise
        except Exception as error:  # whatever a broken file makes its decoders say
            after_s = (last_ns - self.start_ns) * 1e-9
            self.note(f"the bag is damaged after {after_s:.1f} s: {reason(error)}")

    def decode(self, topic: str, data: bytes) -> Any:
        """The message that was serialised on `topic`; arrays are numpy's.

        Raises:
            BagError: The message is damaged, or its type is none of ROS 2's common ones.
        """
        type_name = self.topics[topic].type_name
        if type_name not in self._types.fielddefs:
            raise BagError(f"{topic} holds {type_name}, which is not known here")
        try:
            return self._types.deserialize_cdr(data, type_name)
        except MemoryError:
            raise
        except Exception as error:  # a torn message makes its decoder say anything
            raise BagError(f"a message of {topic} cannot be decoded: {reason(error)}") from error

    def note(self, problem: str) -> None:
        """Adds to `problems`, once."""
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
    files = storage_files(path)
    with ExitStack() as stack:
        try:
            metadata = _checked_metadata(path, files)
            # Only what is unpacked by this package is unpacked within bounds.
            is_packed = str(metadata.get("compression_mode") or "none").lower() != "none"
            bag = None if is_packed else _opened(path, path, stack, read_custom_data(metadata))
            problems = []
        except MemoryError:
            raise
        except Exception as error:  # whatever a broken file makes its decoders say
            bag = None
            problems = [f"the bag was not closed properly or is damaged ({reason(error)})"]
        yield bag if bag is not None else _recovered(path, stack, problems)


def _checked_metadata(path: Path, files: list[Path]) -> dict[str, Any]:
    """What metadata.yaml says, of a bag that the reader may be trusted with."""
    metadata = read_metadata(path)
    if path.is_dir() and not metadata:
        raise BagError("there is no metadata.yaml")
    for file in files:
        if file.suffix == ".mcap":
            check_file(file)
    return metadata


def _recovered(path: Path, stack: ExitStack, problems: list[str]) -> Bag:
    """A copy of all that can be read, which is gone when the bag is closed."""
    directory = Path(stack.enter_context(TemporaryDirectory(prefix="humanoid_bag_")))
    copy = directory / "recovered"
    try:
        recovery = recover(path, copy)
    except OSError as error:
        raise BagError(f"no room to copy {path} to {directory}: {error.strerror}") from error
    try:
        bag = _opened(path, copy, stack, read_custom_data(read_metadata(copy)))
    except (BagError, MemoryError):
        raise
    except Exception as error:
        raise BagError(f"nothing in {path} can be read: {reason(error)}") from error
    bag.problems[:0] = [*problems, *recovery.problems]
    return bag


def _opened(path: Path, source: Path, stack: ExitStack, custom_data: dict[str, str]) -> Bag:
    """The bag in `source`, told to the user as `path`."""
    reader = stack.enter_context(Reader(source))
    count = int(reader.message_count)
    start_ns, end_ns = (reader.start_time, reader.end_time - 1) if count else (0, 0)
    if not 0 <= start_ns <= end_ns <= _LAST_NS or count < 0:
        raise ValueError(f"it says that it lasts from {start_ns} to {end_ns} ns")
    return Bag(
        path=path,
        topics=_topics(reader.connections),
        custom_data=custom_data,
        message_count=count,
        start_ns=int(start_ns),
        end_ns=int(end_ns),
        _reader=reader,
        problems=[] if count else ["the bag holds no message"],
    )


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
        name, type_name = str(connection.topic), str(connection.msgtype)
        before = found.get(name, Topic(name, type_name, 0, []))
        found[name] = Topic(
            name, before.type_name, before.count + int(connection.msgcount), before.qos + qos
        )
    return dict(sorted(found.items()))
