# SPDX-License-Identifier: Apache-2.0
"""What a robot description that cannot be used raises."""


class ModelError(ValueError):
    """The robot's card or model cannot be used; the message says why in one line."""


class RobotCardError(ModelError):
    """A robot's card cannot be used; the message says why in one line."""


class YamlError(ValueError):
    """A text is not YAML of the kind that is expected; the message says why in one line."""
