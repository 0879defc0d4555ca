# SPDX-License-Identifier: Apache-2.0
"""The ROS nodes: each decodes messages, calls the library and encodes what it returns."""

import os

# Read by numpy's BLAS when it is first imported. The policy's matrices are so small that a second
# thread costs more than it saves, and the physics needs that core.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
