# SPDX-License-Identifier: Apache-2.0
"""A file that is written anew, replaced, removed, or being written."""

import os

import pytest

from humanoid_mujoco_ros.policy.file_watch import FileWatch


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "walk.safetensors"
    path.write_bytes(b"first")
    return path


def looks(watch, count=3):
    return [watch.has_changed() for _ in range(count)]


def test_a_file_that_stays_is_never_new(path):
    assert looks(FileWatch(path)) == [False] * 3


def test_a_file_that_is_replaced_is_new_once(path, tmp_path):
    watch = FileWatch(path)
    part = tmp_path / "part"
    part.write_bytes(b"other")
    os.utime(part, ns=(0, path.stat().st_mtime_ns))  # as long and as old
    part.replace(path)
    assert looks(watch) == [False, True, False]


def test_a_file_counts_once_it_is_written_to_its_end(path):
    watch = FileWatch(path)
    for size in (10, 20, 30):
        path.write_bytes(bytes(size))
        assert not watch.has_changed()
    assert looks(watch) == [True, False, False]


def test_a_file_that_is_away_is_waited_for(path):
    watch = FileWatch(path)
    path.unlink()
    assert looks(watch) == [False] * 3
    path.write_bytes(b"second")
    assert looks(watch) == [False, True, False]
