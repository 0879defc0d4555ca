# SPDX-License-Identifier: Apache-2.0
"""Finds the file behind a policy's name: shipped, a path, in a Python package or on the hub."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from humanoid_mujoco_ros.policy.checkpoint import CLEANRL_SUFFIX, SUFFIX, CheckpointError
from humanoid_mujoco_ros.policy.onnx_file import SUFFIX as ONNX_SUFFIX
from humanoid_mujoco_ros.robot.card import package_file
from humanoid_mujoco_ros.robot.errors import ModelError, YamlError
from humanoid_mujoco_ros.robot.yaml_file import read_yaml
from humanoid_mujoco_ros.share import ShareError, share_directory

HUB_SCHEME = "hf://"
HUB_LINK = re.compile(r"(https?://)?(www\.)?(huggingface\.co|hf\.co)/", re.IGNORECASE)
"""How a link copied from the hub's web pages begins."""
HUB_DEFAULT_FILE = f"ppo_continuous_action{CLEANRL_SUFFIX}"
"""File name under which CleanRL uploads its PPO models."""
PACKAGE_SCHEME = "python:"
CARD_SUFFIXES = (".yaml", ".yml")
_OF_FILE = ("file", "install")
"""Keys of a card that say where its file is, and how to get it."""


@dataclass(frozen=True)
class Found:
    """The file of a policy."""

    file: Path
    card: Mapping[str, Any] = field(default_factory=dict)
    """What a card outside the file says of it."""


def shipped_policies() -> dict[str, Path]:
    """Name → file of each policy that ships; empty where the policies are not installed."""
    return _files("policies", SUFFIX)


def named_cards() -> dict[str, Path]:
    """Name → card of each policy that another package carries."""
    return _files("config/policies", ".yaml")


def _files(folder: str, suffix: str) -> dict[str, Path]:
    try:
        directory = share_directory(folder)
    except ShareError:
        return {}
    return {path.stem: path for path in sorted(directory.glob(f"*{suffix}"))}


@dataclass(frozen=True)
class HubAddress:
    """hf://owner/repo[@revision][/file], or a link to a page of the hub."""

    repository: str
    revision: str | None
    filename: str

    @staticmethod
    def parse(text: str) -> HubAddress:
        """Reads an address as huggingface_hub itself does.

        Raises:
            CheckpointError: It is no address of a model.
        """
        try:
            from huggingface_hub import parse_hf_uri
        except ImportError as error:
            raise CheckpointError(
                "addresses on the hub need huggingface_hub: pip install -U huggingface_hub"
            ) from error
        try:
            address = parse_hf_uri(text)
        except ValueError as error:
            raise CheckpointError(
                f"'{text}' is not of the form hf://owner/repo[@revision][/file]: {error}"
            ) from error
        if address.type != "model":
            raise CheckpointError(f"'{text}' is a {address.type}, expected a model")
        filename = address.path_in_repo or HUB_DEFAULT_FILE
        return HubAddress(address.id, address.revision, filename)


def find(policy: str, *, download: bool = True) -> Found:
    """The local file of `policy` and its card; what is on the hub is downloaded, or in its cache.

    Args:
        policy: A shipped policy's name, one of config/policies, a path of a policy or of a card
            that names one, python:PACKAGE/path, hf://owner/repo[@revision][/file], or a link.
        download: Ask the hub for what is not on this machine, or newer there.

    Raises:
        CheckpointError: There is no such policy, or the hub cannot be reached.
    """
    shipped, cards = shipped_policies(), named_cards()
    if policy in shipped:
        return Found(shipped[policy])
    if policy in cards:
        return _of_card(cards[policy], download=download)
    if policy.startswith(HUB_SCHEME) or HUB_LINK.match(policy):
        return Found(_from_hub(HubAddress.parse(policy), download=download))
    if policy.startswith(PACKAGE_SCHEME):
        return Found(_in_package(policy, f"policy '{policy}'", None))
    try:
        path = Path(policy).expanduser()
        if path.is_file():
            return _of_path(path, download=download)
    except (OSError, RuntimeError) as error:  # too long a name, an unknown user's home
        raise CheckpointError(f"policy '{policy}' is no usable path: {error}") from error
    raise CheckpointError(
        f"policy '{policy}' is neither shipped nor a file; shipped are "
        f"{', '.join((*shipped, *cards)) or 'none'}; "
        "others are given as a path or as hf://owner/repo"
    )


def resolve(policy: str) -> Path:
    """The local file of `policy`; see `find`."""
    return find(policy).file


def _of_path(path: Path, *, download: bool) -> Found:
    if path.suffix in CARD_SUFFIXES:
        return _of_card(path, download=download)
    if path.suffix == ONNX_SUFFIX:
        for suffix in CARD_SUFFIXES:
            if path.with_suffix(suffix).is_file():
                values = _read_card(path.with_suffix(suffix))
                return Found(path, {k: v for k, v in values.items() if k not in _OF_FILE})
    return Found(path)


def _of_card(path: Path, *, download: bool) -> Found:
    """What a card's `file` names: on the hub, in a Python package, or beside the card."""
    values = _read_card(path)
    what = f"policy card {path.name}"
    install = values.pop("install", None)
    if "file" not in values:
        raise CheckpointError(f"{what} names no file")
    file = str(values.pop("file"))
    if file.startswith(HUB_SCHEME) or HUB_LINK.match(file):
        return Found(_from_hub(HubAddress.parse(file), download=download), values)
    if file.startswith(PACKAGE_SCHEME):
        return Found(_in_package(file, f"{what}: its file '{file}'", install), values)
    target = path.parent / Path(file).expanduser()
    if not target.is_file():
        raise CheckpointError(f"{what} names the file {target}, which does not exist")
    return Found(target, values)


def _in_package(address: str, what: str, install: str | None) -> Path:
    try:
        return package_file(address.removeprefix(PACKAGE_SCHEME), what, install)
    except ModelError as error:
        raise CheckpointError(str(error)) from error


def _read_card(path: Path) -> dict[str, Any]:
    try:
        values = read_yaml(path, f"policy card {path.name}")
    except YamlError as error:
        raise CheckpointError(str(error)) from error
    if not isinstance(values, dict):
        raise CheckpointError(f"policy card {path.name} is no list of keys and values")
    return {str(key): value for key, value in values.items()}


def _from_hub(address: HubAddress, *, download: bool) -> Path:
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise CheckpointError("hf:// needs huggingface_hub: pip install huggingface_hub") from error
    try:
        path = hf_hub_download(
            repo_id=address.repository,
            filename=address.filename,
            revision=address.revision,
            local_files_only=not download,
        )
    except Exception as error:  # the hub's own errors and those of its HTTP client
        first_line = (str(error) or type(error).__name__).strip().splitlines()[0]
        revision = f" --revision {address.revision}" if address.revision else ""
        if not download:
            raise CheckpointError(
                f"{address.filename} of {address.repository} is not on this machine, and a policy "
                "that commands the robot does not wait for a download: deactivate it first, or run "
                f"'hf download {address.repository} {address.filename}{revision}'"
            ) from error
        raise CheckpointError(
            f"cannot get {address.filename} of {address.repository} from the hub: {first_line} "
            "On a machine that reaches it, run "
            f"'hf download {address.repository} {address.filename}{revision}' and copy the file "
            "here, then give its path as the policy; or copy the cache folder and set HF_HOME."
        ) from error
    return Path(path)
