# SPDX-License-Identifier: Apache-2.0
"""Foreign pages in a real browser, and the link with the token."""

import http.server
import shutil
import socket
import threading

import pytest

pytest.importorskip("viser")

import viser

from humanoid_mujoco_ros.viewer.config import ViewerConfig
from humanoid_mujoco_ros.viewer.gate import Gate
from humanoid_mujoco_ros.viewer.inbox import Faults
from humanoid_mujoco_ros.viewer.server import serve, stop

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
OPEN_WEB_SOCKET = f"""
address => new Promise(resolve => {{
    const socket = new WebSocket(address, "viser-v{viser.__version__}");
    socket.onopen = () => {{ resolve("open"); socket.close(); }};
    socket.onerror = () => resolve("refused");
}})
"""


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium for which evil.example is this machine."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("there is no chromium on the PATH (apt-get install chromium)")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                "--no-sandbox",
                "--use-angle=swiftshader",
                "--enable-unsafe-swiftshader",
                "--host-resolver-rules=MAP evil.example 127.0.0.1",
            ],
        )
        yield chromium
        chromium.close()


@pytest.fixture
def tab(browser):
    context = browser.new_context()
    yield context.new_page()
    context.close()


@pytest.fixture
def site(request):
    """Port, token and server of a view."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config, faults = ViewerConfig(port=port, **getattr(request, "param", {})), Faults()
    gate = Gate(config, faults.add)
    server = serve(config, gate, faults)
    server.gui.add_button("Stop policy")
    yield port, gate.token, server
    stop(server)


@pytest.fixture
def foreign_port():
    """A web server of somebody else."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html><body>cats</body></html>")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_the_page_itself_is_shown(tab, site):
    port, _, _ = site
    tab.goto(f"http://localhost:{port}")
    tab.get_by_role("button", name="Stop policy").wait_for(timeout=60_000)
    assert tab.evaluate(OPEN_WEB_SOCKET, f"ws://localhost:{port}") == "open"


def test_a_foreign_page_opens_no_web_socket_and_shows_no_frame(tab, site, foreign_port):
    port, _, server = site
    tab.goto(f"http://localhost:{foreign_port}")
    assert tab.evaluate(OPEN_WEB_SOCKET, f"ws://localhost:{port}") == "refused"
    assert tab.evaluate(OPEN_WEB_SOCKET, f"ws://127.0.0.1:{port}") == "refused"
    tab.goto(f"http://evil.example:{foreign_port}")
    assert tab.evaluate(OPEN_WEB_SOCKET, f"ws://localhost:{port}") == "refused"
    tab.evaluate(
        """address => new Promise(resolve => {
            const frame = document.createElement("iframe");
            frame.src = address;
            frame.onload = resolve;
            document.body.append(frame);
        })""",
        f"http://localhost:{port}",
    )
    assert tab.frames[1].evaluate("location.href").startswith("chrome-error:")
    assert not server.get_clients()


def test_a_foreign_name_for_this_machine_shows_nothing(tab, site):
    port, _, server = site
    tab.goto(f"http://evil.example:{port}")
    assert "no name of this server" in tab.inner_text("body")
    assert tab.evaluate(OPEN_WEB_SOCKET, f"ws://evil.example:{port}") == "refused"
    assert not server.get_clients()


@pytest.mark.parametrize("site", [{"host": "0.0.0.0"}], indirect=True)
def test_the_link_with_the_token_opens_the_page_and_keeps_it_open(tab, site):
    port, token, _ = site
    tab.goto(f"http://localhost:{port}")
    assert "no token" in tab.inner_text("body")
    tab.goto(f"http://localhost:{port}/?token={token}")
    tab.get_by_role("button", name="Stop policy").wait_for(timeout=60_000)
    assert token not in tab.url
    tab.reload()
    tab.get_by_role("button", name="Stop policy").wait_for(timeout=60_000)
