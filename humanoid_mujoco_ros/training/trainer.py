# SPDX-License-Identifier: Apache-2.0
"""One process of a training: environment, agent, optimiser, and the loop over them."""

from __future__ import annotations

import copy
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from humanoid_mujoco_ros.policy import checkpoint as checkpoints
from humanoid_mujoco_ros.policy.checkpoint import Checkpoint
from humanoid_mujoco_ros.training import saving
from humanoid_mujoco_ros.training.agent import Agent
from humanoid_mujoco_ros.training.environment import VectorEnvironment
from humanoid_mujoco_ros.training.log import Log
from humanoid_mujoco_ros.training.mirror import Mirror, RobotMirror
from humanoid_mujoco_ros.training.normalizer import (
    OBSERVATION_CLIP,
    STATISTICS_MEMORY,
    Normalizer,
)
from humanoid_mujoco_ros.training.options import (
    HUMANOID_ACTION_LIMIT,
    TrainingError,
    TrainOptions,
    action_limits,
)
from humanoid_mujoco_ros.training.ppo import CRITIC_ONLY_ITERATIONS, Optimizer
from humanoid_mujoco_ros.training.returns import ReturnScale
from humanoid_mujoco_ros.training.rollout import Collector
from humanoid_mujoco_ros.training.team import Team

FIRST_STEPS = 50
"""Random actions of a fresh training, which show what of the observation varies."""


