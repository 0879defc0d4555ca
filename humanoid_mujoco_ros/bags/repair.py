# SPDX-License-Identifier: Apache-2.0
"""Saves what can be read of a bag whose recorder was killed or whose files were cut off."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
import zstandard
from mcap.records import Channel, Message, Metadata, Schema
from rosbags.interfaces import MessageDefinition, MessageDefinitionFormat
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_typestore

from humanoid_mujoco_ros.bags.definitions import Definition
from humanoid_mujoco_ros.bags.errors import BagError, reason
from humanoid_mujoco_ros.bags.mcap_records import records, unpacked
from humanoid_mujoco_ros.bags.writer import CUSTOM_DATA_RECORD, BagWriter

_MAX_METADATA_BYTES = 2**20
_MAX_RATIO = 200
"""A whole file that zstd made more than this many times smaller is no recording of a robot."""
_MAX_CUSTOM_DATA = 1000
"""Entries beside the messages that are kept."""

Unpack = Callable[[bytes], bytes]


@dataclass
class Recovery:
    """What came of a recovery."""

    message_count: int = 0
    problems: list[str] = field(default_factory=list)
    """Where reading had to end, in plain words."""


def recover(source: Path, destination: Path) -> Recovery:
    """Copies every readable message of a bag into a new MCAP bag.

    Args:
        source: The bag's folder or one of its files; not changed.
        destination: Folder of the new bag; must not exist. It is gone again if this fails.

    Raises:
        BagError: No message can be read, or `destination` cannot be made.
        OSError: `destination` cannot be written, as when the disk is full.
    """
    files = storage_files(source)
    recovery = Recovery()
    writer = BagWriter(destination)
    try:
        _copy_files(source, files, writer, recovery)
        recovery.message_count = writer.message_count
        if not writer.message_count:
            reasons = "; ".join(recovery.problems) or "its files are empty"
            raise BagError(f"nothing in {source} can be read: {reasons}")
        writer.close()
    except BaseException:
        writer.abort()
        shutil.rmtree(destination, ignore_errors=True)
        raise
    return recovery


def storage_files(source: Path) -> list[Path]:
    """The files of a bag that hold its messages, in order.

    Raises:
        BagError: There are none.
    """
    if source.is_dir():
        found = (path for path in source.iterdir() if _is_storage(path) and path.is_file())
        files = sorted(found, key=_number)
    elif source.is_file():
        files = [source] if _is_storage(source) else []
    elif source.exists():
        kind = "a pipe" if stat.S_ISFIFO(source.stat().st_mode) else "no regular file"
        raise BagError(f"{source} is {kind}, not a bag")
    else:
        raise BagError(f"{source} does not exist")
    if not files:
        raise BagError(f"{source} is not a bag: there is no .mcap or .db3 file")
    return files


def read_metadata(source: Path) -> dict[str, Any]:
    """What a bag's metadata.yaml says; empty if there is none.

    Raises:
        BagError: It cannot be read.
    """
    path = source / "metadata.yaml"
    if not path.exists():
        return {}
    if not path.is_file() or path.stat().st_size > _MAX_METADATA_BYTES:
        raise BagError(f"{path} is not a file of less than {_MAX_METADATA_BYTES} bytes")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))["rosbag2_bagfile_information"]
    except Exception as error:  # whatever the decoders of text and YAML say
        raise BagError(f"{path} cannot be read: {reason(error)}") from error
    if not isinstance(content, dict):
        raise BagError(f"{path} says nothing of a bag")
    return content


def read_custom_data(metadata: dict[str, Any]) -> dict[str, str]:
    """The texts that a recorder kept in metadata.yaml beside the messages."""
    custom_data = metadata.get("custom_data")
    if not isinstance(custom_data, dict):
        return {}
    entries = list(custom_data.items())[:_MAX_CUSTOM_DATA]
    return {str(key): value for key, value in entries if isinstance(value, str)}


def _is_storage(path: Path) -> bool:
    return path.name.endswith((".mcap", ".db3", ".mcap.zstd", ".db3.zstd"))


def _number(path: Path) -> tuple[int, str]:
    """rosbag2 numbers the files of a split bag: name_0, name_1, …, name_10."""
    digits = path.name.partition(".")[0].rpartition("_")[2]
    return (int(digits) if digits.isdecimal() and len(digits) < 10 else 0, path.name)


def _copy_files(source: Path, files: list[Path], writer: BagWriter, recovery: Recovery) -> None:
    try:
        metadata = read_metadata(source)
    except BagError as error:
        metadata = {}
        recovery.problems.append(reason(error))
    custom_data = read_custom_data(metadata)
    is_packed = str(metadata.get("compression_mode", "")).lower() == "message"
    unpack: Unpack = unpacked if is_packed else bytes
    for path in files:
        before = writer.message_count
        try:
            with TemporaryDirectory(prefix="humanoid_bag_") as directory:
                whole = _unpacked_file(path, Path(directory)) if path.suffix == ".zstd" else path
                copy = _copy_mcap if whole.suffix == ".mcap" else _copy_sqlite
                copy(whole, writer, custom_data, unpack)
        except (MemoryError, OSError):
            raise
        except Exception as error:  # whatever a broken file makes its decoders say
            count = writer.message_count - before
            recovery.problems.append(
                f"{path.name} breaks off after {count} readable messages ({reason(error)})"
            )
    for key, value in custom_data.items():
        writer.set_custom_data(key, value)


def _unpacked_file(path: Path, directory: Path) -> Path:
    """The file that rosbag2 compressed as a whole."""
    whole = directory / path.stem
    room = _MAX_RATIO * path.stat().st_size + 2**20
    with path.open("rb") as packed, whole.open("wb") as stream:
        reader = zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True)
        while piece := reader.read(2**20):
            room -= len(piece)
            if room < 0:
                raise BagError(f"it unpacks to more than {_MAX_RATIO} times its size")
            stream.write(piece)
    return whole


def _copy_mcap(path: Path, writer: BagWriter, custom_data: dict[str, str], unpack: Unpack) -> None:
    schemas: dict[int, Schema] = {}
    topics: dict[int, str] = {}
    for record in records(path):
        if isinstance(record, Schema):
            schemas[record.id] = record
        elif isinstance(record, Channel):
            topics[record.id] = record.topic
            _add_channel(record, schemas.get(record.schema_id), writer)
        elif isinstance(record, Message):
            topic = topics[record.channel_id]
            writer.write(topic, record.log_time, record.publish_time, unpack(record.data))
        elif isinstance(record, Metadata) and record.name == CUSTOM_DATA_RECORD:
            room = _MAX_CUSTOM_DATA - len(custom_data)
            custom_data.update(list(record.metadata.items())[: max(room, 0)])


def _add_channel(channel: Channel, schema: Schema | None, writer: BagWriter) -> None:
    if writer.has_topic(channel.topic):
        return
    if schema is None:
        raise BagError(f"{channel.topic} has no type")
    profiles: Any
    try:
        profiles = yaml.safe_load(channel.metadata.get("offered_qos_profiles", ""))
    except (yaml.YAMLError, RecursionError):
        profiles = []
    if not isinstance(profiles, list) or not all(isinstance(entry, dict) for entry in profiles):
        profiles = []
    described = Definition("", "", "")
    if schema.encoding in ("ros2msg", "ros2idl"):
        type_hash = channel.metadata.get("topic_type_hash", "")
        described = Definition(schema.data.decode(errors="replace"), type_hash, schema.encoding)
    writer.add_topic(channel.topic, schema.name, described, profiles)


def _copy_sqlite(
    path: Path, writer: BagWriter, custom_data: dict[str, str], unpack: Unpack
) -> None:
    del custom_data  # these files have none
    with Reader(path) as reader:
        for connection in reader.connections:
            if not writer.has_topic(connection.topic):
                described = _definition(connection.msgtype, connection.msgdef, connection.digest)
                writer.add_topic(connection.topic, connection.msgtype, described, [])
        for connection, stamp_ns, data in reader.messages():
            writer.write(connection.topic, stamp_ns, stamp_ns, unpack(bytes(data)))


def _definition(name: str, msgdef: MessageDefinition, digest: str) -> Definition:
    if msgdef.format != MessageDefinitionFormat.NONE:
        is_idl = msgdef.format == MessageDefinitionFormat.IDL
        return Definition(msgdef.data, digest, "ros2idl" if is_idl else "ros2msg")
    # Bags of Humble and before carry no definitions; the common messages have hardly changed.
    store = get_typestore(Stores.ROS2_JAZZY)
    if name not in store.fielddefs:
        return Definition("", "", "")
    text, _ = store.generate_msgdef(name, ros_version=2)
    return Definition(text, store.hash_rihs01(name))
