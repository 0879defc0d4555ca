# SPDX-License-Identifier: Apache-2.0
"""How the services of simulation_interfaces tell of success and failure."""

from __future__ import annotations

from typing import TypeVar

from simulation_interfaces.msg import Result

Response = TypeVar("Response")


class Refusal(Exception):  # noqa: N818 (no error of the program)
    """A call is refused; the message says why in one line."""

    def __init__(self, code: int, message: str) -> None:
        """Takes the result code of the answer."""
        super().__init__(message)
        self.code = code


def answer(response: Response, code: int = Result.RESULT_OK, message: str = "") -> Response:
    """`response` with its result."""
    response.result = Result(result=code, error_message=message)  # type: ignore[attr-defined]
    return response
