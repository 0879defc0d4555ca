# SPDX-License-Identifier: Apache-2.0
"""Starts the graph where there is no `ros2 launch`."""
