# SPDX-License-Identifier: Apache-2.0
"""Measures the speed of the loop against references that are measured in the same run."""
