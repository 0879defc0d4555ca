# SPDX-License-Identifier: Apache-2.0
"""`humanoid evaluate POLICY…`: how well policies walk, stand and take a push."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tyro
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from humanoid_mujoco_ros.interaction.push import SURVIVED_PUSH_S
from humanoid_mujoco_ros.policy import fit, locate, policy_file
from humanoid_mujoco_ros.policy.checkpoint import Checkpoint, CheckpointError
from humanoid_mujoco_ros.policy.gymnasium_robots import Environment
from humanoid_mujoco_ros.policy.policy_file import TermPolicy
from humanoid_mujoco_ros.policy.state_vector import has_humanoid_v4
from humanoid_mujoco_ros.robot.model import ModelConfig, ModelError, RobotModel
from humanoid_mujoco_ros.training import (
    command_battery,
    gymnasium_battery,
    rise_battery,
    steer_battery,
    tables,
)
from humanoid_mujoco_ros.training.gymnasium_battery import GymnasiumError
from humanoid_mujoco_ros.training.trial import (
    PUSH_S,
    Conditions,
    Outcome,
    PosedObserver,
    Report,
    Trial,
    run_trial,
)

PUSH_AT_S = (3.0, 5.0)
"""When a push comes, uniformly: the robot has found its gait."""
EPISODE_S = 15.0
LONG_EPISODE_S = 600.0
MOST_STARTS = 3
"""Of the battery commands, whose robots are simulated one after the other."""


class EvaluationError(ValueError):
    """The evaluation cannot start; the message says why."""


@dataclass(frozen=True)
class EvaluateOptions:
    """What to evaluate, on which batteries."""

    policies: tyro.conf.Positional[tuple[str, ...]]
    """Shipped policies such as walk, files, or hf://owner/repo; several are compared."""
    battery: Literal["all", "gymnasium", "episodes", "pushes", "steer", "commands", "rise"] = "all"
    """gymnasium: Gymnasium's environment of the policy's robot at its own rate, mean return of
    whole episodes; policies for ant, half_cheetah, hopper and walker2d have this battery alone.
    episodes: at 100 Hz, 15 s episodes as they are and with each command one control period late,
    and 10-minute episodes. pushes: at 100 Hz, 0.2 s on the torso from random headings; survived
    if still up 6 s later. A robot has fallen when its torso leaves 1 to 2 m, as in Humanoid-v4;
    another robot, when its root leaves 5/7 to 10/7 of the height at which it starts. steer: for
    steer, which has this battery alone: falls and errors under commands redrawn every 5 s, late
    commands, drift, stopping, pushes; each with its bar. commands: for every other policy that
    follows velocity commands, on whatever robot: the velocity that it reaches. rise: for policies
    that get the robot up, which have this battery alone: from postures in which it lies after it
    was thrown down, and whether steer stands when it takes over; each with its bar."""
    episodes: int = 100
    """Episodes of gymnasium and of 15 s; starts of commands, at most 3; a fifth of the postures of
    rise."""
    long_episodes: int = 10
    """Episodes of 10 minutes; 0: none."""
    pushes: int = 200
    """Pushes of each force."""
    forces_n: tuple[float, ...] = (100.0, 150.0, 200.0, 300.0)
    """Forces of the pushes [N]."""
    delay_steps: int = 0
    """Control periods by which commands are late in the pushes battery."""
    observation: Literal["simulation", "shadow"] = "simulation"
    """episodes and pushes: what the policy reads. simulation: the simulation's own observation.
    shadow: one made of the joint states and the base's state alone, as observation_node makes it
    on a robot."""
    sample: bool = False
    """Draw actions from the Gaussian, as CleanRL's evaluation does, instead of its mean."""
    seed: int = 0
    """Seed of the initial states, the pushes and the drawn actions."""
    robot: str = ""
    """Name of a robot card, or a YAML card or MJCF file; default: the robot of each policy."""
    model: str = ""
    """MJCF file that replaces the robot's."""
    threads: int = 0
    """Threads of the physics; 0: one for each core."""
    output: Path | None = None
    """Directory for the numbers (JSON) and the polar picture of the pushes (PNG)."""


def summarise(outcome: Outcome, duration_s: float) -> dict[str, float]:
    """The row of the episodes table."""
    drift = np.linalg.norm(outcome.displacement_m, axis=1)
    return {
        "episodes": int(outcome.fell.size),
        "duration_s": duration_s,
        "falls": int(outcome.fell.sum()),
        "upright_s": float(outcome.upright_s.mean()),
        "speed_m_s": float(outcome.speed_m_s.mean()),
        "drift_m": float(drift.mean()),
        "sideways_m": float(np.abs(outcome.displacement_m[:, 1]).mean()),
        "turn_deg": float(np.rad2deg(np.abs(outcome.yaw_rad)).mean()),
        "effort": float(outcome.effort.mean()),
    }


