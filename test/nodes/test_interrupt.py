# SPDX-License-Identifier: Apache-2.0
"""A node that is told to end while it is being imported ends."""

import os
import signal
import subprocess
import sys

import pytest

pytest.importorskip("rclpy")

NODES = ("simulation_node", "policy_node", "observation_node", "force_marker_node", "viewer_node")
LOOK = """
import signal
import sys

class Look:
    def find_spec(self, name, *_):
        if name == "mujoco":
            print("then", signal.getsignal(signal.SIGINT), flush=True)
            raise SystemExit

sys.meta_path.insert(0, Look())
"""


@pytest.mark.parametrize("node", NODES)
def test_no_import_of_a_node_can_swallow_an_interrupt(tmp_path, node):
    (tmp_path / "sitecustomize.py").write_text(LOOK)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    result = subprocess.run(
        [sys.executable, "-m", f"humanoid_mujoco_ros.nodes.{node}"],
        env={**os.environ, "PYTHONPATH": path},
        # As in a terminal; a shell's background jobs ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.stdout == f"then {signal.SIG_DFL!s}\n", result.stderr
