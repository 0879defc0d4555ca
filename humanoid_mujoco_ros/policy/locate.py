# SPDX-License-Identifier: Apache-2.0
"""Finds the file behind a policy's name: shipped, a path, or the Hugging Face hub."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from humanoid_mujoco_ros.policy.checkpoint import CLEANRL_SUFFIX, SUFFIX, CheckpointError
from humanoid_mujoco_ros.share import ShareError, share_directory

HUB_SCHEME = "hf://"
HUB_DEFAULT_FILE = f"ppo_continuous_action{CLEANRL_SUFFIX}"
"""File name under which CleanRL uploads its PPO models."""


def shipped_policies() -> dict[str, Path]:
    """Name → file of each policy that ships; empty where the policies are not installed."""
    try:
        directory = share_directory("policies")
    except ShareError:
        return {}
    return {path.stem: path for path in sorted(directory.glob(f"*{SUFFIX}"))}


@dataclass(frozen=True)
class HubAddress:
    """hf://owner/repo[@revision][/file]."""

    repository: str
    revision: str | None
    filename: str

    @staticmethod
    def parse(text: str) -> HubAddress:
        """Reads an hf:// address.

        Raises:
            CheckpointError: It is not of that form.
        """
        parts = text.removeprefix(HUB_SCHEME).split("/", 2)
        if len(parts) < 2 or not all(parts):
            raise CheckpointError(f"'{text}' is not of the form hf://owner/repo[@revision][/file]")
        repository, _, revision = parts[1].partition("@")
        filename = parts[2] if len(parts) == 3 else HUB_DEFAULT_FILE
        return HubAddress(f"{parts[0]}/{repository}", revision or None, filename)


def resolve(policy: str) -> Path:
    """The local file of `policy`; an hf:// address is downloaded unless the hub's cache has it.

    Args:
        policy: A shipped policy's name, a path, or hf://owner/repo[@revision][/file].

    Raises:
        CheckpointError: There is no such policy, or the hub cannot be reached.
    """
    if policy.startswith(HUB_SCHEME):
        return _download(HubAddress.parse(policy))
    shipped = shipped_policies()
    if policy in shipped:
        return shipped[policy]
    try:
        path = Path(policy).expanduser()
        if path.is_file():
            return path
    except (OSError, RuntimeError) as error:  # too long a name, an unknown user's home
        raise CheckpointError(f"policy '{policy}' is no usable path: {error}") from error
    raise CheckpointError(
        f"policy '{policy}' is neither shipped nor a file; shipped are "
        f"{', '.join(shipped) or 'none'}; "
        "others are given as a path or as hf://owner/repo"
    )


def _download(address: HubAddress) -> Path:
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise CheckpointError("hf:// needs huggingface_hub: pip install huggingface_hub") from error
    try:
        path = hf_hub_download(
            repo_id=address.repository, filename=address.filename, revision=address.revision
        )
    except Exception as error:  # the hub's own errors and those of its HTTP client
        first_line = (str(error) or type(error).__name__).strip().splitlines()[0]
        revision = f" --revision {address.revision}" if address.revision else ""
        raise CheckpointError(
            f"cannot get {address.filename} of {address.repository} from the hub: {first_line} "
            "On a machine that reaches it, run "
            f"'hf download {address.repository} {address.filename}{revision}' and copy the file "
            "here, then give its path as the policy; or copy the cache folder and set HF_HOME."
        ) from error
    return Path(path)
