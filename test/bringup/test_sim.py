# SPDX-License-Identifier: Apache-2.0
"""`humanoid sim` as a user runs it."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rosbags.highlevel import AnyReader
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState

from humanoid_mujoco_ros import cli

pytestmark = pytest.mark.processes

HUMANOID = [sys.executable, "-m", "humanoid_mujoco_ros.cli"]


def refusal(capsys, *arguments):
    """What `humanoid` says to arguments that it refuses, before anything starts."""
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    return error


def run(graph, *arguments):
    return subprocess.run(
        [*HUMANOID, *arguments], env=graph.environment, capture_output=True, text=True, timeout=120
    )


def start(graph, *arguments):
    """Starts a run and waits until the policy drives the robot; its process and its nodes."""
    health = graph.health()
    process = graph.spawn([*HUMANOID, "sim", "--no-viewer", *arguments])
    graph.spin_until(lambda: health.value("simulation_node", "watchdog") == "ok")
    return process, children(process.pid)


def children(pid):
    """Ids of the nodes that a bring-up started, by the node's module."""
    found = {}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            arguments = Path(f"/proc/{child}/cmdline").read_text().split("\0")
            for module in arguments:
                if module.startswith("humanoid_mujoco_ros.nodes."):
                    found[module.rpartition(".")[2]] = int(child)
    return found


def state(pid):
    """The letter of a process's state; None: there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return None


def is_alive(pid):
    return state(pid) not in (None, "Z")  # where nobody reaps orphans, they stay as zombies


def wait_for_line(process, text):
    """Reads the process's output up to a line with `text`; pytest's timeout ends it otherwise."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return
    pytest.fail(f"'{text}' did not appear in\n{''.join(lines)}")


def test_it_walks_for_the_duration_and_ends_with_status_0(graph):
    result = run(graph, "sim", "--no-viewer", "--mode", "lockstep", "--duration", "10")
    assert result.returncode == 0, result.stdout + result.stderr
    output = " ".join(result.stdout.split())
    assert "done at 10.01 s: 1000 steps since the last reset" in output  # it has not fallen once
    height_m = float(re.findall(r"height ([\d.]+) m", output)[-1])
    assert 1.0 < height_m < 1.6


def test_a_recording_has_every_state_from_the_first_step_on(graph, tmp_path):
    bag = tmp_path / "bag"
    result = run(graph, "sim", "--no-viewer", "--record", str(bag), "--duration", "3")
    assert result.returncode == 0, result.stdout + result.stderr
    with AnyReader([bag]) as reader:
        clock = [c for c in reader.connections if c.topic == "/clock"]
        stamps = [
            reader.deserialize(data, c.msgtype).clock for c, _, data in reader.messages(clock)
        ]
    ticks = [round(stamp.sec * 100 + stamp.nanosec * 1e-7) for stamp in stamps]
    assert ticks[0] <= 2
    assert list(dict.fromkeys(ticks)) == list(range(ticks[0], 302))  # it repeats while it waits
    again = run(graph, "sim", "--no-viewer", "--record", str(bag), "--duration", "3")
    assert again.returncode == 2
    assert "exists already" in again.stderr


def test_a_killed_bringup_leaves_no_node_behind_and_no_folder(graph, tmp_path):
    graph.environment["TMPDIR"] = str(tmp_path)
    process, nodes = start(graph)
    os.kill(nodes["policy_node"], signal.SIGSTOP)
    # The kernel wakes those that are stopped by then.
    graph.spin_until(lambda: state(nodes["policy_node"]) == "T")
    process.kill()
    process.wait()
    graph.spin_until(lambda: not any(is_alive(pid) for pid in nodes.values()))
    (left,) = tmp_path.glob("humanoid_run_*")
    os.utime(left, (0, 0))
    assert run(graph, "sim", "--no-viewer", "--mode", "lockstep", "--duration", "1").returncode == 0
    assert not list(tmp_path.glob("humanoid_*"))


def test_a_foreign_status_does_not_end_the_run(graph):
    publisher = graph.node.create_publisher(DiagnosticArray, "/diagnostics", 10)
    foreign = DiagnosticStatus(
        level=DiagnosticStatus.ERROR,
        name="simulation_node: x",
        message="[/yellow] \x1b[2J",
        values=[KeyValue(key=key, value="n/a") for key in ("sim_time_s", "step_count", "ticks")],
    )
    message = DiagnosticArray(status=[foreign, DiagnosticStatus(name=":::"), DiagnosticStatus()])
    graph.node.create_timer(0.1, lambda: publisher.publish(message))
    process = graph.spawn([*HUMANOID, "sim", "--no-viewer", "--duration", "3"])
    graph.spin_until(lambda: process.poll() is not None)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "done at 3.01 s" in output
    assert "\x1b[2J" not in output


def test_a_run_that_ends_by_its_duration_ends_without_an_error(graph):
    result = run(graph, "sim", "--no-viewer", "--duration", "1")
    assert result.returncode == 0, result.stdout + result.stderr
    end = result.stdout[result.stdout.index("done at") :]
    assert "ERROR" not in end


def test_a_killed_policy_comes_back_a_stopped_one_stays_so_and_ctrl_c_ends_all(graph):
    health = graph.health()
    process, nodes = start(graph)
    assert set(nodes) == {"simulation_node", "policy_node"}

    def kill_policy():
        old = children(process.pid)["policy_node"]
        os.kill(old, signal.SIGKILL)
        graph.spin_until(lambda: children(process.pid).get("policy_node", old) != old)
        health.messages.clear()

    kill_policy()
    wait_for_line(process, "policy_node was ended by SIGKILL; starting it again in 0.5 s")
    ticks = int(health.value("simulation_node", "ticks"))
    graph.spin_until(
        lambda: (
            health.value("simulation_node", "watchdog") == "ok"
            and int(health.value("simulation_node", "ticks")) > ticks + 300
        )
    )
    stop = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_DEACTIVATE))
    assert graph.call(ChangeState, "policy_node/change_state", stop).success
    kill_policy()
    graph.spin_until(lambda: "stopped by deactivate" in health.messages.get("policy_node", ""))
    assert health.value("simulation_node", "watchdog") == "timeout"

    nodes = children(process.pid)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output  # all was well again
    assert "stopping" in output
    assert not any(is_alive(pid) for pid in nodes.values())


