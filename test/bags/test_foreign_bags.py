# SPDX-License-Identifier: Apache-2.0
"""Bags are foreign data: whatever they hold ends in a report of what there is, or in one line."""

import json
import os
import resource
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("plotly")
pytest.importorskip("rosbags")

import synthetic_run
import yaml
import zstandard
from mcap.data_stream import RecordBuilder
from mcap.records import Chunk, DataEnd, Footer, Header

from humanoid_mujoco_ros.bags.charts import Line, Marks, Subplot, over_time
from humanoid_mujoco_ros.bags.command import main
from humanoid_mujoco_ros.bags.definitions import Definition
from humanoid_mujoco_ros.bags.errors import BagError, plain
from humanoid_mujoco_ros.bags.mcap_records import check_file
from humanoid_mujoco_ros.bags.reader import open_bag
from humanoid_mujoco_ros.bags.repair import recover
from humanoid_mujoco_ros.bags.report import main as report
from humanoid_mujoco_ros.bags.run_reader import read_limits, read_parameters, read_run
from humanoid_mujoco_ros.bags.writer import BagWriter

MAGIC = b"\x89MCAP0\r\n"
NASTY = "</script><script>alert(1)</script>\x1b[31m\u202e"


def in_status(value, key=""):
    def edit(topic, tick, content):
        if topic == "/diagnostics":
            for pair in content.status[0].values:
                if key in ("", pair.key):
                    pair.value = value
        return content

    return edit


def truncated(topic, tick, content):
    if topic in ("joint_states", "odom", "/diagnostics", "external_wrench") and tick % 50 == 0:
        return synthetic_run.STORE.serialize_cdr(content, content.__msgtype__).tobytes()[:30]
    return content


def without_names(topic, tick, content):
    if topic == "joint_states" and tick < 2:
        content.name = []
        content.position = content.velocity = content.effort = np.empty(0)
    return content


def nameless(topic, tick, content):
    return without_names(topic, 0, content)


def another_type(topic, tick, content):
    text = synthetic_run.message("std_msgs/msg/String", data="no joints")
    return text if topic == "joint_states" else content