def evaluate(
    name: str,
    policy: Checkpoint | TermPolicy,
    robot: RobotModel,
    options: EvaluateOptions,
    progress: Progress,
) -> dict[str, Any]:
    """All batteries that `options` ask for."""
    result: dict[str, Any] = {"policy": name}
    if isinstance(policy, TermPolicy):
        run_battery = _BATTERIES[_battery_of(policy)]
        return {**result, **run_battery(name, robot, policy, options, progress)}
    checkpoint = policy
    chosen = options.battery
    job = _jobs(name, progress)

    environment = gymnasium_battery.environment_of(checkpoint)
    if environment is not None and chosen in ("all", "gymnasium") and not options.model:
        result["gymnasium"] = gymnasium_battery.evaluate(
            environment,
            checkpoint,
            robot,
            options.episodes,
            options.seed,
            job(environment.name),
            sample=options.sample,
        )
    if not has_humanoid_v4(robot):
        return result
    observer = PosedObserver(robot) if options.observation == "shadow" else None
    conditions = Conditions(options.seed, options.threads, options.sample, observer)
    if chosen in ("all", "episodes"):
        rows = {}
        for label, n, duration_s, delay in (
            ("15 s", options.episodes, EPISODE_S, 0),
            ("15 s, one step late", options.episodes, EPISODE_S, 1),
            ("10 min", options.long_episodes, LONG_EPISODE_S, 0),
        ):
            if n > 0:
                trial = Trial(n, duration_s, delay)
                outcome = run_trial(robot, checkpoint, trial, conditions, job(label))
                rows[label] = summarise(outcome, duration_s)
        result["episodes"] = rows
    if chosen in ("all", "pushes"):
        result["pushes"] = []
        for force_n in options.forces_n:
            trial = _pushes(force_n, options)
            outcome = run_trial(robot, checkpoint, trial, conditions, job(f"{force_n:.0f} N"))
            result["pushes"].append(_summarise_pushes(trial, outcome))
    return result


def _jobs(name: str, progress: Progress) -> Callable[[str], Report]:
    """Starts a bar for each job of a policy, by what it does; returns what moves that bar."""

    def job(label: str) -> Report:
        task = progress.add_task(f"{name}: {label}", total=1.0)
        return lambda share: progress.update(task, completed=share)

    return job


def _steer(
    name: str,
    robot: RobotModel,
    policy: TermPolicy,
    options: EvaluateOptions,
    progress: Progress,
) -> dict[str, Any]:
    """The battery of steer."""
    job = _jobs(name, progress)
    rows, drive = steer_battery.evaluate(
        robot,
        policy,
        options.episodes,
        min(options.pushes, 100),
        options.seed,
        options.threads,
        job,
    )
    commands, errors = drive.errors()
    return {
        "steer": {
            "rows": [asdict(row) for row in rows],
            "commands": commands.round(3).tolist(),
            "rms_errors": errors.round(4).tolist(),
        }
    }


def _commands(
    name: str,
    robot: RobotModel,
    policy: TermPolicy,
    options: EvaluateOptions,
    progress: Progress,
) -> dict[str, Any]:
    """The battery of every other policy that follows commands."""
    starts = min(options.episodes, MOST_STARTS)
    report = _jobs(name, progress)("commands")
    rows = command_battery.evaluate(name, robot, starts, options.seed, report)
    return {"commands": rows}


def _rise(
    name: str,
    robot: RobotModel,
    policy: TermPolicy,
    options: EvaluateOptions,
    progress: Progress,
) -> dict[str, Any]:
    """The battery of a policy that gets the robot up."""
    job = _jobs(name, progress)
    rows = rise_battery.evaluate(
        robot, policy, 5 * options.episodes, options.seed, options.threads, job
    )
    return {"rise": {"rows": [asdict(row) for row in rows]}}


_BATTERIES = {"steer": _steer, "commands": _commands, "rise": _rise}
"""Battery of policies that read input terms → what runs it."""


def _battery_of(policy: TermPolicy) -> str:
    """The battery of a policy that reads input terms; empty: it has none."""
    card = policy.card
    if card.takes_commands:
        return "steer" if card.steers else "commands"
    return "rise" if card.task == "rise" else ""


