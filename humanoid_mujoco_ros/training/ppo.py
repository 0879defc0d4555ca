# SPDX-License-Identifier: Apache-2.0
"""Proximal policy optimisation (PPO), in one file, for a robot that steps in MuJoCo's Batch.

After Schulman et al. 2017 (arXiv 1707.06347). What is added to the textbook: the networks are
left-right symmetric by construction; the critic also sees what the robot cannot (the push, the
delay); the learning rate follows the KL divergence; returns are normalised with the critic's last
layer corrected in step (PopArt, arXiv 1602.07714); time-outs bootstrap from the critic.
"""

from __future__ import annotations

import dataclasses
import json
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn

from humanoid_mujoco_ros.policy import checkpoint as checkpoints
from humanoid_mujoco_ros.policy import locate as policy_source
from humanoid_mujoco_ros.policy.checkpoint import Checkpoint
from humanoid_mujoco_ros.policy.inference import NORMALIZATION_EPSILON
from humanoid_mujoco_ros.robot.model import ModelConfig, RobotModel
from humanoid_mujoco_ros.training.environment import PRIVILEGED_MIRROR, VectorEnvironment
from humanoid_mujoco_ros.training.mirror import Mirror, RobotMirror
from humanoid_mujoco_ros.training.tasks import make_task
from humanoid_mujoco_ros.training.train import TrainingError, TrainOptions

HUMANOID_ACTION_LIMIT = 0.4
"""Control range, ±, of Gymnasium's humanoid, to which --initial-std refers."""
OBSERVATION_CLIP = 10.0
TRAINING_SUFFIX = ".training"
"""Beside a policy: its critic and the state of its training, a safetensors file."""
CRITIC_ONLY_ITERATIONS = 15
"""A fresh critic learns this long before the resumed actor does."""
LEARNING_RATE_RANGE = (2e-5, 2e-3)
STATISTICS_MEMORY = 1e8
"""Observation statistics forget what lies further back than this many samples. A resumed training
starts with them full: the actor was made for these statistics, and a change would upset it."""


class SymmetricLinear(nn.Linear):
    """A linear layer with f(mirror_in(x)) = mirror_out(f(x)).

    It starts so, and `symmetrise_gradient` before each step of the optimiser keeps it so.
    """

    def __init__(self, mirror_in: Mirror, mirror_out: Mirror, gain: float) -> None:
        super().__init__(mirror_in.index.size, mirror_out.index.size)
        self.is_plain = _is_identity(mirror_in) and _is_identity(mirror_out)
        self._index_in, self._index_out = (
            torch.from_numpy(m.index) for m in (mirror_in, mirror_out)
        )
        sign_in, self._sign_out = (
            torch.from_numpy(m.sign).float() for m in (mirror_in, mirror_out)
        )
        self._sign = self._sign_out[:, None] * sign_in
        with torch.no_grad():
            nn.init.orthogonal_(self.weight, gain)
            self.bias.zero_()
            norm = self.weight.norm()
            self.symmetrise()
            self.weight.mul_(norm / self.weight.norm())

    @torch.no_grad()
    def symmetrise(self) -> None:
        """Replaces the weights by their mean with their mirror image."""
        if not self.is_plain:
            self._symmetrise(self.weight, self.bias)

    @torch.no_grad()
    def symmetrise_gradient(self) -> None:
        """The same for their gradients."""
        if not self.is_plain and self.weight.grad is not None and self.bias.grad is not None:
            self._symmetrise(self.weight.grad, self.bias.grad)

    def _symmetrise(self, weight: Tensor, bias: Tensor) -> None:
        image = weight.index_select(0, self._index_out).index_select(1, self._index_in)
        weight.add_(image.mul_(self._sign)).mul_(0.5)
        bias.add_(self._sign_out * bias[self._index_out]).mul_(0.5)


class Network(nn.Module):
    """tanh layers; the last one stays in float32."""

    def __init__(
        self,
        mirror_in: Mirror,
        hidden: tuple[int, ...],
        mirror_out: Mirror,
        gain: float,
        symmetric: bool,
    ) -> None:
        super().__init__()
        mirrors = [mirror_in]
        mirrors += [Mirror.swap(n) if symmetric else Mirror.identity(n) for n in hidden]
        gains = [2**0.5] * len(hidden) + [gain]
        self.layers = nn.ModuleList(
            SymmetricLinear(a, b, g)
            for a, b, g in zip(mirrors, [*mirrors[1:], mirror_out], gains, strict=True)
        )

    def linear(self) -> list[SymmetricLinear]:
        """The layers, in order."""
        return [layer for layer in self.layers if isinstance(layer, SymmetricLinear)]

    def forward(self, x: Tensor, bfloat16: bool = False) -> Tensor:
        """(B, inputs) to (B, outputs)."""
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            for layer in self.layers[:-1]:
                x = torch.tanh(layer(x))
        result: Tensor = self.layers[-1](x.float())
        return result


