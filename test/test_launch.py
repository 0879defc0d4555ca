"""sim.launch.py through the real `ros2 launch`."""

import shutil
import signal
import subprocess

import pytest

pytest.importorskip("launch_ros", reason="launch_ros is not on PyPI; it comes with ROS 2")
pytest.importorskip("rclpy")

from lifecycle_msgs.srv import GetState
from nav_msgs.msg import Odometry

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(shutil.which("ros2") is None, reason="the command ros2 is not installed"),
]

SIM = ["ros2", "launch", "humanoid_mujoco_ros", "sim.launch.py"]


def launch(graph, *arguments):
    return subprocess.run(
        [*SIM, *arguments], env=graph.environment, capture_output=True, text=True, timeout=90
    )


def test_every_argument_is_described(graph):
    result = launch(graph, "--show-args")
    assert result.returncode == 0, result.stderr
    for name in ("policy", "config", "mode", "real_time_factor", "seed", "observation", "namespace",
                 "network", "duration", "viewer", "rviz", "record", "use_sim_time"):  # fmt: skip
        assert f"'{name}':" in result.stdout
    assert "no description given" not in result.stdout


def test_the_robot_walks_until_ctrl_c(graph):
    odometry = graph.listen(Odometry, "odom")
    process = graph.spawn([*SIM, "viewer:=false", "force_marker:=false"])
    graph.spin_until(lambda: odometry and odometry[-1].pose.pose.position.x > 1.0, 40.0)
    state = graph.call(GetState, "policy_node/get_state", GetState.Request())
    assert state.current_state.label == "active"
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 0, output
    assert "Traceback" not in output


def test_all_ends_when_the_duration_is_over(graph):
    result = launch(
        graph, "viewer:=false", "force_marker:=false", "mode:=lockstep", "duration:=5.0"
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "simulation_node-1] was required: shutting down" in result.stdout


def test_a_wrong_argument_is_explained(graph):
    result = launch(graph, "policy:=run")
    assert result.returncode != 0
    assert "policy 'run' is neither shipped nor a file" in result.stdout
