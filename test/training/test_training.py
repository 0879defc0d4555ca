# SPDX-License-Identifier: Apache-2.0
"""The trainer: it learns, it stops cleanly, its files load, its errors are clear."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from humanoid_mujoco_ros.policy import checkpoint as checkpoints  # noqa: E402
from humanoid_mujoco_ros.policy.inference import Policy  # noqa: E402
from humanoid_mujoco_ros.policy.observation import INPUT_NAME, block  # noqa: E402
from humanoid_mujoco_ros.robot.card import RobotCard  # noqa: E402
from humanoid_mujoco_ros.robot.model import RobotModel  # noqa: E402
from humanoid_mujoco_ros.simulation.simulation import Simulation  # noqa: E402
from humanoid_mujoco_ros.training import evaluate, train  # noqa: E402
from humanoid_mujoco_ros.training.options import TrainOptions  # noqa: E402
from humanoid_mujoco_ros.training.ppo import CRITIC_ONLY_ITERATIONS  # noqa: E402
from humanoid_mujoco_ros.training.task import Task  # noqa: E402
from humanoid_mujoco_ros.training.tasks import TASKS  # noqa: E402
from humanoid_mujoco_ros.training.team import Team  # noqa: E402
from humanoid_mujoco_ros.training.trainer import Trainer  # noqa: E402

TERRIER = Path(__file__).parent / "terrier.xml"
EVALUATION = ("--battery", "episodes", "--episodes", "2", "--long-episodes", "0")
SMALL = ("--environments", "32", "--steps", "16", "--minibatch", "256")
PROGRAM = (
    "import sys\nfrom humanoid_mujoco_ros.training.train import main\n"
    "if __name__ == '__main__': sys.exit(main(sys.argv[1:]))"
)


def small_trainer(output: Path, task: Task | None = None, **changes) -> Trainer:
    output.mkdir(exist_ok=True)
    options = TrainOptions(
        task or TASKS["walk"](), output=output, environments=16, steps=8, minibatch=64
    )
    torch.set_num_threads(1)
    trainer = Trainer(dataclasses.replace(options, **changes), output, Team(0, 1))
    trainer.begin()
    return trainer


def actions_in_torch(trainer: Trainer, observed: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        seen = torch.from_numpy(trainer.normalizer(observed))
        return trainer.limits * trainer.agent.actor(seen, bfloat16=False).numpy()


def actions_of(policy: checkpoints.Checkpoint, trainer: Trainer, observed: np.ndarray):
    return Policy(policy, trainer.robot).controls(observed)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Trainer:
    """A trainer after two updates, and its saved files."""
    trainer = small_trainer(tmp_path_factory.mktemp("trained"))
    for _ in range(2):
        trainer.iterate(0.0)
    trainer.save()
    return trainer


def test_the_saved_policy_acts_as_the_torch_module(trained):
    policy = checkpoints.load(trained.output / "walk.safetensors", trained.robot)
    policy.check_fits(RobotModel())
    assert (policy.input, policy.task, policy.action_limit) == (INPUT_NAME, "walk", 0.4)
    observed = trained.environment.observe()
    expected = actions_in_torch(trained, observed)
    assert np.abs(expected).max() > 1e-4
    np.testing.assert_allclose(actions_of(policy, trained, observed), expected, atol=1e-5)
    np.testing.assert_allclose(
        np.exp(policy.log_std),
        trained.limits * trained.agent.log_std().detach().exp().numpy(),
        rtol=1e-5,
    )


def test_another_robots_height_and_motors_are_its_own(tmp_path):
    few = ("--minutes", "0.03", *SMALL, "--model", str(TERRIER), "--output", str(tmp_path))
    assert train.main(["balance", *few]) == 0
    rows = [json.loads(line) for line in (tmp_path / "balance.jsonl").read_text().splitlines()]
    # By the humanoid's range of heights it would fall at every step, 6,000 times a minute.
    assert rows[0]["falls_per_minute"] < 60
    record = json.loads((tmp_path / "balance.json").read_text())
    assert record["symmetric_robot"]
    assert record["options"]["gamma"] == 0.99
    assert {"balance.safetensors", "balance.training"} <= {p.name for p in tmp_path.iterdir()}
    robot = RobotModel(RobotCard("robot", str(TERRIER), left_foot="", right_foot=""))
    path = tmp_path / "balance.safetensors"
    policy = Policy(checkpoints.load(path, robot), robot)
    assert policy.checkpoint.action_limit == 1.0
    simulation = Simulation(robot)
    state = simulation.state()
    for _ in range(50):
        efforts = policy.efforts(state.observation)
        state = simulation.step(efforts)
        assert not state.fallen
        np.testing.assert_allclose(
            state.joint_efforts, np.clip(efforts, -robot.effort_limits, robot.effort_limits)
        )
    command = [str(path), "--model", str(TERRIER), *EVALUATION, "--output", str(tmp_path)]
    assert evaluate.main(command) == 0
    result = json.loads((tmp_path / "evaluation.json").read_text())["results"][0]
    assert result["episodes"]["15 s"]["upright_s"] > 0.3


def test_a_robot_learns_in_the_physics_of_its_card():
    walk = TASKS["walk"]()
    robot = TrainOptions(walk, robot="humanoid_v4").robot_model()
    assert (robot.card.name, robot.control_period_s) == ("humanoid_v4", 0.015)
    robot = TrainOptions(walk, robot=str(TERRIER)).robot_model()
    assert robot.name == "terrier"
    assert TrainOptions(TASKS["hopper"](), robot="hopper").robot_model().name == "hopper"


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["walk", "--robot", "ant"], "walk is learnt by robots with .*; 'ant' is another kind"),
        (["walk", "--model", "position"], "walk is learnt by .*; 'position' is another kind"),
        (["hopper", "--robot", "ant"], "hopper is a task of the robot hopper, not --robot ant"),
        (["hopper", "--model", "a.xml"], "hopper is a task of the robot hopper, not --model a.x"),
        (["walk", "--robot", "gorilla"], "robot 'gorilla' is neither one of ant"),
        (["walk", "--robot", "ant", "--model", "a.xml"], "takes a model FILE.xml too: leave out"),
    ],
)
def test_a_robot_that_cannot_learn_the_task_is_one_clear_line(arguments, match, tmp_path, capsys):
    servos = TERRIER.read_text().replace("<motor ", '<position kp="9" ')
    (tmp_path / "position.xml").write_text(servos)
    known = [str(tmp_path / "position.xml") if a == "position" else a for a in arguments]
    assert train.main([*known, "--minutes", "0", "--output", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert re.search(match, said)
    assert said.count("\n") == 1


def test_each_motor_is_commanded_within_its_own_range(tmp_path):
    trainer = small_trainer(tmp_path, model=str(TERRIER), initial_std=0.4)
    np.testing.assert_array_equal(trainer.limits, [1.0, 0.5] * 4)
    seen = []
    step = trainer.environment.step
    trainer.environment.step = lambda action: seen.append(action) or step(action)
    trainer.iterate(0.0)
    largest = np.abs(np.concatenate(seen)).max(axis=0)
    np.testing.assert_array_equal(largest, trainer.limits)
    policy = trainer.checkpoint()
    np.testing.assert_allclose(np.exp(policy.log_std), trainer.limits, rtol=0.1)
    observed = trainer.environment.observe()
    expected = actions_in_torch(trainer, observed)
    np.testing.assert_allclose(actions_of(policy, trainer, observed), expected, atol=1e-5)
    resumed = small_trainer(tmp_path / "again", model=str(TERRIER), resume=str(trainer.save()))
    np.testing.assert_allclose(actions_in_torch(resumed, observed), expected, atol=1e-5)
    np.testing.assert_allclose(
        resumed.agent.log_std().detach(), trainer.agent.log_std().detach(), atol=1e-6
    )


def test_a_control_range_to_one_side_is_refused(tmp_path, capsys):
    path = tmp_path / "one_sided.xml"
    path.write_text(TERRIER.read_text().replace('ctrlrange="-.5 .5"', 'ctrlrange="0 1"'))
    assert train.main(["walk", "--model", str(path)]) == 2
    assert "'left_fore_knee' has the ctrlrange 0 to 1, expected" in capsys.readouterr().err


def test_constant_and_masked_columns_have_zero_weights(trained):
    policy = checkpoints.load(trained.output / "walk.safetensors", trained.robot)
    unused = np.setdiff1d(np.arange(policy.observation_size), trained.normalizer.columns)
    contact = block(trained.robot.mj, "cfrc_ext").slice
    assert set(range(376)[contact]) <= set(unused.tolist())
    assert not policy.weights[0][:, unused].any()


def test_updates_keep_the_networks_symmetric(trained):
    observed = trained.environment.observe()
    image = trained.mirror.observation(observed)
    np.testing.assert_allclose(
        actions_in_torch(trained, image),
        trained.mirror.action(actions_in_torch(trained, observed).astype(np.float64)),
        atol=1e-5,
    )


def test_resume_continues_with_the_same_networks(trained, tmp_path):
    path = trained.output / "walk.safetensors"
    resumed = small_trainer(tmp_path, resume=str(path))
    observed = trained.environment.observe()
    np.testing.assert_allclose(
        actions_in_torch(resumed, observed), actions_in_torch(trained, observed), atol=1e-5
    )
    for name, value in trained.agent.critic.state_dict().items():
        torch.testing.assert_close(resumed.agent.critic.state_dict()[name], value)
    assert resumed.steps_done == trained.steps_done
    assert resumed.optimizer.critic_only == 0


def test_resume_without_the_training_file_starts_a_critic(trained, tmp_path):
    path = tmp_path / "walk.safetensors"
    path.write_bytes((trained.output / "walk.safetensors").read_bytes())
    resumed = small_trainer(tmp_path / "again", resume=str(path))
    assert resumed.optimizer.critic_only == CRITIC_ONLY_ITERATIONS
    before = [layer.weight.detach().clone() for layer in resumed.agent.layers()]
    resumed.iterate(0.0)
    moved = [
        not torch.equal(old, layer.weight)
        for old, layer in zip(before, resumed.agent.layers(), strict=True)
    ]
    assert moved == [False] * 3 + [True] * 3  # the actor waits for its critic


def test_training_improves(tmp_path):
    trainer = small_trainer(tmp_path, environments=64, steps=32, minibatch=512)
    returns = [trainer.iterate(0.0)["return"] for _ in range(20)]
    assert np.mean(returns[-3:]) > 1.5 * np.mean(returns[:3])


def environment_of_a_run() -> dict[str, str]:
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(p for p in (root, os.environ.get("PYTHONPATH")) if p)
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


@pytest.mark.parametrize("processes", [1, 2])
def test_ctrl_c_leaves_a_checkpoint(tmp_path, processes):
    command = [
        *(sys.executable, "-c", PROGRAM),
        *("balance", "--minutes", "5", "--output", str(tmp_path), *SMALL),
        *("--processes", str(processes)),
    ]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment_of_a_run(),
        start_new_session=True,
    ) as process:
        table = tmp_path / "balance.jsonl"
        deadline = time.monotonic() + 60
        while not (table.is_file() and table.stat().st_size):
            assert time.monotonic() < deadline, "the training never began"
            assert process.poll() is None, process.stdout.read()
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    policy = checkpoints.load(tmp_path / "balance.safetensors", RobotModel())
    assert policy.task == "balance"


@pytest.mark.slow
def test_two_processes_of_torchrun_train_together(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(PROGRAM)
    output = tmp_path / "output"
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"),
        *(str(script), "balance", "--minutes", "0.05", "--output", str(output), *SMALL),
    ]
    result = subprocess.run(
        command, env=environment_of_a_run(), capture_output=True, text=True, timeout=200
    )
    assert result.returncode == 0, result.stderr
    rows = [json.loads(line) for line in (output / "balance.jsonl").read_text().splitlines()]
    assert rows[0]["steps"] == 2 * 32 * 16  # of both
    assert checkpoints.load(output / "balance.safetensors", RobotModel()).task == "balance"
    assert result.stdout.count("saved ") == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("dance",), "dance"),
        (("walk", "--resume", "no/such.safetensors"), "neither shipped nor a file"),
        (("walk", "--model", "no/such.xml"), "no/such.xml does not exist"),
        (("walk", "--minibatch", "100000"), "more than the 32768 samples"),
        (("walk", "--hidden", "31"), "even"),
    ],
)
def test_bad_input_is_one_clear_line_and_exit_code_2(arguments, complaint, capsys, tmp_path):
    assert train.main([*arguments, "--output", str(tmp_path)]) == 2
    assert complaint in capsys.readouterr().err


class Creep(Task):
    """A task with a curriculum that counts its own steps."""

    name = "creep"

    def prepare(self, robot, n, random):
        super().prepare(robot, n, random)
        self.steps = 0

    def reward(self, state):
        self.steps += 1
        return state.qpos[:, 2]

    def figures(self):
        steps, self.steps = self.steps, 0
        return {"steps": steps}

    def adapt(self, figures, falls_per_minute):
        assert falls_per_minute >= 0.0
        self.level += 0.25
        return {"own_steps": figures["steps"]}


def test_a_tasks_curriculum_is_asked_logged_and_resumed(tmp_path):
    trainer = small_trainer(tmp_path, Creep())
    row = trainer.iterate(0.0)
    assert row["own_steps"] == 8.0
    assert trainer.options.task.level == 0.0  # options stay as they were given
    path = trainer.save()
    resumed = small_trainer(tmp_path, Creep(), resume=str(path))
    assert resumed.task.level == 0.25
    assert resumed.checkpoint().task == "creep"
    another = small_trainer(tmp_path, resume=str(path))
    assert another.task.level == 0.0


def test_a_policy_that_reads_something_else_cannot_be_resumed(trained, tmp_path, capsys):
    policy = checkpoints.load(trained.output / "walk.safetensors", trained.robot)
    path = tmp_path / "other.safetensors"
    dataclasses.replace(policy, input="pixels").save(path)
    assert train.main(["walk", "--resume", str(path)]) == 2
    assert "reads 'pixels', the task walk reads 'humanoid_v4'" in capsys.readouterr().err


def test_options_of_a_task_are_recorded_with_the_others():
    options = TrainOptions(TASKS["walk"](speed_m_s=1.2))
    assert options.resolved()["task"] == "walk"
    assert options.resolved()["speed_m_s"] == 1.2
    assert options.resolved()["gamma"] == 0.99


def test_other_widths_are_refused_with_both_named(trained, tmp_path, capsys):
    path = str(trained.output / "walk.safetensors")
    assert train.main(["walk", "--resume", path, "--hidden", "64", "64"]) == 2
    assert "(256, 256), the option --hidden says (64, 64)" in capsys.readouterr().err


def test_without_torch_the_message_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert train.main(["walk"]) == 2
    assert "make torch" in capsys.readouterr().err


def test_help_explains_every_option(capsys):
    assert train.main(["--help"]) == 0
    text = capsys.readouterr().out
    for field in dataclasses.fields(TrainOptions):
        if field.name not in ("task", "environment"):
            assert f"--{field.name.replace('_', '-')}" in text
