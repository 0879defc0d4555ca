# SPDX-License-Identifier: Apache-2.0
"""Training and evaluation of policies; torch is imported only to train."""

import os

# Read by numpy's BLAS when it is first imported. The matrices are small: its threads wait for each
# other longer than they work, several times so on a busy machine.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
