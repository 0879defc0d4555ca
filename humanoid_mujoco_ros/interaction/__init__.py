# SPDX-License-Identifier: Apache-2.0
"""How a person acts on the robot: spring, drag, push, and the arrows that show it."""
