# SPDX-License-Identifier: Apache-2.0
"""Recognises files that are no policy for this package, before any of their content is loaded."""

from __future__ import annotations

import pickletools
import zipfile
from pathlib import Path

MOST_BYTES = 256 * 2**20
"""Size of the largest checkpoint that is read; the ones that ship have 0.7 MB."""
MOST_OLD_TORCH_BYTES = 8 * 2**20
"""The same for torch's format before 1.6, which does not say how many tensors it holds."""
MOST_TENSORS = 4096
MOST_INDEX_BYTES = 2**20
"""Size of the largest list of tensors that is read."""

ZIP_START = b"PK\x03\x04"
PICKLE_START = b"\x80"
TORCH_STARTS = (ZIP_START, PICKLE_START)
"""How a torch file begins: as a zip archive, or before torch 1.6 as a pickle."""

USABLE = "what can be used is a policy of this package or CleanRL's ppo_continuous_action"
_ZIP_END = b"PK\x05\x06"


def why_unusable(path: Path) -> str | None:
    """Why the file is no checkpoint that this package can read, as far as can be told quickly.

    Reads at most a few megabytes and runs nothing of the file.

    Returns:
        None if nothing speaks against loading it.

    Raises:
        OSError: The file cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(512)
    if start.startswith(b"version https://git-lfs"):
        return "this is a git-LFS pointer, not the file itself: run 'git lfs pull' where it is from"
    if start.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "this is an HTML page: download the file itself, not the page that shows it"
    if size > MOST_BYTES:
        return f"it has {size / 1e6:,.0f} MB, more than the {MOST_BYTES / 1e6:.0f} MB of a policy"
    if start.startswith(PICKLE_START) and size > MOST_OLD_TORCH_BYTES:
        return (
            f"it is in torch's format before 1.6 and has {size / 1e6:,.0f} MB, more than "
            f"{MOST_OLD_TORCH_BYTES / 1e6:.0f} MB: load it and save it again with a current torch"
        )
    if path.suffix == ".safetensors":
        return _why_unusable_safetensors(start)
    if start.startswith(ZIP_START):
        return _why_unusable_zip(path, size)
    return None


def _why_unusable_safetensors(start: bytes) -> str | None:
    index = int.from_bytes(start[:8], "little")
    # A larger number is no length at all; safetensors says so.
    if MOST_INDEX_BYTES < index < MOST_BYTES:
        return f"its list of tensors has {index / 1e6:.0f} MB: far too many tensors for a policy"
    return None


def _why_unusable_zip(path: Path, size: int) -> str | None:
    with path.open("rb") as file:
        file.seek(max(0, size - 2**16 - 22))
        tail = file.read()
    end = tail.rfind(_ZIP_END)
    if end < 0 or len(tail) < end + 12:
        return None  # broken; torch says so
    entries = int.from_bytes(tail[end + 10 : end + 12], "little")
    if entries > MOST_TENSORS:
        return f"its archive holds more than {MOST_TENSORS:,} tensors: far too many for a policy"
    try:
        with zipfile.ZipFile(path) as archive:
            return _why_unusable_archive(archive)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, EOFError):
        return None  # broken; torch says so


def _why_unusable_archive(archive: zipfile.ZipFile) -> str | None:
    files = {info.filename: info for info in archive.infolist()}
    inner = {name.partition("/")[2] for name in files}
    if "_stable_baselines3_version" in files or {"data", "policy.pth"} <= files.keys():
        return f"this is a Stable-Baselines3 model; {USABLE}"
    if "constants.pkl" in inner or any(name.startswith("code/") for name in inner):
        return f"this is a TorchScript program, and programs are not run; {USABLE}"
    unpacked = sum(info.file_size for info in files.values())
    if unpacked > MOST_BYTES:
        return f"it unpacks to {unpacked / 1e6:,.0f} MB, more than {MOST_BYTES / 1e6:.0f} MB"
    for name, info in files.items():
        if name.endswith("data.pkl"):
            if info.file_size > MOST_INDEX_BYTES:
                megabytes = info.file_size / 1e6
                return f"its list of tensors has {megabytes:.0f} MB: too many for a policy"
            return _why_unusable_names(_strings(archive.read(name)))
    return None


def _why_unusable_names(names: set[str]) -> str | None:
    """What the names in a torch file say of the library that wrote it."""
    if "model_state_dict" in names:
        return f"this is a checkpoint of rsl_rl or the like (it has 'model_state_dict'); {USABLE}"
    if {"fc_mean.weight", "fc_logstd.weight"} <= names:
        return f"this is CleanRL's SAC, not its PPO; {USABLE}"
    if "fc_mu.weight" in names:
        return f"this is CleanRL's TD3 or DDPG, not its PPO; {USABLE}"
    return None


def _strings(pickled: bytes) -> set[str]:
    """The strings in a pickle, which is not unpickled."""
    found = set()
    try:
        for _, argument, _ in pickletools.genops(pickled):
            if isinstance(argument, str):
                found.add(argument)
    except Exception:  # a broken pickle; torch says so
        pass
    return found
