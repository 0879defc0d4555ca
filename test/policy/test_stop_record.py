# SPDX-License-Identifier: Apache-2.0
"""A stop outlives the process in which it was made."""

import pytest

from humanoid_mujoco_ros.policy.stop_record import StopRecord


def test_the_next_process_knows_of_a_stop_until_it_is_cleared(tmp_path):
    path = tmp_path / "run" / "policy_node.stopped"
    assert StopRecord(path).stopped_by is None
    record = StopRecord(path)
    record.stop("deactivate")
    assert record.stopped_by.startswith("deactivate at ")
    assert StopRecord(path).stopped_by == record.stopped_by
    StopRecord(path).clear()
    assert StopRecord(path).stopped_by is None
    StopRecord(path).clear()  # nothing is there any more


@pytest.mark.parametrize("content", [b"", b"\xff\x00\n"])
def test_a_damaged_record_means_stopped(tmp_path, content):
    path = tmp_path / "policy_node.stopped"
    path.write_bytes(content)
    assert StopRecord(path).stopped_by


def test_a_record_that_cannot_be_read_means_stopped(tmp_path):
    assert "directory" in StopRecord(tmp_path).stopped_by


def test_a_stop_that_cannot_be_written_counts_in_this_process(tmp_path):
    (tmp_path / "file").touch()
    record = StopRecord(tmp_path / "file" / "policy_node.stopped")
    with pytest.raises(OSError, match="file"):
        record.stop("deactivate")
    assert record.stopped_by.startswith("deactivate at ")


def test_without_a_path_a_stop_is_forgotten_with_its_object():
    record = StopRecord(None)
    record.stop("deactivate")
    assert record.stopped_by
    assert StopRecord(None).stopped_by is None
