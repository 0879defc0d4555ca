# SPDX-License-Identifier: Apache-2.0
"""`humanoid train TASK`: learns a policy with PPO. The algorithm is in ppo.py."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from humanoid_mujoco_ros.policy.checkpoint import CheckpointError
from humanoid_mujoco_ros.robot.model import ModelError
from humanoid_mujoco_ros.training.environment import EnvironmentConfig

TORCH_MISSING = (
    "training needs torch, which is not installed: pip install torch "
    "(in this package's own environment: make torch)"
)


class TrainingError(ValueError):
    """Training cannot start; the message says why."""


@dataclass(frozen=True)
class TrainOptions:
    """What to train, how long, and the settings of PPO."""

    task: tyro.conf.Positional[Literal["walk", "balance"]]
    """What the policy learns to do."""
    minutes: float = 60.0
    """Stop after this time; Ctrl-C stops earlier and leaves the same files."""
    output: Path | None = None
    """Directory of the results; default: runs/TASK_DATE_TIME."""
    resume: str = ""
    """Go on from this policy: the name of a shipped one, or a .safetensors file. Its .training
    file beside it, if there, brings back the critic, the learning rate and the push level."""
    seed: int = 1
    """Seed of the networks, the resets, the pushes and the actions."""
    processes: int = 1
    """Data-parallel processes, each with its own environments and one thread."""

    model: str = ""
    """MJCF file of another torque-driven robot with a floating base; default: Gymnasium's
    humanoid."""
    timestep_s: float = 0.005
    """Physics time step."""
    steps_per_control: int = 2
    """Physics steps per control period."""
    integrator: str = "Euler"
    """Euler, RK4, implicit or implicitfast. Euler at 0.005 s x 2 steps six times faster than the
    RK4 at 0.0025 s x 4 that the policy runs in; finish with some minutes of that."""

    speed_m_s: float = 1.75
    """walk: faster than this earns nothing."""
    environment: Annotated[EnvironmentConfig, tyro.conf.arg(name="")] = field(
        default_factory=EnvironmentConfig
    )
    """Episodes, pushes, delays."""

    environments: int = 512
    """Simulations in each process."""
    steps: int = 64
    """Control periods of each simulation between two updates."""
    epochs: int = 4
    """Passes over the collected samples in an update."""
    minibatch: int = 1024
    """Samples in a gradient step, in each process."""
    hidden: tuple[int, ...] = (256, 256)
    """Widths of the hidden layers of actor and critic."""
    gamma: float = 0.99
    """Discount of a control period."""
    gae_lambda: float = 0.95
    """Lambda of the generalised advantage estimation."""
    clip: float = 0.2
    """Clip range of the probability ratio."""
    value_weight: float = 0.5
    """Weight of the value loss."""
    max_gradient_norm: float = 1.0
    """Gradients are scaled down to this norm."""
    learning_rate: float = 5e-4
    """Learning rate at the start; from there it follows the KL divergence."""
    target_kl: float = 0.02
    """KL divergence of an update that the learning rate aims at."""
    final_target_kl: float = 0.006
    """The same at the end; it is lowered linearly over the last third of the time."""
    initial_std: float = 0.148
    """Standard deviation of the actions at the start [control signal], for motors with a control
    range of ± 0.4 as the humanoid's; for others in proportion."""
    symmetric: bool = True
    """Build the left-right symmetry of the robot, if it has one, into the networks."""
    bfloat16: bool = True
    """Hidden layers compute in bfloat16 while training."""
    fall_rate_per_push: tuple[float, float] = (0.25, 0.30)
    """The pushes grow while fewer falls than the first come on a push, and shrink above the
    second."""
    push_level: float | None = None
    """Push level to start from, 0 to 1; default: 0, or that of the resumed training."""
    tensorboard: bool = True
    """Write TensorBoard scalars (needs the package tensorboard)."""
    cleanrl: bool = False
    """Also export a CleanRL .cleanrl_model (it lacks the normalisation, as theirs do)."""
    save_period_s: float = 60.0
    """Time between two checkpoints."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    try:
        options = tyro.cli(TrainOptions, args=argv, prog="humanoid train", description=__doc__)
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
    from humanoid_mujoco_ros.training import ppo

    try:
        ppo.train(options)
    except (TrainingError, CheckpointError, ModelError) as error:
        print(f"humanoid train: {error}", file=sys.stderr)
        return 2
    return 0
