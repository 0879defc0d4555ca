# SPDX-License-Identifier: Apache-2.0
"""Turns a fresh clone on a machine without ROS into a built workspace.

ROS 2 Jazzy, MuJoCo and the rest come from PyPI, at the exact versions in `requirements/`, into
`.venv`. On top of them colcon builds tf2_msgs, which PyPI lacks, into `.venv` too, and this package
into `install/`. Then `. install/setup.sh` gives what it gives where ROS 2 is installed.

Each step leaves the digest of what it was made from in `.venv/setup.json`, and is done again only
when that changes. Standard library only; the syntax is old enough for an old Python to read on to
the message that it is too old.
"""

import argparse
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORKSPACE = ROOT / "workspace"
VENV = ROOT / ".venv"
STATE_FILE = VENV / "setup.json"
LOG_FILE = ROOT / "log" / "setup.log"

PYTHONS = [(3, 11), (3, 12), (3, 13), (3, 14)]  # what both MuJoCo 4 and the ROS 2 wheels support
OLDEST_GLIBC = (2, 28)

LAYERS = {"base": ["ros", "runtime"], "dev": ["dev"], "torch": ["torch"], "robots": ["robots"]}
LAYER_NAMES = {
    "base": "ROS 2 Jazzy, MuJoCo and the rest (about 150 MB)",
    "dev": "the test and lint tools (about 150 MB)",
    "torch": "PyTorch and TensorBoard (0.2 GB for a CPU build, several GB with CUDA)",
    "robots": "other robots, policies for them and ONNX (about 60 MB)",
}

# What the record says of a step that was not done.
INTERRUPTED = "interrupted"
FAILED = "failed"

# An environment sourced elsewhere, such as another ROS 2, must not leak into this one.
FOREIGN_VARIABLES = [
    "AMENT_PREFIX_PATH",
    "CMAKE_PREFIX_PATH",
    "COLCON_PREFIX_PATH",
    "LD_LIBRARY_PATH",
    "PYTHONHOME",
    "PYTHONPATH",
    "_ROS_WORKSPACE_BOOTSTRAP_COMPLETE",
]


class SetupError(Exception):
    """The set-up cannot go on. The message says why and what to do about it."""


def main() -> None:
    """Brings the workspace up to date."""
    parser = argparse.ArgumentParser(description="Set up .venv and build the workspace.")
    parser.add_argument(
        "layers", nargs="*", metavar="dev|torch|robots", help="what else to install"
    )
    parser.add_argument("--keep-python", action="store_true", help="keep the Python of the .venv")
    options = parser.parse_args()
    unknown = sorted(set(options.layers) - set(LAYERS))
    if unknown:
        parser.error(f"no layer {', '.join(unknown)}; there are {', '.join(LAYERS)}")

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        wait_for_turn()
        layers = [name for name in LAYERS if name in ["base", *options.layers]]
        set_up(layers, keep_python=options.keep_python)
    except SetupError as error:
        sys.exit(f"\nset-up failed: {error}")
    except KeyboardInterrupt:
        print("\nset-up interrupted; make takes it up again", file=sys.stderr)
        sys.exit(130)


