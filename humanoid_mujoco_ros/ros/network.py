# SPDX-License-Identifier: Apache-2.0
"""Who hears the graph: this machine alone, or the network."""

from __future__ import annotations

import os


def stay_local(network: bool) -> None:
    """Keeps ROS on this machine unless `network`, for this process and those it starts.

    Call it before rclpy.init().
    """
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "SUBNET" if network else "LOCALHOST"
    if not network and os.environ.get("ROS_DISTRO") == "humble":
        os.environ["ROS_LOCALHOST_ONLY"] = "1"
