"""What all calls share: bodies, answers, refusals, and who may ask."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import time
from collections.abc import Awaitable, Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from .errors import ComputeError, RequestError
from .memory import give_back

log = logging.getLogger("specdojo.web")

MAX_BODY = 512 * 2**20
"""Largest request body in bytes."""

MAX_MESSAGE = 2000
"""Longest refusal in characters: it quotes what was sent."""

FILES = "/api/v1/files/"
"""Below this path a signature in the query does instead of the token."""


def answer(content: object, status: int = 200) -> Response:
    return Response(json.dumps(content, separators=(",", ":")), status, media_type="application/json")


class TokenGuard:
    """Lets through only requests with the token, in `X-API-Key` or as a bearer token, and downloads with a signature."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()

    def around(self, app: ASGIApp) -> ASGIApp:
        async def guarded_app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http" and not self._allowed(scope):
                refusal = answer({"detail": "X-API-Key: the worker's token is missing or wrong", "field": "X-API-Key"}, 401)
                await refusal(scope, receive, send)
                return
            await app(scope, receive, send)

        return guarded_app

    def signed(self, path: str, seconds: float) -> str:
        """The path with a query that allows its download for so long."""
        until = int(time.time() + seconds)
        return f"{path}?until={until}&signature={self._signature(path, str(until))}"

    def _signature(self, path: str, until: str) -> str:
        return hmac.new(self._token, f"{path}\n{until}".encode(), hashlib.sha256).hexdigest()

    def _allowed(self, scope: Scope) -> bool:
        for name, value in scope["headers"]:
            given = value if name == b"x-api-key" else value[7:] if name == b"authorization" and value[:7].lower() == b"bearer " else None
            if given is not None and hmac.compare_digest(given, self._token):
                return True
        return scope["method"] in ("GET", "HEAD") and scope["path"].startswith(FILES) and self._is_signed(scope)

    def _is_signed(self, scope: Scope) -> bool:
        query = Request(scope).query_params
        until, signature = query.get("until", ""), query.get("signature", "")
        if not until.isascii() or not until.isdigit() or len(until) > 15 or int(until) < time.time():
            return False
        path = scope.get("raw_path", scope["path"].encode()).decode("ascii", "replace")
        return hmac.compare_digest(signature.encode(), self._signature(path, until).encode())


async def read_body(request: Request) -> bytes:
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding != "identity":
        raise RequestError(f"Content-Encoding: {encoding!r} is not supported; send the body as it is", field="Content-Encoding", status=415)
    too_large = RequestError(f"body: is larger than {MAX_BODY} bytes; send fewer datums per call", field="body", status=413)
    # uvicorn lets only digits through.
    if int(request.headers.get("content-length", 0)) > MAX_BODY:
        raise too_large
    body = bytearray()
    async for part in request.stream():
        if len(body) + len(part) > MAX_BODY:
            raise too_large
        body += part
    return bytes(body)


def content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def guarded(call: Callable[[Request], Awaitable[Response]], *, openai: bool = False) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        try:
            return await call(request)
        except RequestError as error:
            message, status, where = error.message, error.status, error.field
        except ComputeError as error:
            message, status, where = error.message, 400 if error.category == "user" else 500, None
        except ClientDisconnect:
            return Response(status_code=499)
        except asyncio.CancelledError:  # a poll that still waits when the server ends
            message, status, where = "the worker is ending", 503, None
        except MemoryError:
            give_back()
            message, status, where = "body: the worker has too little memory to read it; send fewer datums per call", 413, "body"
        except Exception as error:
            log.exception("%s %s failed", request.method, request.url.path)
            message, status, where = f"{type(error).__name__}: {error}", 500, None
        message, where = message[:MAX_MESSAGE], where and where[:MAX_MESSAGE]
        if openai:
            return answer(
                {"error": {"message": message, "type": "invalid_request_error" if status < 500 else "server_error", "param": where, "code": None}}, status
            )
        return answer({"detail": message, "field": where}, status)

    return handle


async def not_found(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 404)
    message = f"path: this worker has no call {request.method} {request.url.path}"
    return answer({"detail": message[:MAX_MESSAGE], "field": "path"}, status)
