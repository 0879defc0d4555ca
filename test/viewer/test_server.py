# SPDX-License-Identifier: Apache-2.0
"""The server of the page takes from browsers what a page says, and nothing else."""

import contextlib
import random
import socket
import threading
import time

import msgspec
import pytest

pytest.importorskip("viser")

import viser
from raw_browser import RawBrowser
from websockets.exceptions import ConnectionClosed

from humanoid_mujoco_ros.viewer.config import ViewerConfig
from humanoid_mujoco_ros.viewer.gate import Gate
from humanoid_mujoco_ros.viewer.inbox import Faults
from humanoid_mujoco_ros.viewer.server import MessageError, ViewError, is_for_us, serve, stop


@pytest.fixture
def port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(**config):
    config, faults = ViewerConfig(**config), Faults()
    return serve(config, Gate(config, faults.add), faults), faults


def until(condition, timeout_s=60.0):
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "the condition did not hold"
        threading.Event().wait(0.01)


def test_a_taken_port_is_refused(port):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with pytest.raises(ViewError, match=rf"cannot use 127\.0\.0\.1:{port}: .*in use"):
            start(port=port)


def test_an_address_of_another_machine_is_refused(port):
    with pytest.raises(ViewError, match=r"cannot use 192\.0\.2\.1"):
        start(host="192.0.2.1", port=port)


def test_a_viser_that_cannot_be_guarded_is_not_used(port, monkeypatch):
    """Nobody may connect to a server that another version opens in another way."""
    monkeypatch.setattr(viser.ViserServer, "__init__", lambda self, **_: None)
    with pytest.raises(ViewError, match="cannot be guarded"):
        start(port=port)


def test_nobody_can_share_the_page_through_visers_tunnel(port):
    server, _ = start(port=port)
    assert server.request_share_url() is None
    stop(server)


def test_what_a_page_says_is_heard():
    for message in (
        {"type": "ViewerCameraMessage", "fov": 1.0},
        {"type": "GuiUpdateMessage", "uuid": "a", "updates": {"value": 150}},
        {"type": "GuiUpdateMessage", "uuid": "a", "updates": {"value": "left"}},
        {"type": "GuiUpdateMessage", "uuid": "a", "updates": {"value": True}},
        {"type": "SceneNodeDragMessage"},
        {"type": "LocalStorageGetItemResponseMessage"},
    ):
        assert is_for_us(msgspec.msgpack.encode(message))
    assert not is_for_us(msgspec.msgpack.encode({"type": "ScenePointerMessage"}))


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        ({"type": "GuiUpdateMessage", "updates": {"value": float("nan")}}, "the value nan"),
        ({"type": "GuiUpdateMessage", "updates": {"value": float("inf")}}, "the value inf"),
        ({"type": "GuiUpdateMessage", "updates": {"value": "x" * 5000}}, "the value 'xxx"),
        ({"type": "GuiUpdateMessage", "updates": {"value": [1]}}, "the value"),
        ({"type": "GuiUpdateMessage", "updates": {"removed": True}}, "'removed'.* of the panel"),
        ({"type": "GuiUpdateMessage", "updates": {"value": 1, "max": 1e9}}, "of the panel"),
        ({"type": "GuiUpdateMessage", "updates": None}, "no message"),
        ({"type": "GuiUpdateMessage"}, "no message"),
        ({"type": "ShareUrlRequest"}, "ShareUrlRequest"),
        ({"type": "FileTransferStartUpload"}, "FileTransferStartUpload"),
        ({"type": "y" * 5000}, "'yyy"),
        ({"type": ["\x1b[31m"]}, r"'\\x1b"),
        ({}, "no message"),
        ([1, 2], "no message"),
        (None, "no message"),
    ],
)
def test_anything_else_is_refused_in_one_line(message, fault):
    with pytest.raises(MessageError, match=fault) as refused:
        is_for_us(msgspec.msgpack.encode(message))
    assert len(str(refused.value)) < 200
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\xdf\xff\xff\xff\xff", "text", b"\x93" * 50_000])
def test_bytes_that_are_no_message_are_refused(data):
    with pytest.raises(MessageError, match="no message"):
        is_for_us(data)


def test_garbage_is_counted_and_neither_printed_nor_the_end_of_the_server(port, capfd):
    server, faults = start(port=port)
    slider = server.gui.add_slider("Force", 0.0, 10.0, 1.0, 5.0)
    random_bytes = random.Random(7).randbytes
    for i in range(10):
        browser = RawBrowser(port)
        while "Force" not in browser.values:
            browser.listen(timeout_s=0.1)
        with contextlib.suppress(ConnectionClosed):
            for _ in range(50):
                browser.socket.send(random_bytes(30))
            browser.socket.send("text")
            browser.set("Force", "x")
            # Of the right kind, but it cannot be decoded: this ends the connection.
            browser.send("ViewerCameraMessage", fov="x", position=i)
            browser.drag("start")
        browser.close()
    count, last = 0, None

    def are_all_counted():
        nonlocal count, last
        more, reason = faults.take()
        count, last = count + more, reason or last
        return count >= 10 * 53

    until(are_all_counted)
    assert last.isprintable()
    assert slider.value == 5.0
    browser = RawBrowser(port)
    until(lambda: browser.listen(timeout_s=0.1) or browser.values == {"Force": 5.0})
    browser.close()
    stop(server)
    out, err = capfd.readouterr()
    assert "Traceback" not in out + err
    assert (out + err).count("\n") <= 1
