# SPDX-License-Identifier: Apache-2.0
"""What the robot is: model, link tree, URDF, joint map, state, posed model, rotations."""
