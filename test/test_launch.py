# SPDX-License-Identifier: Apache-2.0
"""sim.launch.py through the real `ros2 launch`."""

import dataclasses
import os
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest
import yaml

pytest.importorskip("launch_ros", reason="launch_ros is not on PyPI; it comes with ROS 2")
pytest.importorskip("rclpy")

from lifecycle_msgs.srv import GetState
from nav_msgs.msg import Odometry

from humanoid_mujoco_ros.bringup.hardware import HardwareOptions
from humanoid_mujoco_ros.bringup.sim import SimOptions

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(shutil.which("ros2") is None, reason="the command ros2 is not installed"),
]

SIM = ["ros2", "launch", "humanoid_mujoco_ros", "sim.launch.py"]


def launch(graph, *arguments):
    return subprocess.run(
        [*SIM, *arguments], env=graph.environment, capture_output=True, text=True, timeout=90
    )


@pytest.fixture
def recorder(graph, tmp_path):
    """A `ros2 bag record` that only says how it was called, in the files of this folder."""
    packages = tmp_path / "prefix/share/ament_index/resource_index/packages"
    packages.mkdir(parents=True)
    (packages / "ros2bag").touch()
    program = tmp_path / "bin/ros2"
    program.parent.mkdir()
    program.write_text(
        "#!/bin/sh\n"
        f'[ "$1" = bag ] || exec {shutil.which("ros2")} "$@"\n'
        f'env > {tmp_path}/environment; echo "$@" > {tmp_path}/arguments.part\n'
        f"mv {tmp_path}/arguments.part {tmp_path}/arguments\n"
    )
    program.chmod(0o755)
    graph.environment["PATH"] = f"{program.parent}:{os.environ['PATH']}"
    graph.environment["AMENT_PREFIX_PATH"] = f"{tmp_path}/prefix:{os.environ['AMENT_PREFIX_PATH']}"
    return tmp_path


@pytest.mark.parametrize(
    ("file", "options", "own"),
    [
        ("sim.launch.py", SimOptions, ["rviz", "record", "use_sim_time"]),
        ("hardware.launch.py", HardwareOptions, ["robot_state_publisher"]),
    ],
)
def test_every_option_is_an_argument_and_described(graph, file, options, own):
    command = ["ros2", "launch", "humanoid_mujoco_ros", file, "--show-args"]
    result = subprocess.run(
        command, env=graph.environment, capture_output=True, text=True, timeout=90
    )
    assert result.returncode == 0, result.stderr
    names = re.findall(r"^    '(\w+)':$", result.stdout, re.MULTILINE)
    assert len(names) == len(set(names))
    assert set(names) == {*(field.name for field in dataclasses.fields(options)), *own}
    assert "no description given" not in result.stdout


def test_the_robot_walks_until_ctrl_c(graph):
    odometry = graph.listen(Odometry, "odom")
    process = graph.spawn([*SIM, "viewer:=false", "force_marker:=false"])
    graph.spin_until(lambda: odometry and odometry[-1].pose.pose.position.x > 1.0)
    state = graph.call(GetState, "policy_node/get_state", GetState.Request())
    assert state.current_state.label == "active"
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "Traceback" not in output


def test_all_ends_when_the_duration_is_over(graph):
    result = launch(
        graph, "viewer:=False", "force_marker:=false", "mode:=lockstep", "duration:=5.0"
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "simulation_node-1] was required: shutting down" in result.stdout
    assert "ERROR" not in result.stdout + result.stderr


def test_a_second_robot_leaves_the_clock_to_the_first_and_has_a_page_of_its_own(graph):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    health = graph.health()
    odometry = graph.listen(Odometry, "r2/odom")
    graph.spawn([*SIM, "namespace:=r2", "clock:=false", f"viewer_port:={port}"])
    graph.spin_until(lambda: odometry and health.value("r2/viewer_node", "url"))
    assert health.value("r2/viewer_node", "url") == f"http://localhost:{port}"
    socket.create_connection(("127.0.0.1", port), 5.0).close()
    assert odometry[-1].header.frame_id == "r2/odom"
    assert graph.node.count_publishers("/clock") == 0


@pytest.mark.parametrize("mode", ["realtime", "lockstep"])
def test_a_recording_is_stamped_with_the_time_of_reception(graph, recorder, mode):
    graph.spawn([*SIM, "record:=true", f"mode:={mode}", "namespace:=r2", "viewer:=false"])
    graph.spin_until((recorder / "arguments").exists)
    *command, file = (recorder / "arguments").read_text().split()
    assert command == ["bag", "record", "-a", "-s", "mcap", "--qos-profile-overrides-path"]
    overrides = yaml.safe_load(Path(file).read_text())
    assert set(overrides) == {"/tf_static", "/robot_description", "/r2/robot_description"}
    assert {qos["durability"] for qos in overrides.values()} == {"transient_local"}


def test_robots_of_one_world_are_driven_and_recorded_each_in_its_namespace(graph, recorder):
    odometry = [graph.listen(Odometry, f"lab/{name}/odom") for name in ("first", "second")]
    robots = "robots:=first=humanoid:walk second=humanoid:walk@0,3"
    options = ("namespace:=lab", "record:=true", "viewer:=false", "force_marker:=false")
    process = graph.spawn([*SIM, robots, *options])
    graph.spin_until(lambda: all(o and o[-1].pose.pose.position.x > 0.5 for o in odometry))
    assert graph.node.count_publishers("/clock") == 1
    file = (recorder / "arguments").read_text().split()[-1]
    descriptions = {name for name in yaml.safe_load(Path(file).read_text()) if "desc" in name}
    assert descriptions == {
        "/robot_description",
        "/lab/first/robot_description",
        "/lab/second/robot_description",
    }
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output


@pytest.mark.parametrize("network", ["false", "True"])
def test_the_graph_stays_on_this_machine_unless_asked(graph, recorder, network):
    # Humble does not know the discovery range.
    graph.environment["ROS_DISTRO"] = "humble"
    graph.environment.pop("ROS_LOCALHOST_ONLY", None)
    graph.spawn([*SIM, "record:=true", f"network:={network}", "viewer:=false"])
    graph.spin_until((recorder / "arguments").exists)
    environment = (recorder / "environment").read_text().splitlines()
    is_local = network == "false"
    range_ = "LOCALHOST" if is_local else "SUBNET"
    assert f"ROS_AUTOMATIC_DISCOVERY_RANGE={range_}" in environment
    assert ("ROS_LOCALHOST_ONLY=1" in environment) == is_local


@pytest.mark.parametrize(
    ("argument", "reason"),
    [
        ("policy:=run", "policy 'run' is neither shipped nor a file"),
        ("real_time_factor:=fast", "real_time_factor is 'fast', expected a number"),
        ("real_time_factor:=0", "real_time_factor must be positive, not 0.0"),
        ("seed:=1.5", "seed is '1.5', expected a whole number"),
        ("duration:=long", "duration is 'long', expected a number"),
        ("viewer_port:=web", "viewer_port is 'web', expected a whole number"),
        ("viewer_port:=0", "port must be positive, not 0"),
        ("clock:=no", '"clock" provided value "no" is not valid'),
    ],
)
def test_a_wrong_argument_is_explained(graph, argument, reason):
    result = launch(graph, argument)
    assert result.returncode != 0
    assert reason in result.stdout + result.stderr
    assert "process started" not in result.stdout
