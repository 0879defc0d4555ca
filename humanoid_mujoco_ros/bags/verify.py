# SPDX-License-Identifier: Apache-2.0
"""`humanoid bag verify`: simulates a lockstep run again from its commands, bit for bit."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.bags import topics
from humanoid_mujoco_ros.bags.errors import BagError, reason
from humanoid_mujoco_ros.bags.reader import Bag, open_bag
from humanoid_mujoco_ros.bags.run_reader import read_parameters
from humanoid_mujoco_ros.robot.card import Actuation
from humanoid_mujoco_ros.robot.model import ModelConfig, RobotModel
from humanoid_mujoco_ros.robot.state import RobotState
from humanoid_mujoco_ros.ros.parameters import from_parameters
from humanoid_mujoco_ros.ros.topics import COMMANDS
from humanoid_mujoco_ros.simulation.lockstep_loop import LockstepLoop
from humanoid_mujoco_ros.simulation.physics_loop import LoopConfig
from humanoid_mujoco_ros.simulation.simulation import Simulation, SimulationConfig
from humanoid_mujoco_ros.simulation.start import StartConfig, start_qpos

_NODE = "simulation_node"
_TIMEOUT_S = 10.0
_FIELDS = ("position", "velocity", "effort")

Float64Array = NDArray[np.float64]


@dataclass(frozen=True)
class Verdict:
    """What came of a verification."""

    compared: int
    """Joint states that were simulated again and compared."""
    recorded: int
    """Joint states in the bag."""
    difference: str | None
    """The first difference; None: every state that was compared is the same bit for bit."""
    remark: str | None
    """Why not every state was compared; None: each was."""


def verify(path: Path, namespace: str = "") -> Verdict:
    """Feeds the commands of a lockstep bag to the simulation and compares the joint states.

    Args:
        path: The bag, made by `humanoid record` or `humanoid sim --record`.
        namespace: Of the robot.

    Raises:
        BagError: The bag does not tell enough.
    """
    with open_bag(path) as bag:
        parameters = _parameters(bag, namespace)
        if parameters.get("mode") != "lockstep":
            raise BagError(
                f"{path} was recorded in {parameters.get('mode')} mode; only lockstep says which "
                "command answers which state"
            )
        with _blaming(path):
            robot = RobotModel(from_parameters(ModelConfig, parameters))
        run = _read(bag, namespace, robot.actuation)
        versions = bag.custom_data.get("versions", "unknown versions")
    with _blaming(path):
        compared, difference = _compare(path, parameters, robot, run)
    remark = run.remark
    if compared < len(run.times_ns):
        remark = "the bag is cut off, and no command answers a later state"
    if remark is not None:
        remark = f"only the first {run.times_ns[compared - 1] * 1e-9:.2f} s: {remark}"
    return Verdict(
        compared=compared,
        recorded=run.recorded,
        difference=f"{difference}. Recorded with {versions}" if difference else None,
        remark=remark,
    )


@contextmanager
def _blaming(path: Path) -> Iterator[None]:
    """Says that the bag is to blame: the model and its parameters are its own."""
    try:
        yield
    except (BagError, OSError, MemoryError):
        raise
    except Exception as error:
        raise BagError(f"{path} cannot be simulated again: {reason(error)}") from error


def _compare(
    path: Path, parameters: dict[str, Any], robot: RobotModel, run: _Run
) -> tuple[int, str | None]:
    """Simulates a run again.

    Returns:
        How many of its joint states were compared, and the first difference.
    """
    simulation = Simulation(robot, from_parameters(SimulationConfig, parameters))
    loop_config = from_parameters(LoopConfig, {**parameters, "duration": 0.0})
    joints = parameters.get("joints")
    if not isinstance(joints, list):
        raise BagError(f"{path} does not say to which joints its commands belong")
    order = robot.joint_order(joints)
    # Time begins with tick 1 and never stops, so a state's stamp says which one it is.
    ticks = np.round(run.times_ns * 1e-9 / robot.control_period_s).astype(int)
    if ticks[0] < 1:
        raise BagError(f"{path} has a joint state with the stamp {run.times_ns[0]} ns")
    if run.is_cut:  # each topic ends where its last message lay in the file
        ticks = ticks[ticks <= len(run.commands) + 1]
        if not len(ticks):
            raise BagError(f"{path} is cut off before its first command")
    needed = int(ticks[-1]) - 1
    if len(run.commands) < needed:
        raise BagError(
            f"{path} holds {len(run.commands)} commands for {needed} control ticks; without all of "
            "them the run cannot be repeated. Let the recorder start before the policy"
        )
    sizes = {len(command) for command in run.commands[:needed]} | {len(order)}
    if len(sizes) > 1 or run.values.shape[2] != len(robot.joints):
        raise BagError(
            f"{path} has states of {run.values.shape[2]} joints and commands of {sizes}; the robot "
            f"has {len(robot.joints)} joints, {len(order)} of them driven"
        )
    commands = np.zeros((needed, len(robot.joints)))
    for command, sent in zip(commands, run.commands, strict=False):
        command[order] = sent
    replayed = _simulate(simulation, loop_config, _start(robot, parameters), commands)
    if len(replayed) < needed + 1:
        raise BagError(f"the simulation of {path} stands still after {len(replayed)} ticks")
    return len(ticks), _difference(run, replayed[ticks - 1], robot.joints)


def _start(robot: RobotModel, parameters: dict[str, Any]) -> Float64Array | None:
    """(nq,) where the episodes started; None: as the robot's card says."""
    known = StartConfig()
    config = StartConfig(
        parameters.get("start_posture", known.start_posture),
        tuple(parameters.get("start_pose", known.start_pose)),
    )
    return None if config == known else start_qpos(robot, config)


