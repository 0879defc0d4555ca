# SPDX-License-Identifier: Apache-2.0
"""Runs a checkpoint: observation in, action out. numpy only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.policy.checkpoint import Checkpoint
from humanoid_mujoco_ros.robot.model import RobotModel

NORMALIZATION_EPSILON = 1e-8
"""Added to the variance, as Gymnasium's NormalizeObservation does."""

Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]


class RunningNormalizer:
    """Mean and variance of all observations seen so far, updated with each one.

    This is what CleanRL's evaluation does: it wraps the environment in Gymnasium's
    NormalizeObservation, whose statistics start at mean 0, variance 1 and weight 1e-4.
    """

    def __init__(self, size: int) -> None:
        """Starts the statistics of vectors of `size` values."""
        self.mean = np.zeros(size)
        self.var = np.ones(size)
        self.count = 1e-4

    def update(self, observation: Float64Array) -> None:
        """Takes one observation (size,) into the statistics (Chan's parallel variance)."""
        total = self.count + 1.0
        delta = observation - self.mean
        self.mean = self.mean + delta / total
        self.var = (self.var * self.count + np.square(delta) * self.count / total) / total
        self.count = total


class Network:
    """The tanh network of a checkpoint."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Lays the weights out for speed."""
        self._layers = [
            (np.ascontiguousarray(weight.T), bias)
            for weight, bias in zip(checkpoint.weights, checkpoint.biases, strict=True)
        ]

    def __call__(self, normalized: Float32Array) -> Float32Array:
        """Normalised observations (..., inputs) to mean actions (..., actions)."""
        hidden = normalized
        for i, (weight, bias) in enumerate(self._layers):
            if i > 0:
                np.tanh(hidden, out=hidden)
            hidden = hidden @ weight
            hidden += bias
        return hidden


class Policy:
    """A checkpoint driving one robot.

    Holds the state that a running policy has (running statistics, the random generator of sampled
    actions), so one object serves one robot.
    """

    def __init__(
        self, checkpoint: Checkpoint, robot: RobotModel, sample: bool = False, seed: int = 0
    ) -> None:
        """Prepares `checkpoint` for `robot`.

        Args:
            checkpoint: What to run.
            robot: Whom to drive.
            sample: Draw the action from the Gaussian, as CleanRL's evaluation does, instead of
                taking its mean.
            seed: Seed of the draws.

        Raises:
            CheckpointError: The checkpoint does not fit the robot.
        """
        checkpoint.check_fits(robot)
        self.checkpoint = checkpoint
        self._network = Network(checkpoint)
        self._sample = sample
        self._random = np.random.default_rng(seed)
        self._std = np.exp(checkpoint.log_std)
        self._clip = checkpoint.observation_clip
        self._action_of_joint = np.array(
            [checkpoint.joints.index(joint) for joint in robot.joints], dtype=np.intp
        )
        self._gear = robot.gear
        self._running: RunningNormalizer | None = None
        if checkpoint.observation_mean is None or checkpoint.observation_var is None:
            self._running = RunningNormalizer(checkpoint.observation_size)
        else:
            self._mean = checkpoint.observation_mean
            self._scale = 1.0 / np.sqrt(checkpoint.observation_var + NORMALIZATION_EPSILON)

    def normalize(self, observation: Float64Array) -> Float32Array:
        """The network's input (observations,) for `observation`; updates running statistics."""
        if self._running is not None:
            self._running.update(observation)
            normalized = observation - self._running.mean
            normalized /= np.sqrt(self._running.var + NORMALIZATION_EPSILON)
        else:
            normalized = observation - self._mean
            normalized *= self._scale
        # Faster than np.clip, which counts at this size.
        np.minimum(normalized, self._clip, out=normalized)
        np.maximum(normalized, -self._clip, out=normalized)
        return normalized.astype(np.float32)

    def action(self, observation: Float64Array) -> Float64Array:
        """The action (actions,) in the checkpoint's joint order, within ± action_limit.

        Args:
            observation: (observations,), float64, finite.
        """
        action = self._network(self.normalize(observation))
        if self._sample:
            noise = self._random.standard_normal(action.shape[0], dtype=np.float32)
            action = (action + self._std * noise).astype(np.float32)
        limit = self.checkpoint.action_limit
        return np.clip(action.astype(np.float64), -limit, limit)

    def efforts(self, observation: Float64Array) -> Float64Array:
        """Joint torques (n,) [N·m] in the robot's joint order."""
        efforts: Float64Array = self._gear * self.action(observation)[self._action_of_joint]
        return efforts
