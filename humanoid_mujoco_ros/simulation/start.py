# SPDX-License-Identifier: Apache-2.0
"""Where an episode starts, if not as the robot's card says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.model import ModelError, RobotModel
from humanoid_mujoco_ros.robot.vectors import checked_vector
from humanoid_mujoco_ros.simulation.extent import extent

Array = NDArray[np.float64]

WORLD_LIMIT_M = 1000.0
"""A robot that is placed stays within so many metres of the world's origin."""
_LYING: dict[str, Callable[[], Array]] = {
    "supine": lambda: rotation.from_axis_angle((0.0, 1.0, 0.0), -np.pi / 2),
    "prone": lambda: rotation.from_axis_angle((0.0, 1.0, 0.0), np.pi / 2),
}
"""Orientation of the base of a robot that lies on its back or on its front."""
_CLEARANCE_M = 0.02
"""How far above the floor a lying robot starts, so that the initial noise does not bury it."""


@dataclass(frozen=True)
class StartConfig:
    """Where an episode starts; changes hold from the next reset on."""

    start_posture: str = ""
    """Empty: as the robot's card says; or the name of a keyframe of its model, or supine (lying on
    its back), or prone (lying on its front)."""
    start_pose: Sequence[float] = (0.0, 0.0, 0.0)
    """[x, y, yaw] in metres and radians: how far that posture is moved in the world."""


def start_config(parameters: Mapping[str, Any]) -> StartConfig:
    """The start that the parameters of simulation_node ask for; others are ignored."""
    default = StartConfig()
    return StartConfig(
        parameters.get("start_posture", default.start_posture),
        tuple(parameters.get("start_pose", default.start_pose)),
    )


def start_qpos(robot: RobotModel, config: StartConfig) -> Array:
    """The pose (nq,) [m, rad] in which an episode starts.

    Raises:
        ValueError: The robot has no such posture, or cannot be there.
    """
    x, y, yaw = checked_vector(list(config.start_pose), 3, "start_pose [x, y, yaw]")
    if max(abs(x), abs(y)) > WORLD_LIMIT_M:
        raise ValueError(f"start_pose is {x:g}, {y:g}; x and y may be {WORLD_LIMIT_M:g} m at most")
    qpos = _posture(robot, config.start_posture)
    if not (x or y or yaw):
        return qpos
    position, quaternion = robot.base.pose(qpos)
    turn = rotation.from_axis_angle((0.0, 0.0, 1.0), yaw)
    moved = rotation.rotate(turn, position) + (x, y, 0.0)
    _place(
        robot, qpos, moved, rotation.multiply(turn, quaternion), f"start_pose {x:g}, {y:g}, {yaw:g}"
    )
    return qpos


def keyframes(robot: RobotModel) -> dict[str, Array]:
    """The named keyframes of a robot's model: (nq,) [m, rad] each, copied."""
    m = robot.mj
    return {m.key(k).name: m.key_qpos[k].copy() for k in range(m.nkey) if m.key(k).name}


def _posture(robot: RobotModel, name: str) -> Array:
    qpos: Array = robot.start_qpos.copy()
    if not name:
        return qpos
    known = keyframes(robot)
    if name in known:
        return known[name]
    if name not in _LYING:
        raise ModelError(
            f"start_posture '{name}' is unknown; there are {', '.join((*known, *_LYING))}"
        )
    position, _ = robot.base.pose(qpos)
    _place(robot, qpos, position, _LYING[name](), f"start_posture {name}")
    lowest = extent(robot, qpos)[0][2]
    _place(robot, qpos, position + (0.0, 0.0, _CLEARANCE_M - lowest), _LYING[name](), name)
    return qpos


def _place(robot: RobotModel, qpos: Array, position: Array, quaternion: Array, what: str) -> None:
    robot.base.set_pose(qpos, position, quaternion)
    reached = robot.base.pose(qpos)
    turn = rotation.multiply(rotation.conjugate(quaternion), reached[1])[1:]
    if not np.allclose(reached[0], position) or not np.allclose(turn, 0.0, atol=1e-6):
        raise ModelError(
            f"the base of {robot.card.name} cannot be at {what}: its joints do not let it"
        )
