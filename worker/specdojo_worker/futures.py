"""Results that are fetched later: request ids, long polls, and the seq_id idempotency of the protocol."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field

from .errors import RequestError

KEPT = 20_000
"""Finished futures kept for polling; the oldest go first, and polling one that is gone answers 410."""


@dataclass
class Future:
    request_id: str
    model_id: str | None = None
    result: dict[str, object] | None = None
    samples: int = 0
    """Completions that an asample call asked for."""
    cancelled: bool = False
    done: asyncio.Event = field(default_factory=asyncio.Event)


class FutureStore:
    """All futures of the worker. Used on the event loop only."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._futures: OrderedDict[str, Future] = OrderedDict()
        self._sequence: dict[tuple[str, int], tuple[bytes, str]] = {}
        self._keys: dict[str, tuple[str, int]] = {}
        self._gone: OrderedDict[str, None] = OrderedDict()

    def repeated(self, scope: str, seq_id: int, call: str, body: bytes) -> Future | None:
        """The future of an earlier identical request in this scope; refuses a seq_id that was used otherwise."""
        known = self._sequence.get((scope, seq_id))
        if known is None:
            return None
        digest, request_id = known
        if digest != _digest(call, body):
            raise RequestError(f"seq_id: {seq_id} was already used by another request", field="seq_id", status=409)
        return self._futures.get(request_id)

    def create(self, model_id: str | None = None) -> Future:
        future = Future(f"req-{secrets.token_hex(12)}", model_id)
        self._futures[future.request_id] = future
        self._trim()
        return future

    def remember(self, future: Future, scope: str, seq_id: int, call: str, body: bytes) -> None:
        self._sequence[scope, seq_id] = (_digest(call, body), future.request_id)
        self._keys[future.request_id] = (scope, seq_id)

    def get(self, request_id: str) -> Future:
        future = self._futures.get(request_id)
        if future is None:
            gone = request_id in self._gone
            raise RequestError(
                f"request_id: {request_id!r} is {'no longer kept; send the original request again' if gone else 'unknown'}",
                field="request_id",
                status=410 if gone else 404,
            )
        return future

    def _trim(self) -> None:
        while len(self._futures) > self._kept:
            request_id = next((i for i, f in self._futures.items() if f.done.is_set()), None)
            if request_id is None:
                return
            del self._futures[request_id]
            key = self._keys.pop(request_id, None)
            if key is not None:
                self._sequence.pop(key, None)
            self._gone[request_id] = None
            if len(self._gone) > 5 * self._kept:
                self._gone.popitem(last=False)


def _digest(call: str, body: bytes) -> bytes:
    return hashlib.sha256(call.encode() + b"\0" + body).digest()