def wait_for_turn() -> None:
    """Returns when no other set-up of this folder is at work; the turn ends with the process."""
    lock = os.open(str(WORKSPACE), os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("waiting for another set-up of this folder")
        fcntl.flock(lock, fcntl.LOCK_EX)


def set_up(layers: list, *, keep_python: bool) -> None:
    """Does each step whose inputs have changed since it was done last."""
    state = read_state()
    reason = reason_for_new_venv(state, layers, keep_python=keep_python)
    if reason:
        say(f"making .venv: {reason}")
        check_system(base_python())
        make_venv()
        state = {"root": str(ROOT), "python": list(sys.version_info[:2])}

    for layer in layers:
        files = [WORKSPACE / "requirements" / f"{name}.txt" for name in LAYERS[layer]]
        do(state, layer, digest(files), lambda layer=layer, files=files: install(layer, files))

    recipe = [Path(__file__), *files_under(WORKSPACE / "tf2_msgs")]
    do(state, "tf2_msgs", digest(recipe, state["base"]), build_tf2_msgs)

    recipe = [Path(__file__), ROOT / "package.xml", ROOT / "setup.cfg", ROOT / "setup.py"]
    built = [ROOT / "build" / "humanoid_mujoco_ros", ROOT / "install" / "setup.sh"]
    if not all(path.exists() for path in built):
        state.pop("package", None)
    do(state, "package", digest(recipe, state["tf2_msgs"], *installed_names()), build_package)


def do(state: dict, step: str, inputs: str, action) -> None:
    """Runs one step unless it was last done from the same inputs, and records it."""
    if state.get(step) == inputs:
        return
    state[step] = INTERRUPTED  # what stays there if nothing below is reached
    write_state(state)
    try:
        action()
    except SetupError:
        state[step] = FAILED
        write_state(state)
        raise
    state[step] = inputs
    write_state(state)


def reason_for_new_venv(state: dict, layers: list, *, keep_python: bool) -> "str | None":
    """Returns why `.venv` has to be made; None if it can stay."""
    if "root" not in state:
        return "a Python environment for this folder alone"
    if state["root"] != str(ROOT):
        return "the folder has moved"
    if INTERRUPTED in [state.get(layer) for layer in layers]:  # pip does not notice half a package
        return "the last set-up was interrupted"
    if not venv_python().exists():
        return "its Python is gone"
    if not keep_python and state["python"] != list(sys.version_info[:2]):
        return "it was made for Python {}.{}".format(*state["python"])
    return None


def check_system(python: str) -> None:
    """Raises SetupError, naming the Debian packages, if the machine lacks something."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise SetupError(
            f"the ROS 2 wheels are for Linux on x86-64, this is {sys.platform} on "
            f"{platform.machine()}. With ROS 2 installed, build with colcon instead."
        )
    if re.search(r"[\s:'\"$]", str(ROOT)):
        raise SetupError(f"colcon needs a folder without spaces, quotes or colons, not {ROOT}")
    libc, libc_version = platform.libc_ver()
    if libc != "glibc" or numbers(libc_version) < OLDEST_GLIBC:
        raise SetupError(
            f"the ROS 2 wheels need glibc {OLDEST_GLIBC[0]}.{OLDEST_GLIBC[1]} or newer, "
            f"this machine has {libc or 'another libc'} {libc_version}."
        )
    asked = json.loads(subprocess.check_output([python, "-c", ASK_PYTHON], env=environment()))
    if tuple(asked["version"]) not in PYTHONS:
        raise SetupError(
            f"Python {PYTHONS[0][0]}.{PYTHONS[0][1]} to {PYTHONS[-1][0]}.{PYTHONS[-1][1]} is "
            f"needed, {python} is {'.'.join(map(str, asked['version']))}. "
            "Name another one with make PYTHON=python3.12."
        )

    named = re.match(r"python3(\.\d+)?$", Path(python).name)
    python_package = named.group(0) if named else "python3"
    missing = {}
    if not asked["venv"]:
        missing[f"{python_package}-venv"] = "Python's venv module"
    if not asked["headers"]:
        missing[f"{python_package}-dev"] = "Python's C headers"
    if not find_compiler("CC", "cc", "gcc", "clang"):
        missing["gcc"] = "a C compiler"
    if not find_compiler("CXX", "c++", "g++", "clang++"):
        missing["g++"] = "a C++ compiler"
    if missing:
        raise SetupError(
            f"this machine lacks {', '.join(missing.values())}. On Debian and Ubuntu:\n\n"
            f"    sudo apt-get install {' '.join(missing)}\n"
        )


# Run by the Python that is asked, which need not be this one.
ASK_PYTHON = """
import importlib.util, json, os, sys, sysconfig
print(json.dumps({
    "version": sys.version_info[:2],
    "venv": all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")),
    "headers": os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")),
}))
"""


def find_compiler(variable: str, *usual_names: str):
    """Returns the compiler that CMake would find, or None."""
    named = os.environ.get(variable)
    names = named.split()[:1] if named else usual_names
    return next((name for name in names if shutil.which(name)), None)


def make_venv() -> None:
    """Makes an empty `.venv`, and removes what was built on the one before."""
    for folder in ["build", "install"]:
        shutil.rmtree(str(ROOT / folder), ignore_errors=True)
    run([base_python(), "-m", "venv", "--clear", str(VENV)], "making .venv")


def install(layer: str, files: list) -> None:
    """Installs the pinned packages of one layer."""
    pins = sum(line[:1].isalnum() for file in files for line in file.read_text().splitlines())
    say(f"installing {LAYER_NAMES[layer]}")
    command = [str(venv_python()), "-m", "pip", "install", "--disable-pip-version-check"]
    if layer != "torch":  # every package is listed; for torch each build pins its own CUDA packages
        command.append("--no-deps")
    for file in files:
        command += ["-r", str(file)]
    run(
        command, "installing", counting=(r"(?:Collecting|Requirement already) .*?([\w.-]+)==", pins)
    )


def build_tf2_msgs() -> None:
    """Builds tf2_msgs into `.venv`, beside the message packages that came as wheels."""
    python = venv_python()
    check_system(str(python))
    say("building tf2_msgs")
    shutil.rmtree(str(ROOT / "build" / "tf2_msgs"), ignore_errors=True)  # it knows old folders
    point_cmake_files_at_venv(python)
    into_venv = ["--merge-install", "--install-base", str(VENV)]
    options = ["-GNinja", "-DBUILD_TESTING=OFF", "-DCMAKE_BUILD_TYPE=Release"]
    options.append(f"-DPython3_EXECUTABLE={python}")
    colcon_build("tf2_msgs", WORKSPACE / "tf2_msgs", *into_venv, "--cmake-args", *options)


def point_cmake_files_at_venv(python: Path) -> None:
    """Replaces two folders of the machine that built the wheels in the CMake files they export."""
    code = (
        "import numpy, sysconfig; print(sysconfig.get_path('include')); print(numpy.get_include())"
    )
    output = subprocess.check_output([str(python), "-c", code], env=environment(), text=True)
    python_include, numpy_include = output.splitlines()
    for file in VENV.glob("share/*/cmake/*Export.cmake"):
        text = file.read_text()
        moved = re.sub(r"/opt/python/[^;\"]*/numpy/_core/include", numpy_include, text)
        moved = re.sub(r"/opt/python/[^;\"]*/include/python3\.\d+", python_include, moved)
        if moved != text:
            file.write_text(moved)


def build_package() -> None:
    """Builds this package into `install/`, with links to the sources in place of copies."""
    say("building humanoid_mujoco_ros")
    colcon_build("humanoid_mujoco_ros", ROOT, "--symlink-install")


def colcon_build(package: str, folder: Path, *options: str) -> None:
    """Builds one package with the colcon of `.venv`."""
    command = [str(VENV / "bin" / "colcon"), "--log-base", str(ROOT / "log"), "build"]
    command += ["--packages-select", package, "--base-paths", str(folder)]
    command += ["--event-handlers", "desktop_notification-", "console_direct+"]
    run([*command, *options], f"building {package}")


def installed_names() -> list:
    """Lists the files that the build links one by one: a new one needs a new build."""
    folders = ["bin", "config", "launch", "policies", "resource", "rviz"]
    nodes = "humanoid_mujoco_ros/nodes"
    files = [file for folder in [*folders, nodes] for file in files_under(ROOT / folder)]
    return [str(file.relative_to(ROOT)) for file in files if "__pycache__" not in file.parts]


def run(command: list, what: str, counting=None) -> None:
    """Runs a command with its output in the log; the end of that output is the error's message."""
    LOG_FILE.parent.mkdir(exist_ok=True)
    start_s = time.monotonic()
    tail = []
    with LOG_FILE.open("a") as log:
        print("\n$", *command, file=log, flush=True)
        process = subprocess.Popen(
            command,
            cwd=str(ROOT),
            env=environment(),
            text=True,
            bufsize=1,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        count = 0
        try:
            for line in process.stdout:
                log.write(line)
                tail = [*tail[-19:], line]
                match = counting and re.match(counting[0], line.strip())
                if match:
                    count += 1
                    progress(f"{count}/{counting[1]} {match.group(1)}")
        except KeyboardInterrupt:
            process.terminate()
            raise
        finally:
            process.wait()
            progress("")
    if process.returncode:
        raise SetupError(f"{what} failed:\n\n{''.join(tail)}\nAll of it is in {LOG_FILE}.")
    say(f"  done in {time.monotonic() - start_s:.0f} s")


def environment() -> dict:
    """Returns the environment for pip and colcon: `.venv` and the system, nothing else."""
    env = {name: value for name, value in os.environ.items() if name not in FOREIGN_VARIABLES}
    env["PATH"] = f"{VENV / 'bin'}:{os.environ['PATH']}"
    env["AMENT_PREFIX_PATH"] = env["CMAKE_PREFIX_PATH"] = str(VENV)
    env["COLCON_HOME"] = str(VENV / "share" / "colcon")  # not the user's defaults.yaml
    return env


def base_python() -> str:
    """Returns the Python that runs this or, in a virtual environment, the one behind it."""
    return getattr(sys, "_base_executable", sys.executable)


def venv_python() -> Path:
    """Returns the Python of `.venv`."""
    return VENV / "bin" / "python"


def digest(files: list, *texts: str) -> str:
    """Returns one digest of some files' contents and some texts."""
    sha = hashlib.sha256()
    for content in [file.read_bytes() for file in files] + [text.encode() for text in texts]:
        sha.update(hashlib.sha256(content).digest())
    return sha.hexdigest()


def files_under(folder: Path) -> list:
    """Lists all files in a folder and the folders in it, in a fixed order."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def numbers(version: str) -> tuple:
    """Returns "2.36" as (2, 36)."""
    return tuple(int(number) for number in re.findall(r"\d+", version))


def read_state() -> dict:
    """Returns what has been done so far; empty if nothing has, or the record is damaged."""
    try:
        return json.loads(STATE_FILE.read_text())
    except (OSError, ValueError):
        return {}


def write_state(state: dict) -> None:
    """Records what has been done so far, in one stroke."""
    new = STATE_FILE.with_suffix(".new")
    new.write_text(json.dumps(state, indent=2) + "\n")
    new.replace(STATE_FILE)


def say(line: str) -> None:
    """Prints one line about what is being done."""
    print(line, flush=True)


def progress(text: str) -> None:
    """Shows where a long step is, on a terminal only, over what it showed before."""
    if sys.stdout.isatty():
        print(f"\r\033[K{'  ' if text else ''}{text[:70]}", end="", flush=True)


if __name__ == "__main__":
    main()
