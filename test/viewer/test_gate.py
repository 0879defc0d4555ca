# SPDX-License-Identifier: Apache-2.0
"""Who may see and drive the robot: raw requests against the real server."""

import contextlib
import http.client
import socket

import pytest

pytest.importorskip("viser")

import viser
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from humanoid_mujoco_ros.viewer.config import ViewerConfig
from humanoid_mujoco_ros.viewer.gate import Gate
from humanoid_mujoco_ros.viewer.inbox import Faults
from humanoid_mujoco_ros.viewer.server import serve, stop

PROTOCOL = f"viser-v{viser.__version__}"


class Site:
    """A server and what a client hears from it."""

    def __init__(self, **config):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.faults = Faults()
        self.config = ViewerConfig(port=self.port, **config)
        self.gate = Gate(self.config, self.faults.add)
        self.server = serve(self.config, self.gate, self.faults)

    def get(self, path="/", **headers):
        """The response to an HTTP request; {port} in a header is the server's port."""
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with contextlib.closing(client):
            client.request("GET", path, headers=self._filled(headers))
            response = client.getresponse()
            response.body = response.read()
            return response

    def status_of_web_socket(self, host="localhost:{port}", path="/", protocol=PROTOCOL, **headers):
        """101 when a web socket is opened, else the status of the refusal."""
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        with sock:
            try:
                web_socket = connect(
                    f"ws://{host.format(port=self.port)}{path}",
                    sock=sock,
                    subprotocols=[protocol],
                    additional_headers=self._filled(headers),
                )
            except InvalidStatus as error:
                return error.response.status_code
            web_socket.close()
            return 101

    def reason(self):
        """Why the last request was refused."""
        return self.faults.take()[1]

    def _filled(self, headers):
        return {name: value.format(port=self.port) for name, value in headers.items()}


@pytest.fixture
def site(request):
    site = Site(**getattr(request, "param", {}))
    yield site
    stop(site.server)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "192.168.1.7", "LOCALHOST"])
def test_the_servers_own_page_is_served_and_heard(site, host):
    response = site.get(Host=f"{host}:{{port}}")
    assert response.status == 200
    assert b"<html" in response.body
    assert site.status_of_web_socket(f"{host}:{{port}}", Origin=f"http://{host}:{{port}}") == 101
    assert site.reason() is None


def test_a_forwarded_port_is_as_good(site):
    assert site.status_of_web_socket("localhost:9999", Origin="http://localhost:9999") == 101


def test_a_program_that_is_no_page_may_connect(site):
    assert site.status_of_web_socket() == 101


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "https://localhost.evil.example:{port}",
        "http://localhost",
        "http://localhost:1",
        "http://127.0.0.1:{port}",
        "null",
        "file://",
        "",
        "http://localhost:{port}.evil.example",
    ],
)
def test_a_foreign_page_opens_no_web_socket(site, origin):
    assert site.status_of_web_socket(Origin=origin) == 403
    assert "a page of" in site.reason()
    assert site.get(Host="localhost:{port}", Origin=origin).status == 403


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "x:y:z", "a" * 300])
def test_a_foreign_name_for_this_server_is_refused(site, host):
    """DNS rebinding: a foreign page has its own name point to this machine."""
    assert site.get(Host=f"{host}:{{port}}").status == 403
    assert len(site.reason()) < 200


def test_a_page_under_a_foreign_name_opens_no_web_socket(site):
    host = "evil.example:{port}"
    assert site.status_of_web_socket(host, Origin="http://evil.example:{port}") == 403
    assert "no name of this server" in site.reason()


def test_two_origins_or_no_host_are_refused(site):
    for lines in ("Origin: http://localhost\r\nOrigin: null\r\nHost: localhost\r\n", ""):
        with socket.create_connection(("127.0.0.1", site.port), timeout=10) as client:
            client.sendall(f"GET / HTTP/1.1\r\n{lines}\r\n".encode())
            assert client.recv(100).split()[1] == b"403"


def test_a_page_of_another_version_is_told_to_load_again(site):
    assert site.status_of_web_socket(protocol="viser-v0.0.1") == 403
    assert "load it again" in site.reason()


def test_a_foreign_page_cannot_show_this_one_in_a_frame(site):
    policy = site.get(Host="localhost").headers["Content-Security-Policy"]
    assert policy == "frame-ancestors 'self'"


@pytest.mark.parametrize(
    "site", [{"allowed_origins": "https://robot.example/ http://10.0.0.7:81"}], indirect=True
)
def test_a_proxy_that_is_named_may_show_the_page(site):
    assert site.get(Host="robot.example").status == 200
    assert site.status_of_web_socket("robot.example", Origin="https://robot.example") == 101
    assert site.status_of_web_socket(Origin="https://Robot.Example") == 101  # it rewrites Host
    assert site.status_of_web_socket(Origin="http://10.0.0.7:81") == 101
    assert site.status_of_web_socket(Origin="https://other.example") == 403
    assert "https://robot.example" in site.get(Host="localhost").headers["Content-Security-Policy"]


@pytest.mark.parametrize("site", [{"host": "0.0.0.0"}], indirect=True)
def test_the_network_needs_the_token(site):
    host, token = "robot.local:{port}", site.gate.token
    assert len(token) > 20
    assert site.get(Host=host).status == 403
    assert "open the link that viewer_node printed" in site.reason()
    assert site.get("/?token=wrong", Host=host).status == 403
    assert site.get("/?token=", Host=host).status == 403
    assert site.status_of_web_socket(host) == 403
    assert site.status_of_web_socket(host, path="/?token=%ff") == 403

    response = site.get(f"/?token={token}", Host=host)
    assert response.status == 303
    assert response.headers["Location"] == "./"
    cookie = response.headers["Set-Cookie"].split(";")[0]
    assert "HttpOnly" in response.headers["Set-Cookie"]
    assert site.get(Host=host, Cookie=cookie).status == 200
    assert site.get(Host=host, Cookie=f"a=b; {cookie}; c").status == 200
    own_page = "http://robot.local:{port}"
    assert site.status_of_web_socket(host, Cookie=cookie, Origin=own_page) == 101
    assert site.status_of_web_socket(host, path=f"/?token={token}") == 101
    assert site.status_of_web_socket(host, Cookie=cookie[:-1]) == 403
    assert site.status_of_web_socket(host, Cookie=cookie, Origin="http://evil.example") == 403


def test_each_start_has_another_token():
    config = ViewerConfig(host="0.0.0.0")
    assert Gate(config, print).token != Gate(config, print).token


@pytest.mark.parametrize(
    ("host", "is_local"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("127.9.9.9", True),
     ("0.0.0.0", False), ("192.168.1.7", False), ("robot", False)],
)  # fmt: skip
def test_only_the_loopback_needs_no_token(host, is_local):
    assert (Gate(ViewerConfig(host=host), print).token is None) == is_local
