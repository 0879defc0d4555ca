# SPDX-License-Identifier: Apache-2.0
"""Runs a checkpoint: observations in, actions out. numpy only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.policy.checkpoint import RATE_TOLERANCE, Checkpoint, CheckpointError
from humanoid_mujoco_ros.policy.observation import INPUT_NAME
from humanoid_mujoco_ros.policy.terms import VECTORS
from humanoid_mujoco_ros.robot.model import RobotModel

NORMALIZATION_EPSILON = 1e-8
"""Added to the variance, as Gymnasium's NormalizeObservation does."""

FRESH_COUNT = 1e-4
"""Weight of Gymnasium's mean 0 and variance 1 before the first observation."""

Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]


class RunningStatistics:
    """Mean and variance of the samples so far; with leading dimensions, one for each row.

    With the default start it is Gymnasium's NormalizeObservation, as CleanRL's evaluation uses it.
    """

    def __init__(self, mean: Float64Array, var: Float64Array, count: Float64Array | float) -> None:
        """Starts from earlier statistics.

        Args:
            mean: (..., n).
            var: (..., n).
            count: (..., 1) or a number: how many samples these stand for.
        """
        self.mean, self.var, self.count = mean, var, np.asarray(count, dtype=np.float64)

    @staticmethod
    def fresh(*shape: int) -> RunningStatistics:
        """Statistics (*shape) before the first sample, as Gymnasium starts them."""
        return RunningStatistics(
            np.zeros(shape), np.ones(shape), np.full((*shape[:-1], 1), FRESH_COUNT)
        )

    def update(
        self,
        mean: Float64Array,
        var: Float64Array | float = 0.0,
        count: float = 1.0,
        rows: NDArray[np.intp] | None = None,
    ) -> None:
        """Adds `count` samples of this mean and variance (Chan's parallel variance).

        Args:
            mean: (..., n); a single sample is its own mean, with variance 0.
            var: (..., n).
            count: How many samples these are.
            rows: (k,) the rows of the first dimension that `mean` belongs to; None: all.
        """
        at = ... if rows is None else rows
        old_mean, old_var, old_count = self.mean[at], self.var[at], self.count[at]
        total = old_count + count
        delta = mean - old_mean
        spread = np.square(delta) * (old_count * count / total)
        self.mean[at] = old_mean + delta * (count / total)
        self.var[at] = (old_var * old_count + var * count + spread) / total
        self.count[at] = total


def inverse_std(var: Float64Array) -> Float64Array:
    """(..., n) what a centred observation of variance `var` (..., n) is multiplied by."""
    scale: Float64Array = 1.0 / np.sqrt(var + NORMALIZATION_EPSILON)
    return scale


def normalized(
    observation: Float64Array, mean: Float64Array, scale: Float64Array, clip: float
) -> Float32Array:
    """The network's input (..., n), clipped to ± `clip`, for observations (..., n)."""
    result = observation - mean
    result *= scale
    # Faster than np.clip, which counts at this size.
    np.minimum(result, clip, out=result)
    np.maximum(result, -clip, out=result)
    return result.astype(np.float32)


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


class NormalizedNetwork:
    """The network of a checkpoint behind its stored normalisation."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Prepares `checkpoint`.

        Raises:
            CheckpointError: It has no stored statistics.
        """
        if checkpoint.observation_mean is None or checkpoint.observation_var is None:
            raise CheckpointError("the policy has no observation statistics")
        self._network = Network(checkpoint)
        self._mean = checkpoint.observation_mean
        self._scale = inverse_std(checkpoint.observation_var)
        self._clip = checkpoint.observation_clip

    def __call__(self, values: Float32Array) -> Float32Array:
        """Inputs (..., n) to mean actions (..., actions)."""
        wide = values.astype(np.float64)
        return self._network(normalized(wide, self._mean, self._scale, self._clip))


