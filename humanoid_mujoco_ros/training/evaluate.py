# SPDX-License-Identifier: Apache-2.0
"""`humanoid evaluate POLICY…`: how well policies walk, stand and take a push."""

from __future__ import annotations

import copy
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import mujoco
import numpy as np
import tyro
from mujoco.batch import Batch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from humanoid_mujoco_ros.policy import checkpoint as checkpoints
from humanoid_mujoco_ros.policy import locate as policy_source
from humanoid_mujoco_ros.policy import observation
from humanoid_mujoco_ros.policy.checkpoint import Checkpoint, CheckpointError
from humanoid_mujoco_ros.policy.inference import NORMALIZATION_EPSILON, Network
from humanoid_mujoco_ros.robot import rotation
from humanoid_mujoco_ros.robot.model import ModelConfig, ModelError, RobotModel
from humanoid_mujoco_ros.robot.posed_model import PosedModel
from humanoid_mujoco_ros.simulation.simulation import healthy_height_m
from humanoid_mujoco_ros.training.tasks import humanoid_v4_reset, outside_height

Array = NDArray[np.float64]
Report = Callable[[float], None]
"""Takes the done share of a job, 0 to 1."""

HUMANOID_V4_STEPS = 1000
PUSH_S = 0.2
PUSH_AT_S = (3.0, 5.0)
"""When a push comes, uniformly: the robot has found its gait."""
PUSH_SURVIVED_AFTER_S = 6.0
EPISODE_S = 15.0
LONG_EPISODE_S = 600.0


class EvaluationError(ValueError):
    """The evaluation cannot start; the message says why."""


@dataclass(frozen=True)
class EvaluateOptions:
    """What to evaluate, on which batteries."""

    policies: tyro.conf.Positional[tuple[str, ...]]
    """Shipped policies (walk, balance), files, or hf://owner/repo; several are compared."""
    battery: Literal["all", "humanoid_v4", "episodes", "pushes"] = "all"
    """humanoid_v4: Gymnasium's environment at its own 66.67 Hz, mean return of 1,000 steps.
    episodes: at 100 Hz, 15 s episodes as they are and with each command one control period late,
    and 10-minute episodes. pushes: at 100 Hz, 0.2 s on the torso from random headings; survived
    if still up 6 s later. A robot has fallen when its torso leaves 1 to 2 m, as in Humanoid-v4;
    another robot, when its root leaves 5/7 to 10/7 of the height at which it starts."""
    episodes: int = 100
    """Episodes of humanoid_v4 and of 15 s."""
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
    model: str = ""
    """MJCF file of another robot; default: Gymnasium's humanoid."""
    threads: int = 0
    """Threads of the physics; 0: one for each core."""
    output: Path | None = None
    """Directory for the numbers (JSON) and the polar picture of the pushes (PNG)."""


