# SPDX-License-Identifier: Apache-2.0
"""Notices that a file has been written anew."""

from __future__ import annotations

from pathlib import Path

_Signature = tuple[int, int, int]


class FileWatch:
    """Follows one file by its time, size and inode.

    A file counts as written once it looks the same twice, so that one that is still being written
    is left alone. One that is away is waited for.
    """

    def __init__(self, path: Path) -> None:
        """Takes the file as it is now."""
        self.path = path
        self._known = self._seen = _signature(path)

    def has_changed(self) -> bool:
        """Whether the file is another one than at the last call that said so; call it regularly."""
        before, self._seen = self._seen, _signature(self.path)
        if self._seen is None or self._seen != before or self._seen == self._known:
            return False
        self._known = self._seen
        return True


def _signature(path: Path) -> _Signature | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