class Trainer:
    """Learns one task; with a team, together with other processes."""

    def __init__(self, options: TrainOptions, output: Path, team: Team) -> None:
        """Makes everything, fresh or as a resumed training left it."""
        self.options, self.output, self.team = options, output, team
        torch.manual_seed(options.seed)
        seed = options.seed + 1000 * team.rank
        self.robot = options.robot_model()
        self.limits = action_limits(self.robot)
        self.task = copy.copy(options.task)
        self.environment = VectorEnvironment(
            self.robot, self.task, options.environments, options.environment, seed
        )
        found = self.task.mirror(self.robot) if options.symmetric else None
        self.symmetric = found is not None
        self.observations = self.environment.observe().shape[1]
        self.mirror = found or RobotMirror(
            Mirror.identity(self.observations), Mirror.identity(self.robot.mj.nu)
        )
        self.returns = ReturnScale()
        self.steps_done = 0
        if options.resume:
            path, policy = saving.find_policy(options.resume, self.robot, options)
            self.normalizer = self._resumed_normalizer(policy)
        else:
            self.normalizer = self._fresh_normalizer()
        self.agent = self._agent()
        self.optimizer = Optimizer(self.agent, self.returns, options, team)
        if options.resume:
            saving.load_actor(self.agent, policy, self.normalizer.columns, self.limits)
            self._resume(path, same_task=policy.task == self.task.name)
        if options.push_level is not None:
            self.environment.push_level = options.push_level
        noise = torch.Generator().manual_seed(seed)
        self.collector = Collector(
            self.environment,
            self.agent,
            self.normalizer,
            self.returns,
            self.limits,
            noise,
            options,
        )

    def checkpoint(self) -> Checkpoint:
        """The policy as it is now."""
        statistics = self.normalizer.statistics
        return Checkpoint(
            **saving.actor_network(
                self.agent, self.normalizer.columns, self.observations, self.limits
            ),
            joints=self.robot.action_joints,
            model=self.robot.name,
            control_rate_hz=round(self.robot.control_rate_hz, 9),
            normalization="stored",
            observation_mean=statistics.mean.copy(),
            observation_var=statistics.var.copy(),
            observation_clip=OBSERVATION_CLIP,
            # Of a joint whose own limit is lower, it is the motor that keeps to it.
            action_limit=float(self.limits.max()),
            input=self.task.input_name,
            task=self.task.name,
            card=self.task.card(self.robot),
        )

    def save(self) -> Path:
        """Writes the policy and its .training file; returns the path of the policy."""
        path = self.output / f"{self.task.name}{checkpoints.SUFFIX}"
        state = saving.TrainingState(
            steps=self.steps_done,
            learning_rate=self.optimizer.learning_rate,
            return_mean=float(self.returns.mean),
            return_square=float(self.returns.square),
            push_level=self.environment.push_level,
            fall_rate=self.environment.fall_rate,
            task_level=self.task.level,
            critic=self.agent.critic.state_dict(),
        )
        saving.save(path, self.checkpoint(), state)
        return path

    def begin(self) -> None:
        """Starts the episodes."""
        self.collector.begin()

    def iterate(self, progress: float) -> dict[str, float]:
        """Collects samples, learns from them and adapts; returns numbers for the log.

        Args:
            progress: Of the training, 0 to 1.
        """
        environment, optimizer = self.environment, self.optimizer
        samples, totals = self.collector.collect()
        self.normalizer.update(self.team)
        totals = self.team.sum_each(totals)
        self.steps_done += int(totals["steps"])
        losses = optimizer.update(samples, self.collector.noise)
        optimizer.adapt(losses["kl"], progress)
        environment.adapt_pushes(totals["falls"] / max(totals["pushes"], 1.0))
        minutes = totals["steps"] * self.robot.control_period_s / 60.0
        falls_per_minute = totals["falls"] / minutes
        figures = self.team.sum_each(self.task.figures())
        episodes = totals["episodes"]
        std = np.exp(self.agent.log_std().detach().numpy())
        return {
            "steps": self.steps_done,
            "return": totals["returns"] / episodes if episodes else float("nan"),
            "reward": totals["reward"] / totals["steps"],
            "falls_per_minute": falls_per_minute,
            "falls_per_push": environment.fall_rate,
            "push_level": environment.push_level,
            "std": float(np.mean(self.limits * std)),
            "kl": losses["kl"],
            "value_loss": losses["value_loss"],
            "learning_rate": optimizer.learning_rate,
            "new_steps": totals["steps"],
            **self.task.adapt(figures, falls_per_minute),
        }

    def run(self) -> None:
        """Trains until the time is up or someone presses Ctrl-C."""
        stop = _Interrupt()
        log = (
            Log(self.output, self.options, symmetric=self.symmetric)
            if self.team.rank == 0
            else None
        )
        self.begin()
        limit_s = 60.0 * self.options.minutes
        started = last_save = last_time = time.monotonic()
        try:
            while True:
                elapsed = time.monotonic() - started
                progress = self._agree(
                    elapsed / limit_s if limit_s > 0 else 1.0, is_stopping=stop.pressed
                )
                if progress >= 1.0:
                    break
                row = self.iterate(progress)
                if log is None:
                    continue
                now = time.monotonic()
                row["steps_per_s"] = row.pop("new_steps") / (now - last_time)
                last_time = now
                log.write({"elapsed_s": now - started, **row}, limit_s)
                if now - last_save > self.options.save_period_s:
                    self.save()
                    log.draw()
                    last_save = now
        finally:
            stop.restore()
            if log is not None:
                path = self.save()
                log.close(self.steps_done, time.monotonic() - started)
                print(f"saved {path}")

    def _agree(self, progress: float, *, is_stopping: bool) -> float:
        """The progress of the first process, for all; 1 or more when everyone is to stop."""
        own = 1.0 if is_stopping else progress
        return float(self.team.sum(np.array([own if self.team.rank == 0 else 0.0]))[0])

    def _agent(self) -> Agent:
        privileged = self.task.privileged_mirror
        return Agent(
            self.mirror.observation.select(self.normalizer.columns),
            privileged if self.symmetric else Mirror.identity(privileged.index.size),
            self.mirror.action,
            self.options,
            symmetric=self.symmetric,
        )

    def _fresh_normalizer(self) -> Normalizer:
        """Knows which columns vary from half a second of random actions."""
        environment, limits = self.environment, self.limits
        environment.reset()
        random = np.random.default_rng(self.options.seed)
        samples = []
        for _ in range(FIRST_STEPS):
            action = random.normal(0.0, self.options.initial_std, (environment.n, limits.size))
            action *= limits / HUMANOID_ACTION_LIMIT
            samples.append(environment.step(np.clip(action, -limits, limits)).observation)
        self.task.figures()
        return Normalizer.of_samples(np.concatenate(samples), self._observation_mirror, self.team)

    def _resumed_normalizer(self, policy: Checkpoint) -> Normalizer:
        if policy.observation_size != self.observations:
            raise TrainingError(
                f"the policy to resume reads {policy.observation_size} values, the task "
                f"{self.task.name} gives {self.observations}"
            )
        used = np.any(policy.weights[0] != 0, axis=0)
        if self.symmetric:
            used |= used[self.mirror.observation.index]
        mean, var = policy.observation_mean, policy.observation_var
        assert mean is not None
        assert var is not None
        columns = np.flatnonzero(used)
        return Normalizer(columns, mean, var, STATISTICS_MEMORY, self._observation_mirror)

    @property
    def _observation_mirror(self) -> Mirror | None:
        return self.mirror.observation if self.symmetric else None

    def _resume(self, path: Path, *, same_task: bool) -> None:
        """The rest of the state, if it is there; without a critic that fits, a new one."""
        self.optimizer.critic_only = CRITIC_ONLY_ITERATIONS
        state_path = path.with_suffix(saving.TRAINING_SUFFIX)
        state = saving.load_state(state_path)
        if state is None:
            return
        self.steps_done = state.steps
        self.optimizer.learning_rate = state.learning_rate
        self.environment.push_level = state.push_level
        self.environment.fall_rate = state.fall_rate
        if same_task:
            self.task.level = state.task_level
            count = min(float(state.steps), STATISTICS_MEMORY)
            self.normalizer.statistics.count = np.asarray(count)
        if not saving.load_critic(self.agent, state.critic):
            if self.team.rank == 0:
                print(f"the critic in {state_path} reads other inputs: starting a new one")
        elif same_task:
            self.returns.mean, self.returns.square = state.return_mean, state.return_square
            self.optimizer.critic_only = 0


class _Interrupt:
    """Notes Ctrl-C and SIGTERM instead of ending the process."""

    def __init__(self) -> None:
        self.pressed = False
        self._handlers = {
            number: signal.signal(number, self._press) for number in (signal.SIGINT, signal.SIGTERM)
        }

    def restore(self) -> None:
        """Gives the signals back."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _press(self, _number: int, _frame: Any) -> None:
        self.pressed = True
