# SPDX-License-Identifier: Apache-2.0
"""Collects samples: the agent acts, the environment answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from humanoid_mujoco_ros.training.agent import Agent
from humanoid_mujoco_ros.training.environment import Step, VectorEnvironment
from humanoid_mujoco_ros.training.normalizer import Normalizer
from humanoid_mujoco_ros.training.options import TrainOptions
from humanoid_mujoco_ros.training.returns import ReturnScale

Array = NDArray[np.float64]
Samples = dict[str, Tensor]
"""By name: seen, privileged, output, log_probability, value, advantage, return; (B, ...) each."""


@dataclass
class Collector:
    """Lets an agent act in an environment whose episodes go on from one rollout to the next."""

    environment: VectorEnvironment
    agent: Agent
    normalizer: Normalizer
    returns: ReturnScale
    limits: Array
    """(actions,) the control signals at the motors' limits."""
    noise: torch.Generator
    options: TrainOptions

    def begin(self) -> None:
        """Starts the episodes."""
        self._observed, self._privileged = self.environment.reset()
        self._episode_return = np.zeros(self.environment.n)

    @torch.no_grad()
    def collect(self) -> tuple[Samples, dict[str, float]]:
        """Steps the environment; the samples are flattened over time and environment.

        Returns:
            The samples, and the sums of falls, pushes, returns of ended episodes, ended episodes,
            reward and steps.
        """
        environment, steps = self.environment, self.options.steps
        rows: dict[str, list[Tensor]] = {}
        totals = dict.fromkeys(("falls", "returns", "episodes", "reward"), 0.0)
        environment.pushes = 0
        for _ in range(steps):
            sample, action = self._act()
            result = environment.step(action)
            reward = self._count(result, totals)
            ended = result.failed | result.finished | result.timed_out
            sample["reward"] = torch.from_numpy(reward.astype(np.float32))
            sample["ended"] = torch.from_numpy(ended)
            for name, values in sample.items():
                rows.setdefault(name, []).append(values)
            self._observed, self._privileged = result.observation, result.privileged
        samples = {name: torch.stack(values) for name, values in rows.items()}
        last = self._value(self._see(self._observed), self._privileged)
        samples["advantage"] = self._advantages(samples, last)
        samples["return"] = samples["advantage"] + samples["value"]
        totals |= {"pushes": float(environment.pushes), "steps": float(steps * environment.n)}
        return {name: values.flatten(0, 1) for name, values in samples.items()}, totals

    def _act(self) -> tuple[Samples, Array]:
        """What the agent does now, as a sample and as control signals."""
        agent = self.agent
        self.normalizer.collect(self._observed)
        seen = self._see(self._observed)
        mean = agent.mean(seen)
        std = torch.exp(agent.log_std())
        output = mean + std * torch.randn(mean.shape, generator=self.noise)
        sample = {
            "seen": seen,
            "privileged": torch.from_numpy(self._privileged.astype(np.float32)),
            "output": output,
            "log_probability": agent.log_probability(mean, output),
            "value": self._value(seen, self._privileged),
        }
        return sample, np.clip(self.limits * output.double().numpy(), -self.limits, self.limits)

    def _count(self, result: Step, totals: dict[str, float]) -> Array:
        """The reward (N,), for a timed-out episode with the value of what would have come."""
        reward = result.reward.copy()
        self._episode_return += reward
        totals["reward"] += float(reward.sum())
        if result.timed_out.any():
            last = self._value(self._see(result.last_observation), result.last_privileged)
            reward[result.timed_out] += self.options.gamma * last.numpy()
        ended = result.failed | result.finished | result.timed_out
        totals["falls"] += float(result.failed.sum())
        totals["returns"] += float(self._episode_return[ended].sum())
        totals["episodes"] += float(ended.sum())
        self._episode_return[ended] = 0.0
        return reward

    def _advantages(self, samples: Samples, next_value: Tensor) -> Tensor:
        """(steps, N) generalised advantage estimates."""
        options = self.options
        advantage = torch.zeros(self.environment.n)
        advantages = torch.empty_like(samples["reward"])
        for t in reversed(range(options.steps)):
            alive = (~samples["ended"][t]).float()
            value = samples["value"][t]
            error = samples["reward"][t] + options.gamma * next_value * alive - value
            advantage = error + options.gamma * options.gae_lambda * alive * advantage
            advantages[t] = advantage
            next_value = value
        return advantages

    def _see(self, observed: Array) -> Tensor:
        return torch.from_numpy(self.normalizer(observed))

    def _value(self, seen: Tensor, privileged: Array) -> Tensor:
        value = self.agent.value(seen, torch.from_numpy(privileged.astype(np.float32)))
        return self.returns.restore(value)
