# SPDX-License-Identifier: Apache-2.0
"""A folder for the files of one run, removed at its end, or by the next run if it was killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PREFIX = "humanoid_run_"
_NEW_S = 10.0
"""A folder this young may be one that is being made, and not locked yet."""


@contextlib.contextmanager
def run_directory() -> Iterator[Path]:
    """A new folder, locked while this process lives; removes those that killed runs left."""
    _remove_left()
    path = Path(tempfile.mkdtemp(prefix=PREFIX))
    lock = _lock(path)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _remove_left() -> None:
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            status = path.lstat()
            if status.st_uid != os.getuid() or time.time() - status.st_mtime < _NEW_S:
                continue
            lock = _lock(path)
            if lock is not None:
                shutil.rmtree(path, ignore_errors=True)
                os.close(lock)


def _lock(path: Path) -> int | None:
    """The descriptor that holds the folder's lock; None where another process holds it.

    The kernel gives the lock back with the process, however it ends; children do not inherit it.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
