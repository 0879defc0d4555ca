# SPDX-License-Identifier: Apache-2.0
"""The options of `humanoid train`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import tyro
from numpy.typing import NDArray

from humanoid_mujoco_ros.policy.state_vector import has_humanoid_v4
from humanoid_mujoco_ros.robot.card import load_card
from humanoid_mujoco_ros.robot.model import ModelConfig, RobotModel
from humanoid_mujoco_ros.share import share_directory
from humanoid_mujoco_ros.training.environment import EnvironmentConfig
from humanoid_mujoco_ros.training.task import Task
from humanoid_mujoco_ros.training.tasks import TASKS

HUMANOID_ACTION_LIMIT = 0.4
"""Control range, ±, of Gymnasium's humanoid, to which --initial-std refers."""

if TYPE_CHECKING:
    AnyTask = Task
else:
    AnyTask = tyro.extras.subcommand_type_from_defaults(
        {name: task() for name, task in TASKS.items()}, prefix_names=False
    )


class TrainingError(ValueError):
    """Training cannot start; the message says why."""


# All options may come before or after the name of the task.
@tyro.conf.configure(tyro.conf.CascadeSubcommandArgs, tyro.conf.OmitSubcommandPrefixes)
@dataclass(frozen=True)
class TrainOptions:
    """What to train, how long, and the settings of PPO."""

    task: AnyTask
    """What the policy learns to do."""
    minutes: float = 60.0
    """Stop after this time; Ctrl-C stops earlier and leaves the same files."""
    output: Path | None = None
    """Directory of the results; default: runs/TASK_DATE_TIME."""
    resume: str = ""
    """Go on from this policy: the name of a shipped one, or a .safetensors file. Its .training
    file beside it, if there, brings back the critic, the learning rate and the push level."""
    watch: bool = False
    """Show in the browser what the policy has learnt so far: starts `humanoid sim`, which loads
    each checkpoint as it is written and ends with the training."""
    seed: int = 1
    """Seed of the networks, the resets, the pushes and the actions."""
    processes: int = 1
    """Data-parallel processes, each with its own environments and one thread."""

    robot: str = ""
    """The robot, in its card's own physics: the name of a card, a card FILE.yaml, or a model
    FILE.xml. It has torque motors on all joints and a floating base. Empty: that of the task, or
    Gymnasium's humanoid in the physics of the options below."""
    model: str = ""
    """MJCF file of another such robot, in the physics of the options below."""
    timestep_s: float = 0.005
    """Physics time step."""
    steps_per_control: int = 2
    """Physics steps per control period."""
    integrator: str = "Euler"
    """Euler, RK4, implicit or implicitfast. Euler at 0.005 s x 2 steps six times faster than the
    RK4 at 0.0025 s x 4 that the policy runs in; finish with some minutes of that."""

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
    advantage_clip: float = 0.0
    """Advantages are clipped to ± this many robust standard deviations (1.48 times the median
    deviation), so that rare falls do not drown all else; 0: not at all."""
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
    push_level: float | None = None
    """Push level to start from, 0 to 1; default: 0, or that of the resumed training."""
    save_period_s: float = 60.0
    """Time between two checkpoints."""

    def check(self) -> None:
        """Checks what can be checked before anything is loaded.

        Raises:
            TrainingError: An option is out of its range.
        """
        if self.environments < 1 or self.steps < 1 or self.processes < 1:
            raise TrainingError("--environments, --steps and --processes must be at least 1")
        if self.robot and self.model:
            raise TrainingError("--robot takes a model FILE.xml too: leave out --model")
        samples = self.environments * self.steps
        if self.minibatch > samples:
            raise TrainingError(
                f"--minibatch {self.minibatch} is more than the {samples} samples of an iteration"
            )
        if self.symmetric and any(width % 2 for width in self.hidden):
            raise TrainingError("--hidden widths must be even, or use --no-symmetric")

    def robot_model(self) -> RobotModel:
        """The robot in the physics that the options ask for.

        Raises:
            ModelError: The model cannot be used.
            TrainingError: The robot cannot learn the task.
        """
        own = self.task.robot_card
        if own is not None:
            if self.model or self.robot not in ("", own):
                other = f"--model {self.model}" if self.model else f"--robot {self.robot}"
                raise TrainingError(f"{self.task.name} is a task of the robot {own}, not {other}")
            return RobotModel(load_card(own, share_directory("config") / "robots"))
        if self.robot:
            robot = RobotModel(ModelConfig(robot=self.robot))
        else:
            robot = RobotModel(
                ModelConfig(
                    model=self.model,
                    timestep_s=self.timestep_s,
                    steps_per_control=self.steps_per_control,
                    integrator=self.integrator,
                )
            )
        if not has_humanoid_v4(robot):
            raise TrainingError(
                f"{self.task.name} is learnt by robots with torque motors on all joints and a "
                f"floating base, alone in their world; '{robot.name}' is another kind"
            )
        return robot

    @property
    def shown_robot(self) -> str:
        """What `humanoid sim --robot` takes for it; empty: the default robot."""
        return self.task.robot_card or self.robot or self.model

    def resolved(self) -> dict[str, Any]:
        """All options by name, those of the task among them."""
        values = dataclasses.asdict(self)
        return {**values, "task": self.task.name, **values["task"]}


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
