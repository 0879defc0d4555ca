# SPDX-License-Identifier: Apache-2.0
"""What a push is measured by."""

SURVIVED_PUSH_S = 6.0
"""A robot that is still up this long after the end of a push has survived it."""
