# SPDX-License-Identifier: Apache-2.0
"""A loaded policy that drives a robot's joints."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from humanoid_mujoco_ros.policy import checkpoint, locate
from humanoid_mujoco_ros.policy.checkpoint import CheckpointError
from humanoid_mujoco_ros.policy.inference import Policy
from humanoid_mujoco_ros.robot.joint_map import JointMap
from humanoid_mujoco_ros.robot.model import ModelError, RobotModel
from humanoid_mujoco_ros.robot.vectors import Float64Array, checked_vector


class PolicyError(ValueError):
    """A policy cannot be loaded; the message names it and says why."""


class Driver:
    """Answers observations with efforts in the order and with the signs of the robot's commands.

    Attributes:
        limits: (n,) [N·m] of the joints, in the order of the commands.
        name: What was loaded; empty before.
        file: Name of its file.
    """

    def __init__(self, robot: RobotModel, joint_map: JointMap, joints: Sequence[str]) -> None:
        """Has no policy yet.

        Args:
            robot: What the policy is to fit.
            joint_map: What the robot calls its joints.
            joints: The robot's joints in the order of the commands.

        Raises:
            ValueError: `joints` are not the robot's.
        """
        self._robot = robot
        self._joint_map = joint_map
        self._to_command_order = joint_map.command_order(joints)
        self._policy: Policy | None = None
        self._durations_s: list[float] = []
        self.limits: Float64Array = joint_map.effort_limits[self._to_command_order]
        self.name = self.file = ""

    def load(self, name: str, *, sample: bool, seed: int) -> None:
        """Loads the policy `name`.

        Args:
            name: A shipped policy, a file or an address.
            sample: Draw actions from the Gaussian.
            seed: Of the drawn actions.

        Raises:
            PolicyError: It cannot be used.
        """
        try:
            path = locate.resolve(name)
            loaded = checkpoint.load(path, self._robot)
            self._policy = Policy(loaded, self._robot, sample=sample, seed=seed)
        except Exception as error:  # whatever a file from elsewhere provokes
            known = isinstance(error, CheckpointError | ModelError)
            reason = str(error) if known else f"{type(error).__name__}: {error}"
            raise PolicyError(f"policy '{name}': {reason}") from error
        self.name, self.file = name, path.name

    def unload(self) -> None:
        """Forgets the policy."""
        self._policy = None
        self.name = self.file = ""

    def efforts(self, values: Sequence[float]) -> Float64Array:
        """Efforts (n,) [N·m] that answer the observation `values`.

        Raises:
            VectorError: The observation or the answer is not finite or of the wrong size.
        """
        assert self._policy is not None
        start_s = time.monotonic()
        size = self._policy.checkpoint.observation_size
        observation = checked_vector(values, size, "observation")
        # Finite weights may still overflow, and no clip would stop NaN.
        answer = self._policy.efforts(observation).tolist()
        efforts = checked_vector(answer, len(self.limits), "the policy's effort")
        efforts = self._joint_map.signed(efforts)[self._to_command_order]
        self._durations_s.append(time.monotonic() - start_s)
        return efforts

    def figures(self) -> dict[str, object]:
        """What is loaded, and what it did since the last call."""
        durations_ms = np.array(self._durations_s or (np.nan,)) * 1e3
        answered, self._durations_s = len(self._durations_s), []
        loaded = self._policy.checkpoint if self._policy else None
        return {
            "policy": self.name,
            "task": loaded.task if loaded else "",
            "normalization": loaded.normalization if loaded else "",
            "answered_observations": answered,
            "inference_p50_ms": float(np.percentile(durations_ms, 50)),
            "inference_p99_ms": float(np.percentile(durations_ms, 99)),
        }
