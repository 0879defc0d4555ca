# SPDX-License-Identifier: Apache-2.0
"""Fixtures of all tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ros_graph import Graph


@pytest.fixture
def graph() -> Iterator[Graph]:
    """A ROS graph of the test's own; skips the test where there is no ROS."""
    pytest.importorskip("rclpy")
    from ros_graph import Graph

    graph = Graph()
    try:
        yield graph
    finally:
        graph.close()
