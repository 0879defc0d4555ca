# SPDX-License-Identifier: Apache-2.0
"""policy_node with a network that takes as long as it is told to: `slow_policy MILLISECONDS …`."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from humanoid_mujoco_ros.nodes.policy_node import PolicyNode
from humanoid_mujoco_ros.robot.vectors import Float64Array
from humanoid_mujoco_ros.ros import runtime


def main() -> int:
    """Runs the node."""
    delay_s = float(sys.argv.pop(1)) * 1e-3

    class _SlowPolicyNode(PolicyNode):
        def _answer(self, observation: Sequence[float]) -> Float64Array:
            end_s = time.monotonic() + delay_s
            while time.monotonic() < end_s:  # it computes
                pass
            return super()._answer(observation)

    return runtime.run(_SlowPolicyNode)


if __name__ == "__main__":
    sys.exit(main())
