# SPDX-License-Identifier: Apache-2.0
"""The browser view: a scene and a panel, served by viser. It imports no ROS."""
