# SPDX-License-Identifier: Apache-2.0
"""Remembers that a person stopped the policy, for as long as a run lasts."""

from __future__ import annotations

import time
from pathlib import Path


class StopRecord:
    """Keeps the stop in a file, so that a policy that is started again by a machine stays stopped.

    Attributes:
        stopped_by: What stopped the policy and when; None: it may run.
    """

    def __init__(self, path: Path | None) -> None:
        """Reads what `path` keeps; None: a stop is forgotten with this process."""
        self._path = path
        self.stopped_by: str | None = None
        if path is None:
            return
        # That there is a file means stop, whatever is in it.
        try:
            self.stopped_by = path.read_text(errors="replace").strip() or "a person"
        except FileNotFoundError:
            pass
        except OSError as error:
            self.stopped_by = f"a person ({error})"

    def stop(self, by: str) -> None:
        """Notes a stop.

        Raises:
            OSError: It cannot be written; it is remembered by this object alone.
        """
        self.stopped_by = f"{by} at {time.strftime('%H:%M:%S')}"
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text(self.stopped_by)

    def clear(self) -> None:
        """Forgets the stop.

        Raises:
            OSError: The file cannot be deleted.
        """
        self.stopped_by = None
        if self._path is not None:
            self._path.unlink(missing_ok=True)