def _pushes(force_n: float, options: EvaluateOptions) -> Trial:
    """Each robot is pushed once: one push in each of n equal sectors, at a random heading in it."""
    n = options.pushes
    random = np.random.default_rng(options.seed + 1)
    heading = (np.arange(n) + random.random(n)) * (2 * np.pi / n) - np.pi
    at = random.uniform(*PUSH_AT_S, n)
    duration_s = PUSH_AT_S[1] + PUSH_S + SURVIVED_PUSH_S
    return Trial(n, duration_s, options.delay_steps, force_n, heading, at)


def _summarise_pushes(trial: Trial, outcome: Outcome) -> dict[str, Any]:
    """The entry of one force."""
    assert trial.heading_rad is not None
    assert trial.push_at_s is not None
    survived = outcome.survived(trial.push_at_s)
    return {
        "force_n": trial.force_n,
        "pushes": trial.n,
        "survived": int(survived.sum()),
        "survived_share": float(survived.mean()),
        "fell_before_push": int((outcome.fell & (outcome.upright_s < trial.push_at_s)).sum()),
        "headings_deg": [round(float(h), 1) for h in np.rad2deg(trial.heading_rad)],
        "survived_each": [bool(s) for s in survived],
    }


def _load(options: EvaluateOptions) -> list[tuple[str, Checkpoint | TermPolicy, RobotModel]]:
    """The policies by name, each with the robot that it is checked against."""
    if not options.policies:
        raise EvaluationError("name at least one policy, such as walk")
    if min(options.episodes, options.pushes) < 1 or options.long_episodes < 0:
        raise EvaluationError("--episodes and --pushes must be at least 1")
    if options.battery == "gymnasium" and options.model:
        raise EvaluationError("--battery gymnasium has Gymnasium's own models: leave out --model")
    config = ModelConfig(model=options.model)
    default = RobotModel(replace(config, robot=options.robot) if options.robot else config)
    loaded = []
    for name in options.policies:
        policy, robot = policy_file.load(locate.find(name), default), default
        own = _robot_of(policy)
        is_free = not (options.robot or options.model)
        if is_free and own not in ("", robot.name, robot.card.name):
            robot = RobotModel(ModelConfig(robot=own))
        _check(name, policy, robot, options.battery)
        loaded.append((name, policy, robot))
    return loaded


def _robot_of(policy: Checkpoint | TermPolicy) -> str:
    """The robot that a policy names; empty: none."""
    if isinstance(policy, TermPolicy):
        return policy.card.robot
    environment = _environment_of(policy)
    return environment.robot if environment else ""


def _environment_of(policy: Checkpoint | TermPolicy) -> Environment | None:
    if isinstance(policy, TermPolicy):
        return None
    return gymnasium_battery.environment_of(policy)


def _check(name: str, policy: Checkpoint | TermPolicy, robot: RobotModel, battery: str) -> None:
    """Checks that a policy fits its robot and has the battery."""
    if isinstance(policy, TermPolicy):
        own = _battery_of(policy)
        if not own:
            raise EvaluationError(
                f"{name} is made of input terms and neither follows commands nor gets a robot "
                "up: no battery measures it; if it was exported, evaluate the checkpoint that it "
                "was made of"
            )
        if battery not in ("all", own):
            raise EvaluationError(f"the battery of {name} is {own}, not {battery}")
    elif battery in _BATTERIES:
        raise EvaluationError(f"{name} reads no input terms: it has no battery {battery}")
    try:
        if isinstance(policy, TermPolicy):
            fit.check_fits(policy, robot)
        else:
            policy.check_fits(robot, rate_tolerance=np.inf)
    except CheckpointError as error:
        raise CheckpointError(f"{name}: {error}") from None
    if battery in ("episodes", "pushes") and not has_humanoid_v4(robot):
        raise EvaluationError(f"{name} drives '{robot.name}': its battery is gymnasium")
    if battery == "gymnasium" and _environment_of(policy) is None:
        raise EvaluationError(
            f"{name} drives '{robot.name}', of which Gymnasium has no environment"
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    try:
        options = tyro.cli(
            EvaluateOptions, args=argv, prog="humanoid evaluate", description=__doc__
        )
    except SystemExit as stop:
        return int(stop.code or 0)
    return run(options)


def run(options: EvaluateOptions) -> int:
    """Runs `humanoid evaluate`; returns its exit code."""
    console = Console()
    started = time.monotonic()
    try:
        loaded = _load(options)
        columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as progress:
            results = [evaluate(*one, options, progress) for one in loaded]
    except (CheckpointError, EvaluationError, GymnasiumError, ModelError) as error:
        print(f"humanoid evaluate: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    tables.show(results, console, posed=options.observation == "shadow")
    if options.output is not None:
        for path in tables.write(results, options, options.output):
            console.print(f"wrote {path}")
    console.print(f"{time.monotonic() - started:.0f} s")
    return 0
