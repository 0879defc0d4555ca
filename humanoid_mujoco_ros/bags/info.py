# SPDX-License-Identifier: Apache-2.0
"""`humanoid bag info`: what a bag holds."""

from __future__ import annotations

import time
from pathlib import Path

from humanoid_mujoco_ros.bags.errors import plain
from humanoid_mujoco_ros.bags.reader import Bag, Topic, open_bag

_HEADINGS = ("topic", "type", "messages", "Hz", "QoS")


def describe(path: Path) -> tuple[list[str], bool]:
    """The topics of a bag and what is wrong with it, in lines, and whether the bag is whole.

    Raises:
        BagError: The bag cannot be read.
    """
    with open_bag(path) as bag:
        files = [path] if path.is_file() else [file for file in path.iterdir() if file.is_file()]
        size_mb = sum(file.stat().st_size for file in files) / 1e6
        start = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(bag.start_ns * 1e-9))
        lines = [
            f"{path}: {size_mb:.1f} MB",
            f"{bag.message_count} messages in {bag.duration_s:.2f} s from {start}",
            "",
            *_table([_HEADINGS, *(_row(bag, topic) for topic in bag.topics.values())]),
        ]
        if bag.problems:
            lines += ["", *(f"problem: {problem}" for problem in bag.problems)]
        return lines, not bag.problems


def _row(bag: Bag, topic: Topic) -> tuple[str, ...]:
    rate = f"{topic.count / bag.duration_s:.1f}" if bag.duration_s else ""
    offered = {q["reliability"].replace("_", " ") for q in topic.qos}
    if any(q["durability"] == "transient_local" for q in topic.qos):
        offered.add("latched")
    words = ", ".join(sorted(offered))
    type_name = topic.type_name.replace("/msg/", "/")
    return plain(topic.name), plain(type_name), str(topic.count), rate, words


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    numeric = (2, 3)
    return [
        "  ".join(
            cell.rjust(width) if i in numeric else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
