# SPDX-License-Identifier: Apache-2.0
"""Looks at the files of a model before MuJoCo does.

MuJoCo waits for ever for a pipe, and takes minutes and memory for what a file repeats.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from humanoid_mujoco_ros.robot.errors import ModelError

MAX_XML_BYTES = 64 * 1024**2
MAX_FILES = 1000
MAX_COPIES = 10_000
"""What the <replicate> elements of a model may make of one element."""
_FOLDERS = ("meshdir", "texturedir", "assetdir")


def check_files(path: Path) -> None:
    """Looks at a model file, at what it includes and at the files that it names.

    Raises:
        ModelError: One is no regular file or too large, or the model repeats itself too often.
    """
    waiting, seen, folders = [path], {path}, {path.parent}
    while waiting:
        root = _parsed(waiting.pop())
        if root is None:
            continue
        _check_copies(root, path)
        for compiler in root.iter("compiler"):
            folders |= {path.parent / compiler.get(name, "") for name in _FOLDERS}
        for element in root.iter():
            name = element.get("file")
            if name is None:
                continue
            for file in {folder / name for folder in folders} - seen:
                _check_regular(file)
                seen.add(file)
                if element.tag == "include":
                    waiting.append(file)
        if len(seen) > MAX_FILES:
            raise ModelError(f"{path} names more than {MAX_FILES} files")


def _parsed(file: Path) -> ET.Element | None:
    """The root of an XML file; None: MuJoCo will say what is wrong with it."""
    _check_regular(file)
    try:
        if file.stat().st_size > MAX_XML_BYTES:
            raise ModelError(f"{file} is longer than {MAX_XML_BYTES // 1024**2} MB: it is no model")
        return ET.parse(file).getroot()
    except (OSError, ET.ParseError, LookupError, ValueError, RecursionError):
        return None


def _check_regular(file: Path) -> None:
    if file.exists() and not file.is_file():
        raise ModelError(f"{file} is not a regular file")


def _check_copies(root: ET.Element, path: Path) -> None:
    waiting = [(root, 1)]
    while waiting:
        element, copies = waiting.pop()
        if element.tag == "replicate":
            try:
                copies *= max(1, int(element.get("count", "1")))
            except ValueError:
                continue  # MuJoCo refuses it
            if copies > MAX_COPIES:
                raise ModelError(
                    f"{path} replicates an element {copies:,} times, more than {MAX_COPIES:,}"
                )
        waiting += [(child, copies) for child in element]