def beyond_numbers(topic, tick, content):
    if topic == "odom" and tick % 3 == 0:
        content.pose.pose.position.x = [np.nan, np.inf, 1e308][tick % 9 // 3]
    if topic == "joint_states":
        content.position = content.position * (1e308 if tick % 2 else np.nan)
    if topic == "external_wrench":
        content.wrench.force.x = np.inf
    return content


def broken_urdf(topic, tick, content):
    if topic == "robot_description":
        content.data = content.data.replace('"40"', '"abc"').replace('"-1.5"', '"1e999"')
    return content


def commands_of_any_size(topic, tick, content):
    if topic == "effort_controller/commands":
        content.data = np.zeros(tick % 3)
    return content


def ten_thousand_joints(topic, tick, content):
    if topic == "joint_states":
        content.name = [f"{tick}_{i}" for i in range(10_000 if tick == 3 else 2)]
    return content


def nasty_names(topic, tick, content):
    if topic == "joint_states":
        content.name = [NASTY, "hip"]
    if topic == "/diagnostics":
        content.status[0].name = content.status[0].message = NASTY
        content.status[0].level = 2
    if topic == "external_wrench":
        content.header.frame_id = NASTY
    return content


EDITS = {
    "truncated": truncated,
    "n/a": in_status("n/a"),
    "episode nan": in_status("nan", "episode"),
    "episode 1e400": in_status("1e400", "episode"),
    "step_count inf": in_status("inf", "step_count"),
    "no names at first": without_names,
    "no names": nameless,
    "another type": another_type,
    "beyond numbers": beyond_numbers,
    "broken urdf": broken_urdf,
    "commands of any size": commands_of_any_size,
    "ten thousand joints": ten_thousand_joints,
    "nasty names": nasty_names,
}


def one_line(capsys):
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize("name", EDITS)
def test_every_command_ends_well(name, tmp_path, capsys):
    synthetic_run.write(tmp_path / "walk", duration_s=1.5, edit=EDITS[name])
    assert report([str(tmp_path / "walk"), "-o", str(tmp_path / "page.html")]) == 0
    assert (tmp_path / "page.html").stat().st_size < 6e6
    assert main(["info", str(tmp_path / "walk")]) == 0
    assert main(["repair", str(tmp_path / "walk")]) == 0
    capsys.readouterr()
    assert main(["verify", str(tmp_path / "walk")]) == 2
    assert "does not hold the parameters" in one_line(capsys)


@pytest.mark.parametrize(
    ("name", "remark"),
    [
        ("truncated", "4 times left out: a message of /joint_states cannot be decoded"),
        ("no names at first", "2 times left out: a message of joint_states without joints"),
        ("another type", "/joint_states holds std_msgs/msg/String, not sensor_msgs"),
        ("beyond numbers", "51 times left out: a message of odom with numbers that are no"),
        ("commands of any size", "commands have different numbers of joints: [0, 1, 2]"),
        ("ten thousand joints", "with 10000 joints; 200 can be shown"),
    ],
)
def test_the_report_says_what_it_leaves_out(name, remark, tmp_path, capsys):
    synthetic_run.write(tmp_path / "walk", duration_s=1.5, edit=EDITS[name])
    report([str(tmp_path / "walk"), "-o", str(tmp_path / "page.html")])
    assert remark in capsys.readouterr().err
    page = (tmp_path / "page.html").read_text()
    assert "What to know about this recording" in page
    assert remark.split(" of ")[-1] in page


def test_what_is_no_measurement_is_unknown(tmp_path):
    synthetic_run.write(tmp_path / "walk", duration_s=1.5, edit=beyond_numbers)
    with open_bag(tmp_path / "walk") as bag:
        run = read_run(bag)
    assert np.isnan(run.joint_states.values[:, 0, 0]).mean() > 0.9
    assert np.isfinite(run.joint_states.values[:, 1]).all()
    assert np.isfinite(run.base.values).all()
    assert len(run.pushes) == 0


def test_a_page_runs_no_script_of_a_bag(tmp_path, capsys):
    synthetic_run.write(tmp_path / "whole", duration_s=1.5)
    synthetic_run.write(tmp_path / "walk", duration_s=1.5, edit=nasty_names)
    pages = []
    for name in ("whole", "walk"):
        report([str(tmp_path / name), "-o", str(tmp_path / "page.html")])
        pages.append((tmp_path / "page.html").read_text())
    assert pages[1].count("<script") == pages[0].count("<script")
    assert pages[1].count("</script") == pages[0].count("</script")
    assert "alert(1)" in pages[1]
    assert "\x1b" not in capsys.readouterr().err


def test_a_name_is_text_in_a_chart_too():
    # Plotly makes tags of its labels into elements; a link is one of them.
    line = Line("<a>", np.arange(3.0), np.arange(3.0))
    panel = Subplot('<a href="https://example.org">', "m", [line, line])
    content = over_time([[panel]], Marks())
    assert "href" in content
    assert "\\u003ca" not in content
    assert "<a" not in content


def test_limits_that_are_no_numbers_are_none():
    limits = read_limits('<r><joint name="a"><limit lower="abc" effort="3"/></joint></r>')
    assert np.isnan(limits["a"].lower)
    assert limits["a"].effort == 3.0
    assert read_limits("no xml") == {}


def written(path, custom_data=(), topic="/notes", schema=None):
    """A bag of two strings, by the package's own writer."""
    text, type_hash = "string data\n", ""
    writer = BagWriter(path)
    writer.add_topic(topic, "std_msgs/msg/String", schema or Definition(text, type_hash), [])
    content = synthetic_run.message("std_msgs/msg/String", data="a note")
    data = bytes(synthetic_run.STORE.serialize_cdr(content, content.__msgtype__))
    for stamp_ns in (10**18, 10**18 + 10**9):
        writer.write(topic, stamp_ns, stamp_ns, data)
    for key, value in custom_data:
        writer.set_custom_data(key, value)
    writer.close()
    return path


@pytest.mark.parametrize("text", ["{", "[1]", '{"/simulation_node": 3}', "[" * 100_000, "NaN"])
def test_parameters_that_are_none_are_left_out(text, tmp_path, capsys):
    path = written(tmp_path / "run", [("parameters", text)])
    with open_bag(path) as bag:
        assert read_parameters(bag) == {}
    assert report([str(path)]) == 0
    capsys.readouterr()
    assert main(["verify", str(path)]) == 2
    assert "does not hold the parameters" in one_line(capsys)


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"mode": "lockstep", "model": "/no/such.xml"}, "such.xml"),
        ({"mode": "lockstep", "seed": "three"}, "seed is 'three'"),
        ({"mode": "lockstep"}, "does not say to which joints"),
        ({"mode": "lockstep", "joints": ["knee"]}, "cannot be simulated again"),
        ({"mode": ["lockstep"]}, "mode"),
    ],
)
def test_a_run_that_cannot_be_simulated_is_refused_in_one_line(
    parameters, reason, tmp_path, capsys
):
    pytest.importorskip("rclpy")
    synthetic_run.write(tmp_path / "walk", duration_s=1.5)
    content = yaml.safe_load((tmp_path / "walk" / "metadata.yaml").read_text())
    information = content["rosbag2_bagfile_information"]
    information["custom_data"] = {"parameters": json.dumps({"/simulation_node": parameters})}
    (tmp_path / "walk" / "metadata.yaml").write_text(yaml.safe_dump(content))
    assert main(["verify", str(tmp_path / "walk")]) == 2
    assert reason in one_line(capsys)


