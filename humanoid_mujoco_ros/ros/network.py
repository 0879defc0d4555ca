# SPDX-License-Identifier: Apache-2.0
"""Who hears the graph: this machine alone, or the network."""

from __future__ import annotations

import os

from rclpy.utilities import get_rmw_implementation_identifier

from humanoid_mujoco_ros.share import share_directory

_PROFILES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
"""How Fast DDS 2 and 3 call the file of their settings."""


def stay_local(*, network: bool) -> None:
    """Keeps ROS on this machine unless `network`, for this process and those it starts.

    Call it before rclpy.init().
    """
    if network:
        os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "SUBNET"
        return
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    if os.environ.get("ROS_DISTRO") == "humble":
        os.environ["ROS_LOCALHOST_ONLY"] = "1"
    elif _is_fast_dds() and not any(name in os.environ for name in _PROFILES):
        # LOCALHOST restricts discovery alone: the sockets of Fast DDS stay bound to every address.
        # Its own settings bind them to the loopback, where SYSTEM_DEFAULT leaves them in force.
        for name in _PROFILES:
            os.environ[name] = str(share_directory("config") / "loopback.xml")
        os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "SYSTEM_DEFAULT"


def _is_fast_dds() -> bool:
    return "fastrtps" in get_rmw_implementation_identifier()
