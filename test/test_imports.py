# SPDX-License-Identifier: Apache-2.0
"""Imports point one way, the library needs no ROS, and every import is a declared dependency."""

import ast
import functools
import re
import sys
import xml.etree.ElementTree as ElementTree
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "humanoid_mujoco_ros"

LIBRARY = {"robot", "policy", "simulation", "interaction"}
MAY_IMPORT = {
    "robot": set(),
    "policy": {"robot"},
    "simulation": {"policy", "robot"},
    "interaction": {"robot"},
    "viewer": LIBRARY,
    "ros": {*LIBRARY, "viewer"},
    "nodes": {*LIBRARY, "viewer", "ros"},
    "training": LIBRARY,
    "bags": {*LIBRARY, "ros"},
    "bringup": {*LIBRARY, "viewer", "ros", "nodes", "bags"},
    "bench": {*LIBRARY, "ros", "nodes", "bringup"},
}
"""Folder → the folders that it may import, beside itself and the files of the package's top."""
TOP = {"share", "subcommands"}
"""Files of the package's top that every folder may import."""
WITHOUT_ROS = {*LIBRARY, "training", "viewer"}
ROS_VARIABLES = re.compile(r"\b(AMENT|COLCON|ROS|RMW|RCUTILS|RCL|FASTDDS|FASTRTPS)_[A-Z_]+\b")
MODULE = re.compile(rf"{PACKAGE}(\.(?!cli$)\w+)+")
"""A module's full name; the command is started as a process, not imported."""
OPTIONAL_ROS = {"interactive_markers", "simulation_interfaces"}
"""A ROS package that is used where it is installed, so that package.xml does not ask for it."""


def folders():
    return sorted(path.parent.name for path in (ROOT / PACKAGE).glob("*/__init__.py"))


def python_files(folder):
    return sorted((ROOT / PACKAGE / folder).rglob("*.py"))


@functools.cache
def imported(path):
    """Full names of all that a file imports, at its top, later, or by a text."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Constant) and MODULE.fullmatch(str(node.value)):
            names.add(node.value)  # for importlib
    return names


def foreign(paths):
    """Top names of what is imported from neither this package nor Python itself."""
    names = {name.partition(".")[0] for path in paths for name in imported(path)}
    return names - set(sys.stdlib_module_names) - {PACKAGE}


def ros_packages():
    """What package.xml names and PyPI does not: the packages of ROS."""
    return {name for name in package_xml() if not name.startswith("python3-")} | OPTIONAL_ROS


def package_xml(*kinds):
    tree = ElementTree.parse(ROOT / "package.xml")
    return {
        element.text
        for element in tree.iter()
        if element.tag.endswith("depend") and (not kinds or element.tag in kinds)
    }


def test_every_folder_has_a_rule():
    assert folders() == sorted(MAY_IMPORT)


@pytest.mark.parametrize("folder", folders())
def test_imports_point_one_way(folder):
    allowed = {*MAY_IMPORT[folder], folder, *TOP}
    wrong = [
        (str(path.relative_to(ROOT / PACKAGE)), name.removeprefix(f"{PACKAGE}."))
        for path in python_files(folder)
        for name in imported(path)
        if name.startswith(f"{PACKAGE}.") and name.split(".")[1] not in allowed
    ]
    assert wrong == []


@pytest.mark.parametrize("folder", sorted(WITHOUT_ROS))
def test_the_library_imports_no_ros_package_and_reads_no_ros_variable(folder):
    paths = [*python_files(folder), ROOT / PACKAGE / "share.py"]
    assert foreign(paths) & ros_packages() == set()
    for path in paths:
        assert not ROS_VARIABLES.findall(path.read_text()), path


def requirements(name):
    """Normalised names in a file of workspace/requirements."""
    lines = (ROOT / "workspace/requirements" / name).read_text().splitlines()
    return {normalised(line) for line in lines if line[:1].isalnum()}


def declared_in_setup_py():
    """Normalised names in the lists REQUIRES and EXTRAS of setup.py, each with its lower bound."""
    lists = {}
    for node in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(node, ast.Assign) and node.targets[0].id in ("REQUIRES", "EXTRAS"):
            lists[node.targets[0].id] = ast.literal_eval(node.value)
    required = lists["REQUIRES"]
    extra = [requirement for names in lists["EXTRAS"].values() for requirement in names]
    for requirement in [*required, *extra]:
        assert ">=" in requirement, f"{requirement} has no lower bound"
    return set(map(normalised, required)), set(map(normalised, extra))


def normalised(requirement):
    return re.match(r"[\w.-]+", requirement).group().lower().replace("_", "-").replace(".", "-")


installed = functools.cache(packages_distributions)
"""Top name of an import → the distributions that bring it."""


def missing(paths, declared, ros):
    """The imports of files that no declared distribution and no declared ROS package brings."""
    distributions = installed()
    return {
        name: str(path.relative_to(ROOT))
        for path in paths
        for name in foreign([path])
        if name not in ros and not {*map(normalised, distributions.get(name, (name,)))} & declared
    }


def test_every_import_of_the_package_is_a_declared_dependency():
    required, extra = declared_in_setup_py()
    ros = package_xml("exec_depend") | OPTIONAL_ROS
    for folder in folders():
        declared = required | (extra if folder in ("policy", "training") else set())
        assert missing(python_files(folder), declared, ros) == {}
    assert missing(sorted((ROOT / "launch").glob("*.py")), required, ros) == {}


def test_every_import_of_the_tests_is_a_declared_dependency():
    required, extra = declared_in_setup_py()
    ros = package_xml() | OPTIONAL_ROS
    own = {path.stem for path in (ROOT / "test").rglob("*.py")}
    own |= {path.stem for path in (ROOT / "tools").iterdir()}
    paths = [*sorted((ROOT / "test").rglob("*.py")), *sorted((ROOT / "tools").glob("*.py"))]
    assert missing(paths, required | extra, ros | own) == {}


def test_every_declared_dependency_is_pinned_for_a_machine_without_ros():
    required, extra = declared_in_setup_py()
    chosen = set().union(
        *(requirements(f"{name}.in") for name in ("runtime", "dev", "torch", "robots"))
    )
    assert required <= requirements("runtime.in")
    assert extra <= chosen
    pinned = set().union(
        *(requirements(f"{n}.txt") for n in ("ros", "runtime", "dev", "torch", "robots"))
    )
    assert chosen <= pinned
