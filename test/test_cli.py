# SPDX-License-Identifier: Apache-2.0
"""The command line: its commands, its help, and what it imports."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("rclpy")

from humanoid_mujoco_ros import cli
from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.robot.urdf import urdf
from humanoid_mujoco_ros.subcommands import Group

COMMANDS = [
    command
    for name, entry in cli.COMMANDS.items()
    for command in (
        [[name, below] for below in entry.commands] if isinstance(entry, Group) else [[name]]
    )
]


def imported_by(*arguments):
    """The modules that `humanoid` with these arguments has imported when it ends."""
    program = f"""
import sys
from humanoid_mujoco_ros import cli
cli.main({list(arguments)!r})
print("imported", *sys.modules)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    *_, last = result.stdout.splitlines()
    return {name.partition(".")[0] for name in last.split()}


def test_the_overview_names_every_command_and_imports_none(capsys):
    assert cli.main(["--help"]) == 0
    output = capsys.readouterr().out
    assert all(name in output and entry.text in output for name, entry in cli.COMMANDS.items())
    assert not imported_by("--help") & {"rclpy", "mujoco", "numpy", "viser", "torch", "rosbags"}


def test_a_run_without_the_browser_view_imports_no_viser():
    program = (
        "import sys; from humanoid_mujoco_ros.bringup.sim import SimOptions, check; "
        "check(SimOptions(viewer=False)); print('viser' in sys.modules)"
    )
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False"]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(capsys, command):
    assert cli.main([*command, "--help"]) == 0
    assert f"usage: humanoid {' '.join(command)}" in capsys.readouterr().out


def test_a_shell_completes_commands_and_options(capsys):
    assert cli.main(["--tyro-print-completion", "bash"]) == 0
    script = capsys.readouterr().out
    assert all(text in script for text in ("hardware", "repair", "--real-time-factor"))


def test_urdf_prints_the_robot_description(capsys):
    assert cli.main(["urdf"]) == 0
    assert capsys.readouterr().out == urdf(RobotModel())


def test_urdf_of_a_missing_model_is_one_clear_line(capsys):
    assert cli.main(["urdf", "--robot", "nowhere.xml"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: robot 'nowhere.xml' is neither one of ant, g1, go1, ")
    assert error.count("\n") == 1


def test_commands_are_named_when_one_is_unknown(capsys):
    for arguments in (["fly"], []):
        assert cli.main(arguments) == 2
        error = capsys.readouterr().err
        assert all(name in error for name in cli.COMMANDS)
    assert cli.main(["bag", "fly"]) == 2
    assert "info" in capsys.readouterr().err


def test_an_unusable_bag_is_one_clear_line(capsys):
    assert cli.main(["bag", "info", "/nowhere"]) == 2
    assert capsys.readouterr().err == "error: /nowhere does not exist\n"


def test_without_a_home_ros_logs_to_a_temporary_folder(tmp_path):
    program = (
        "import rclpy; from humanoid_mujoco_ros import cli; cli.main(['--help']); "
        "rclpy.init(args=[]); print('started')"
    )
    for home in ({}, {"HOME": "/dev/null/nowhere"}):
        environment = {**os.environ, "TMPDIR": str(tmp_path), **home}
        for name in ("ROS_LOG_DIR", "ROS_HOME", *(() if home else ("HOME",))):
            environment.pop(name, None)
        command = [sys.executable, "-c", program]
        result = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert result.stdout.endswith("started\n"), result.stderr


@pytest.mark.parametrize("command", [["urdf"], ["export", "walk", "walk.onnx"]])
def test_a_reader_that_wants_no_more_ends_a_command_without_a_word(tmp_path, command):
    if command[0] == "export":
        pytest.importorskip("onnx", reason="onnx is not installed")
    reader, writer = os.pipe()
    os.close(reader)
    result = subprocess.run(
        [sys.executable, "-m", "humanoid_mujoco_ros.cli", *command],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    os.close(writer)
    assert (result.stderr, result.returncode) == ("", 141)


def test_a_command_that_lacks_a_package_says_which():
    program = (
        "import sys; sys.modules['rclpy'] = None; from humanoid_mujoco_ros import cli; "
        "sys.exit(cli.main(['sim']))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == 2
    assert "error: humanoid sim cannot start: " in result.stderr
    assert "rclpy" in result.stderr
    assert result.stderr.count("\n") == 1
