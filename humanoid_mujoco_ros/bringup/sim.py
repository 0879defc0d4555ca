# SPDX-License-Identifier: Apache-2.0
"""`humanoid sim`: the simulation, its policy and the views, without `ros2 launch`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import tyro
from rich.console import Console
from tyro.constructors import PrimitiveConstructorSpec

from humanoid_mujoco_ros.bringup.config import (
    NODES,
    NodeGroup,
    check_parameters,
    known_parameters,
    node_arguments,
    read_parameters,
)
from humanoid_mujoco_ros.bringup.options import GraphOptions
from humanoid_mujoco_ros.bringup.robot_check import check_robots, check_world, stands_by_itself
from humanoid_mujoco_ros.bringup.run_directory import run_directory
from humanoid_mujoco_ros.bringup.supervisor import NodeProcess, node_process
from humanoid_mujoco_ros.bringup.terminal import RECORDER, supervise
from humanoid_mujoco_ros.policy.config import ObservationConfig, PolicyConfig
from humanoid_mujoco_ros.ros.network import stay_local
from humanoid_mujoco_ros.ros.parameters import from_parameters
from humanoid_mujoco_ros.ros.shared_config import ProcessConfig
from humanoid_mujoco_ros.share import share_directory
from humanoid_mujoco_ros.simulation.physics_loop import LoopConfig
from humanoid_mujoco_ros.simulation.robot_spec import RobotSpec, parse_robots
from humanoid_mujoco_ros.simulation.world_card import FLAT, WorldCard, load_world

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


RobotList = Annotated[
    str,
    PrimitiveConstructorSpec(
        nargs="+",
        metavar="NAME=ROBOT [NAME=ROBOT ...]|N",
        instance_from_str=" ".join,
        is_instance=lambda value: isinstance(value, str),
        str_from_instance=str.split,
    ),
    tyro.conf.arg(help_behavior_hint="(default: one robot)"),
]
"""An option of several words, which a launch argument writes in one."""


@dataclass(frozen=True)
class SimOptions(GraphOptions):
    """Start the simulated humanoid and the policy that controls it; Ctrl-C ends all of it."""

    config_names: ClassVar[tuple[str, ...]] = ("sim",)
    config: str = "sim"
    """sim, or a ROS parameter file."""
    robots: RobotList = ""
    """Several robots in one world: NAME=ROBOT[:POLICY][@x,y,yaw] for each (m and degrees), or the
    number of robots of the chosen kind in a row. Each has its namespace."""
    world: str = FLAT
    """What is in the world: flat, sumo (two humanoids are pushed towards each other), or a file
    FILE.yaml of a world."""
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
    single_process: bool = False
    """Run the policy in the process of the simulation, for small machines: less memory, the same
    topics. A policy that dies ends the run."""
    duration: float = 0.0
    """End after this simulated time [s]; 0: run until Ctrl-C."""
    viewer: bool = True
    """Start the browser view."""
    record: OptionalFolder = None
    """Record the run as a rosbag2 bag (MCAP) in this folder, which must not exist; without a
    folder, in humanoid_<date>-<time>."""

    def of(self, spec: RobotSpec, number: int) -> SimOptions:
        """The options of one robot, which is number 0, 1 and so on in its world.

        The page is the world's.
        """
        return replace(
            self,
            robot=spec.robot or self.robot,
            policy=spec.policy or self.policy,
            namespace=f"{self.namespace}/{spec.name}",
            seed=None if self.seed is None else self.seed + number,
            viewer=False,
        )


def check(options: SimOptions) -> list[NodeGroup]:
    """Finds what is wrong with the options before anything starts.

    Returns:
        The nodes to start. The first group has simulation_node, and all else of a robot that is
        alone; robots that share a world have a group each.

    Raises:
        ValueError: The message says what cannot be used.
    """
    options.check()
    path = options.config_path
    if options.record is not None and options.record.exists():
        raise ValueError(f"{options.record} exists already; --record needs a new folder")
    world = _world(options.world)
    robots = options.robots or world.robots
    specs = parse_robots(robots)
    last_seed = MAX_SEED - max(len(specs) - 1, 0)
    if options.seed is not None and not 0 <= options.seed <= last_seed:
        raise ValueError(f"--seed must be within 0 and {last_seed}, not {options.seed}")
    simulation = {**world.simulation, **_simulation(options)}
    each = [options.of(spec, number) for number, spec in enumerate(specs)] or [options]
    checked = []
    for number, own in enumerate(each):
        try:
            group, everything = _robot_group(own, simulation)
            checked.append((group, everything, check_robots(everything).robot))
        except ValueError as error:
            name = f"robot {specs[number].name}: " if specs else ""
            raise ValueError(f"{name}{error}") from error
    if all(stands_by_itself(robot, own["policy_node"]) for _, own, robot in checked):
        simulation.setdefault("hold_until_command", False)
    groups = [group for group, _, _ in checked]
    process = from_parameters(ProcessConfig, checked[0][1]["simulation_node"])
    process.check(specs)
    others = {node: options.frames() | options.chosen_robot() for node in world.nodes}
    if not specs:
        groups[0].nodes = {"simulation_node": simulation, **groups[0].nodes, **others}
        groups[0].has_policy_inside = process.with_policy
        return groups
    check_world(
        specs,
        [robot for _, _, robot in checked],
        [everything["simulation_node"] for _, everything, _ in checked],
    )
    nodes = {"simulation_node": simulation, **replace(options, force_marker=False).views()}
    nodes |= others
    for parameters in nodes.values():
        parameters |= options.chosen_robot() | {"robots": robots}
    check_parameters(path, nodes, options.namespace)
    return [NodeGroup(options.namespace, nodes), *groups]


def _world(name: str) -> WorldCard:
    """The card of a world, whose nodes and parameters are known."""
    world = load_world(name, share_directory("config") / "worlds")
    for what, named, known in (
        ("node", world.nodes, NODES),
        ("parameter of simulation_node", world.simulation, known_parameters("simulation_node")),
    ):
        unknown = sorted(set(named) - set(known))
        if unknown:
            raise ValueError(
                f"world {name}: there is no {what} '{unknown[0]}'; there are "
                f"{', '.join(sorted(known))}"
            )
    return world


def _simulation(options: SimOptions) -> dict[str, Any]:
    """What the options set for simulation_node."""
    simulation: dict[str, Any] = options.frames() | options.chosen_robot()
    if options.mode is not None:
        simulation["mode"] = options.mode
    if options.real_time_factor is not None:
        simulation["real_time_factor"] = float(options.real_time_factor)
    if options.duration:
        simulation["duration"] = float(options.duration)
    if options.seed is not None:
        simulation["seed"] = options.seed
    if not options.clock:
        simulation["publish_clock"] = False
    if options.observation == "from_topics":
        simulation["publish_observation"] = False
    if options.single_process:
        simulation["with_policy"] = True
    return simulation


def _robot_group(
    options: SimOptions, simulation: dict[str, Any]
) -> tuple[NodeGroup, dict[str, dict[str, Any]]]:
    """The nodes of one robot, beside simulation_node, and all parameters of each node.

    Args:
        options: Those of the robot.
        simulation: What is set for simulation_node.
    """
    path = options.config_path
    policy: dict[str, Any] = {}
    if options.seed is not None:
        policy["seed"] = options.seed
    if options.policy:
        policy["policy"] = options.policy
    if options.follow:
        policy["follow"] = True
    observer: dict[str, Any] = {}
    nodes = {"policy_node": policy}
    if options.observation == "from_topics":
        nodes["observation_node"] = observer
    nodes |= options.views()
    for parameters in nodes.values():
        parameters |= options.chosen_robot()

    simulated = simulation | options.frames() | options.chosen_robot()
    everything = check_parameters(path, {"simulation_node": simulated, **nodes}, options.namespace)
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
    return NodeGroup(options.namespace, nodes), everything


def processes(
    options: SimOptions, groups: Sequence[NodeGroup], directory: Path
) -> list[NodeProcess]:
    """The processes of the graph; `directory` keeps the files of their parameters."""
    found = []
    robots = robot_names(options, groups)
    for group, robot in zip(groups, ["", *robots], strict=True):
        arguments = node_arguments(options.config_path, group, directory)
        found += [
            node_process(node, arguments, restart=node != "simulation_node", robot=robot)
            for node in group.programs
        ]
    if options.record is not None:
        found.insert(0, _recorder(options, robots))
    return found


def robot_names(options: SimOptions, groups: Sequence[NodeGroup]) -> list[str]:
    """The names of the robots that share the world; none: there is one robot."""
    return [group.namespace.removeprefix(options.namespace).strip("/") for group in groups[1:]]


def _recorder(options: SimOptions, robots: Sequence[str]) -> NodeProcess:
    arguments = ["-m", "humanoid_mujoco_ros.bags.recorder", str(options.record)]
    if options.namespace:
        arguments += ["--namespace", options.namespace]
    if robots:
        arguments += ["--robots", *robots]
    if options.network:
        arguments += ["--network"]
    return NodeProcess(RECORDER, tuple(arguments), ends_last=True)


def run(options: SimOptions) -> int:
    """Runs `humanoid sim`."""
    try:
        groups = check(options)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    stay_local(network=options.network)
    with run_directory() as directory:
        nodes = processes(options, groups, directory)
        robots = robot_names(options, groups)
        return supervise(nodes, options.namespace, "simulation_node", Console(), robots)
