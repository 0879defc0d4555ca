# SPDX-License-Identifier: Apache-2.0
"""A raw web socket that says to the page's server whatever a test likes."""

from __future__ import annotations

from typing import Any

import msgspec
import viser
import zstandard
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect


class RawBrowser:
    """Knows the panel from what the server sends, as a browser does.

    Attributes:
        values: Label → value of every control of the panel.
        plots: Plot → how much it has drawn, each time [bytes].
        is_alive: Whether it answers when the server asks for a sign of life.
    """

    def __init__(self, port: int) -> None:
        protocol = f"viser-v{viser.__version__}"
        self.socket = connect(f"ws://127.0.0.1:{port}", subprotocols=[protocol], max_size=None)
        self.values: dict[str, Any] = {}
        self.plots: dict[str, list[int]] = {}
        self.is_alive = False
        self._labels: dict[str, str] = {}
        camera = {"wxyz": [1, 0, 0, 0], "position": [3, 0, 1], "fov": 1.0, "near": 0.1, "far": 9.0}
        camera |= {"image_height": 100, "image_width": 100, "look_at": [0, 0, 1]}
        self.send("ViewerCameraMessage", up_direction=[0, 0, 1], **camera)

    def close(self) -> None:
        self.socket.close()

    def send(self, kind: str, **fields: Any) -> None:
        """Sends a message of viser's protocol."""
        self.socket.send(msgspec.msgpack.encode({"type": kind, **fields}))

    def hold(self, label: str, frequency: float) -> None:
        """Says that a button is held, as a browser does so many times per second."""
        uuid = next(uuid for uuid, name in self._labels.items() if name == label)
        self.send("GuiButtonHoldMessage", uuid=uuid, frequency=frequency)

    def set(self, label: str, value: Any) -> None:
        """Sets the value of a control, or clicks it."""
        self.update(label, {"value": value})

    def update(self, label: str, updates: dict[str, Any]) -> None:
        """Sets any properties of a control."""
        uuid = next(uuid for uuid, known in self._labels.items() if known == label)
        self.send("GuiUpdateMessage", uuid=uuid, updates=updates)

    def drag(
        self,
        phase: str,
        instance: Any = 0,
        start: Any = (0, 0, 1.4),
        end: Any = (0, 0.3, 1.4),
        robot: str = "",
    ):
        """Sends a phase of a mouse's drag of the humanoid, or of one of several by its name."""
        self.send(
            "SceneNodeDragMessage",
            phase=phase,
            name=f"{robot and '/'}{robot}/robot/sphere",
            instance_index=instance,
            start_position=start,
            start_screen_pos=[0, 0],
            end_position=end,
            end_screen_pos=[0, 0],
            button="left",
            modifier=None,
        )

    def listen(self, timeout_s: float = 0.0) -> None:
        """Takes what the server has sent so far."""
        while True:
            try:
                frame = self.socket.recv(timeout=timeout_s)
            except (TimeoutError, ConnectionClosed):
                return
            length = int.from_bytes(frame[8:16], "little")
            packed = zstandard.ZstdDecompressor().decompress(
                frame[16 : 16 + length], int.from_bytes(frame[:8], "little")
            )
            content = msgspec.msgpack.decode(packed)
            for message in content["messages"]:
                self._take(message, content["binaryBufferLengths"])

    def _take(self, message: dict[str, Any], sizes: list[int]) -> None:
        if message["type"] == "LocalStorageGetItemRequestMessage" and self.is_alive:
            answer = {"value": None, "error": None, "request_uuid": message["request_uuid"]}
            self.send("LocalStorageGetItemResponseMessage", **answer)
        label = (message.get("props") or {}).get("label")
        if label is not None and "uuid" in message and message["type"] != "GuiFolderMessage":
            self._labels[message["uuid"]] = label
            self.values[label] = message.get("value")
        elif message["type"] == "GuiUpdateMessage" and "data" in message["updates"]:
            times, _ = message["updates"]["data"]
            self.plots.setdefault(message["uuid"], []).append(sizes[times["__binary_index"]])
        elif message["type"] == "GuiUpdateMessage" and message["uuid"] in self._labels:
            label = self._labels[message["uuid"]]
            self.values[label] = message["updates"].get("value", self.values[label])
