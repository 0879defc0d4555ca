# SPDX-License-Identifier: Apache-2.0
"""What the browser view shows, from the robot's state and the nodes' diagnostics."""

from __future__ import annotations

import math
import time
from functools import partial

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from numpy.typing import NDArray

from humanoid_mujoco_ros.policy.observation import layout
from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.ros.diagnostics_board import DiagnosticsBoard
from humanoid_mujoco_ros.ros.robot_listener import RobotListener
from humanoid_mujoco_ros.viewer.readings import Readings

Float64Array = NDArray[np.float64]

_SILENCE_S = 1.0
"""A robot without a state for this long is reported."""


class ReadingsCollector:
    """Puts together what is known."""

    def __init__(self, board: DiagnosticsBoard, listener: RobotListener) -> None:
        """Starts to wait for the robot."""
        self._board = board
        self._listener = listener
        self._started_s = time.monotonic()
        blocks = {block.name: block.slice for block in layout(listener.posed.robot.mj)}
        self._effort_block = blocks["qfrc_actuator"]

    def silence(self) -> str | None:
        """What to say of a robot that is not seen; in lockstep a paused one is silent."""
        if self._board.flag("simulation_node", "paused"):
            return None
        return robot_silence(
            self._listener.age_s, time.monotonic() - self._started_s, self._listener.silence()
        )

    def readings(self, stamp_ns: int | None, *, is_pushable: bool) -> Readings:
        """What to show now.

        Args:
            stamp_ns: Stamp of the robot's last state; None before the first.
            is_pushable: Whether a simulation is there, which a push moves.
        """
        board, silence = self._board, self.silence()
        problems = board.problems()
        errors = [p.text for p in problems if p.level == DiagnosticStatus.ERROR]
        simulation = partial(board.number, "simulation_node")
        height_m, speed_m_s = self._base()
        return Readings(
            body_height_m=height_m,
            forward_speed_m_s=speed_m_s,
            step_count=simulation("step_count"),
            episode_return=simulation("episode_return"),
            control_rate_hz=simulation("control_rate_hz"),
            latency_ms=simulation("command_latency_p50_ms"),
            real_time_factor=simulation("real_time_factor"),
            real_time_factor_target=simulation("real_time_factor_target"),
            time_s=math.nan if stamp_ns is None else stamp_ns * 1e-9,
            policy=board.text("policy_node", "policy"),
            is_policy_active=board.flag("policy_node", "active"),
            is_paused=board.flag("simulation_node", "paused"),
            is_pushable=is_pushable,
            errors=tuple(errors if silence is None else [silence, *errors]),
            warnings=tuple(p.text for p in problems if p.level == DiagnosticStatus.WARN),
        )

    def efforts(self) -> Float64Array:
        """(n,) [N·m] by joint; NaN where the robot does not measure them."""
        posed = self._listener.posed
        if not self._listener.measures_efforts:
            return np.full(len(posed.robot.joints), np.nan)
        by_dof = posed.observation()[self._effort_block]
        efforts: Float64Array = by_dof[posed.robot.dof_indices]
        return efforts

    def _base(self) -> tuple[float, float]:
        """Height [m] and forward speed [m/s] of the base; NaN before it is seen."""
        posed = self._listener.posed
        if self._listener.age_s is None:
            return math.nan, math.nan
        base = posed.body_positions[1]
        velocity = posed.point_velocity(posed.robot.bodies[0], base)
        speed = rotation.forward_speed(posed.body_quaternions_wxyz[1], velocity)
        return float(base[2]), float(speed)


def robot_silence(age_s: float | None, waited_s: float, why: str) -> str | None:
    """What to say when the robot's topics stop; None while they do not.

    Args:
        age_s: Time since the robot's last state; None before the first.
        waited_s: Time since the view began to listen.
        why: Reason in plain words.
    """
    silence_s = waited_s if age_s is None else age_s
    if silence_s < _SILENCE_S:
        return None
    seen = "not seen yet" if age_s is None else f"not seen for {silence_s:.0f} s"
    return f"robot {seen}: {why}"
