# SPDX-License-Identifier: Apache-2.0
"""The size of nodes and functions, names without a second meaning, a licence in every file."""

import ast
import functools
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "humanoid_mujoco_ros"
LONGEST_NODE = 160
LONGEST_FUNCTION = 60


def python_files():
    folders = ("humanoid_mujoco_ros", "launch", "test", "tools", "workspace")
    files = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    assert len(files) > 100
    return [*files, ROOT / "setup.py"]


@functools.cache
def parsed():
    return {path.relative_to(ROOT): ast.parse(path.read_text()) for path in python_files()}


def test_a_node_fits_on_a_screen_or_two():
    lengths = {p.name: len(p.read_text().splitlines()) for p in (PACKAGE / "nodes").glob("*.py")}
    assert {name: n for name, n in lengths.items() if n > LONGEST_NODE} == {}


def test_no_function_is_long():
    lengths = {
        f"{path}:{node.lineno} {node.name}": node.end_lineno - node.lineno + 1
        for path, tree in parsed().items()
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }
    assert {name: n for name, n in lengths.items() if n > LONGEST_FUNCTION} == {}


def test_no_class_name_has_two_meanings():
    names = Counter(
        node.name
        for path, tree in parsed().items()
        if path.parts[0] == "humanoid_mujoco_ros"
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, n in names.items() if n > 1] == []


def test_no_test_reaches_into_private_state():
    reaches = set()
    for path, tree in parsed().items():
        for node in ast.walk(tree) if path.parts[0] == "test" else ():
            if isinstance(node, ast.Attribute) and is_private(node.attr):
                owner = ast.unparse(node.value)
                if owner.split("(")[0] not in ("self", "super", "cls"):
                    reaches.add(f"{path}:{node.lineno} {owner}.{node.attr}")
            elif isinstance(node, ast.ImportFrom):
                names = {alias.name for alias in node.names if is_private(alias.name)}
                reaches |= {f"{path}:{node.lineno} {node.module}.{name}" for name in names}
    foreign = {reach for reach in reaches if reach.endswith(" humanoid_v4._get_obs")}
    assert reaches - foreign == set()


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


def test_every_file_names_its_licence():
    for path in python_files():
        lines = path.read_text().splitlines()[:2]
        assert "# SPDX-License-Identifier: Apache-2.0" in lines, path
