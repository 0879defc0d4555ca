# SPDX-License-Identifier: Apache-2.0
"""The records of an MCAP file, read within bounds: files come from anywhere.

The libraries that read MCAP trust what a file says of its sizes. A chunk of 256 KiB may unpack to
8 GB, and a file of zeros has no end. What is read here, or was checked here, is bounded.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import lz4.frame
import zstandard
from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.records import Channel, Chunk, ChunkIndex, McapRecord, Message, Metadata, Schema
from mcap.stream_reader import breakup_chunk

from humanoid_mujoco_ros.bags.errors import BagError

MAX_RECORD_BYTES = 256 * 2**20
"""Of one record, and of what one chunk unpacks to; rosbag2 writes chunks of about 1 MiB."""
_PIECE_BYTES = 2**20
_MAGIC = b"\x89MCAP0\r\n"
_HEAD = struct.Struct("<BQ")
_FOOTER_BYTES = _HEAD.size + 20 + len(_MAGIC)


def records(path: Path) -> Iterator[McapRecord]:
    """Schemas, channels, messages and metadata of a file, in the order in which they lie there.

    Raises:
        BagError: The file is cut off, damaged or out of bounds; all records before came.
    """
    with path.open("rb") as stream:
        for opcode, _, length in _walk(stream):
            if opcode == Opcode.CHUNK:
                chunk = Chunk.read(_data(stream, length))
                check_unpacked_size(chunk.compression, chunk.data, chunk.uncompressed_size)
                yield from breakup_chunk(chunk, validate_crc=True)
            elif opcode == Opcode.SCHEMA:
                yield Schema.read(_data(stream, length))
            elif opcode == Opcode.CHANNEL:
                yield Channel.read(_data(stream, length))
            elif opcode == Opcode.MESSAGE:
                yield Message.read(_data(stream, length), length)
            elif opcode == Opcode.METADATA:
                yield Metadata.read(_data(stream, length))


def check_file(path: Path) -> None:
    """Sees that the index of a file is true and that no chunk unpacks to more than it says.

    Raises:
        BagError: Not so: the file must not be given to a reader that trusts it.
    """
    chunks: dict[int, tuple[str, int, int]] = {}
    has_summary = False
    with path.open("rb") as stream:
        summary_start = _summary_start(stream)
        for opcode, offset, length in _walk(stream):
            has_summary |= offset == summary_start
            if opcode == Opcode.CHUNK:
                chunk = Chunk.read(_data(stream, length))
                check_unpacked_size(chunk.compression, chunk.data, chunk.uncompressed_size)
                size = chunk.uncompressed_size
                chunks[offset] = (chunk.compression, len(chunk.data), size)
            elif opcode == Opcode.CHUNK_INDEX:
                index = ChunkIndex.read(_data(stream, length))
                said = (index.compression, index.compressed_size, index.uncompressed_size)
                if chunks.get(index.chunk_start_offset) != said:
                    raise BagError("its index does not fit its chunks")
    if summary_start and not has_summary:
        raise BagError("its index is not where its end says")


def check_unpacked_size(compression: str, data: bytes, size: int) -> None:
    """Sees that compressed data unpack to `size` bytes, without ever holding all of them.

    Raises:
        BagError: They do not, or `size` is out of bounds.
    """
    if size > MAX_RECORD_BYTES:
        raise BagError(f"a chunk unpacks to {size} bytes, more than {MAX_RECORD_BYTES}")
    unpacked = 0
    try:
        for piece in _unpack(compression, data):
            unpacked += len(piece)
            if unpacked > size:
                break
    except (zstandard.ZstdError, RuntimeError, EOFError) as error:
        raise BagError(f"a chunk cannot be unpacked: {error}") from error
    if unpacked != size:
        more = "more" if unpacked > size else "less"
        raise BagError(f"a chunk unpacks to {more} than the {size} bytes that it says")


def unpacked(data: bytes) -> bytes:
    """A message that rosbag2 compressed with zstd on its own.

    Raises:
        BagError: It is damaged or unpacks to more than a record may have.
    """
    pieces = []
    room = MAX_RECORD_BYTES
    try:
        for piece in _unpack("zstd", data):
            pieces.append(piece)
            room -= len(piece)
            if room < 0:
                raise BagError(f"a message unpacks to more than {MAX_RECORD_BYTES} bytes")
    except zstandard.ZstdError as error:
        raise BagError(f"a message cannot be unpacked: {error}") from error
    return b"".join(pieces)


def _unpack(compression: str, data: bytes) -> Iterator[bytes]:
    if compression == "":
        yield data
    elif compression == "zstd":
        # A reader may unpack all frames that lie behind each other, so all of them count.
        decompressor = zstandard.ZstdDecompressor()
        with decompressor.stream_reader(data, read_across_frames=True) as stream:
            while piece := stream.read(_PIECE_BYTES):
                yield piece
    elif compression == "lz4":
        with lz4.frame.open(BytesIO(data)) as stream:
            while piece := stream.read(_PIECE_BYTES):
                yield piece
    else:
        raise BagError(f"a chunk has the compression '{compression}'; known are zstd and lz4")


def _walk(stream: BinaryIO) -> Iterator[tuple[int, int, int]]:
    """Opcode, offset and length of each record; the stream stands at its first byte."""
    if stream.read(len(_MAGIC)) != _MAGIC:
        raise BagError("it is not an MCAP file")
    end = stream.seek(0, 2)
    offset = len(_MAGIC)
    while True:
        stream.seek(offset)
        head = stream.read(_HEAD.size)
        if len(head) < _HEAD.size:
            raise BagError("it is cut off")
        opcode, length = _HEAD.unpack(head)
        if opcode == 0:
            raise BagError(f"there is no record at byte {offset}")
        if offset + _HEAD.size + length > end:
            raise BagError("it is cut off within a record")
        yield opcode, offset, length
        if opcode == Opcode.FOOTER:
            return
        if length > MAX_RECORD_BYTES and opcode != Opcode.ATTACHMENT:
            raise BagError(f"a record has {length} bytes, more than {MAX_RECORD_BYTES}")
        offset += _HEAD.size + length


def _data(stream: BinaryIO, length: int) -> ReadDataStream:
    if length > MAX_RECORD_BYTES:
        raise BagError(f"a record has {length} bytes, more than {MAX_RECORD_BYTES}")
    return ReadDataStream(BytesIO(stream.read(length)))


def _summary_start(stream: BinaryIO) -> int:
    size = stream.seek(0, 2)
    if size < _FOOTER_BYTES:
        raise BagError("it is cut off")
    stream.seek(size - _FOOTER_BYTES + _HEAD.size)
    (start,) = struct.unpack("<Q", stream.read(8))
    stream.seek(0)
    return int(start)
