# SPDX-License-Identifier: Apache-2.0
"""The server of the page: viser's, behind a gate, and deaf to what no page of ours says."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import math
import socket
from collections.abc import Iterator
from typing import Any

import msgspec
import viser
import websockets.asyncio.server
from websockets.asyncio.server import ServerConnection
from websockets.typing import Data

from humanoid_mujoco_ros.viewer.config import ViewerConfig
from humanoid_mujoco_ros.viewer.gate import Gate
from humanoid_mujoco_ros.viewer.inbox import Faults

_MAX_MESSAGE_BYTES = 100_000
_MAX_TEXT_LENGTH = 1000
_QUOTED_LENGTH = 60
_IGNORED = (
    "CommandTriggerMessage",
    "GuiButtonHoldMessage",
    "GuiFormDirtyMessage",
    "GuiFormSubmitMessage",
    "SceneNodeClickMessage",
    "ScenePointerMessage",
)
"""What viser's page may say by itself and nothing here listens to."""
_HEARD = (
    "GuiUpdateMessage",
    "LocalStorageGetItemResponseMessage",
    "SceneNodeDragMessage",
    "ViewerCameraMessage",
)


_NO_MESSAGE = (AttributeError, KeyError, RecursionError, TypeError, ValueError)
"""What decoding of bytes ends in that are not of viser's protocol."""


class ViewError(ValueError):
    """The page cannot be served; the message says why."""


class _Server(viser.ViserServer):
    """viser's server without its tunnel: nobody shares a robot with the internet by a click."""

    def request_share_url(self, verbose: bool = True) -> str | None:  # noqa: FBT001, FBT002
        return None


def serve(config: ViewerConfig, gate: Gate, faults: Faults) -> viser.ViserServer:
    """Starts the server of the page.

    Args:
        config: Address.
        gate: Decides who may connect.
        faults: Counts what browsers say that makes no sense, and what fails in the server.

    Raises:
        ViewError: The address is taken, or is not this machine's.
    """
    # viser would silently take the next free port.
    address = f"{config.host}:{config.port}"
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((config.host, config.port))
            # Another server may share the address without both listening; then this fails.
            probe.listen()
        except OSError as error:
            raise ViewError(
                f"the browser view cannot use {address}: {error.strerror or error}; "
                "choose another one with the parameter port"
            ) from error
    # viser prints a banner of its own.
    with _guarded(gate, faults), contextlib.redirect_stdout(io.StringIO()):
        server = _Server(host=config.host, port=config.port, verbose=False)
    if server.get_port() != config.port:
        stop(server)
        raise ViewError(f"the browser view cannot use {address}: it was taken this moment")

    def on_exception(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        faults.add(context.get("exception") or context["message"])

    loop = server.get_event_loop()
    loop.call_soon_threadsafe(loop.set_exception_handler, on_exception)
    return server


def stop(server: viser.ViserServer) -> None:
    """Ends the server; the browsers say that they lost it."""
    with contextlib.redirect_stdout(io.StringIO()):  # viser prints a line
        server.stop()


@contextlib.contextmanager
def _guarded(gate: Gate, faults: Faults) -> Iterator[None]:
    """Has viser, which takes no options for it, open its web socket server behind the gate.

    Raises:
        ViewError: viser did not open one in the way that this knows: then nobody may connect.
    """

    class Connection(ServerConnection):
        """Hands over only what a page of ours says."""

        async def recv(self, decode: bool | None = None) -> Data:  # type: ignore[override]  # noqa: FBT001
            while True:
                data = await super().recv(decode)
                try:
                    if is_for_us(data):
                        return data
                except MessageError as error:
                    faults.add(error)

    logger = logging.Logger("browser view")
    logger.addHandler(_FaultHandler(faults, logging.ERROR))
    unguarded = websockets.asyncio.server.serve
    opened = []

    def guarded(*args: Any, process_request: Any, **options: Any) -> Any:
        options |= {
            "process_request": gate.guard(process_request),
            "create_connection": Connection,
            "logger": logger,
            "max_size": _MAX_MESSAGE_BYTES,
        }
        opened.append(unguarded(*args, **options))
        return opened[-1]

    websockets.asyncio.server.serve = guarded  # type: ignore[assignment, misc]
    try:
        yield
    finally:
        websockets.asyncio.server.serve = unguarded  # type: ignore[misc]
    if not opened:
        raise ViewError(f"viser {viser.__version__} cannot be guarded; 1.1.1 can")


class _FaultHandler(logging.Handler):
    """Counts the errors of connections, which would be tracebacks in the terminal."""

    def __init__(self, faults: Faults, level: int) -> None:
        super().__init__(level)
        self._faults = faults

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self._faults.add(f"{record.getMessage()}: {error}" if error else record.getMessage())


class MessageError(ValueError):
    """A browser said what no page of ours says; the message says what."""


def is_for_us(data: Data) -> bool:
    """Whether anything here listens to a message of a browser.

    Raises:
        MessageError: No page of ours would send it.
    """
    try:
        if isinstance(data, str):
            raise TypeError("text")
        message: dict[str, Any] = msgspec.msgpack.decode(data)
        kind = message["type"]
        updates = list(message["updates"].items()) if kind == "GuiUpdateMessage" else None
    except (msgspec.DecodeError, *_NO_MESSAGE) as error:
        raise MessageError("a browser sent what is no message") from error
    if updates is not None:
        _check_update(updates)
    if kind not in (*_HEARD, *_IGNORED):
        raise MessageError(f"a browser sent {_quoted(kind)}")
    return kind in _HEARD


def _check_update(updates: list[tuple[str, Any]]) -> None:
    """People change values on the page, and nothing else of it."""
    names = [name for name, _ in updates]
    if names != ["value"]:
        raise MessageError(f"a browser tried to change {_quoted(names)} of the panel")
    value = updates[0][1]
    is_text = isinstance(value, str) and len(value) <= _MAX_TEXT_LENGTH
    is_number = isinstance(value, bool | int | float) and math.isfinite(value)
    if not (is_text or is_number):
        raise MessageError(f"a browser sent the value {_quoted(value)}")


def _quoted(value: object) -> str:
    """What a stranger sent, short and without control characters."""
    text = repr(value)
    return text if len(text) <= _QUOTED_LENGTH else text[:_QUOTED_LENGTH] + "…"
