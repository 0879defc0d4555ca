# SPDX-License-Identifier: Apache-2.0
"""Writes rosbag2 bags as MCAP: a folder with one .mcap file and metadata.yaml."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from mcap.writer import CompressionType, Writer

from humanoid_mujoco_ros.bags.definitions import Definition
from humanoid_mujoco_ros.bags.errors import BagError

_METADATA_VERSION = 9
"""rosbag2's of Jazzy and later."""
_LAST_NS = 2**63 - 1
CUSTOM_DATA_RECORD = "custom_data"
"""MCAP metadata record with what metadata.yaml's custom_data will hold once the bag is closed."""

Qos = Mapping[str, Any]
"""An offered QoS profile as rosbag2 writes it."""


@dataclass
class _Topic:
    channel: int
    name: str
    type_name: str
    type_hash: str
    qos: list[Qos]
    count: int = 0


class BagWriter:
    """A new bag. What was flushed can be read even if the process is killed.

    Raises:
        BagError: The folder exists already or cannot be made.
        OSError: From any method, when the disk is full.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.message_count = 0
        self.custom_data: dict[str, str] = {}
        if path.exists():
            raise BagError(f"{path} exists already; a recording never overwrites one")
        self._file = path / f"{path.name}_0.mcap"
        try:
            path.mkdir(parents=True)
            self._stream = self._file.open("xb")
        except OSError as error:
            raise BagError(f"cannot make {path}: {error.strerror}") from error
        self._writer = Writer(self._stream, compression=CompressionType.LZ4)
        self._writer.start(profile="ros2", library="humanoid_mujoco_ros")
        self._schemas: dict[str, int] = {}
        self._topics: dict[str, _Topic] = {}
        self._first_ns = _LAST_NS
        self._last_ns = 0

    def has_topic(self, name: str) -> bool:
        """Whether the topic was added."""
        return name in self._topics

    def counts(self) -> dict[str, int]:
        """Topic → number of messages written."""
        return {name: topic.count for name, topic in self._topics.items()}

    def add_topic(
        self, name: str, type_name: str, definition: Definition, qos: Sequence[Qos]
    ) -> None:
        """Adds a topic with the QoS profiles that its publishers offer."""
        if type_name not in self._schemas:
            self._schemas[type_name] = self._writer.register_schema(
                type_name, definition.encoding, definition.text.encode()
            )
        profiles: list[Qos] = [dict(profile) for profile in qos]
        channel = self._writer.register_channel(
            name,
            "cdr",
            self._schemas[type_name],
            {
                "offered_qos_profiles": yaml.safe_dump(profiles, sort_keys=False).strip(),
                "topic_type_hash": definition.type_hash,
            },
        )
        self._topics[name] = _Topic(channel, name, type_name, definition.type_hash, profiles)

    def write(self, topic: str, received_ns: int, published_ns: int, data: bytes) -> None:
        """Adds a message, serialised as CDR, to a topic that was added before.

        Args:
            topic: Its name.
            received_ns: The stamp by which bags are ordered and played.
            published_ns: When the publisher sent it; kept in MCAP only.
            data: The message.

        Raises:
            BagError: The stamp is none that every reader can take.
        """
        if not 0 <= received_ns <= _LAST_NS:
            raise BagError(f"a message of {topic} has the stamp {received_ns} ns")
        entry = self._topics[topic]
        entry.count += 1
        self._writer.add_message(entry.channel, received_ns, data, published_ns, entry.count)
        self.message_count += 1
        self._first_ns = min(self._first_ns, received_ns)
        self._last_ns = max(self._last_ns, received_ns)

    def set_custom_data(self, key: str, value: str) -> None:
        """Keeps a text with the bag, at once and in metadata.yaml's custom_data."""
        self.custom_data[key] = value
        self._writer.add_metadata(CUSTOM_DATA_RECORD, {key: value})

    def flush(self) -> None:
        """Hands everything to the operating system, from where it survives this process.

        Raises:
            OSError: Nothing can be written, or the folder is gone or read-only by now, which the
                system itself would only say when the bag is closed.
        """
        self._writer.flush()
        if not self._file.exists():
            raise FileNotFoundError(errno.ENOENT, "the file is gone", str(self._file))
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, "the folder is read-only", str(self.path))

    def close(self) -> None:
        """Writes the index and metadata.yaml."""
        information = self._information()
        self._writer.add_metadata(
            "rosbag2", {"serialized_metadata": yaml.safe_dump(information, sort_keys=False)}
        )
        self._writer.finish()
        self._stream.close()
        text = yaml.safe_dump({"rosbag2_bagfile_information": information}, sort_keys=False)
        temporary = self.path / ".metadata.yaml"
        temporary.write_text(text)
        temporary.replace(self.path / "metadata.yaml")

    def abort(self) -> None:
        """Ends without an index, as when the disk is full; never raises."""
        try:
            self._stream.close()
        except OSError:
            # The buffer's rest has no place to go; close() has released the file all the same.
            self._stream.raw.close()

    def _information(self) -> dict[str, Any]:
        start_ns = self._first_ns if self.message_count else 0
        duration_ns = max(0, self._last_ns - start_ns)
        file_name = f"{self.path.name}_0.mcap"
        return {
            "version": _METADATA_VERSION,
            "storage_identifier": "mcap",
            "duration": {"nanoseconds": duration_ns},
            "starting_time": {"nanoseconds_since_epoch": start_ns},
            "message_count": self.message_count,
            "topics_with_message_count": [
                {
                    "topic_metadata": {
                        "name": topic.name,
                        "type": topic.type_name,
                        "serialization_format": "cdr",
                        "offered_qos_profiles": topic.qos,
                        "type_description_hash": topic.type_hash,
                    },
                    "message_count": topic.count,
                }
                for topic in self._topics.values()
            ],
            "compression_format": "",
            "compression_mode": "",
            "relative_file_paths": [file_name],
            "files": [
                {
                    "path": file_name,
                    "starting_time": {"nanoseconds_since_epoch": start_ns},
                    "duration": {"nanoseconds": duration_ns},
                    "message_count": self.message_count,
                }
            ],
            "custom_data": self.custom_data or None,
            "ros_distro": os.environ.get("ROS_DISTRO", "unknown"),
        }