def test_a_killed_simulation_ends_the_run(graph):
    process, nodes = start(graph)
    os.kill(nodes["simulation_node"], signal.SIGKILL)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "simulation_node was ended by SIGKILL" in output
    assert not any(is_alive(pid) for pid in nodes.values())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_terminal_that_closes_ends_every_process_even_a_stopped_one(graph, number):
    process, nodes = start(graph)
    os.kill(nodes["policy_node"], signal.SIGSTOP)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert "stopping" in output
    assert "does not end" not in output
    assert not any(is_alive(pid) for pid in nodes.values())


def test_a_view_that_cannot_start_does_not_keep_the_run_from_its_end(graph):
    health = graph.health()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = graph.spawn([*HUMANOID, "sim", "--viewer-port", str(port)])
        wait_for_line(process, f"cannot use 127.0.0.1:{port}")
        wait_for_line(process, "viewer_node could not start")
    graph.spin_until(lambda: health.value("simulation_node", "watchdog") == "ok")
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1, output
    assert "stopping" in output


def test_a_policy_that_does_not_answer_ends_a_lockstep_run(graph, tmp_path):
    config = tmp_path / "mine.yaml"
    loop = "{mode: lockstep, lockstep_timeout: 2.0}"
    config.write_text(f"/**/simulation_node:\n  ros__parameters: {loop}\n")
    process, nodes = start(graph, "--config", str(config), "--duration", "1000")
    os.kill(nodes["policy_node"], signal.SIGSTOP)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "no command" in output


def test_one_process_has_the_policy_too_and_hears_its_parameters(graph):
    process, nodes = start(graph, "--single-process", "--policy", "balance")
    health = graph.health()
    graph.spin_until(lambda: health.value("policy_node", "policy") == "balance")
    assert list(nodes) == ["simulation_node"]
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output


def test_the_observation_can_come_from_the_topics(graph):
    arguments = ("--observation", "from_topics", "--mode", "lockstep", "--duration", "3")
    result = run(graph, "sim", "--no-viewer", *arguments)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "done at 3.01 s: 300 steps since the last reset" in result.stdout


def test_a_second_robot_leaves_the_clock_to_the_first(graph):
    clock = graph.listen(Clock, "/clock")
    states = graph.listen(JointState, "/second/joint_states")
    graph.spawn([*HUMANOID, "sim", "--no-viewer", "--namespace", "second", "--no-clock"])
    graph.spin_until(lambda: len(states) > 100)
    assert not clock


@pytest.mark.parametrize(
    ("node", "parameters", "reason"),
    [
        ("simulation_node", "real_time_factor: 2", "real_time_factor is 2 (int), expected float"),
        ("policy_node", "action: best", "action is 'best', expected auto or mean or sample"),
        ("policy_node", "ramp: -1.0", "ramp_s must not be negative"),
        ("viewer_node", "prot: 80", "viewer_node has no parameter 'prot'; it has allowed_origins"),
        ("simulation_node", "model: [1]", "model is [1] (list), expected str"),
    ],
)
def test_a_wrong_parameter_file_is_one_clear_line(capsys, tmp_path, node, parameters, reason):
    config = tmp_path / "mine.yaml"
    config.write_text(f"/**/{node}:\n  ros__parameters: {{{parameters}}}\n")
    assert reason in refusal(capsys, "sim", "--config", str(config))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--policy", "run"], "policy 'run' is neither shipped nor a file; shipped are"),
        (["--config", "lab"], "config 'lab' is neither a file nor one of sim\n"),
        (["--config", "hardware"], "config 'hardware' is neither a file nor one of sim"),
        (["--config", "~nobody_here/x.yaml"], "is no usable path"),
        (["--real-time-factor", "-1"], "real_time_factor must be positive, not -1.0"),
        (["--robot", "humanoid_v4", "--policy", "walk"], "trained at 100.00 Hz"),
        (["--namespace", "a b"], "--namespace 'a b' is not one"),
        (["--robots", "2", "--single-process"], "the policy can only run in the process of one"),
        (["--seed", "-1"], "--seed must be within 0 and"),
        (["--seed", "100000000000000000000"], "--seed must be within 0 and"),
        (["--viewer-port", "80808"], "port must be within 1 and 65535"),
        (["--policy", "hf://cleanrl"], "not of the form hf://owner/repo"),
    ],
)
def test_a_wrong_option_is_one_clear_line_and_status_2(capsys, arguments, reason):
    assert reason in refusal(capsys, "sim", *arguments)


def test_help_names_the_commands_and_explains_the_options(graph, capsys):
    overview = run(graph, "--help")
    assert overview.returncode == 0
    assert "start the simulated humanoid" in overview.stdout
    assert cli.main(["sim", "--help"]) == 0
    options = capsys.readouterr().out
    assert "--real-time-factor" in options
    assert "Simulated seconds per second of wall time" in options
    assert run(graph).returncode == 2
    assert cli.main(["fly"]) == 2
    assert "Available subcommands: sim, hardware" in capsys.readouterr().err
    assert cli.main(["sim", "--seed", "1e20"]) == 2
