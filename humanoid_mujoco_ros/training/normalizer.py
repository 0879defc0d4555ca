# SPDX-License-Identifier: Apache-2.0
"""What of the observation the networks see: the columns that vary, normalised."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from humanoid_mujoco_ros.policy.inference import RunningStatistics, inverse_std, normalized
from humanoid_mujoco_ros.training.mirror import Mirror
from humanoid_mujoco_ros.training.team import Team

Array = NDArray[np.float64]

OBSERVATION_CLIP = 10.0
STATISTICS_MEMORY = 1e8
"""Observation statistics forget what lies further back than this many samples. A resumed training
starts with them full: the actor was made for these statistics, and a change would upset it."""


class Normalizer:
    """Selects and normalises columns, by statistics that change between iterations only."""

    def __init__(
        self,
        columns: NDArray[np.intp],
        mean: Array,
        var: Array,
        count: float,
        mirror: Mirror | None,
    ) -> None:
        """Starts from statistics.

        Args:
            columns: (k,) of the observation that the networks see.
            mean: (observations,).
            var: (observations,).
            count: Samples that these stand for.
            mirror: Of the observation; the statistics are kept symmetric. None: no symmetry.
        """
        self.columns = columns
        self._mirror = mirror
        self.statistics = RunningStatistics(*_symmetric(mean.copy(), var.copy(), mirror), count)
        self._begin()

    @staticmethod
    def of_samples(samples: Array, mirror: Mirror | None, team: Team) -> Normalizer:
        """A normaliser of the columns that vary in `samples` (n, observations) of any process."""
        moving = team.sum(samples.std(axis=0)) > 1e-6
        if mirror is not None:
            moving |= moving[mirror.index]
        moments = np.array((samples.mean(axis=0), np.square(samples).mean(axis=0)))
        mean, square = team.sum(moments) / team.size
        var = np.maximum(square - np.square(mean), 0.0)
        return Normalizer(
            np.flatnonzero(moving), mean, var, float(len(samples) * team.size), mirror
        )

    def __call__(self, observed: Array) -> NDArray[np.float32]:
        """(N, k) what the networks see of observations (N, observations)."""
        return normalized(
            observed[:, self.columns], self._seen_mean, self._seen_scale, OBSERVATION_CLIP
        )

    def collect(self, observed: Array) -> None:
        """Counts observations (N, observations), for `update`."""
        centred = observed - self.statistics.mean
        self._moments[0] += centred.sum(axis=0)
        self._moments[1] += np.einsum("ij,ij->j", centred, centred)
        self._count += len(observed)

    def update(self, team: Team) -> None:
        """Takes what all processes have collected into the statistics."""
        moments, count = team.sum(self._moments), self._count * team.size
        mean = moments[0] / count
        var = np.maximum(moments[1] / count - np.square(mean), 0.0)
        mean, var = _symmetric(mean + self.statistics.mean, var, self._mirror)
        self.statistics.update(mean, var, count)
        count_so_far = self.statistics.count
        np.minimum(count_so_far, STATISTICS_MEMORY, out=count_so_far)
        self._begin()

    def _begin(self) -> None:
        mean, var = self.statistics.mean, self.statistics.var
        self._seen_mean, self._seen_scale = mean[self.columns], inverse_std(var[self.columns])
        self._moments = np.zeros((2, mean.size))
        self._count = 0


def _symmetric(mean: Array, var: Array, mirror: Mirror | None) -> tuple[Array, Array]:
    """Statistics of the samples together with their mirror images."""
    if mirror is None:
        return mean, var
    image = mirror(mean)
    centre = 0.5 * (mean + image)
    return centre, 0.5 * (var + var[mirror.index]) + np.square(0.5 * (mean - image))
