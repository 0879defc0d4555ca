# SPDX-License-Identifier: Apache-2.0
"""`humanoid sim`: the simulation, its policy and the views, without `ros2 launch`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import tyro
from rich.console import Console
from tyro.constructors import PrimitiveConstructorSpec

from humanoid_mujoco_ros.bringup.config import (
    check_parameters,
    node_arguments,
    read_parameters,
)
from humanoid_mujoco_ros.bringup.options import GraphOptions
from humanoid_mujoco_ros.bringup.robot_check import check_robots, stands_by_itself
from humanoid_mujoco_ros.bringup.run_directory import run_directory
from humanoid_mujoco_ros.bringup.supervisor import NodeProcess, node_process
from humanoid_mujoco_ros.bringup.terminal import RECORDER, supervise
from humanoid_mujoco_ros.policy.config import ObservationConfig, PolicyConfig
from humanoid_mujoco_ros.ros.network import stay_local
from humanoid_mujoco_ros.ros.parameters import from_parameters
from humanoid_mujoco_ros.simulation.physics_loop import LoopConfig

MAX_SEED = 2**63 - 1
"""What a ROS parameter can hold."""


def _folder(arguments: list[str]) -> Path:
    if len(arguments) > 1:
        raise ValueError(f"takes one folder, not {len(arguments)}")
    if arguments:
        try:
            return Path(arguments[0]).expanduser()
        except RuntimeError as error:  # an unknown user's home
            raise ValueError(str(error)) from error
    from humanoid_mujoco_ros.bags.recorder import default_folder

    return default_folder()


OptionalFolder = Annotated[
    Path | None,
    PrimitiveConstructorSpec(
        nargs="*",
        metavar="[FOLDER]",
        instance_from_str=_folder,
        is_instance=lambda value: value is None or isinstance(value, Path),
        str_from_instance=lambda value: [] if value is None else [str(value)],
    ),
    tyro.conf.arg(help_behavior_hint="(default: no recording)"),
]
"""An option whose value may be left out."""


@dataclass(frozen=True)
class SimOptions(GraphOptions):
    """Start the simulated humanoid and the policy that controls it; Ctrl-C ends all of it."""

    config_names: ClassVar[tuple[str, ...]] = ("sim",)
    config: str = "sim"
    """sim, or a ROS parameter file."""
    follow: bool = False
    """Load the policy's file again whenever it changes: watch a training learn."""
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
    """End after this simulated time [s]; 0: run until Ctrl-C."""
    viewer: bool = True
    """Start the browser view."""
    record: OptionalFolder = None
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
    path = options.config_path
    if options.record is not None and options.record.exists():
        raise ValueError(f"{options.record} exists already; --record needs a new folder")
    if options.seed is not None and not 0 <= options.seed <= MAX_SEED:
        raise ValueError(f"--seed must be within 0 and {MAX_SEED}, not {options.seed}")
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
    if options.follow:
        policy["follow"] = True
    if not options.clock:
        simulation["publish_clock"] = False
    observer: dict[str, Any] = {}
    nodes = {"simulation_node": simulation, "policy_node": policy}
    if options.observation == "from_topics":
        simulation["publish_observation"] = False
        nodes["observation_node"] = observer
    nodes |= options.views()
    for parameters in nodes.values():
        parameters |= options.chosen_robot()

    everything = check_parameters(path, nodes, options.namespace)
    loop = from_parameters(LoopConfig, everything["simulation_node"])
    if loop.mode == "lockstep":
        # The simulation may wait as long as it likes.
        policy["mode"] = observer["mode"] = "lockstep"
    elif loop.real_time_factor < 1.0:
        slowness = 1.0 / loop.real_time_factor
        timeout_s = from_parameters(PolicyConfig, everything["policy_node"]).observation_timeout_s
        policy["observation_timeout"] = slowness * timeout_s
        observer_all = read_parameters(path, "observation_node", options.namespace)
        timeout_s = from_parameters(ObservationConfig, observer_all).input_timeout_s
        observer["input_timeout"] = slowness * timeout_s
    robot = check_robots(everything).robot
    if stands_by_itself(robot, everything["policy_node"]):
        simulation.setdefault("hold_until_command", False)
    return nodes


def processes(
    options: SimOptions, nodes: dict[str, dict[str, Any]], directory: Path
) -> list[NodeProcess]:
    """The processes of the graph; `directory` keeps a file of their parameters."""
    arguments = node_arguments(options.config_path, options.namespace, nodes, directory)
    found = [node_process(node, arguments, restart=node != "simulation_node") for node in nodes]
    if options.record is not None:
        found.insert(0, _recorder(options))
    return found


def _recorder(options: SimOptions) -> NodeProcess:
    arguments = ["-m", "humanoid_mujoco_ros.bags.recorder", str(options.record)]
    if options.namespace:
        arguments += ["--namespace", options.namespace]
    if options.network:
        arguments += ["--network"]
    return NodeProcess(RECORDER, tuple(arguments), ends_last=True)


def run(options: SimOptions) -> int:
    """Runs `humanoid sim`."""
    try:
        nodes = check(options)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    stay_local(network=options.network)
    with run_directory() as directory:
        return supervise(
            processes(options, nodes, directory), options.namespace, "simulation_node", Console()
        )
