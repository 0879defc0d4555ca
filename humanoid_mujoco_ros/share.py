# SPDX-License-Identifier: Apache-2.0
"""The package's files that are no code: config, launch, policies, rviz."""

from __future__ import annotations

from pathlib import Path

PACKAGE = "humanoid_mujoco_ros"


class ShareError(ValueError):
    """A folder of the package's share is missing; the message says which."""


def share_directory(name: str) -> Path:
    """A folder of the package's share, in the source tree or where the package is installed.

    It is found from this file's place, so that it needs no ROS and no environment variable.

    Raises:
        ShareError: The folder is not there.
    """
    here = Path(__file__).resolve()
    candidates = [here.parents[1] / name]
    # <prefix>/lib/python3.x/site-packages/humanoid_mujoco_ros/share.py
    candidates += [parent / "share" / PACKAGE / name for parent in here.parents]
    for directory in candidates:
        if directory.is_dir():
            return directory
    raise ShareError(f"the package's folder '{name}' is not installed beside {here.parent}")
