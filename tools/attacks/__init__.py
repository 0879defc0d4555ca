# SPDX-License-Identifier: Apache-2.0
"""The parts of tools/attack.py. They share the helpers of the tests."""

import sys
from pathlib import Path

_TESTS = Path(__file__).resolve().parents[2] / "test"
sys.path[:0] = [str(_TESTS), str(_TESTS / "bags")]
