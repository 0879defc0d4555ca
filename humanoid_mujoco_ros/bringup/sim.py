# SPDX-License-Identifier: Apache-2.0
"""`humanoid sim`: the simulation, its policy and the views, without `ros2 launch`."""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

import rclpy
import tyro
from rclpy.executors import SingleThreadedExecutor
from rich.console import Console
from rich.live import Live
from rich.text import Text

from humanoid_mujoco_ros.bringup import status
from humanoid_mujoco_ros.bringup.config import (
    check_parameters,
    config_file,
    node_arguments,
    read_parameters,
)
from humanoid_mujoco_ros.bringup.options import GraphOptions
from humanoid_mujoco_ros.bringup.supervisor import NodeProcess, Supervisor, node_process
from humanoid_mujoco_ros.nodes.observation_node import ObservationConfig
from humanoid_mujoco_ros.nodes.policy_node import DEFAULT_POLICY, PolicyConfig
from humanoid_mujoco_ros.policy import checkpoint
from humanoid_mujoco_ros.policy import locate as policy_source
from humanoid_mujoco_ros.robot.model import ModelConfig, RobotModel
from humanoid_mujoco_ros.ros.network import stay_local
from humanoid_mujoco_ros.ros.parameters import from_parameters
from humanoid_mujoco_ros.ros.runtime import START_FAILED
from humanoid_mujoco_ros.simulation.physics_loop import LoopConfig

ESSENTIAL = ("simulation_node", "policy_node", "observation_node")
"""Nodes without which it makes no sense to start the others."""
RECORDER = "recorder"
_RECORDER_TIMEOUT_S = 30.0
_POLL_S = 0.1
_PLAIN_STATUS_PERIOD_S = 5.0


@dataclass(frozen=True)
class SimOptions(GraphOptions):
    """Start the simulated humanoid and the policy that controls it; Ctrl-C ends all of it."""

    config: str = "sim"
    """sim (100 Hz), humanoid_v4 (66.67 Hz, for CleanRL's published checkpoints), or a ROS
    parameter file."""
    mode: Literal["realtime", "lockstep"] | None = None
    """realtime keeps wall time; lockstep waits for each command and runs as fast as it can."""
    real_time_factor: float | None = None
    """Simulated seconds per second of wall time."""
    seed: int | None = None
    """Seed of the initial states and of sampled actions."""
    observation: Literal["simulation", "from_topics"] = "simulation"
    """Who makes the policy's observation: the simulation, or observation_node from joint_states
    and odom, as on a robot."""
    clock: bool = True
    """Publish /clock. There can be only one: a second robot leaves it to the first."""
    duration: float = 0.0
    """End after so many simulated seconds; 0: run until Ctrl-C."""
    viewer: bool = True
    """Start the browser view."""
    record: tuple[Path, ...] | None = None
    """Record the run as a rosbag2 bag (MCAP) in this folder, which must not exist; without a
    folder, in humanoid_<date>-<time>."""


def check(options: SimOptions) -> dict[str, dict[str, Any]]:
    """Finds what is wrong with the options before anything starts.

    Returns:
        Node → the parameters to set on top of the config file, for each node to start.

    Raises:
        ValueError: The message says what cannot be used.
    """
    options.check()
    path = config_file(options.config)
    if options.record and len(options.record) > 1:
        raise ValueError(f"--record takes one folder, not {len(options.record)}")
    if options.record and options.record[0].exists():
        raise ValueError(f"{options.record[0]} exists already; --record needs a new folder")
    if options.seed is not None and options.seed < 0:
        raise ValueError(f"--seed must not be negative, not {options.seed}")
    simulation: dict[str, Any] = options.frames()
    policy: dict[str, Any] = {}
    if options.mode is not None:
        simulation["mode"] = options.mode
    if options.real_time_factor is not None:
        simulation["real_time_factor"] = float(options.real_time_factor)
    if options.duration:
        simulation["duration"] = float(options.duration)
    if options.seed is not None:
        simulation["seed"] = policy["seed"] = options.seed
    if options.policy:
        policy["policy"] = options.policy
    if not options.clock:
        simulation["publish_clock"] = False
    observer: dict[str, Any] = {}
    nodes = {"simulation_node": simulation, "policy_node": policy}
    if options.observation == "from_topics":
        simulation["publish_observation"] = False
        nodes["observation_node"] = observer
    nodes |= options.views()

    everything = check_parameters(path, nodes)
    loop = from_parameters(LoopConfig, everything["simulation_node"])
    if loop.mode == "lockstep":
        # The simulation may wait as long as it likes.
        policy["observation_timeout"] = observer["input_timeout"] = 0.0
    elif loop.real_time_factor < 1.0:
        slowness = 1.0 / loop.real_time_factor
        timeout_s = from_parameters(PolicyConfig, everything["policy_node"]).observation_timeout_s
        policy["observation_timeout"] = slowness * timeout_s
        observer_all = read_parameters(path, "observation_node")
        timeout_s = from_parameters(ObservationConfig, observer_all).input_timeout_s
        observer["input_timeout"] = slowness * timeout_s
    robot = RobotModel(from_parameters(ModelConfig, everything["simulation_node"], path="model"))
    for node in ("simulation_node", "policy_node"):
        robot.joint_order(everything[node].get("joints", robot.joints))
    name = everything["policy_node"].get("policy", DEFAULT_POLICY)
    checkpoint.load(policy_source.resolve(name), robot).check_fits(robot)
    return nodes


