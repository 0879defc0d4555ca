# SPDX-License-Identifier: Apache-2.0
"""What happens to the robot: the simulation and its real-time and lockstep loops."""
