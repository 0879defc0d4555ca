# SPDX-License-Identifier: Apache-2.0
"""The scale of returns, which the critic learns in normalised form (PopArt, arXiv 1602.07714)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from humanoid_mujoco_ros.training.team import Team

SMOOTHING = 0.05
"""Share by which one iteration moves the scale."""


@dataclass
class ReturnScale:
    """Mean and mean square of the returns; both 0 before the first."""

    mean: float = 0.0
    square: float = 0.0

    @property
    def is_fresh(self) -> bool:
        """Whether it has seen no return."""
        return self.square == 0.0

    @property
    def std(self) -> float:
        """Standard deviation of the returns."""
        return float(max(self.square - self.mean**2, 1e-8) ** 0.5)

    def restore(self, normalized: Tensor) -> Tensor:
        """Returns of the critic's output."""
        return normalized if self.is_fresh else normalized * self.std + self.mean

    @torch.no_grad()
    def normalize(self, returns: Tensor, last: nn.Linear, team: Team) -> Tensor:
        """Moves the scale by new returns (B,), and with it the critic's last layer.

        Returns:
            (B,) the returns in the new scale.
        """
        double = returns.double()
        sums = team.sum(np.array([double.sum(), double.square().sum(), len(returns)]))
        mean, square = sums[0] / sums[2], sums[1] / sums[2]
        rate = 1.0 if self.is_fresh else SMOOTHING
        old_mean, old_std = (0.0, 1.0) if self.is_fresh else (self.mean, self.std)
        self.mean += rate * (mean - self.mean)
        self.square += rate * (square - self.square)
        last.weight.mul_(old_std / self.std)
        last.bias.mul_(old_std / self.std).add_((old_mean - self.mean) / self.std)
        return (returns - self.mean) / self.std
