# SPDX-License-Identifier: Apache-2.0
"""Names of topics and services that more than one module needs."""

OBSERVATION = "observation"
COMMANDS = "effort_controller/commands"
CLOCK = "/clock"
OBSERVATION_SOURCES = ("joint_states", "odom")
"""The topics that observation_node makes an observation of."""
PAUSE = "simulation/pause"
"""The service that tells a simulation from a robot."""
