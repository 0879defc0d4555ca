# SPDX-License-Identifier: Apache-2.0
"""Decides which requests the page's server answers.

Any page in a person's browser may send requests to localhost. So a request must name this server
(a foreign page that has its own name point here, DNS rebinding, names itself), and a page that
opens a web socket must come from this server. A server that other machines can reach asks for a
token as well.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

import viser
from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from humanoid_mujoco_ros.viewer.config import ViewerConfig

ProcessRequest = Callable[[ServerConnection, Request], Response | None]

_QUOTED_LENGTH = 100


class Gate:
    """Lets in the requests of people who may see and push the robot.

    Attributes:
        token: What a browser has to know; None when this machine alone can reach the page.
    """

    def __init__(self, config: ViewerConfig, on_refused: Callable[[object], None]) -> None:
        """Makes a token if one is needed.

        Args:
            config: Address, and the origins of proxies.
            on_refused: Takes the reason why a request was refused; called in the server's thread.
        """
        self.token = None if config.is_local else secrets.token_urlsafe(16)
        self._cookie = f"humanoid_view_{config.port}"
        self._origins = config.origins
        self._hosts = {"localhost", config.host.lower()}
        self._hosts.update(urlsplit(origin).hostname or "" for origin in config.origins)
        self._on_refused = on_refused

    def guard(self, answer: ProcessRequest) -> ProcessRequest:
        """Puts the checks before what answers the requests."""

        def answer_if_admitted(connection: ServerConnection, request: Request) -> Response | None:
            reason = self._fault(request)
            if reason is not None:
                self._on_refused(reason)
                return connection.respond(HTTPStatus.FORBIDDEN, f"refused: {reason}\n")
            is_page = "Upgrade" not in request.headers
            if is_page and self.token is not None and self._query_token(request) is not None:
                return self._keep_token()
            response = answer(connection, request)
            if response is not None:
                # A foreign page must not show this one in a frame and borrow people's clicks.
                sources = " ".join(("'self'", *self._origins))
                response.headers["Content-Security-Policy"] = f"frame-ancestors {sources}"
            return response

        return answer_if_admitted

    def _fault(self, request: Request) -> str | None:
        """Why a request is refused; None when it is not."""
        hosts, origins = request.headers.get_all("Host"), request.headers.get_all("Origin")
        if len(hosts) != 1 or len(origins) > 1:
            return "a request without exactly one Host, or with several Origins"
        host = hosts[0].lower()
        if self.token is None and not self._is_known(host):
            return f"a request to {_quoted(host)}, which is no name of this server"
        for origin in origins:
            is_own = origin.lower() in (f"http://{host}", f"https://{host}")
            if not is_own and origin.lower() not in self._origins:
                return f"a page of {_quoted(origin)}; allowed_origins does not name it"
        if self.token is not None and not self._has_token(request):
            return "no token: open the link that viewer_node printed in its terminal"
        if "Upgrade" in request.headers:
            protocols = ",".join(request.headers.get_all("Sec-WebSocket-Protocol"))
            expected = f"viser-v{viser.__version__}"
            if expected not in (protocol.strip() for protocol in protocols.split(",")):
                return f"a page of another version ({_quoted(protocols)}); load it again"
        return None

    def _is_known(self, host: str) -> bool:
        """Whether a Host header names this server: by an address, or by a name of its own."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in self._hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _has_token(self, request: Request) -> bool:
        known = [self._query_token(request)]
        for header in request.headers.get_all("Cookie"):
            for part in header.split(";"):
                name, _, value = part.strip().partition("=")
                if name == self._cookie:
                    known.append(value)
        expected = (self.token or "").encode()
        return any(hmac.compare_digest((t or "").encode(), expected) for t in known)

    def _query_token(self, request: Request) -> str | None:
        query = request.path.partition("?")[2]
        try:
            return parse_qs(query, max_num_fields=10).get("token", [None])[0]
        except ValueError:
            return None

    def _keep_token(self) -> Response:
        """Has the browser remember the token, and takes it out of the address."""
        cookie = f"{self._cookie}={self.token}; HttpOnly; SameSite=Lax"
        headers = Headers([("Location", "./"), ("Set-Cookie", cookie), ("Content-Length", "0")])
        return Response(HTTPStatus.SEE_OTHER, "See Other", headers)


def _quoted(text: str) -> str:
    """Text of a stranger, short and without control characters."""
    return repr(text if len(text) <= _QUOTED_LENGTH else text[:_QUOTED_LENGTH] + "…")
