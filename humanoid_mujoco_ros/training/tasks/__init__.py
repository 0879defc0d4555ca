# SPDX-License-Identifier: Apache-2.0
"""The tasks of `humanoid train`: one class in each file here, found by itself."""

from __future__ import annotations

import importlib
import pkgutil

from humanoid_mujoco_ros.training.task import Task


def _found() -> dict[str, type[Task]]:
    tasks = {}
    for module in pkgutil.iter_modules(__path__):
        content = vars(importlib.import_module(f"{__name__}.{module.name}")).values()
        for item in content:
            if isinstance(item, type) and issubclass(item, Task) and "name" in vars(item):
                tasks[item.name] = item
    return dict(sorted(tasks.items()))


TASKS = _found()
"""The class of each task by its name."""
