# SPDX-License-Identifier: Apache-2.0
"""Returns in Gymnasium's own environments, which other policies publish."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from humanoid_mujoco_ros.policy import observation
from humanoid_mujoco_ros.policy.checkpoint import Checkpoint
from humanoid_mujoco_ros.policy.gymnasium_robots import ENVIRONMENTS, Environment
from humanoid_mujoco_ros.policy.inference import Policy
from humanoid_mujoco_ros.policy.state_vector import StateVector, has_humanoid_v4
from humanoid_mujoco_ros.robot.model import RobotModel
from humanoid_mujoco_ros.training.task import Array
from humanoid_mujoco_ros.training.trial import Report, reads_contact_forces


class GymnasiumError(ValueError):
    """Gymnasium cannot make an environment; the message says why."""


def environment_of(checkpoint: Checkpoint) -> Environment | None:
    """Gymnasium's environment whose robot a policy drives and whose observation it reads."""
    wanted = (checkpoint.model, checkpoint.input)
    return next((e for e in ENVIRONMENTS if (e.robot, e.term) == wanted), None)


def evaluate(
    environment: Environment,
    checkpoint: Checkpoint,
    robot: RobotModel,
    episodes: int,
    seed: int,
    report: Report,
    *,
    sample: bool,
) -> dict[str, Any]:
    """Returns and lengths of whole episodes of `gymnasium.make(environment.name)`.

    Args:
        environment: Where the policy plays.
        checkpoint: The policy.
        robot: The same robot, as this package has it.
        episodes: How many.
        seed: Of the starts and of drawn actions.
        report: Hears of the progress.
        sample: Draw the actions.

    Raises:
        GymnasiumError: It cannot be made.
    """
    world = _make(environment.name)
    policy = Policy(checkpoint, robot, sample=sample, seed=seed, rate_tolerance=np.inf)
    observe = _observer(checkpoint, robot)
    data = world.unwrapped.data
    returns, lengths, speeds = [], [], []
    for episode in range(episodes):
        world.reset(seed=seed if episode == 0 else None)
        start_m = float(data.qpos[0])
        total, length, done = 0.0, 0, False
        while not done:
            _, reward, terminated, truncated, _ = world.step(policy.controls(observe(data)))
            total += float(reward)
            length += 1
            done = terminated or truncated
        returns.append(total)
        lengths.append(length)
        speeds.append((float(data.qpos[0]) - start_m) / (length * world.unwrapped.dt))
        report((episode + 1) / episodes)
    longest = world.spec.max_episode_steps
    world.close()
    return {
        "environment": environment.name,
        "return_mean": float(np.mean(returns)),
        "return_std": float(np.std(returns)),
        "return_min": float(np.min(returns)),
        "length_mean": float(np.mean(lengths)),
        "falls": int(np.sum(np.array(lengths) < longest)),
        "episodes": episodes,
        "speed_m_s": float(np.mean(speeds)),
    }


def _observer(checkpoint: Checkpoint, robot: RobotModel) -> Callable[[Any], Array]:
    """Makes the observation that `Policy` expects of an MjData of Gymnasium's."""
    if not has_humanoid_v4(robot):
        return StateVector(robot).of_data
    masked = not reads_contact_forces(checkpoint, robot)
    return functools.partial(observation.observe_data, mask_cfrc_ext=masked)


def _make(name: str) -> Any:
    try:
        import gymnasium
    except ImportError as error:
        raise GymnasiumError("this battery needs gymnasium: pip install gymnasium") from error
    level = gymnasium.logger.min_level
    try:
        gymnasium.logger.min_level = gymnasium.logger.ERROR  # "Humanoid-v4 is out of date"
        return gymnasium.make(name)
    except Exception as error:  # a dependency of Gymnasium is missing; it says which
        raise GymnasiumError(
            f"Gymnasium cannot make {name} (it needs mujoco, imageio, packaging): {error}"
        ) from error
    finally:
        gymnasium.logger.min_level = level