def processes(
    options: SimOptions, nodes: dict[str, dict[str, Any]], directory: Path
) -> list[NodeProcess]:
    """The processes of the graph; `directory` keeps a file of their parameters."""
    arguments = node_arguments(options.config, options.namespace, nodes, directory)
    found = [node_process(node, arguments, restart=node != "simulation_node") for node in nodes]
    if options.record is not None:
        found.insert(0, _recorder(options))
    return found


def _recorder(options: SimOptions) -> NodeProcess:
    arguments = ["-m", "humanoid_mujoco_ros.bags.recorder", *map(str, options.record or ())]
    if options.namespace:
        arguments += ["--namespace", options.namespace]
    if options.network:
        arguments += ["--network"]
    return NodeProcess(RECORDER, tuple(arguments), ends_last=True)


def supervise(
    nodes: Sequence[NodeProcess], namespace: str, main_node: str, console: Console
) -> int:
    """Runs the nodes under a status line until Ctrl-C or until `main_node` is done.

    Returns:
        Exit status: 1 when a node failed.
    """
    # SIGINT as well: a shell's background job, for one, is started with it ignored.
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    rclpy.init(args=[], signal_handler_options=rclpy.signals.SignalHandlerOptions.NO)
    listener = status.StatusListener(namespace)
    executor = SingleThreadedExecutor()
    executor.add_node(listener)
    supervisor = Supervisor(nodes, lambda text: console.print(Text(text), soft_wrap=True))
    try:
        if any(node.name == RECORDER for node in nodes):
            _start_recording(supervisor, executor, listener, main_node, console)
        supervisor.start()
        with Live(console=console, auto_refresh=False, transient=True) as live:
            _watch(supervisor, executor, listener, main_node, live, console)
    except KeyboardInterrupt:
        pass
    finally:
        # A second Ctrl-C must not leave nodes behind.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        console.print("stopping")
        supervisor.stop()
        if listener.has_news:
            _print_status(listener, console)
        executor.shutdown()
        listener.destroy_node()
        rclpy.try_shutdown()
    return int(supervisor.failed)


def _start_recording(
    supervisor: Supervisor,
    executor: SingleThreadedExecutor,
    listener: status.StatusListener,
    main_node: str,
    console: Console,
) -> None:
    """Starts the recorder, then the robot, which stands still until the recorder hears it."""

    def spin_until(condition: Callable[[], bool], reason: str) -> None:
        deadline_s = time.monotonic() + _RECORDER_TIMEOUT_S
        while not condition():
            executor.spin_once(timeout_sec=_POLL_S)
            supervisor.poll()
            if RECORDER in supervisor.ended or _is_over(supervisor, main_node):
                return
            if time.monotonic() > deadline_s:
                console.print(f"{reason}; going on: the recording may lack the start")
                return

    supervisor.start([RECORDER])
    spin_until(lambda: bool(listener.values(RECORDER)), "the recorder does not report")
    supervisor.start([main_node])
    spin_until(
        lambda: "/joint_states" in listener.values(RECORDER).get("topics_heard", ""),
        "the recorder does not hear the robot",
    )


def _watch(
    supervisor: Supervisor,
    executor: SingleThreadedExecutor,
    listener: status.StatusListener,
    main_node: str,
    live: Live,
    console: Console,
) -> None:
    ticks = 0
    while supervisor.is_any_running:
        executor.spin_once(timeout_sec=_POLL_S)
        supervisor.poll()
        if _is_over(supervisor, main_node):
            return
        ticks += 1
        if console.is_terminal:
            live.update(status.panel(listener), refresh=True)
        elif ticks % round(_PLAIN_STATUS_PERIOD_S / _POLL_S) == 0:
            _print_status(listener, console)


def _print_status(listener: status.StatusListener, console: Console) -> None:
    console.print(status.line(listener), highlight=False, markup=False, soft_wrap=True)


def _is_over(supervisor: Supervisor, main_node: str) -> bool:
    """Whether the rest has no work left; a main node that a signal killed leaves it to go on."""
    ended = supervisor.ended
    return ended.get(main_node, -1) >= 0 or any(ended.get(n) == START_FAILED for n in ESSENTIAL)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def main(argv: Sequence[str]) -> int:
    """Runs `humanoid sim`."""
    options = tyro.cli(SimOptions, args=list(argv), prog="humanoid sim")
    try:
        nodes = check(options)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    stay_local(options.network)
    with tempfile.TemporaryDirectory(prefix="humanoid_") as directory:
        return supervise(
            processes(options, nodes, Path(directory)),
            options.namespace,
            "simulation_node",
            Console(),
        )