def _parameters(bag: Bag, namespace: str) -> dict[str, Any]:
    node = topics.full_name(_NODE, f"/{namespace.strip('/')}")
    recorded = read_parameters(bag)
    if node not in recorded:
        raise BagError(
            f"{bag.path} does not hold the parameters of {node}, such as its seed; "
            "`humanoid record` keeps them, `ros2 bag record` does not"
        )
    return recorded[node]


@dataclass(frozen=True)
class _Run:
    """What a lockstep bag says, up to where it can be repeated."""

    times_ns: NDArray[np.int64]
    """(n,) stamps of the joint states."""
    values: Float64Array
    """(n, 3, joints): positions [rad], velocities [rad/s], efforts [N·m]."""
    commands: list[Float64Array]
    """In the order of the topic's joints: efforts [N·m] or positions [rad]."""
    recorded: int
    """Joint states in the whole bag."""
    is_cut: bool
    """Whether the end of the bag is missing."""
    remark: str | None
    """Why it cannot be repeated from there on; None: it can."""


def _read(bag: Bag, namespace: str, actuation: Actuation) -> _Run:
    prefix = f"/{namespace.strip('/')}"
    sent = COMMANDS[actuation]
    states, commands, pushes = (
        topics.full_name(name, prefix) for name in ("joint_states", sent, "external_wrench")
    )
    for name, kind in ((states, "joint_states"), (commands, sent)):
        if name not in bag.topics:
            raise BagError(f"{bag.path} has no {name}; its topics are {', '.join(bag.topics)}")
        type_name = bag.topics[name].type_name
        if type_name != topics.RECORDED[kind]:
            raise BagError(f"{name} holds {type_name}, not {topics.RECORDED[kind]}")
    times_ns: list[int] = []
    values: list[list[Float64Array]] = []
    efforts: list[Float64Array] = []
    remark: str | None = None
    last = b""
    for name, _, data in bag.messages((states, commands, pushes)):
        if name == pushes:
            remark = "no message says between which control ticks a push began"
            break
        message = bag.decode(name, data)
        if name == commands:
            efforts.append(np.array(message.data))
            continue
        if data == last:
            continue  # published again for a policy that came later
        last = data
        time_ns = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
        if times_ns and time_ns <= times_ns[-1]:
            remark = "there the robot was reset by hand, which no message says"
            break
        times_ns.append(time_ns)
        values.append([getattr(message, field) for field in _FIELDS])
    if not times_ns:
        raise BagError(f"{bag.path} has no joint state before the first push")
    if len({value.shape for row in values for value in row}) > 1:
        raise BagError(f"{bag.path} has joint states of different sizes on {states}")
    return _Run(
        times_ns=np.array(times_ns),
        values=np.array(values),
        commands=efforts,
        recorded=bag.topics[states].count,
        is_cut=bool(bag.problems),
        remark=remark,
    )


def _simulate(
    simulation: Simulation,
    config: LoopConfig,
    start: Float64Array | None,
    commands: Float64Array,
) -> Float64Array:
    """Runs the node's own loop, answering each state with the command that was recorded.

    Returns:
        (commands + 1, 3, joints), as in `_Run`.
    """
    states: list[RobotState] = []
    answers: Iterator[Float64Array] = iter(commands)
    done = threading.Event()

    def on_state(state: RobotState, *, ask: bool) -> None:
        if not ask or done.is_set():
            return
        states.append(state)
        answer = next(answers, None)
        if answer is None:
            done.set()
        else:
            loop.command(answer)

    loop = LockstepLoop(simulation, config, on_state, lambda: frozenset({"recording"}))
    if start is not None:
        loop.start_at(start)
    loop.start()
    # The time limit is for a state, not for the run.
    seen = -1
    while not done.wait(_TIMEOUT_S) and len(states) != seen:
        seen = len(states)
    loop.stop()
    return np.array([[s.joint_positions, s.joint_velocities, s.joint_efforts] for s in states])


def _difference(run: _Run, replayed: Float64Array, joints: tuple[str, ...]) -> str | None:
    """The first difference in plain words."""
    same = run.values[: len(replayed)].view(np.uint64) == replayed.view(np.uint64)
    if same.all():
        return None
    row, field, joint = np.argwhere(~same)[0]
    was, now = float(run.values[row, field, joint]), float(replayed[row, field, joint])
    return (
        f"the first difference is at {run.times_ns[row] * 1e-9:.3f} s: {_FIELDS[field]} of "
        f"{joints[joint]} was {was!r}, is {now!r}"
    )
