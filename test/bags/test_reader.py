# SPDX-License-Identifier: Apache-2.0
"""Whole, cut and headless bags of both storages; nothing here needs ROS."""

import shutil

import numpy as np
import pytest

pytest.importorskip("rosbags")

import synthetic_run
from mcap.reader import make_reader
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import StoragePlugin

from humanoid_mujoco_ros.bags.command import main
from humanoid_mujoco_ros.bags.errors import BagError
from humanoid_mujoco_ros.bags.reader import open_bag
from humanoid_mujoco_ros.bags.repair import recover

STORAGES = [StoragePlugin.MCAP, StoragePlugin.SQLITE3]


@pytest.fixture(scope="session")
def originals(tmp_path_factory):
    directory = tmp_path_factory.mktemp("originals")
    for storage in STORAGES:
        synthetic_run.write(directory / storage.name / "run", storage)
    return directory


@pytest.fixture(params=STORAGES, ids=lambda storage: storage.name)
def bag_path(request, originals, tmp_path):
    return shutil.copytree(originals / request.param.name / "run", tmp_path / "run")


def messages(path):
    """All of a bag as rosbags itself reads it."""
    with AnyReader([path]) as reader:
        return [(c.topic, c.msgtype, stamp, bytes(data)) for c, stamp, data in reader.messages()]


def storage_file(path):
    (file,) = (*path.glob("*.mcap"), *path.glob("*.db3"))
    return file


def test_a_whole_bag_reads_as_rosbags_reads_it(bag_path):
    with open_bag(bag_path) as bag:
        assert bag.problems == []
        read = [
            (name, bag.topics[name].type_name, stamp, bytes(data))
            for name, stamp, data in bag.messages(set(bag.topics))
        ]
        assert bag.topics["/robot_description"].qos == [
            {"reliability": "reliable", "durability": "transient_local"}
        ]
        (description,) = (data for name, _, _, data in read if name == "/robot_description")
        assert bag.decode("/robot_description", description).data == synthetic_run.URDF
        assert bag.message_count == len(read)
    assert read == messages(bag_path)


def test_only_the_span_that_was_asked_for_is_read(bag_path):
    with open_bag(bag_path) as bag:
        start_ns, stop_ns = bag.start_ns + 10**9, bag.start_ns + 2 * 10**9
        stamps = [ns for _, ns, _ in bag.messages(["/odom"], start_ns, stop_ns)]
    assert len(stamps) == 100
    assert start_ns <= min(stamps) <= max(stamps) < stop_ns


def test_a_bag_without_metadata_is_read_whole(bag_path):
    whole = messages(bag_path)
    (bag_path / "metadata.yaml").unlink()
    with open_bag(bag_path) as bag:
        assert "not closed properly" in bag.problems[0]
        assert bag.message_count == len(whole)


def test_a_single_file_is_read(bag_path):
    with open_bag(storage_file(bag_path)) as bag:
        assert bag.problems == []
        assert bag.message_count == len(messages(bag_path))


@pytest.mark.parametrize("keeps_metadata", [True, False])
def test_a_cut_bag_is_read_up_to_the_cut(bag_path, keeps_metadata):
    whole = messages(bag_path)
    file = storage_file(bag_path)
    with file.open("r+b") as stream:
        stream.truncate(file.stat().st_size * 3 // 4)
    if not keeps_metadata:
        (bag_path / "metadata.yaml").unlink()
    if file.suffix == ".db3":
        # SQLite keeps no order in its file: all the rest may hang on what is lost.
        with pytest.raises(BagError, match="can be read"), open_bag(bag_path):
            pass
        return
    with open_bag(bag_path) as bag:
        read = [(name, ns, bytes(data)) for name, ns, data in bag.messages(set(bag.topics))]
        assert bag.problems
    assert len(whole) / 4 < len(read) < len(whole)
    assert read == [(name, ns, data) for name, _, ns, data in whole[: len(read)]]


def test_repair_makes_a_bag_that_rosbags_opens(bag_path, tmp_path):
    whole = messages(bag_path)
    (bag_path / "metadata.yaml").unlink()
    repaired = tmp_path / "repaired"
    assert recover(bag_path, repaired).message_count == len(whole)
    assert messages(repaired) == whole
    assert not (bag_path / "metadata.yaml").exists()  # the source is left as it was


def test_repair_keeps_the_damaged_bag_and_never_overwrites(bag_path, tmp_path, capsys):
    assert main(["repair", str(bag_path)]) == 0
    assert "wrote" in capsys.readouterr().out
    assert main(["repair", str(bag_path)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "run_repaired"]


def test_a_damaged_chunk_ends_the_reading_where_it_is(originals, tmp_path):
    path = tmp_path / "run"
    recover(originals / StoragePlugin.MCAP.name / "run", path)  # this writer keeps checksums
    file = storage_file(path)
    with file.open("r+b") as stream:
        chunks = make_reader(stream).get_summary().chunk_indexes
        stream.seek(chunks[1].chunk_start_offset + chunks[1].chunk_length // 2)
        stream.write(np.random.default_rng(0).bytes(64))
    recovery = recover(path, tmp_path / "repaired")
    assert "breaks off" in recovery.problems[0]
    whole = messages(originals / StoragePlugin.MCAP.name / "run")
    assert messages(tmp_path / "repaired") == whole[: recovery.message_count]


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "does not exist"), ("", "no .mcap or .db3 file"), ("not a bag", "can be read")],
)
def test_what_is_no_bag_is_refused_in_one_line(tmp_path, capsys, content, reason):
    path = tmp_path / "run"
    if content is not None:
        path.mkdir()
    if content:
        (path / "run_0.mcap").write_text(content)
    for command in ("info", "repair", "verify"):
        assert main([command, str(path)]) == 2
        error = capsys.readouterr().err
        assert reason in error
        assert error.startswith("error: ")
        assert error.count("\n") == 1
    assert {entry.name for entry in tmp_path.iterdir()} <= {"run"}


def test_info_lists_topics_and_tells_a_damaged_bag_by_its_status(bag_path, capsys):
    assert main(["info", str(bag_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    (line,) = (line for line in lines if line.startswith("/robot_description"))
    assert line.split()[1:3] == ["std_msgs/String", "1"]
    assert line.endswith("latched, reliable")
    (bag_path / "metadata.yaml").unlink()
    assert main(["info", str(bag_path)]) == 1
    assert "problem: " in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["paint"], ["info"]])
def test_a_wrong_command_line_has_status_2(arguments, capsys):
    assert main(arguments) == 2
    assert "humanoid bag" in capsys.readouterr().err


def test_help_names_the_commands(capsys):
    assert main(["--help"]) == 0
    output = capsys.readouterr().out
    for command in ("info", "play", "verify", "repair"):
        assert command in output
