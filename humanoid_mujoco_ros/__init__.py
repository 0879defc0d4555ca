# SPDX-License-Identifier: Apache-2.0
"""A MuJoCo humanoid that behaves on the ROS 2 graph exactly as a physical robot would."""