class Agent(nn.Module):
    """Actor and critic on the normalised observation's columns that vary."""

    def __init__(
        self, mirror: RobotMirror, columns: NDArray[np.intp], options: TrainOptions, symmetric: bool
    ) -> None:
        super().__init__()
        self._bfloat16 = options.bfloat16
        seen = mirror.observation.select(columns)
        privileged = (
            PRIVILEGED_MIRROR if symmetric else Mirror.identity(PRIVILEGED_MIRROR.index.size)
        )
        self.actor = Network(seen, options.hidden, mirror.action, 0.01, symmetric)
        self.critic = Network(
            Mirror.join(seen, privileged), options.hidden, Mirror.identity(1), 1.0, symmetric
        )
        log_std = float(np.log(options.initial_std / HUMANOID_ACTION_LIMIT))
        self.raw_log_std = nn.Parameter(torch.full((mirror.action.index.size,), log_std))
        self._action_index = torch.from_numpy(mirror.action.index)

    def log_std(self) -> Tensor:
        """(actions,) of the network's output, left as right."""
        return 0.5 * (self.raw_log_std + self.raw_log_std[self._action_index])

    def mean(self, seen: Tensor) -> Tensor:
        """(B, actions) mean of the network's output, in units of the action limits."""
        result: Tensor = self.actor(seen, self._bfloat16)
        return result

    def value(self, seen: Tensor, privileged: Tensor) -> Tensor:
        """(B,) normalised return."""
        result: Tensor = self.critic(torch.cat((seen, privileged), -1), self._bfloat16).squeeze(-1)
        return result

    def log_probability(self, mean: Tensor, output: Tensor) -> Tensor:
        """(B,) up to a constant."""
        log_std = self.log_std()
        return (-0.5 * ((output - mean) * torch.exp(-log_std)).square() - log_std).sum(-1)


@dataclass
class Statistics:
    """Mean and variance of observations, forgetting what lies far back."""

    mean: NDArray[np.float64]
    var: NDArray[np.float64]
    count: float

    def update(self, count: float, mean: NDArray[np.float64], var: NDArray[np.float64]) -> None:
        """Takes in the statistics of `count` more (Chan's parallel variance)."""
        total = self.count + count
        delta = mean - self.mean
        self.var = (
            self.var * self.count + var * count + np.square(delta) * self.count * count / total
        ) / total
        self.mean = self.mean + delta * count / total
        self.count = min(total, STATISTICS_MEMORY)


class Team:
    """The processes that train together; alone it does nothing."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank = rank
        self.size = size

    def sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The sum over the processes."""
        if self.size == 1:
            return values
        tensor = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float64))
        dist.all_reduce(tensor)
        return tensor.numpy()

    def average_gradients(self, parameters: list[nn.Parameter]) -> None:
        """Replaces each gradient with its mean over the processes."""
        if self.size == 1:
            return
        flat = torch.cat([p.grad.ravel() for p in parameters if p.grad is not None])
        dist.all_reduce(flat)
        flat /= self.size
        start = 0
        for p in parameters:
            if p.grad is not None:
                p.grad.copy_(flat[start : start + p.numel()].view_as(p))
                start += p.numel()


