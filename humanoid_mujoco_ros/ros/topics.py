# SPDX-License-Identifier: Apache-2.0
"""Names of topics and services that more than one module needs."""

OBSERVATION = "observation"
COMMANDS = {
    "effort": "effort_controller/commands",
    "position": "position_controller/commands",
}
"""Actuation of a robot → the topic of the commands to its joints, [N·m] or [rad]."""
CMD_VEL = "cmd_vel"
CLOCK = "/clock"
BASE_TOPICS = {"odom": "odom", "imu": "imu/data"}
"""What measures the base of a robot → its topic."""
OBSERVATION_SOURCES = ("joint_states", *BASE_TOPICS.values())
"""The topics that observation_node makes an observation of: the first, and one more if it needs
it."""
PAUSE = "simulation/pause"
"""The service that tells a simulation from a robot."""
WORLD_FRAME = "world"
"""The frame in which the odom frames of several robots lie."""
