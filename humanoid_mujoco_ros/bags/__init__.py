# SPDX-License-Identifier: Apache-2.0
"""Records runs as rosbag2 bags, plays them, repairs them and reports on them.

Reader, repair and report work where there is no ROS too.
"""