class Policy:
    """A checkpoint driving one robot, or several of the same model.

    Every method takes the observation of one robot (n,) or of many (..., n). The object holds the
    state of the running policy: running statistics, one for each robot, and the random generator
    of sampled actions.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        robot: RobotModel,
        *,
        sample: bool = False,
        seed: int = 0,
        robots: int | None = None,
        rate_tolerance: float = RATE_TOLERANCE,
    ) -> None:
        """Prepares `checkpoint` for `robot`.

        Args:
            checkpoint: What to run.
            robot: The model of the robot that it drives.
            sample: Draw the action from the Gaussian, as CleanRL's evaluation does, instead of
                taking its mean.
            seed: Seed of the draws.
            robots: Number of robots, the rows of each observation; None: one, without rows. Only
                running statistics need to know.
            rate_tolerance: By which share the robot's control rate may differ from the one of the
                training.

        Raises:
            CheckpointError: The checkpoint does not fit the robot.
        """
        if checkpoint.card is not None:
            raise CheckpointError("the policy reads input terms: a Controller runs it")
        checkpoint.check_fits(robot, rate_tolerance)
        self.checkpoint = checkpoint
        self._network = Network(checkpoint)
        self._sample = sample
        self._random = np.random.default_rng(seed)
        self._std = np.exp(checkpoint.log_std)
        self._clip = checkpoint.observation_clip
        self._limit = checkpoint.action_limit
        place = {joint: i for i, joint in enumerate(checkpoint.joints)}
        self._by_joint = np.array([place.get(joint, 0) for joint in robot.joints], dtype=np.intp)
        self._by_actuator = np.array([place[j] for j in robot.action_joints], dtype=np.intp)
        passive = [joint in robot.passive_joints for joint in robot.joints]
        self._gear = np.where(passive, 0.0, robot.gear)
        self._joint_count = len(robot.joints)
        self._read = None if checkpoint.input == INPUT_NAME else VECTORS[checkpoint.input]
        self._running: RunningStatistics | None = None
        if checkpoint.observation_mean is None or checkpoint.observation_var is None:
            rows = () if robots is None else (robots,)
            self._running = RunningStatistics.fresh(*rows, checkpoint.observation_size)
        else:
            self._mean = checkpoint.observation_mean
            self._scale = inverse_std(checkpoint.observation_var)

    def normalize(
        self, observation: Float64Array, rows: NDArray[np.intp] | None = None
    ) -> Float32Array:
        """The network's input (..., n) for `observation` (..., n); updates running statistics.

        Args:
            observation: One row for each robot, or for each of `rows`.
            rows: (k,) which of the robots these are; None: all.
        """
        running = self._running
        if running is None:
            return normalized(observation, self._mean, self._scale, self._clip)
        running.update(observation, rows=rows)
        at = ... if rows is None else rows
        return normalized(observation, running.mean[at], inverse_std(running.var[at]), self._clip)

    def action(
        self, observation: Float64Array, rows: NDArray[np.intp] | None = None
    ) -> Float64Array:
        """The action (..., actions) in the checkpoint's joint order, within ± action_limit.

        Args:
            observation: (..., size) the robot's whole observation, float64, finite.
            rows: See `normalize`.
        """
        if self._read is not None:
            observation = self._read(observation, self._joint_count)
        action = self._network(self.normalize(observation, rows))
        if self._sample:
            noise = self._random.standard_normal(action.shape, dtype=np.float32)
            action = (action + self._std * noise).astype(np.float32)
        return np.clip(action.astype(np.float64), -self._limit, self._limit)

    def controls(
        self, observation: Float64Array, rows: NDArray[np.intp] | None = None
    ) -> Float64Array:
        """Control signals (..., nu) in the order of the model's actuators; see `action`."""
        return self.action(observation, rows).take(self._by_actuator, axis=-1)

    def efforts(self, observation: Float64Array) -> Float64Array:
        """Joint torques (..., n) [N·m] in the robot's joint order; see `action`."""
        efforts: Float64Array = self._gear * self.action(observation).take(self._by_joint, axis=-1)
        return efforts
