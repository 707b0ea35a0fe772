"""What stands around every route: refusals as answers, and answers that pages may read."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hub.access.address import peer_name
from hub.access.admission import Admission
from hub.errors import InvalidValue, RefusalReason, Refused

__all__ = ["Guard"]

_logger = logging.getLogger("hub")

_STRANGE: Final = (RefusalReason.HOST, RefusalReason.ORIGIN)
"""Reasons for which a page may not even read why it was refused."""


class Guard:
    """ASGI middleware that answers for what is refused behind it, and shares answers with pages.

    What fails behind it is one line of the log, and an answer if there was none.

    A refusal comes before a WebSocket is accepted: as an HTTP response where the server can, else
    as its bare 403. Pages of other origins that may come in may also read what is answered.

    Args:
        app: what is behind it, which may raise InvalidValue and Refused until it has answered.
        admission: counts what is refused.
        check: asked first about every request; by default the application asks by itself.
    """

    def __init__(
        self,
        app: ASGIApp,
        admission: Admission,
        check: Callable[[Scope], None] = lambda scope: None,  # noqa: ARG005 # asks nothing
    ) -> None:
        self._app = app
        self._admission = admission
        self._check = check

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        answer = _shared(scope, send)
        try:
            self._check(scope)
            await self._app(scope, receive, answer)
        except (InvalidValue, Refused) as error:
            reason = error.reason if isinstance(error, Refused) else RefusalReason.PARAMETER
            self._admission.refused(reason, peer_name(scope.get("client")))
            with contextlib.suppress(OSError, RuntimeError):  # the client does not wait for it
                response, sender = _refusal(error), send if reason in _STRANGE else answer
                await _answer(response, scope, receive, sender)
        except ClientDisconnect:
            pass
        except HTTPException:  # the framework's own way to answer
            raise
        except Exception as error:
            if isinstance(error, OSError) and scope["type"] == "websocket":
                raise  # the server's own word for a client that has gone (ASGI, WebSocket send)
            _log_failure(scope, error)
            with contextlib.suppress(OSError, RuntimeError):  # it has been answered already
                failure = {"error": "the hub failed to answer; its log says why"}
                await _answer(JSONResponse(failure, 500), scope, receive, answer)


def _log_failure(scope: Scope, error: Exception) -> None:
    _logger.error("Request for %s failed: %r", scope["path"], error)
    _logger.debug("Where it was", exc_info=error)


def _shared(scope: Scope, send: Send) -> Send:
    """Let the page that asks read the answer, as browsers want it said (Fetch, section 3.3)."""
    origin = next((value for name, value in scope["headers"] if name == b"origin"), None)
    if scope["type"] != "http" or origin is None:
        return send

    async def send_shared(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["Access-Control-Allow-Origin"] = origin.decode("latin-1")
            headers.add_vary_header("Origin")
        await send(message)

    return send_shared


async def _answer(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    offered = "websocket.http.response" in scope.get("extensions", {})
    if scope["type"] == "websocket" and not offered:
        await send({"type": "websocket.close"})
    else:
        await response(scope, receive, send)


def _refusal(error: InvalidValue | Refused) -> Response:
    if isinstance(error, InvalidValue):
        return JSONResponse({"error": str(error), "parameter": error.field}, 400)
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    if error.reason is RefusalReason.TOKEN:
        headers["WWW-Authenticate"] = "Bearer"
    body = {"error": str(error), "reason": error.reason.value}
    return JSONResponse(body, error.reason.status, headers)