@pytest.mark.parametrize(
    "schema",
    [
        Definition("this is $ no message", "", "ros2msg"),
        Definition("module x {", "", "ros2idl"),
        Definition("", "", "of no kind"),
        Definition("string[<=x data", "RIHS01_0", "ros2msg"),
    ],
)
def test_a_broken_schema_hides_no_message(schema, tmp_path, capsys):
    path = written(tmp_path / "run", schema=schema)
    with open_bag(path) as bag:
        notes = [bag.decode(name, data).data for name, _, data in bag.messages(["/notes"])]
    assert notes == ["a note", "a note"]
    assert report([str(path)]) == 0
    assert main(["repair", str(path)]) == 0


def test_control_characters_never_reach_the_terminal(tmp_path, capsys):
    path = written(tmp_path / "run", topic="/a\x1b[2J\x07\r\u202eb")
    assert main(["info", str(path)]) == 0
    main(["verify", str(path)])
    report([str(path)])
    main(["play", str(path), "--topics", "/\x1b[31m"])
    captured = capsys.readouterr()
    assert "/a\\x1b[2J\\x07\\r\\u202eb" in captured.out
    for text in (captured.out, captured.err):
        assert all(plain(line) == line for line in text.splitlines())


@pytest.mark.parametrize(
    "metadata",
    [
        "{}",
        "a: [",
        "[" * 500,
        "rosbag2_bagfile_information: 3",
        "rosbag2_bagfile_information: {version: 9, message_count: x}",
        "&a [" + "*a, " * 10 + "]",
    ],
)
def test_metadata_that_are_none_are_done_without(metadata, tmp_path):
    path = written(tmp_path / "run")
    (path / "metadata.yaml").write_text(metadata)
    with open_bag(path) as bag:
        assert bag.message_count == 2
        assert "not closed properly or is damaged" in bag.problems[0]


def test_metadata_of_endless_duration_are_done_without(tmp_path):
    path = written(tmp_path / "run")
    content = yaml.safe_load((path / "metadata.yaml").read_text())
    content["rosbag2_bagfile_information"]["duration"]["nanoseconds"] = float("inf")
    (path / "metadata.yaml").write_text(yaml.safe_dump(content))
    with open_bag(path) as bag:
        assert bag.duration_s == pytest.approx(1.0)


def record(content):
    builder = RecordBuilder()
    content.write(builder)
    return builder.end()


