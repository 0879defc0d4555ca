# SPDX-License-Identifier: Apache-2.0
"""`humanoid train TASK`: learns a policy with PPO."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from humanoid_mujoco_ros.policy.checkpoint import CheckpointError
from humanoid_mujoco_ros.robot.model import ModelError
from humanoid_mujoco_ros.training.options import TrainingError, TrainOptions, action_limits

if TYPE_CHECKING:
    from humanoid_mujoco_ros.training.team import Team

TORCH_MISSING = (
    "training needs torch, which is not installed: pip install torch "
    "(in this package's own environment: make torch)"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    try:
        options = tyro.cli(
            TrainOptions,
            args=argv,
            prog="humanoid train",
            description=__doc__,
            config=(tyro.conf.CascadeSubcommandArgs, tyro.conf.OmitSubcommandPrefixes),
        )
    except SystemExit as stop:
        return int(stop.code or 0)
    return run(options)


def run(options: TrainOptions) -> int:
    """Runs `humanoid train`; returns its exit code."""
    try:
        import torch  # noqa: F401
    except ImportError:
        print(TORCH_MISSING, file=sys.stderr)
        return 2
    try:
        train(options)
    except (TrainingError, CheckpointError, ModelError) as error:
        print(f"humanoid train: {error}", file=sys.stderr)
        return 2
    return 0


def train(options: TrainOptions) -> None:
    """Trains as `options` say; the files lie in `options.output`.

    Raises:
        TrainingError: An option is out of its range.
        CheckpointError: The policy to resume is missing or does not fit.
        ModelError: The model cannot be used.
    """
    from humanoid_mujoco_ros.training import saving
    from humanoid_mujoco_ros.training.team import run_together

    options.check()
    robot = options.robot_model()
    action_limits(robot)  # refuses a range that cannot be used
    if options.resume:
        saving.find_policy(options.resume, robot, options)
    stamp = datetime.now().strftime("%Y%m%d_%H%M%S")
    output = options.output or Path("runs") / f"{options.task.name}_{stamp}"
    run_together(options.processes, partial(_run, dataclasses.replace(options, output=output)))


def _run(options: TrainOptions, team: Team) -> None:
    from humanoid_mujoco_ros.training.trainer import Trainer
    from humanoid_mujoco_ros.training.watching import watching

    assert options.output is not None
    if team.rank == 0:  # the others write nothing
        options.output.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(options, options.output, team)
    if options.watch and team.rank == 0:
        with watching(trainer.save(), options.shown_robot):
            trainer.run()
    else:
        trainer.run()
