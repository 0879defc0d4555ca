# SPDX-License-Identifier: Apache-2.0
"""Saves what can be read of a bag whose recorder was killed or whose files were cut off."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from mcap.records import Channel, Chunk, McapRecord, Message, Metadata, Schema
from mcap.stream_reader import StreamReader, breakup_chunk
from rosbags.interfaces import MessageDefinitionFormat
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_typestore

from humanoid_mujoco_ros.bags.definitions import Definition
from humanoid_mujoco_ros.bags.errors import BagError
from humanoid_mujoco_ros.bags.writer import CUSTOM_DATA_RECORD, BagWriter

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


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
        destination: Folder of the new bag; must not exist.

    Raises:
        BagError: No message can be read, or `destination` cannot be made.
    """
    files = _files(source)
    recovery = Recovery()
    writer = BagWriter(destination)
    custom_data = _custom_data(source)
    for path in files:
        copy = _copy_mcap if path.suffix == ".mcap" else _copy_sqlite
        before = writer.message_count
        try:
            copy(path, writer, custom_data)
        except (MemoryError, KeyboardInterrupt, OSError):
            raise
        except Exception as error:  # whatever a broken file makes its decoders say
            reason = " ".join(str(error).split()) or type(error).__name__
            count = writer.message_count - before
            recovery.problems.append(
                f"{path.name} breaks off after {count} readable messages ({reason})"
            )
    for key, value in custom_data.items():
        writer.set_custom_data(key, value)
    recovery.message_count = writer.message_count
    if not writer.message_count:
        writer.close()
        for path in destination.iterdir():
            path.unlink()
        destination.rmdir()
        reasons = "; ".join(recovery.problems) or "its files are empty"
        raise BagError(f"nothing in {source} can be read: {reasons}")
    writer.close()
    return recovery


def _files(source: Path) -> list[Path]:
    if source.is_file():
        files = [source]
    elif source.is_dir():
        files = sorted((*source.glob("*.mcap"), *source.glob("*.db3")), key=_number)
    else:
        raise BagError(f"{source} does not exist")
    if not files or any(path.suffix not in (".mcap", ".db3") for path in files):
        raise BagError(f"{source} is not a bag: there is no .mcap or .db3 file")
    return files


def _number(path: Path) -> tuple[int, str]:
    """rosbag2 numbers the files of a split bag: name_0, name_1, …, name_10."""
    digits = path.stem.rpartition("_")[2]
    return (int(digits) if digits.isdigit() else 0, path.name)


def _custom_data(source: Path) -> dict[str, str]:
    try:
        content = yaml.safe_load((source / "metadata.yaml").read_text())
        return dict(content["rosbag2_bagfile_information"].get("custom_data") or {})
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError):
        return {}


def _copy_mcap(path: Path, writer: BagWriter, custom_data: dict[str, str]) -> None:
    schemas: dict[int, Schema] = {}
    topics: dict[int, str] = {}
    with path.open("rb") as stream:
        for record in _records(StreamReader(stream, emit_chunks=True)):
            if isinstance(record, Schema):
                schemas[record.id] = record
            elif isinstance(record, Channel):
                topics[record.id] = record.topic
                _add_channel(record, schemas, writer)
            elif isinstance(record, Message):
                writer.write(
                    topics[record.channel_id], record.log_time, record.publish_time, record.data
                )
            elif isinstance(record, Metadata) and record.name == CUSTOM_DATA_RECORD:
                custom_data.update(record.metadata)


def _records(reader: StreamReader) -> Iterator[McapRecord]:
    for record in reader.records:
        if not isinstance(record, Chunk):
            yield record
            continue
        if record.compression == "zstd":
            # mcap itself wants another package for this; rosbags brings this one.
            record = replace(record, compression="", data=zstd.decompress(record.data))
        yield from breakup_chunk(record, validate_crc=True)


def _add_channel(channel: Channel, schemas: dict[int, Schema], writer: BagWriter) -> None:
    if writer.has_topic(channel.topic):
        return
    schema = schemas[channel.schema_id]
    profiles: list[dict[str, Any]] = yaml.safe_load(
        channel.metadata.get("offered_qos_profiles", "")
    )
    writer.add_topic(
        channel.topic,
        schema.name,
        Definition(
            schema.data.decode(), channel.metadata.get("topic_type_hash", ""), schema.encoding
        ),
        profiles or [],
    )


def _copy_sqlite(path: Path, writer: BagWriter, custom_data: dict[str, str]) -> None:
    del custom_data  # these files have none
    store = get_typestore(Stores.ROS2_JAZZY)
    with Reader(path) as reader:
        for connection in reader.connections:
            name = connection.msgtype
            if connection.msgdef.format == MessageDefinitionFormat.NONE:
                text, _ = store.generate_msgdef(name, ros_version=2)
                described = Definition(text, store.hash_rihs01(name))
            else:
                is_idl = connection.msgdef.format == MessageDefinitionFormat.IDL
                described = Definition(
                    connection.msgdef.data, connection.digest, "ros2idl" if is_idl else "ros2msg"
                )
            if not writer.has_topic(connection.topic):
                writer.add_topic(connection.topic, name, described, [])
        for connection, stamp_ns, data in reader.messages():
            writer.write(connection.topic, stamp_ns, stamp_ns, bytes(data))
