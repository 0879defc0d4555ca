# SPDX-License-Identifier: Apache-2.0
"""What drives the robot: observation, checkpoint, inference, effort gate."""
