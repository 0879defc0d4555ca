# SPDX-License-Identifier: Apache-2.0
"""Fixtures of all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

# Threads of BLAS and torch wait for each other in busy loops, on cores that other tests need.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

if TYPE_CHECKING:
    from ros_graph import Graph


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begins with the files of slow tests, so that no worker is left alone with one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    processes = {item.path for item in items if item.get_closest_marker("processes")}
    items.sort(key=lambda item: (item.path not in slow, item.path not in processes))


@pytest.fixture
def graph() -> Iterator[Graph]:
    """A ROS graph of the test's own; skips the test where there is no ROS."""
    yield from _graph()


@pytest.fixture(scope="module")
def shared_graph() -> Iterator[Graph]:
    """A ROS graph for the tests of a file whose nodes need not be started for each."""
    yield from _graph()


def _graph() -> Iterator[Graph]:
    pytest.importorskip("rclpy")
    from ros_graph import Graph

    graph = Graph()
    try:
        yield graph
    finally:
        graph.close()
