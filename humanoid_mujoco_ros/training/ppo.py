# SPDX-License-Identifier: Apache-2.0
"""Proximal policy optimisation (PPO): the gradient steps on one rollout.

After Schulman et al. 2017 (arXiv 1707.06347). What is added to the textbook: the networks are
left-right symmetric by construction; the critic also sees what the robot cannot (the push, the
delay); the learning rate follows the KL divergence; returns are normalised with the critic's last
layer corrected in step; time-outs bootstrap from the critic.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from humanoid_mujoco_ros.training.agent import Agent
from humanoid_mujoco_ros.training.options import TrainOptions
from humanoid_mujoco_ros.training.returns import ReturnScale
from humanoid_mujoco_ros.training.rollout import Samples
from humanoid_mujoco_ros.training.team import Team

CRITIC_ONLY_ITERATIONS = 15
"""A fresh critic learns this long before the resumed actor does."""
LEARNING_RATE_RANGE = (2e-5, 2e-3)

TAKEN = ("seen", "privileged", "output", "log_probability")
"""What the gradient steps take from the samples as it is."""


class Optimizer:
    """Improves an agent by rollouts."""

    def __init__(
        self, agent: Agent, returns: ReturnScale, options: TrainOptions, team: Team
    ) -> None:
        self.agent, self.returns, self.options, self.team = agent, returns, options, team
        self.learning_rate = options.learning_rate
        self.critic_only = 0
        """Iterations in which only the critic learns yet."""
        self._adam = torch.optim.Adam(
            agent.parameters(), lr=self.learning_rate, eps=1e-5, fused=True
        )

    def update(self, samples: Samples, noise: torch.Generator) -> dict[str, float]:
        """The epochs of gradient steps on one rollout.

        Returns:
            The KL divergence of the update and the value loss.
        """
        options = self.options
        last = self.agent.critic.linear()[-1]
        target = self.returns.normalize(samples["return"], last, self.team)
        advantage = samples["advantage"]
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        samples = {name: samples[name] for name in TAKEN} | {
            "target": target,
            "advantage": advantage,
        }
        for group in self._adam.param_groups:
            group["lr"] = self.learning_rate
        size = len(advantage)
        kls, losses = [], []
        for epoch in range(options.epochs):
            order = torch.randperm(size, generator=noise)
            for start in range(0, size - options.minibatch + 1, options.minibatch):
                chosen = order[start : start + options.minibatch]
                minibatch = {name: values[chosen] for name, values in samples.items()}
                kl, value_loss = self._step(minibatch)
                if epoch == options.epochs - 1:
                    kls.append(kl.item())
                    losses.append(value_loss.item())
        kl_mean = float(self.team.sum(np.array([np.mean(kls)]))[0]) / self.team.size
        return {"kl": kl_mean, "value_loss": float(np.mean(losses))}

    def _step(self, samples: Samples) -> tuple[Tensor, Tensor]:
        """One gradient step; returns the KL divergence before it and the value loss."""
        options, agent = self.options, self.agent
        mean = agent.mean(samples["seen"])
        log_ratio = agent.log_probability(mean, samples["output"]) - samples["log_probability"]
        ratio = log_ratio.exp()
        clipped = ratio.clamp(1 - options.clip, 1 + options.clip)
        advantage = samples["advantage"]
        policy_loss = -torch.min(ratio * advantage, clipped * advantage).mean()
        value = agent.value(samples["seen"], samples["privileged"])
        value_loss = (value - samples["target"]).square().mean()
        loss = options.value_weight * value_loss
        if self.critic_only == 0:
            loss = loss + policy_loss
        self._adam.zero_grad(set_to_none=True)
        loss.backward()
        for layer in agent.layers():
            layer.symmetrise_gradient()
        parameters = list(agent.parameters())
        self.team.average_gradients(parameters)
        nn.utils.clip_grad_norm_(parameters, options.max_gradient_norm)
        self._adam.step()
        return (ratio - 1 - log_ratio).mean().detach(), value_loss.detach()

    def adapt(self, kl: float, progress: float) -> None:
        """Moves the learning rate towards the wanted KL divergence.

        Args:
            kl: That of the last update.
            progress: Of the training, 0 to 1.
        """
        options = self.options
        if self.critic_only > 0:
            self.critic_only -= 1
            return
        late = max(0.0, 3.0 * progress - 2.0)
        target = options.target_kl + late * (options.final_target_kl - options.target_kl)
        if kl > 2.0 * target:
            self.learning_rate /= 1.5
        elif kl > 1.3 * target:
            self.learning_rate /= 1.1
        elif kl < 0.5 * target:
            self.learning_rate *= 1.2
        elif kl < 0.8 * target:
            self.learning_rate *= 1.05
        low, high = LEARNING_RATE_RANGE
        self.learning_rate = min(max(self.learning_rate, low), high)