def packed_zeros(size):
    """zstd data that unpack to so many zeros."""
    compressor = zstandard.ZstdCompressor(level=1).compressobj()
    piece = bytes(2**26)
    parts = [compressor.compress(piece) for _ in range(size // len(piece))]
    return b"".join([*parts, compressor.flush()])


@pytest.fixture(scope="module")
def bomb():
    return packed_zeros(2**32)


@pytest.mark.parametrize("said", [2**32, 1000, 2**20])
@pytest.mark.parametrize("frames_before", [0, 1])
def test_a_chunk_that_unpacks_to_gigabytes_takes_no_memory(bomb, said, frames_before, tmp_path):
    # A reader may see only the first of two frames, or both.
    data = zstandard.compress(bytes(1000)) * frames_before + bomb
    chunk = Chunk(
        compression="zstd",
        data=data,
        message_start_time=0,
        message_end_time=1,
        uncompressed_crc=0,
        uncompressed_size=said,
    )
    file = tmp_path / "bomb.mcap"
    records = [Header(profile="ros2", library=""), chunk, DataEnd(0), Footer(0, 0, 0)]
    file.write_bytes(MAGIC + b"".join(map(record, records)) + MAGIC)
    assert file.stat().st_size < 2**20
    with pytest.raises(BagError, match="unpacks to"):
        check_file(file)
    limit = 3 * 2**30
    done = subprocess.run(
        [sys.executable, "-m", "humanoid_mujoco_ros.bags.command", "info", str(file)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "unpacks to" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.timeout(30)
@pytest.mark.parametrize("suffix", [".mcap", ".db3"])
def test_a_pipe_is_no_bag(suffix, tmp_path, capsys):
    os.mkfifo(tmp_path / f"run{suffix}")
    for path in (tmp_path, tmp_path / f"run{suffix}"):
        for command in ("info", "repair", "verify"):
            assert main([command, str(path)]) == 2
            assert "bag" in one_line(capsys)
        assert report([str(path)]) == 2
        one_line(capsys)


@pytest.mark.timeout(30)
def test_a_pipe_instead_of_the_metadata_is_done_without(tmp_path):
    path = written(tmp_path / "run")
    (path / "metadata.yaml").unlink()
    os.mkfifo(path / "metadata.yaml")
    with open_bag(path) as bag:
        assert bag.message_count == 2


@pytest.mark.timeout(30)
def test_ten_gigabytes_of_nothing_end_at_once(tmp_path, capsys):
    path = written(tmp_path / "run")
    (file,) = path.glob("*.mcap")
    size = file.stat().st_size
    # As after a power cut: the end of the file was never written.
    os.truncate(file, size * 2 // 3)
    os.truncate(file, 10 * 10**9)
    assert main(["info", str(path)]) in (1, 2)
    capsys.readouterr()
    for name in ("zeros.mcap", "zeros.db3"):
        (tmp_path / name).touch()
        os.truncate(tmp_path / name, 10 * 10**9)
        assert main(["info", str(tmp_path / name)]) == 2
        one_line(capsys)


def test_a_repair_on_a_full_disk_leaves_nothing(tmp_path):
    synthetic_run.write(tmp_path / "walk")
    # A limit on the size of files fails a write as a full disk does.
    program = (
        "import resource, sys; from humanoid_mujoco_ros.bags.command import main; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)); "
        "sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "repair", str(tmp_path / "walk")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert "File too large" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["walk"]


@pytest.mark.parametrize("mode", ["FILE", "MESSAGE"])
def test_bags_that_rosbag2_compressed_are_read(mode, tmp_path):
    # rosbag2 compresses whole files, or each message; both are unpacked within bounds.
    path = written(tmp_path / "run")
    (file,) = path.glob("*.mcap")
    content = yaml.safe_load((path / "metadata.yaml").read_text())
    information = content["rosbag2_bagfile_information"]
    information.update(compression_format="zstd", compression_mode=mode)
    if mode == "FILE":
        packed = file.with_name(f"{file.name}.zstd")
        packed.write_bytes(zstandard.compress(file.read_bytes()))
        file.unlink()
        information["relative_file_paths"] = [packed.name]
    else:
        packed = tmp_path / "packed"
        with open_bag(path) as bag:
            messages = list(bag.messages(["/notes"]))
        writer = BagWriter(packed)
        writer.add_topic("/notes", "std_msgs/msg/String", Definition("string data\n", ""), [])
        for name, stamp_ns, data in messages:
            writer.write(name, stamp_ns, stamp_ns, zstandard.compress(data))
        writer.close()
        file.write_bytes(next(packed.glob("*.mcap")).read_bytes())
    (path / "metadata.yaml").write_text(yaml.safe_dump(content))
    with open_bag(path) as bag:
        assert bag.problems == []
        notes = [bag.decode(name, data).data for name, _, data in bag.messages(["/notes"])]
    assert notes == ["a note", "a note"]


@pytest.mark.parametrize("seed", range(15))
@pytest.mark.timeout(60)
def test_mutilated_bags_end_in_a_report_or_in_one_line(seed, tmp_path, capsys):
    path = written(tmp_path / "run", [("parameters", '{"/a": {"b": 1}}')])
    random = np.random.default_rng(seed)
    file = next(path.glob("*.mcap")) if seed % 3 else path / "metadata.yaml"
    content = bytearray(file.read_bytes())
    for _ in range(random.integers(1, 8)):
        at = random.integers(len(content))
        content[at] = random.integers(256)
    file.write_bytes(content)
    for command in ("info", "repair", "verify"):
        assert main([command, str(path)]) in (0, 1, 2)
    assert report([str(path)]) in (0, 2)
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("stamp_ns", [-1, 2**63])
def test_a_stamp_beyond_time_is_refused(stamp_ns, tmp_path):
    writer = BagWriter(tmp_path / "run")
    writer.add_topic("/notes", "std_msgs/msg/String", Definition("string data\n", ""), [])
    with pytest.raises(BagError, match=f"/notes has the stamp {stamp_ns} ns"):
        writer.write("/notes", stamp_ns, 0, b"")
    writer.close()


def test_a_failed_repair_keeps_what_was_there(tmp_path):
    path = written(tmp_path / "run")
    with pytest.raises(BagError, match="exists already"):
        recover(path, path)
    assert len(list(path.iterdir())) == 2
