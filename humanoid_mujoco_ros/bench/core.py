# SPDX-License-Identifier: Apache-2.0
"""Physics and policy without ROS: raw `mj_step`, Gymnasium's `env.step` and this package's core."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import mujoco
import numpy as np
from gymnasium.envs.mujoco.humanoid_v4 import HumanoidEnv
from gymnasium.error import DependencyNotInstalled
from numpy.typing import NDArray

from humanoid_mujoco_ros.policy.driver import Driver
from humanoid_mujoco_ros.robot.joint_map import JointMap
from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.robot.state import RobotState
from humanoid_mujoco_ros.simulation.simulation import Simulation

_STEPS = 400
"""Control steps of a round: 4 s of walking."""
_STANDING = np.zeros(3)
_NEAR = 1e-9
"""How far [m, rad] two runs of the same controls may end from each other."""


@dataclass(frozen=True)
class RecordedDrive:
    """What the policy did with the robot."""

    start: RobotState
    controls: list[NDArray[np.float64]]
    """(nu,) of each step."""
    end: RobotState


@dataclass(frozen=True)
class CoreRates:
    """Control steps per second of processor time, each the median of several rounds."""

    raw: float
    """mj_step alone, under the same controls."""
    gymnasium: float | None
    """Humanoid-v4's env.step under the same actions; None: Gymnasium cannot make it here."""
    core: float
    """Simulation.step and the policy, in one thread."""
    core_to_raw: float
    """Median of the rounds' ratios."""
    observation_us: float
    inference_us: float


def measure(policy_name: str, rounds: int) -> CoreRates:
    """Measures in rounds, each in turn, so that a machine that changes its speed does so for all.

    Raises:
        PolicyError: The policy cannot be used.
    """
    robot = RobotModel()
    driver = Driver(robot, JointMap(robot, {}), robot.driven_joints)
    driver.load(policy_name, sample=False, seed=0)
    drive = drive_of(robot, driver)
    environment = humanoid_v4(robot)
    raw_s, gymnasium_s, core_s = [], [], []
    for _ in range(rounds):
        raw_s.append(_time(lambda: step_raw(robot, drive)))
        if environment is not None:
            gymnasium_s.append(_time(lambda: step_gymnasium(environment, drive)))
        core_s.append(_time(lambda: drive_of(robot, driver)))
    state = Simulation(robot).state()
    simulation = Simulation(robot)
    return CoreRates(
        raw=_STEPS / median(raw_s),
        gymnasium=_STEPS / median(gymnasium_s) if gymnasium_s else None,
        core=_STEPS / median(core_s),
        core_to_raw=median(raw / core for raw, core in zip(raw_s, core_s, strict=True)),
        observation_us=_median_us(simulation.observe),
        inference_us=_median_us(lambda: driver.answer(state.observation, _STANDING)),
    )


def _time(function: Callable[[], object]) -> float:
    start_s = time.thread_time()
    function()
    return time.thread_time() - start_s


def _median_us(function: Callable[[], object]) -> float:
    return median(_time(function) for _ in range(1001)) * 1e6


def _check_end(what: str, qpos: NDArray[np.float64], drive: RecordedDrive) -> None:
    difference = float(np.abs(qpos - drive.end.qpos).max())
    if difference > _NEAR:
        raise RuntimeError(f"{what} ended {difference:.3g} away from where the policy drove to")


def drive_of(robot: RobotModel, driver: Driver) -> RecordedDrive:
    """The policy drives the robot."""
    driver.reset()
    simulation = Simulation(robot)
    start = state = simulation.state()
    controls = []
    for _ in range(_STEPS):
        state = simulation.step(driver.answer(state.observation, _STANDING))
        controls.append(simulation.controls())
    return RecordedDrive(start, controls, state)


def step_raw(robot: RobotModel, drive: RecordedDrive) -> None:
    """Repeats the drive from its own start; from another the robot would fall, and cost more.

    Raises:
        RuntimeError: It went otherwise, so that its time says nothing.
    """
    data = mujoco.MjData(robot.mj)
    data.qpos[:], data.qvel[:] = drive.start.qpos, drive.start.qvel
    for control in drive.controls:
        data.ctrl[:] = control
        mujoco.mj_step(robot.mj, data, nstep=robot.card.steps_per_control)
    _check_end("mj_step", data.qpos, drive)


def humanoid_v4(robot: RobotModel) -> HumanoidEnv | None:
    """Humanoid-v4 with the robot's physics steps."""
    try:
        environment = HumanoidEnv(terminate_when_unhealthy=False)
    except DependencyNotInstalled:  # imageio, which Gymnasium's renderer wants
        return None
    environment.frame_skip = robot.card.steps_per_control
    environment.model.opt.timestep = robot.card.timestep_s
    return environment


def step_gymnasium(environment: HumanoidEnv, drive: RecordedDrive) -> None:
    """Does the same; the seed gives the same start."""
    environment.reset(seed=0)
    for control in drive.controls:
        environment.step(control)
    _check_end("env.step", environment.data.qpos, drive)