class BatchPolicy:
    """A checkpoint driving N simulations: observations in, mean (or drawn) actions out.

    A checkpoint with running normalisation keeps statistics of each simulation, over its
    episodes, as CleanRL's evaluation does for its one environment.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        robot: RobotModel,
        n: int,
        sample: bool = False,
        seed: int = 0,
    ) -> None:
        """Prepares `n` copies of `checkpoint` for `robot`, at whatever control rate.

        Raises:
            CheckpointError: Model, observation or joints do not fit.
        """
        checkpoint.check_fits(robot, rate_tolerance=np.inf)
        self._checkpoint = checkpoint
        self._network = Network(checkpoint)
        self._sample = sample
        self._random = np.random.default_rng(seed)
        self._order = [checkpoint.joints.index(joint) for joint in robot.action_joints]
        self._running = checkpoint.observation_mean is None or checkpoint.observation_var is None
        size = checkpoint.observation_size
        self._mean = np.zeros((n, size)) if self._running else checkpoint.observation_mean
        self._var = np.ones((n, size)) if self._running else checkpoint.observation_var
        self._count = np.full((n, 1), 1e-4)

    def actions(self, observed: Array, ids: NDArray[np.intp]) -> Array:
        """(k, actions) by actuator for observations (k, observations) of the simulations `ids`."""
        checkpoint = self._checkpoint
        assert self._mean is not None
        assert self._var is not None
        if self._running:
            self._update(observed, ids)
            mean, var = self._mean[ids], self._var[ids]
        else:
            mean, var = self._mean, self._var
        clip = checkpoint.observation_clip
        normalized = np.clip(
            (observed - mean) / np.sqrt(var + NORMALIZATION_EPSILON), -clip, clip
        ).astype(np.float32)
        action = self._network(normalized).astype(np.float64)
        if self._sample:
            action += np.exp(checkpoint.log_std) * self._random.standard_normal(action.shape)
        limit = checkpoint.action_limit
        return np.clip(action, -limit, limit)[:, self._order]

    def _update(self, observed: Array, ids: NDArray[np.intp]) -> None:
        assert self._mean is not None
        assert self._var is not None
        count = self._count[ids]
        total = count + 1.0
        delta = observed - self._mean[ids]
        self._mean[ids] += delta / total
        self._var[ids] = (self._var[ids] * count + np.square(delta) * count / total) / total
        self._count[ids] = total


class PosedObserver:
    """Observes simulated robots by what hardware would publish, as observation_node does."""

    def __init__(self, robot: RobotModel) -> None:
        """One posed model poses as one robot after the other."""
        self._posed = PosedModel(robot)

    def observe(self, qpos: Array, qvel: Array, qfrc_actuator: Array) -> Array:
        """(N, observations) of N robots, without contact forces; a new array.

        Args:
            qpos: (N, nq) [m, rad].
            qvel: (N, nv) [m/s, rad/s].
            qfrc_actuator: (N, nv) [N, N·m].
        """
        robot = self._posed.robot
        quaternion = rotation.normalized(qpos[:, 3:7])
        # The twist of odom is in base_link; MuJoCo has the linear velocity in the world.
        linear = rotation.rotate(rotation.conjugate(quaternion), qvel[:, :3])
        observed = np.empty((len(qpos), observation.size(robot.mj)))
        for i in range(len(qpos)):
            self._posed.set_state(
                qpos[i, :3],
                quaternion[i],
                linear[i],
                qvel[i, 3:6],
                qpos[i, robot.qpos_indices],
                qvel[i, robot.dof_indices],
                qfrc_actuator[i, robot.dof_indices],
            )
            observed[i] = self._posed.observation()
        return observed


@dataclass(frozen=True)
class Trial:
    """N episodes of a fixed length, each perhaps with one push."""

    n: int
    duration_s: float
    delay_steps: int = 0
    force_n: float = 0.0
    heading_rad: Array | None = None
    """(N,) direction of the push in the world; None: no push."""
    push_at_s: Array | None = None
    """(N,) when the push starts."""


@dataclass(frozen=True)
class Outcome:
    """What happened in a trial; one value for each episode."""

    fell: NDArray[np.bool_]
    upright_s: Array
    """Time until the fall or the end."""
    displacement_m: Array
    """(N, 2) of the root, to the fall or the end."""
    yaw_rad: Array
    """Heading in the end."""
    effort: Array
    """Mean square of the control signals."""

    @property
    def speed_m_s(self) -> Array:
        """Mean forward speed."""
        return self.displacement_m[:, 0] / self.upright_s


def run_trial(
    robot: RobotModel,
    checkpoint: Checkpoint,
    trial: Trial,
    seed: int = 0,
    threads: int = 0,
    sample: bool = False,
    report: Report = lambda share: None,
    observer: PosedObserver | None = None,
) -> Outcome:
    """Simulates a trial; a fallen robot is simulated no further.

    The push acts at the root's origin, horizontally, fixed in the world. It does not show in the
    observation. cfrc_ext, for a policy that reads it, is that of the last physics step.

    Args:
        robot: Whom to simulate.
        checkpoint: What drives it.
        trial: What happens.
        seed: Of the initial states and the drawn actions.
        threads: Of the physics; 0: one for each core.
        sample: Draw the actions instead of taking their mean.
        report: Hears of the progress.
        observer: Makes the observations; None: they are the simulation's own.
    """
    n = trial.n
    random = np.random.default_rng(seed)
    policy = BatchPolicy(checkpoint, robot, n, sample, seed)
    block = next(b for b in observation.layout(robot.mj) if b.name == "cfrc_ext")
    reads_contact = observer is None and bool(np.any(checkpoint.weights[0][:, block.slice]))
    model = robot.mj
    if not reads_contact:  # only the sensors make MuJoCo compute contact forces
        model = _without_sensors(model)
    batch = Batch(model, n, threads or os.cpu_count() or 1)
    qpos, qvel, ctrl = batch.bind("qpos"), batch.bind("qvel"), batch.bind("ctrl")
    force = batch.bind("qfrc_applied")[:, :2]
    cinert, cvel = batch.bind("cinert"), batch.bind("cvel")
    qfrc_actuator = batch.bind("qfrc_actuator")
    contact = batch.bind("cfrc_ext") if reads_contact else None
    batch.reset(stage=int(mujoco.mjtStage.mjSTAGE_NONE))
    qpos[:], qvel[:] = humanoid_v4_reset(robot, random, n)
    start = qpos[:, :2].copy()
    batch.forward()
    period = robot.control_period_s
    steps = round(trial.duration_s / period)
    push_first = push_last = np.full(n, -1)
    push = np.zeros((n, 2))
    if trial.heading_rad is not None and trial.push_at_s is not None:
        push_first = np.rint(trial.push_at_s / period).astype(int)
        push_last = push_first + round(PUSH_S / period)
        push = trial.force_n * np.column_stack(
            (np.cos(trial.heading_rad), np.sin(trial.heading_rad))
        )
    healthy = healthy_height_m(robot)
    waiting = [np.zeros((n, model.nu)) for _ in range(trial.delay_steps)]
    up = np.ones(n, dtype=bool)
    upright_steps = np.zeros(n)
    effort = np.zeros(n)
    for step in range(steps):
        ids = np.flatnonzero(up)
        if ids.size == 0:
            break
        if step % 50 == 0:
            report(step / steps)
        if observer is not None:
            observed = observer.observe(qpos[ids], qvel[ids], qfrc_actuator[ids])
        else:
            observed = observation.observe(
                qpos[ids],
                qvel[ids],
                cinert[ids],
                cvel[ids],
                qfrc_actuator[ids],
                None if contact is None else contact[ids],
            )
        action = np.zeros((n, model.nu))
        action[ids] = policy.actions(observed, ids)
        waiting.append(action)
        applied = waiting.pop(0)
        ctrl[:] = applied
        force[:] = np.where(((push_first <= step) & (step < push_last))[:, None], push, 0.0)
        batch.step(ids, nstep=robot.config.steps_per_control)
        effort += np.square(applied).mean(axis=1) * up
        upright_steps += up
        up[ids] = ~outside_height(qpos[ids], healthy) & np.isfinite(qpos[ids]).all(axis=1)
    report(1.0)
    w, x, y, z = qpos[:, 3:7].T
    return Outcome(
        fell=~up,
        upright_s=upright_steps * period,
        displacement_m=qpos[:, :2] - start,
        yaw_rad=np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z)),
        effort=effort / upright_steps,
    )


def humanoid_v4(
    checkpoint: Checkpoint,
    robot: RobotModel,
    episodes: int,
    seed: int = 0,
    sample: bool = False,
    report: Report = lambda share: None,
) -> dict[str, float]:
    """Returns and lengths of `episodes` of gymnasium.make("Humanoid-v4").

    Raises:
        EvaluationError: Gymnasium cannot make it.
    """
    try:
        import gymnasium
    except ImportError as error:
        raise EvaluationError("this battery needs gymnasium: pip install gymnasium") from error
    try:
        gymnasium.logger.min_level = gymnasium.logger.ERROR  # "Humanoid-v4 is out of date"
        environment = gymnasium.make("Humanoid-v4")
    except Exception as error:  # a dependency of Gymnasium is missing; it says which
        raise EvaluationError(
            f"Gymnasium cannot make Humanoid-v4 (it needs mujoco, imageio, packaging): {error}"
        ) from error
    block = next(b for b in observation.layout(robot.mj) if b.name == "cfrc_ext")
    masks = not np.any(checkpoint.weights[0][:, block.slice])
    policy = BatchPolicy(checkpoint, robot, 1, sample, seed)
    only = np.zeros(1, dtype=np.intp)
    returns, lengths, speeds = [], [], []
    for episode in range(episodes):
        observed, _ = environment.reset(seed=seed if episode == 0 else None)
        total, length, done = 0.0, 0, False
        info: dict[str, Any] = {"x_position": 0.0}
        while not done:
            if masks:
                observed[block.slice] = 0.0
            action = policy.actions(observed[None], only)[0]
            observed, reward, terminated, truncated, info = environment.step(action)
            total += float(reward)
            length += 1
            done = terminated or truncated
        returns.append(total)
        lengths.append(length)
        speeds.append(float(info["x_position"]) / (length * 0.015))
        report((episode + 1) / episodes)
    environment.close()
    return {
        "return_mean": float(np.mean(returns)),
        "return_std": float(np.std(returns)),
        "return_min": float(np.min(returns)),
        "length_mean": float(np.mean(lengths)),
        "falls": int(np.sum(np.array(lengths) < HUMANOID_V4_STEPS)),
        "episodes": episodes,
        "speed_m_s": float(np.mean(speeds)),
    }


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
    name: str, checkpoint: Checkpoint, options: EvaluateOptions, progress: Progress
) -> dict[str, Any]:
    """All batteries that `options` ask for."""
    robot = RobotModel(_model_config(options.model))
    result: dict[str, Any] = {"policy": name}
    chosen = options.battery
    observer = PosedObserver(robot) if options.observation == "shadow" else None

    def job(label: str) -> Report:
        task = progress.add_task(f"{name}: {label}", total=1.0)
        return lambda share: progress.update(task, completed=share)

    if chosen in ("all", "humanoid_v4") and not options.model:
        result["humanoid_v4"] = humanoid_v4(
            checkpoint,
            robot,
            options.episodes,
            options.seed,
            options.sample,
            job("Humanoid-v4"),
        )
    if chosen in ("all", "episodes"):
        rows = {}
        for label, n, duration_s, delay in (
            ("15 s", options.episodes, EPISODE_S, 0),
            ("15 s, one step late", options.episodes, EPISODE_S, 1),
            ("10 min", options.long_episodes, LONG_EPISODE_S, 0),
        ):
            if n > 0:
                trial = Trial(n, duration_s, delay)
                outcome = run_trial(
                    robot,
                    checkpoint,
                    trial,
                    options.seed,
                    options.threads,
                    options.sample,
                    job(label),
                    observer,
                )
                rows[label] = summarise(outcome, duration_s)
        result["episodes"] = rows
    if chosen in ("all", "pushes"):
        result["pushes"] = [
            _pushes(robot, checkpoint, force, options, job(f"{force:.0f} N"), observer)
            for force in options.forces_n
        ]
    return result


def _pushes(
    robot: RobotModel,
    checkpoint: Checkpoint,
    force_n: float,
    options: EvaluateOptions,
    report: Report,
    observer: PosedObserver | None,
) -> dict[str, Any]:
    n = options.pushes
    random = np.random.default_rng(options.seed + 1)
    # One push in each of n equal sectors, at a random heading in it.
    heading = (np.arange(n) + random.random(n)) * (2 * np.pi / n) - np.pi
    at = random.uniform(*PUSH_AT_S, n)
    duration_s = PUSH_AT_S[1] + PUSH_S + PUSH_SURVIVED_AFTER_S
    trial = Trial(n, duration_s, options.delay_steps, force_n, heading, at)
    outcome = run_trial(
        robot, checkpoint, trial, options.seed, options.threads, options.sample, report, observer
    )
    # Falls later than 6 s after the push do not count, as the push may have come early.
    survived = outcome.upright_s >= at + PUSH_S + PUSH_SURVIVED_AFTER_S - 1e-6
    survived |= ~outcome.fell
    return {
        "force_n": force_n,
        "pushes": n,
        "survived": int(survived.sum()),
        "survived_share": float(survived.mean()),
        "fell_before_push": int((outcome.fell & (outcome.upright_s < at)).sum()),
        "headings_deg": [round(float(h), 1) for h in np.rad2deg(heading)],
        "survived_each": [bool(s) for s in survived],
    }


def print_tables(
    results: Sequence[dict[str, Any]], console: Console, options: EvaluateOptions
) -> None:
    """One table for each battery, a row for each policy."""
    seen = ", observed through the posed model" if options.observation == "shadow" else ""
    if any("humanoid_v4" in r for r in results):
        table = Table(title="Humanoid-v4 (Gymnasium, 66.67 Hz, at most 1,000 steps)")
        for column in ("policy", "return", "std", "min", "length", "falls", "speed m/s"):
            table.add_column(column, justify="left" if column == "policy" else "right")
        for r in results:
            if "humanoid_v4" in r:
                v = r["humanoid_v4"]
                table.add_row(
                    r["policy"],
                    f"{v['return_mean']:,.1f}",
                    f"{v['return_std']:,.1f}",
                    f"{v['return_min']:,.1f}",
                    f"{v['length_mean']:.1f}",
                    f"{v['falls']}/{v['episodes']}",
                    f"{v['speed_m_s']:.2f}",
                )
        console.print(table)
    if any("episodes" in r for r in results):
        table = Table(title=f"Episodes (100 Hz, RK4 0.0025 s x 4){seen}")
        for column in (
            "policy", "episodes", "falls", "upright s", "speed m/s", "drift m", "sideways m",
            "turn deg", "mean ctrl²",
        ):  # fmt: skip
            table.add_column(column, justify="left" if column == "policy" else "right")
        for r in results:
            for label, v in r.get("episodes", {}).items():
                table.add_row(
                    r["policy"],
                    f"{v['episodes']} x {label}",
                    f"{v['falls']}",
                    f"{v['upright_s']:.1f}",
                    f"{v['speed_m_s']:.2f}",
                    f"{v['drift_m']:.2f}",
                    f"{v['sideways_m']:.2f}",
                    f"{v['turn_deg']:.1f}",
                    f"{v['effort']:.3f}",
                )
        console.print(table)
    if any("pushes" in r for r in results):
        table = Table(title=f"Pushes of {PUSH_S} s on the torso, still up 6 s later{seen}")
        table.add_column("policy")
        forces = sorted({p["force_n"] for r in results for p in r.get("pushes", [])})
        for force in forces:
            table.add_column(f"{force:.0f} N", justify="right")
        for r in results:
            shares = {p["force_n"]: p for p in r.get("pushes", [])}
            table.add_row(
                r["policy"],
                *(
                    f"{100 * shares[f]['survived_share']:.1f} % of {shares[f]['pushes']}"
                    for f in forces
                ),
            )
        console.print(table)


def write_results(results: Sequence[dict[str, Any]], options: EvaluateOptions) -> list[Path]:
    """The JSON file, and a polar picture for each policy that was pushed."""
    from humanoid_mujoco_ros.training import curves

    assert options.output is not None
    options.output.mkdir(parents=True, exist_ok=True)
    numbers = options.output / "evaluation.json"
    content = {"options": asdict(options), "results": list(results)}
    numbers.write_text(json.dumps(content, indent=1, default=str) + "\n", encoding="utf-8")
    written = [numbers]
    for r in results:
        picture = options.output / f"{Path(r['policy']).stem}_pushes.png"
        if "pushes" in r and curves.draw_pushes(r["pushes"], picture, r["policy"]):
            written.append(picture)
    return written


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
        if not options.policies:
            raise EvaluationError("name at least one policy, such as walk")
        if min(options.episodes, options.pushes) < 1 or options.long_episodes < 0:
            raise EvaluationError("--episodes and --pushes must be at least 1")
        robot = RobotModel(_model_config(options.model))
        loaded = [
            (name, checkpoints.load(policy_source.resolve(name), robot))
            for name in options.policies
        ]
        for name, checkpoint in loaded:
            try:
                checkpoint.check_fits(robot, rate_tolerance=np.inf)
            except CheckpointError as error:
                raise CheckpointError(f"{name}: {error}") from None
        columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as progress:
            results = [evaluate(name, loaded_, options, progress) for name, loaded_ in loaded]
    except (CheckpointError, EvaluationError, ModelError) as error:
        print(f"humanoid evaluate: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print_tables(results, console, options)
    if options.output is not None:
        for path in write_results(results, options):
            console.print(f"wrote {path}")
    console.print(f"{time.monotonic() - started:.0f} s")
    return 0


def _model_config(path: str) -> ModelConfig:
    return ModelConfig(path=path, left_foot="", right_foot="") if path else ModelConfig()


def _without_sensors(model: mujoco.MjModel) -> mujoco.MjModel:
    model = copy.copy(model)
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_SENSOR
    return model
