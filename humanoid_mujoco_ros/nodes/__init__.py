# SPDX-License-Identifier: Apache-2.0
"""The ROS nodes: each decodes messages, calls the library and encodes what it returns."""

import os
import signal
import sys
from pathlib import Path

# Read by numpy's BLAS when it is first imported. The policy's matrices are so small that a second
# thread costs more than it saves, and the physics needs that core.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def _is_program() -> bool:
    """Whether this process is a node, by `python -m` or by its installed script."""
    return sys.argv[:1] == ["-m"] or Path(sys.argv[0] if sys.argv else "").name.endswith("_node")


if _is_program() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # The imports of a node take a second, and some of them swallow a KeyboardInterrupt: the node
    # would start and never hear that it was told to end. runtime.run() sets handlers of its own.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
