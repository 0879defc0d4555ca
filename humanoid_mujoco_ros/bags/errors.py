# SPDX-License-Identifier: Apache-2.0
"""What goes wrong with bags."""


class BagError(ValueError):
    """A bag cannot be used; the message says why."""
