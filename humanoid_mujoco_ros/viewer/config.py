# SPDX-License-Identifier: Apache-2.0
"""How the browser view is served."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class ViewerConfig:
    """The browser view."""

    host: str = "127.0.0.1"
    """Address to serve on; 0.0.0.0 lets other machines in, with the token that is printed."""
    port: int = 8080
    """Port of the page."""
    allowed_origins: str = ""
    """Origins of proxies that may show the page, separated by spaces: https://robot.example."""
    frame_rate_hz: float = 30.0
    """Frames per second that the browsers get, 1 to 60."""

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
            ValueError: A value is out of its range, or an origin is none.
        """
        if not 1 <= self.frame_rate_hz <= 60:
            raise ValueError(f"frame_rate_hz must be within 1 and 60, not {self.frame_rate_hz}")
        if not 1 <= self.port <= 65535:
            raise ValueError(f"port must be within 1 and 65535, not {self.port}")
        for origin in self.origins:
            if not _is_origin(origin):
                raise ValueError(
                    f"allowed_origins has '{origin}', expected an origin such as "
                    "https://robot.example or http://10.0.0.7:8080"
                )

    @property
    def origins(self) -> tuple[str, ...]:
        """The allowed origins, in lower case and without a slash at the end."""
        return tuple(origin.lower().rstrip("/") for origin in self.allowed_origins.split())

    @property
    def is_local(self) -> bool:
        """Whether this machine alone can reach the page."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def _is_origin(text: str) -> bool:
    try:
        parts = urlsplit(text)
        has_port = parts.port is None or parts.port > 0
    except ValueError:
        return False
    is_bare = not (parts.path or parts.query or parts.fragment or parts.username)
    return parts.scheme in ("http", "https") and bool(parts.hostname) and is_bare and has_port
