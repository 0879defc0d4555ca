# SPDX-License-Identifier: Apache-2.0
"""The commands in README.md and docs/ do what they say."""

import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

from humanoid_mujoco_ros import cli, subcommands

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
if not DOCUMENTS[0].exists():
    pytest.skip("the documents are not installed", allow_module_level=True)

HERE = [sys.executable, "-m", "humanoid_mujoco_ros.cli"]
ENDLESS = {"sim": ["--duration", "1"]}
"""Command → options that let it end."""
FINITE = {"report", "bag", "urdf"}
"""Commands that end by themselves, and soon."""


def lines(path):
    """The commands in a document's blocks of shell commands."""
    for block in re.findall(r"^```(?:sh|bash|console)\n(.*?)^```", path.read_text(), re.M | re.S):
        for line in block.replace("\\\n", " ").splitlines():
            yield line.removeprefix("$ ").split(" #")[0].strip()


def commands(path):
    """The arguments of each `humanoid`, called by its name or by `make sim`."""
    for line in lines(path):
        words = shlex.split(line)
        if words[:1] == ["humanoid"]:
            yield words[1:]
        elif words[:2] == ["make", "sim"]:
            values = dict(word.split("=", 1) for word in words[2:])
            yield ["sim", *shlex.split(values.get("ARGS", ""))]


def commands_to_run(path):
    """Those of a document that end, and that no document before it has: but for recordings."""
    before = [c for other in DOCUMENTS[: DOCUMENTS.index(path)] for c in commands(other)]
    for arguments in commands(path):
        if any(argument.startswith("hf://") for argument in arguments):
            continue  # needs the internet
        if arguments in before and "--record" not in arguments:
            continue
        if arguments[0] in ENDLESS:
            # The page has a port of its own on this machine, and tests of its own.
            yield [*arguments, *ENDLESS[arguments[0]], "--no-viewer"]
        elif arguments[0] in FINITE:
            yield arguments


def test_the_tables_of_parameters_are_those_of_the_code():
    tool = runpy.run_path(str(ROOT / "tools" / "parameter_tables.py"))
    written = tool["PAGE"].read_text(encoding="utf-8")
    assert written == tool["page"](), "docs/parameters.md is old: run make docs"


def test_a_command_is_found_in_the_readme():
    assert ["sim"] in list(commands(DOCUMENTS[0]))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_option_exists(path, capsys):
    for arguments in commands(path):
        try:
            subcommands.parse(cli.COMMANDS, arguments, "humanoid")
        except SystemExit as end:
            if end.code:
                pytest.fail(f"humanoid {shlex.join(arguments)}: {capsys.readouterr().err}")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_target_of_make_exists(path):
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    named = set(re.findall(r"`make ([a-z]+)", path.read_text()))
    named |= {line.split()[1] for line in lines(path) if re.match(r"make [a-z]", line)}
    assert named <= targets


@pytest.mark.processes
@pytest.mark.slow
@pytest.mark.parametrize(
    "path", [path for path in DOCUMENTS if list(commands_to_run(path))], ids=lambda path: path.name
)
def test_the_commands_of_a_document_work_one_after_the_other(graph, tmp_path, path):
    for arguments in commands_to_run(path):
        result = subprocess.run(
            [*HERE, *arguments],
            cwd=tmp_path,
            env=graph.environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert result.returncode == 0, f"{shlex.join(arguments)}\n{result.stdout}{result.stderr}"
