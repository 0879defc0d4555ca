# SPDX-License-Identifier: Apache-2.0
"""A command line of subcommands that imports only what the subcommand in use needs."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tyro.extras import SubcommandApp

PACKAGE = "humanoid_mujoco_ros"
USAGE_ERROR = 2
"""Exit status of a wrong command line."""
_INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells count it."""

_PIPE_CLOSED = 141
"""Exit status after SIGPIPE, as shells count it."""


@dataclass(frozen=True)
class Command:
    """What a name on the command line stands for."""

    options: str
    """The dataclass of its options as "module:name", in this package; its docstring is the help."""
    function: str
    """Takes these options and returns the exit status; "module:name"."""
    text: str
    """One line for the list of commands."""


@dataclass(frozen=True)
class Group:
    """A name that has commands of its own below it."""

    commands: Mapping[str, Command]
    text: str
    """One line for the list of commands."""
    default: str = ""
    """The command below it that is meant where none is named; empty: one has to be."""


def run(commands: Mapping[str, Command | Group], argv: Sequence[str], prog: str) -> int:
    """Runs the command that the arguments name; USAGE_ERROR is the status of a wrong command line.

    Args:
        commands: Name → command.
        argv: The arguments after the program's name.
        prog: The program's name, for its help.
    """
    argv = _completed(commands, argv)
    try:
        options = parse(commands, argv, prog)
        status: int = _function(commands, argv)(options)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:  # before the command got ready to be interrupted
        return _INTERRUPTED
    except BrokenPipeError:  # whoever read the output wanted no more of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _PIPE_CLOSED
    except ImportError as error:
        print(f"error: {' '.join([prog, *argv[:1]])} cannot start: {error}", file=sys.stderr)
        return USAGE_ERROR
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0


def parse(commands: Mapping[str, Command | Group], argv: Sequence[str], prog: str) -> Any:
    """The options that the arguments make, for the command that they name; see `run`.

    Raises:
        SystemExit: The arguments are wrong, or ask for help, which is printed.
    """
    argv = _completed(commands, argv)
    return _app(commands, argv).cli(prog=prog, args=argv)


def _completed(commands: Mapping[str, Command | Group], argv: Sequence[str]) -> list[str]:
    """The arguments with the command that is meant where a group's is left out."""
    group = commands.get(argv[0]) if argv else None
    if isinstance(group, Group) and group.default and argv[1:]:
        known = (*group.commands, "-h", "--help")
        if argv[1] not in known and not argv[1].startswith("--tyro-"):
            return [argv[0], group.default, *argv[1:]]
    return list(argv)


def _app(commands: Mapping[str, Command | Group], argv: Sequence[str]) -> SubcommandApp:
    """The commands, of which only the one in use has its options."""
    app = SubcommandApp()
    completes = any(argument.startswith("--tyro-") for argument in argv)
    for name, command in commands.items():
        if isinstance(command, Group):
            is_used = bool(argv) and argv[0] == name
            below = _app(command.commands, argv[1:] if is_used else argv if completes else ())
            app.command(below, name=name, help=command.text)
        elif completes or (argv and argv[0] == name):
            app.command(name=name)(_load(command.options))
        else:
            app.command(name=name, help=command.text)(_Unused)
    return app


def _function(commands: Mapping[str, Command | Group], argv: Sequence[str]) -> Any:
    command = commands[argv[0]]
    if isinstance(command, Group):
        return _function(command.commands, argv[1:])
    return _load(command.function)


def _load(address: str) -> Any:
    module, _, name = address.partition(":")
    return getattr(importlib.import_module(f"{PACKAGE}.{module}"), name)


@dataclass(frozen=True)
class _Unused:
    """Stands for the options of a command that is not in use."""
