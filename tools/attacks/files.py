# SPDX-License-Identifier: Apache-2.0
"""Mutilated bags, models and policies, given to the commands that read them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import gymnasium
import synthetic_run

from attacks.mutations import Mutator
from humanoid_mujoco_ros.policy import locate

_BAG_S = 1.0
_TIMEOUT_S = 60.0
"""A whole file takes a few seconds on an idle machine."""
_MAX_MEMORY_BYTES = 2 * 1024**3
_STATUSES = (0, 1, 2)
"""All is well, something is wrong with the file, it cannot be read."""
_POLL_S = 0.01


@dataclass(frozen=True)
class Case:
    """A file, the part of it that is mutilated, and the command that reads it."""

    whole: Path
    part: str
    """Within `whole`; empty: it is a file itself."""
    arguments: tuple[str, ...]
    """Of `humanoid`; FILE stands for the mutilated copy."""


class Files:
    """Mutilates files and counts what their readers make of them.

    Attributes:
        count: Files so far.
        faults: What no reader may do.
    """

    def __init__(self, mutator: Mutator, directory: Path, environment: dict[str, str]) -> None:
        """Makes whole files to begin with."""
        self._mutator = mutator
        self._directory = directory
        self._environment = {**environment, "COLUMNS": "200"}
        bag = directory / "bag"
        synthetic_run.write(bag, duration_s=_BAG_S)
        self._cases = [
            Case(bag, part.name, arguments)
            for part in sorted(bag.iterdir())
            for arguments in (
                ("bag", "info", "FILE"),
                ("report", "FILE"),
                ("bag", "verify", "FILE"),
                ("bag", "repair", "FILE"),
                ("bag", "play", "FILE", "--rate", "10"),
            )
        ]
        model = Path(gymnasium.__file__).parent / "envs/mujoco/assets/humanoid.xml"
        self._cases.append(Case(model, "", ("urdf", "--model", "FILE")))
        options = ("--battery", "pushes", "--pushes", "1", "--forces-n", "100", "--threads", "1")
        policy = locate.resolve("walk")
        self._cases.append(Case(policy, "", ("evaluate", "FILE", *options)))
        self.count = 0
        self.faults: list[str] = []

    def run(self, duration_s: float) -> None:
        """Reads mutilated files, one after another, for so long; each kind at least once."""
        end_s = time.monotonic() + duration_s
        while time.monotonic() < end_s or self.count < len(self._cases):
            case = self._cases[self.count % len(self._cases)]
            name = f"{self.count}_{case.whole.name}"
            copy = self._directory / name
            (shutil.copytree if case.whole.is_dir() else shutil.copy)(case.whole, copy)
            part = copy / case.part if case.part else copy
            part.write_bytes(self._mutator.mutilated(part.read_bytes()))
            fault = self._read([str(copy) if a == "FILE" else a for a in case.arguments])
            if fault is not None:
                self.faults.append(f"humanoid {' '.join(case.arguments)} ({name}): {fault}")
            self.count += 1

    def _read(self, arguments: list[str]) -> str | None:
        """Runs a command; what is wrong with how it ended, None: nothing."""
        with (self._directory / "output").open("w+") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "humanoid_mujoco_ros.cli", *arguments],
                env=self._environment,
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            status, memory_bytes = _wait(process)
            output.seek(0)
            text = output.read()
        if status is None:
            return f"did not end within {_TIMEOUT_S:g} s"
        if "Traceback" in text or status not in _STATUSES:
            return f"status {status}: {text.strip().splitlines()[-1:]}"
        if memory_bytes > _MAX_MEMORY_BYTES:
            return f"took {memory_bytes / 1e9:.1f} GB of memory"
        return None


def _wait(process: subprocess.Popen[bytes]) -> tuple[int | None, int]:
    """Exit status, None: it had to be killed; and the most memory that it had."""
    deadline_s = time.monotonic() + _TIMEOUT_S
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return process.returncode, usage.ru_maxrss * 1024
        if time.monotonic() > deadline_s:
            process.kill()
            process.wait()
            return None, 0
        time.sleep(_POLL_S)