class Trainer:
    """One process of a training."""

    def __init__(self, options: TrainOptions, output: Path, team: Team) -> None:
        self.options, self.output, self.team = options, output, team
        seed = options.seed + 1000 * team.rank
        torch.manual_seed(options.seed)
        self.robot = _robot(options)
        self.action_limits = action_limits(self.robot)
        task = make_task(options.task, self.robot, options.speed_m_s)
        self.environment = VectorEnvironment(
            self.robot, task, options.environments, options.environment, seed
        )
        found = task.mirror(self.robot) if options.symmetric else None
        self.symmetric = found is not None
        size = self.environment.observe().shape[1]
        self.mirror = found or RobotMirror(Mirror.identity(size), Mirror.identity(self.robot.mj.nu))
        self.steps_done = 0
        self.learning_rate = options.learning_rate
        self.return_mean, self.return_square = 0.0, 0.0
        self.critic_only = 0
        self.fall_rate = 1.0
        self.observed = np.empty((0, size))
        self.privileged = np.empty((0, PRIVILEGED_MIRROR.index.size))
        self.episode_return = np.zeros(options.environments)
        self.counts: dict[str, float] = {}
        self.noise = torch.Generator().manual_seed(seed)
        if options.resume:
            self._resume(options.resume)
        else:
            self._start()
        if options.push_level is not None:
            self.environment.push_level = options.push_level
        self.optimizer = torch.optim.Adam(
            self.agent.parameters(), lr=self.learning_rate, eps=1e-5, fused=True
        )

    # ---------------------------------------------------------------- start, resume, save

    def _start(self) -> None:
        """Fresh networks; a second of random actions says which columns vary."""
        environment, options, limits = self.environment, self.options, self.action_limits
        environment.reset()
        random = np.random.default_rng(options.seed)
        batch = []
        for _ in range(50):
            action = random.normal(0.0, options.initial_std, (environment.n, limits.size))
            action *= limits / HUMANOID_ACTION_LIMIT
            batch.append(environment.step(np.clip(action, -limits, limits)).observation)
        seen = np.concatenate(batch)
        moving = self.team.sum(seen.std(axis=0)) > 1e-6
        if self.symmetric:
            moving |= moving[self.mirror.observation.index]
        self.columns = np.flatnonzero(moving)
        mean, square = self.team.sum(np.array((seen.mean(axis=0), np.square(seen).mean(axis=0))))
        mean, square = mean / self.team.size, square / self.team.size
        mean, var = self._symmetrised(mean, np.maximum(square - np.square(mean), 0.0))
        self.statistics = Statistics(mean, var, float(len(seen) * self.team.size))
        self.agent = Agent(self.mirror, self.columns, options, self.symmetric)

    def _resume(self, policy: str) -> None:
        """Networks, statistics and state of an earlier training."""
        path, policy_checkpoint = _resumable(policy, self.robot, self.options)
        used = np.any(policy_checkpoint.weights[0] != 0, axis=0)
        if self.symmetric:
            used |= used[self.mirror.observation.index]
        self.columns = np.flatnonzero(used)
        mean, var = policy_checkpoint.observation_mean, policy_checkpoint.observation_var
        assert mean is not None
        assert var is not None
        self.statistics = Statistics(mean.copy(), var.copy(), STATISTICS_MEMORY)
        self.agent = Agent(self.mirror, self.columns, self.options, self.symmetric)
        weights = [policy_checkpoint.weights[0][:, self.columns], *policy_checkpoint.weights[1:]]
        biases = list(policy_checkpoint.biases)
        scale = (1 / self.action_limits).astype(np.float32)
        weights[-1] = weights[-1] * scale[:, None]
        biases[-1] = biases[-1] * scale
        with torch.no_grad():
            for i, layer in enumerate(self.agent.actor.linear()):
                layer.weight.copy_(torch.from_numpy(weights[i]))
                layer.bias.copy_(torch.from_numpy(biases[i]))
                layer.symmetrise()
            log_std = policy_checkpoint.log_std - self._log_limits
            self.agent.raw_log_std.copy_(torch.from_numpy(log_std))
        same_task = policy_checkpoint.task == self.options.task
        self._resume_training(path.with_suffix(TRAINING_SUFFIX), same_task)

    def _resume_training(self, path: Path, same_task: bool) -> None:
        """The rest of the state, if it is there; without a critic that fits, a new one."""
        self.critic_only = CRITIC_ONLY_ITERATIONS
        if not path.is_file():
            return
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="numpy") as file:
                state = json.loads(file.metadata()["state"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            self.steps_done = int(state["steps"])
            self.learning_rate = float(state["learning_rate"])
            self.environment.push_level = float(state["push_level"])
            self.fall_rate = float(state["fall_rate"])
            return_mean, return_square = float(state["return_mean"]), float(state["return_square"])
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise TrainingError(f"{path} is not the state of a training: {error}") from error
        own = self.agent.critic.state_dict()
        saved = {name.removeprefix("critic."): torch.from_numpy(v) for name, v in tensors.items()}
        if {k: v.shape for k, v in own.items()} != {k: v.shape for k, v in saved.items()}:
            print(f"the critic in {path} reads other inputs: starting a new one")
            return
        self.agent.critic.load_state_dict(saved)
        if same_task:
            self.return_mean, self.return_square = return_mean, return_square
            self.critic_only = 0

    def checkpoint(self) -> Checkpoint:
        """The policy as it is now."""
        weights, biases = [], []
        with torch.no_grad():
            for layer in self.agent.actor.linear():
                weight, bias = layer.weight, layer.bias
                weights.append(weight.numpy().copy())
                biases.append(bias.numpy().copy())
            log_std = self.agent.log_std().numpy() + self._log_limits
        first = np.zeros((weights[0].shape[0], self.statistics.mean.size), dtype=np.float32)
        first[:, self.columns] = weights[0]
        weights[0] = first
        scale = self.action_limits.astype(np.float32)
        weights[-1] = weights[-1] * scale[:, None]
        biases[-1] = biases[-1] * scale
        return Checkpoint(
            weights=tuple(weights),
            biases=tuple(biases),
            log_std=log_std,
            joints=self.robot.action_joints,
            model=self.robot.name,
            control_rate_hz=round(self.robot.control_rate_hz, 9),
            normalization="stored",
            observation_mean=self.statistics.mean.copy(),
            observation_var=self.statistics.var.copy(),
            observation_clip=OBSERVATION_CLIP,
            # Of a joint whose own limit is lower, it is the motor that keeps to it.
            action_limit=float(self.action_limits.max()),
            input=self.environment.task.input_name,
            task=self.options.task,
        )

    def save(self) -> Path:
        """Writes the policy and its .training file; each appears whole or not at all."""
        from safetensors.numpy import save_file

        path = self.output / f"{self.options.task}{checkpoints.SUFFIX}"
        temporary = path.with_name(path.name + ".part")
        self.checkpoint().save(temporary)
        tensors = {}
        with torch.no_grad():
            for i, layer in enumerate(self.agent.critic.linear()):
                weight, bias = layer.weight, layer.bias
                tensors[f"critic.layers.{i}.weight"] = weight.numpy().copy()
                tensors[f"critic.layers.{i}.bias"] = bias.numpy().copy()
        state = {
            "steps": self.steps_done,
            "learning_rate": self.learning_rate,
            "return_mean": self.return_mean,
            "return_square": self.return_square,
            "push_level": self.environment.push_level,
            "fall_rate": self.fall_rate,
        }
        state_path = path.with_suffix(TRAINING_SUFFIX)
        state_temporary = state_path.with_name(state_path.name + ".part")
        save_file(tensors, state_temporary, {"state": json.dumps(state)})
        for part in (temporary, state_temporary):
            part.chmod(0o644)  # safetensors keeps its files to their owner
        temporary.replace(path)
        state_temporary.replace(state_path)
        if self.options.cleanrl:
            self.export_cleanrl(path.with_suffix(checkpoints.CLEANRL_SUFFIX))
        return path

    def export_cleanrl(self, path: Path) -> None:
        """Writes the actor as CleanRL's ppo_continuous_action.py does: a bare state_dict."""
        policy = self.checkpoint()
        state: dict[str, Tensor] = {"actor_logstd": torch.from_numpy(policy.log_std)[None]}
        for i, (weight, bias) in enumerate(zip(policy.weights, policy.biases, strict=True)):
            state[f"actor_mean.{2 * i}.weight"] = torch.from_numpy(weight)
            state[f"actor_mean.{2 * i}.bias"] = torch.from_numpy(bias)
        for i, layer in enumerate(self.agent.critic.linear()):
            state[f"critic.{2 * i}.weight"] = layer.weight.detach().clone()
            state[f"critic.{2 * i}.bias"] = layer.bias.detach().clone()
        first = state["critic.0.weight"]  # without its privileged inputs
        state["critic.0.weight"] = torch.zeros(first.shape[0], self.statistics.mean.size)
        state["critic.0.weight"][:, self.columns] = first[:, : self.columns.size]
        temporary = path.with_name(path.name + ".part")
        torch.save(state, temporary)
        temporary.replace(path)

    def _symmetrised(
        self, mean: NDArray[np.float64], var: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Statistics of the samples together with their mirror images."""
        if not self.symmetric:
            return mean, var
        image = self.mirror.observation(mean)
        image_var = var[self.mirror.observation.index]
        centre = 0.5 * (mean + image)
        return centre, 0.5 * (var + image_var) + np.square(0.5 * (mean - image))

    @property
    def _log_limits(self) -> NDArray[np.float32]:
        """(actions,) what turns log_std of the network's output into that of the action."""
        return np.log(self.action_limits).astype(np.float32)

    # ---------------------------------------------------------------- one iteration

    def _network_input(self, observed: NDArray[np.float64]) -> Tensor:
        columns = self.columns
        scale = 1.0 / np.sqrt(self.statistics.var[columns] + NORMALIZATION_EPSILON)
        seen = (observed[:, columns] - self.statistics.mean[columns]) * scale
        return torch.from_numpy(
            np.clip(seen, -OBSERVATION_CLIP, OBSERVATION_CLIP).astype(np.float32)
        )

    @property
    def return_std(self) -> float:
        """Standard deviation of the returns."""
        return float(max(self.return_square - self.return_mean**2, 1e-8) ** 0.5)

    def _value(self, seen: Tensor, privileged: NDArray[np.float64]) -> Tensor:
        normalized = self.agent.value(seen, torch.from_numpy(privileged.astype(np.float32)))
        if self.return_square == 0.0:
            return normalized
        return normalized * self.return_std + self.return_mean

    @torch.no_grad()
    def collect(self) -> dict[str, Tensor]:
        """Steps the environments; returns the samples, flattened over time and environment."""
        options, environment, limits = self.options, self.environment, self.action_limits
        steps, n = options.steps, environment.n
        keys = ("seen", "privileged", "output", "log_probability", "value", "reward", "ended")
        rows: dict[str, list[Tensor]] = {key: [] for key in keys}
        moments = np.zeros((2, self.statistics.mean.size))
        shift = self.statistics.mean
        std = torch.exp(self.agent.log_std())
        falls, rewards, finished = 0, 0.0, []
        environment.pushes = 0
        for _ in range(steps):
            seen = self._network_input(self.observed)
            centred = self.observed - shift
            moments[0] += centred.sum(axis=0)
            moments[1] += np.einsum("ij,ij->j", centred, centred)
            mean = self.agent.mean(seen)
            output = mean + std * torch.randn(mean.shape, generator=self.noise)
            rows["seen"].append(seen)
            rows["privileged"].append(torch.from_numpy(self.privileged.astype(np.float32)))
            rows["output"].append(output)
            rows["log_probability"].append(self.agent.log_probability(mean, output))
            rows["value"].append(self._value(seen, self.privileged))
            action = np.clip(limits * output.double().numpy(), -limits, limits)
            result = environment.step(action)
            reward = result.reward.copy()
            self.episode_return += reward
            rewards += float(reward.sum())
            if result.timed_out.any():
                last = self._value(
                    self._network_input(result.last_observation), result.last_privileged
                )
                reward[result.timed_out] += options.gamma * last.numpy()
            ended = result.failed | result.timed_out
            rows["reward"].append(torch.from_numpy(reward.astype(np.float32)))
            rows["ended"].append(torch.from_numpy(ended))
            falls += int(result.failed.sum())
            finished += list(self.episode_return[ended])
            self.episode_return[ended] = 0.0
            self.observed, self.privileged = result.observation, result.privileged
        next_value = self._value(self._network_input(self.observed), self.privileged)
        batch = {key: torch.stack(values) for key, values in rows.items()}
        advantage = torch.zeros(n)
        advantages = torch.empty(steps, n)
        for t in reversed(range(steps)):
            alive = (~batch["ended"][t]).float()
            error = batch["reward"][t] + options.gamma * next_value * alive - batch["value"][t]
            advantage = error + options.gamma * options.gae_lambda * alive * advantage
            advantages[t] = advantage
            next_value = batch["value"][t]
        batch["advantage"] = advantages
        batch["return"] = advantages + batch["value"]
        self._update_statistics(moments, shift, float(steps * n))
        totals = self.team.sum(
            np.array(
                [
                    falls,
                    environment.pushes,
                    sum(finished),
                    len(finished),
                    rewards,
                    steps * n,
                ]
            )
        )
        self.counts = dict(
            zip(("falls", "pushes", "returns", "episodes", "reward", "steps"), totals, strict=True)
        )
        self.steps_done += int(totals[-1])
        return {key: value.flatten(0, 1) for key, value in batch.items()}

    def _update_statistics(
        self, moments: NDArray[np.float64], shift: NDArray[np.float64], count: float
    ) -> None:
        moments = self.team.sum(moments)
        count *= self.team.size
        mean = moments[0] / count
        var = np.maximum(moments[1] / count - np.square(mean), 0.0)
        self.statistics.update(count, *self._symmetrised(mean + shift, var))

    def _normalize_returns(self, returns: Tensor) -> Tensor:
        """Moves the statistics of returns; corrects the critic's last layer in step."""
        sums = self.team.sum(
            np.array([returns.double().sum(), returns.double().square().sum(), len(returns)])
        )
        mean, square = sums[0] / sums[2], sums[1] / sums[2]
        first = self.return_square == 0.0
        old_mean, old_std = (0.0, 1.0) if first else (self.return_mean, self.return_std)
        rate = 1.0 if first else 0.05
        self.return_mean += rate * (mean - self.return_mean)
        self.return_square += rate * (square - self.return_square)
        std = self.return_std
        last = self.agent.critic.linear()[-1]
        with torch.no_grad():
            last.weight.mul_(old_std / std)
            last.bias.mul_(old_std / std).add_((old_mean - self.return_mean) / std)
        return (returns - self.return_mean) / std

    def update(self, batch: dict[str, Tensor]) -> dict[str, float]:
        """The epochs of gradient steps on one batch of samples."""
        options, agent = self.options, self.agent
        targets = self._normalize_returns(batch["return"])
        advantages = batch["advantage"]
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        parameters = list(agent.parameters())
        layers = [*agent.actor.linear(), *agent.critic.linear()]
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate
        size = len(targets)
        kls, losses = [], []
        for epoch in range(options.epochs):
            order = torch.randperm(size, generator=self.noise)
            for start in range(0, size - options.minibatch + 1, options.minibatch):
                chosen = order[start : start + options.minibatch]
                seen = batch["seen"][chosen]
                mean = agent.mean(seen)
                log_probability = agent.log_probability(mean, batch["output"][chosen])
                log_ratio = log_probability - batch["log_probability"][chosen]
                ratio = log_ratio.exp()
                advantage = advantages[chosen]
                clipped = ratio.clamp(1 - options.clip, 1 + options.clip)
                policy_loss = -torch.min(ratio * advantage, clipped * advantage).mean()
                value = agent.value(seen, batch["privileged"][chosen])
                value_loss = (value - targets[chosen]).square().mean()
                loss = options.value_weight * value_loss
                if self.critic_only == 0:
                    loss = loss + policy_loss
                self.optimizer.zero_grad(set_to_none=True)
                loss.backward()
                for layer in layers:
                    layer.symmetrise_gradient()
                self.team.average_gradients(parameters)
                nn.utils.clip_grad_norm_(parameters, options.max_gradient_norm)
                self.optimizer.step()
                with torch.no_grad():
                    if epoch == options.epochs - 1:
                        kls.append((ratio - 1 - log_ratio).mean().item())
                        losses.append(value_loss.item())
        kl = float(self.team.sum(np.array([np.mean(kls)]))[0]) / self.team.size
        return {"kl": kl, "value_loss": float(np.mean(losses))}

    def adapt(self, kl: float, progress: float) -> None:
        """Learning rate by KL divergence, push level by falls."""
        options = self.options
        late = max(0.0, 3.0 * progress - 2.0)
        target = options.target_kl + late * (options.final_target_kl - options.target_kl)
        if self.critic_only > 0:
            self.critic_only -= 1
        elif kl > 2.0 * target:
            self.learning_rate /= 1.5
        elif kl > 1.3 * target:
            self.learning_rate /= 1.1
        elif kl < 0.5 * target:
            self.learning_rate *= 1.2
        elif kl < 0.8 * target:
            self.learning_rate *= 1.05
        low, high = LEARNING_RATE_RANGE
        self.learning_rate = min(max(self.learning_rate, low), high)
        rate = self.counts["falls"] / max(self.counts["pushes"], 1.0)
        self.fall_rate += 0.1 * (min(rate, 2.0) - self.fall_rate)
        grow, shrink = options.fall_rate_per_push
        change = 0.004 if self.fall_rate < grow else -0.008 if self.fall_rate > shrink else 0.0
        self.environment.push_level = min(max(self.environment.push_level + change, 0.0), 1.0)

    # ---------------------------------------------------------------- the loop

    def begin(self) -> None:
        """Starts the episodes."""
        self.observed, self.privileged = self.environment.reset()
        self.episode_return = np.zeros(self.environment.n)

    def run(self) -> None:
        """Trains until the time is up or someone presses Ctrl-C."""
        options = self.options
        chief = self.team.rank == 0
        stopping = False

        def stop(_signal: int, _frame: Any) -> None:
            nonlocal stopping
            stopping = True

        handlers = {s: signal.signal(s, stop) for s in (signal.SIGINT, signal.SIGTERM)}
        log = Log(self.output, options, self.symmetric) if chief else None
        self.begin()
        limit_s = 60.0 * options.minutes
        started = last_save = last_time = time.monotonic()
        try:
            while True:
                elapsed = time.monotonic() - started
                # Everyone stops with the chief.
                flags = self.team.sum(
                    np.array(
                        [
                            float(chief and (stopping or elapsed >= limit_s)),
                            elapsed if chief else 0.0,
                        ]
                    )
                )
                if flags[0] > 0:
                    break
                losses = self.update(self.collect())
                self.adapt(losses["kl"], flags[1] / limit_s if limit_s > 0 else 1.0)
                if log is None:
                    continue
                now = time.monotonic()
                counts = self.counts
                std = torch.exp(self.agent.log_std().detach())
                log.write(
                    {
                        "elapsed_s": now - started,
                        "steps": self.steps_done,
                        "return": counts["returns"] / counts["episodes"]
                        if counts["episodes"]
                        else float("nan"),
                        "reward": counts["reward"] / counts["steps"],
                        "falls_per_minute": counts["falls"]
                        / (counts["steps"] * self.robot.control_period_s / 60.0),
                        "falls_per_push": self.fall_rate,
                        "push_level": self.environment.push_level,
                        "std": float(np.mean(self.action_limits * std.numpy())),
                        "kl": losses["kl"],
                        "value_loss": losses["value_loss"],
                        "learning_rate": self.learning_rate,
                        "steps_per_s": counts["steps"] / (now - last_time),
                    },
                    limit_s,
                )
                last_time = now
                if now - last_save > options.save_period_s:
                    self.save()
                    log.draw()
                    last_save = now
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            if log is not None:
                path = self.save()
                log.close(self.steps_done, time.monotonic() - started)
                print(f"saved {path}")


class Log:
    """Progress for people, a table of numbers, TensorBoard and the options, beside the policy."""

    def __init__(self, output: Path, options: TrainOptions, symmetric: bool) -> None:
        self._output, self._name = output, options.task
        self._options = dataclasses.asdict(options)
        self._symmetric = symmetric
        self._rows: list[dict[str, float]] = []
        self._table = (output / f"{options.task}.jsonl").open("w", encoding="utf-8")
        self._last_print = 0.0
        self._board: Any = None
        if options.tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter

                self._board = SummaryWriter(str(output / "tensorboard"))
            except ImportError:
                print("no TensorBoard scalars: pip install tensorboard", file=sys.stderr)
        self._write_options({})

    def write(self, row: dict[str, float], limit_s: float) -> None:
        """Takes the numbers of an iteration."""
        row = {key: float(f"{value:.6g}") for key, value in row.items()}
        self._rows.append(row)
        self._table.write(json.dumps(row) + "\n")
        if self._board is not None:
            for key, value in row.items():
                if key != "steps":
                    self._board.add_scalar(key, value, int(row["steps"]))
        terminal = sys.stdout.isatty()
        if row["elapsed_s"] - self._last_print < (0.2 if terminal else 10.0):
            return
        self._last_print = row["elapsed_s"]
        self._table.flush()
        left_s = max(0.0, limit_s - row["elapsed_s"])
        line = (
            f"{row['steps'] / 1e6:7.2f} M steps  return {row['return']:7.0f}  "
            f"reward {row['reward']:5.2f}  falls/min {row['falls_per_minute']:6.2f}  "
            f"falls/push {row['falls_per_push']:4.2f}  push level {row['push_level']:.2f}  "
            f"std {row['std']:.3f}  kl {row['kl']:.4f}  lr {row['learning_rate']:.1e}  "
            f"{row['steps_per_s']:6.0f} steps/s  {left_s / 60:5.1f} min left"
        )
        print(f"\r{line}\x1b[K" if terminal else line, end="" if terminal else "\n", flush=True)

    def draw(self) -> None:
        """Writes the learning curve; without matplotlib there is none."""
        from humanoid_mujoco_ros.training import curves

        curves.draw_learning_curve(self._rows, self._output / f"{self._name}.png", self._name)

    def close(self, steps: int, elapsed_s: float) -> None:
        """Completes the files."""
        if sys.stdout.isatty():
            print()
        self.draw()
        self._table.close()
        self._write_options({"steps": steps, "elapsed_s": round(elapsed_s, 1)})
        if self._board is not None:
            self._board.close()

    def _write_options(self, result: dict[str, float]) -> None:
        content = {"options": self._options, "symmetric_robot": self._symmetric, **result}
        path = self._output / f"{self._name}.json"
        path.write_text(json.dumps(content, indent=2, default=str) + "\n", encoding="utf-8")


def train(options: TrainOptions) -> None:
    """Trains as `options` say; the files lie in `options.output`.

    Raises:
        TrainingError: An option is out of its range.
        CheckpointError: The policy to resume is missing or does not fit.
        ModelError: The model cannot be used.
    """
    if options.environments < 1 or options.steps < 1 or options.processes < 1:
        raise TrainingError("--environments, --steps and --processes must be at least 1")
    if options.minibatch > options.environments * options.steps:
        raise TrainingError(
            f"--minibatch {options.minibatch} is more than the "
            f"{options.environments * options.steps} samples of an iteration"
        )
    if options.symmetric and any(width % 2 for width in options.hidden):
        raise TrainingError("--hidden widths must be even, or use --no-symmetric")
    robot = _robot(options)
    action_limits(robot)  # refuses a range that cannot be used
    if options.resume:
        _resumable(options.resume, robot, options)
    stamp = datetime.now().strftime("%Y%m%d_%H%M%S")
    output = options.output or Path("runs") / f"{options.task}_{stamp}"
    output.mkdir(parents=True, exist_ok=True)
    if options.processes == 1:
        torch.set_num_threads(1)
        Trainer(options, output, Team(0, 1)).run()
        return
    with tempfile.TemporaryDirectory() as meeting:
        context = torch.multiprocessing.get_context("spawn")
        helpers = [
            context.Process(target=_run_rank, args=(rank, options, output, meeting), daemon=True)
            for rank in range(1, options.processes)
        ]
        for helper in helpers:
            helper.start()
        try:
            _run_rank(0, options, output, meeting)
        finally:
            for helper in helpers:
                helper.join(timeout=20)
                if helper.is_alive():
                    helper.terminate()


def _run_rank(rank: int, options: TrainOptions, output: Path, meeting: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{meeting}/rendezvous", rank=rank, world_size=options.processes
    )
    try:
        Trainer(options, output, Team(rank, options.processes)).run()
    finally:
        dist.destroy_process_group()


def _robot(options: TrainOptions) -> RobotModel:
    """The robot in the physics that `options` ask for."""
    config = ModelConfig(
        path=options.model,
        timestep_s=options.timestep_s,
        steps_per_control=options.steps_per_control,
        integrator=options.integrator,
    )
    if options.model:
        config = dataclasses.replace(config, left_foot="", right_foot="")
    return RobotModel(config)


def action_limits(robot: RobotModel) -> NDArray[np.float64]:
    """(actions,) the control signal at which each motor is at its limit, by actuator.

    Raises:
        TrainingError: A control range does not have 0 inside.
    """
    low, high = robot.mj.actuator_ctrlrange.T
    limits: NDArray[np.float64] = np.minimum(-low, high)
    for joint, start, end, limit in zip(robot.action_joints, low, high, limits, strict=True):
        if not limit > 0:
            raise TrainingError(
                f"the motor of joint '{joint}' has the ctrlrange {start:g} to {end:g}, "
                "expected one with 0 inside"
            )
    return limits


def _resumable(policy: str, robot: RobotModel, options: TrainOptions) -> tuple[Path, Checkpoint]:
    """The file and the content of a policy that training can go on from."""
    path = policy_source.resolve(policy)
    checkpoint = checkpoints.load(path, robot)
    checkpoint.check_fits(robot)
    if checkpoint.normalization != "stored":
        raise TrainingError(f"{path} has no observation statistics, so it cannot be resumed")
    hidden = tuple(weight.shape[0] for weight in checkpoint.weights[:-1])
    if hidden != options.hidden:
        raise TrainingError(
            f"{path} has hidden layers {hidden}, the option --hidden says {options.hidden}"
        )
    return path, checkpoint


def _is_identity(mirror: Mirror) -> bool:
    return bool(np.all(mirror.index == np.arange(mirror.index.size)) and np.all(mirror.sign == 1))
