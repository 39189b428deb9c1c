"""The training API over HTTP. Everything here runs on the event loop; computing is handed to the engine."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import iterate_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from . import __version__
from .chat import Tokenizers, chat_request, chat_response
from .checkpoints import CheckpointPath, CheckpointStore, check_segment, parse_path, tar_stream
from .engine import Answer, Engine, Job, SampleJob
from .errors import ComputeError, RequestError
from .futures import Future, FutureStore
from .models import locate
from .sampling import SampleSpec
from .wire import Fields, adam_params, forward_backward_input, parse_body, sample_spec
from .workspace import LoraSpec, Workspace

log = logging.getLogger("specdojo.server")

POLL_SECONDS = 20.0
"""How long retrieve_future waits before it answers try_again."""

BATCH_SECONDS = 60.0
"""How long the requests of one batch may take to arrive."""

MAX_BODY = 512 * 2**20
"""Largest request body in bytes."""


def answer(content: object, status: int = 200) -> Response:
    return Response(json.dumps(content, separators=(",", ":")), status, media_type="application/json")


class TokenGuard:
    """Lets through only requests with the token, in `X-API-Key` or as a bearer token."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._allowed(scope):
            refusal = answer({"detail": "X-API-Key: the worker's token is missing or wrong", "field": "X-API-Key"}, 401)
            await refusal(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _allowed(self, scope: Scope) -> bool:
        for name, value in scope["headers"]:
            given = value if name == b"x-api-key" else value[7:] if name == b"authorization" and value[:7].lower() == b"bearer " else None
            if given is not None and hmac.compare_digest(given, self._token):
                return True
        return False


@dataclass
class _Batch:
    """Requests that wait for the rest of their batch."""

    size: int
    members: dict[int, tuple[SampleSpec, Callable[[Answer], None]]] = field(default_factory=dict)
    timer: asyncio.TimerHandle | None = None


@dataclass
class _ModelInfo:
    base_model: str
    lora: LoraSpec


class Api:
    """The protocol's state: sessions, model ids, futures. Weights live in the workspace."""

    def __init__(self, engine: Engine, workspace: Workspace, store: CheckpointStore, *, batch_seconds: float = BATCH_SECONDS) -> None:
        self._engine = engine
        self._workspace = workspace
        self._store = store
        self._batch_seconds = batch_seconds
        self._futures = FutureStore()
        self._tokenizers = Tokenizers()
        self._sessions: set[str] = set()
        self._models: dict[str, _ModelInfo] = {}
        self._unloaded: set[str] = set()
        self._sampling: dict[str, str] = {}
        self._sampling_by_seq: dict[tuple[str, int], tuple[str, str]] = {}
        self._batches: dict[tuple[str, str], _Batch] = {}

    def routes(self) -> list[Route]:
        def get(path: str, call: Callable[[Request], Awaitable[Response]]) -> Route:
            return Route(path, _guarded(call), methods=["GET"])

        def post(name: str, call: Callable[[Fields, bytes], Awaitable[Response]]) -> Route:
            async def handle(request: Request) -> Response:
                raw = await _read(request)
                return await call(parse_body(raw), raw)

            return Route(f"/api/v1/{name}", _guarded(handle), methods=["POST"])

        return [
            get("/api/v1/healthz", self._healthz),
            get("/api/v1/get_server_capabilities", self._capabilities),
            post("client/config", self._client_config),
            post("create_session", self._create_session),
            post("session_heartbeat", self._heartbeat),
            post("create_sampling_session", self._create_sampling_session),
            post("get_info", self._get_info),
            post("weights_info", self._weights_info),
            get("/api/v1/training_runs/{run}/checkpoints", self._list_checkpoints),
            get("/api/v1/training_runs/{run}/checkpoints/{kind}/{name}/archive", self._archive),
            get("/api/v1/training_runs/{run}/checkpoints/{kind}/{name}/archive.tar", self._archive_tar),
            Route("/api/v1/training_runs/{run}/checkpoints/{kind}/{name}", _guarded(self._delete_checkpoint), methods=["DELETE"]),
            post("create_model", self._create_model),
            post("asample", self._asample),
            post("forward_backward", self._forward_backward),
            post("forward", self._forward),
            post("optim_step", self._optim_step),
            post("save_weights", self._save_weights),
            post("save_weights_for_sampler", self._save_for_sampler),
            post("load_weights", self._load_weights),
            post("unload_model", self._unload),
            post("retrieve_future", self._retrieve),
            get("/v1/models", self._openai_models),
            Route("/v1/chat/completions", _guarded(self._openai_chat, openai=True), methods=["POST"]),
        ]

    # Synchronous calls

    async def _healthz(self, request: Request) -> Response:
        return answer({"status": "ok"})

    async def _capabilities(self, request: Request) -> Response:
        models = [{"model_name": name, "max_context_length": length} for name, length in self._workspace.bases.contexts().items()]
        return answer(
            {
                "supported_models": models,
                "server": "specdojo-worker",
                "version": __version__,
                "device": str(self._workspace.runtime.device),
                "dtype": str(self._workspace.runtime.dtype).removeprefix("torch."),
                "full_weights": True,
                "sample_batches": True,
                "loss_reduction": "sum",
            }
        )

    async def _client_config(self, fields: Fields, raw: bytes) -> Response:
        return answer({})

    async def _create_session(self, fields: Fields, raw: bytes) -> Response:
        session = f"session-{secrets.token_hex(8)}"
        self._sessions.add(session)
        return answer({"type": "create_session", "session_id": session})

    async def _heartbeat(self, fields: Fields, raw: bytes) -> Response:
        self._session(fields)
        return answer({"type": "session_heartbeat"})

    async def _create_sampling_session(self, fields: Fields, raw: bytes) -> Response:
        session = self._session(fields)
        key = self._source(fields)
        sequence = (session, fields.integer("sampling_session_seq_id", low=0))
        known = self._sampling_by_seq.get(sequence)
        if known is not None:
            if known[1] != key:
                raise fields.fail("sampling_session_seq_id", f"{sequence[1]} was already used for another model", status=409)
            return answer({"type": "create_sampling_session", "sampling_session_id": known[0]})
        sampling = f"{session}:sample:{sequence[1]}"
        self._sampling[sampling] = key
        self._sampling_by_seq[sequence] = (sampling, key)
        return answer({"type": "create_sampling_session", "sampling_session_id": sampling})

    async def _get_info(self, fields: Fields, raw: bytes) -> Response:
        model_id, info = self._model(fields)
        data = {"model_name": info.base_model, "tokenizer_id": info.base_model, "arch": "causal_lm"}
        rank = info.lora.rank
        return answer(
            {"type": "get_info", "model_id": model_id, "model_name": info.base_model, "model_data": data, "is_lora": rank > 0, "lora_rank": rank or None}
        )

    async def _weights_info(self, fields: Fields, raw: bytes) -> Response:
        path = parse_path(fields.text("tinker_path"), "tinker_path")
        self._store.require(path, "tinker_path")
        meta = self._store.meta(path)
        return answer({"base_model": meta.get("base_model"), "is_lora": meta.get("rank") != 0, "lora_rank": meta.get("rank") or None})

    async def _list_checkpoints(self, request: Request) -> Response:
        run = check_segment(request.path_params["run"], "run")
        return answer({"checkpoints": self._store.list(run)})

    def _checkpoint(self, request: Request) -> CheckpointPath:
        params = request.path_params
        if params["kind"] not in ("weights", "sampler_weights"):
            raise RequestError(f"checkpoint id: {params['kind']!r} is neither weights nor sampler_weights", field="checkpoint_id", status=404)
        path = CheckpointPath(check_segment(params["run"], "run"), params["kind"], check_segment(params["name"], "checkpoint_id"))
        self._store.require(path, "checkpoint_id")
        return path

    async def _delete_checkpoint(self, request: Request) -> Response:
        self._store.delete(self._checkpoint(request))
        return Response(status_code=204)

    async def _archive(self, request: Request) -> Response:
        self._checkpoint(request)
        expires = datetime.now(UTC) + timedelta(hours=1)
        return answer({"url": f"{request.url.replace(query='')}.tar", "expires": expires.isoformat(timespec="seconds")})

    async def _archive_tar(self, request: Request) -> Response:
        directory = self._store.directory(self._checkpoint(request))
        return StreamingResponse(iterate_in_threadpool(tar_stream(directory)), media_type="application/x-tar")

    # Calls answered by a future

    async def _create_model(self, fields: Fields, raw: bytes) -> Response:
        session = self._session(fields)
        sequence = fields.integer("model_seq_id", low=0)
        repeated = self._futures.repeated(f"{session}/models", sequence, "create_model", raw)
        if repeated is not None:
            return self._accepted(repeated)
        base_model = fields.text("base_model")
        locate(base_model)
        given = fields.child("lora_config")
        lora = LoraSpec(
            rank=given.integer("rank", low=0, high=1024),
            alpha=given.number("alpha", low=1e-6, default=32.0),
            seed=given.integer("seed", low=0, high=2**63 - 1, default=0),
            attention=given.flag("train_attn", True),
            mlp=given.flag("train_mlp", True),
            unembed=given.flag("train_unembed", False),
        )
        model_id = f"run-{secrets.token_hex(8)}"
        future = self._futures.create(model_id)
        self._futures.remember(future, f"{session}/models", sequence, "create_model", raw)
        self._models[model_id] = _ModelInfo(base_model, lora)
        self._run(future, lambda: self._workspace.create_model(model_id, base_model, lora))
        return self._accepted(future)

    async def _forward_backward(self, fields: Fields, raw: bytes) -> Response:
        return self._pass(fields, raw, "forward_backward", backward=True)

    async def _forward(self, fields: Fields, raw: bytes) -> Response:
        return self._pass(fields, raw, "forward", backward=False)

    def _pass(self, fields: Fields, raw: bytes, call: str, *, backward: bool) -> Response:
        model_id, _ = self._model(fields)

        def prepare() -> Callable[[], Answer]:
            data, loss, options = forward_backward_input(fields)
            return lambda: self._workspace.forward_backward(model_id, data, loss, options, backward=backward)

        return self._model_call(fields, raw, call, model_id, prepare)

    async def _optim_step(self, fields: Fields, raw: bytes) -> Response:
        model_id, _ = self._model(fields)

        def prepare() -> Callable[[], Answer]:
            adam = adam_params(fields)
            return lambda: self._workspace.optim_step(model_id, adam)

        return self._model_call(fields, raw, "optim_step", model_id, prepare)

    async def _save_weights(self, fields: Fields, raw: bytes) -> Response:
        model_id, _ = self._model(fields)

        def prepare() -> Callable[[], Answer]:
            path = CheckpointPath(model_id, "weights", check_segment(fields.text("path"), "path"))
            return lambda: self._workspace.save_weights(model_id, path)

        return self._model_call(fields, raw, "save_weights", model_id, prepare)

    async def _save_for_sampler(self, fields: Fields, raw: bytes) -> Response:
        model_id, _ = self._model(fields)
        name = fields.optional_text("path")
        key = ""
        if name is None:
            key = f"{model_id}:sample:{fields.integer('sampling_session_seq_id', low=0)}-{secrets.token_hex(4)}"

        def prepare() -> Callable[[], Answer]:
            if name is None:
                return lambda: self._workspace.save_ephemeral(model_id, key)
            path = CheckpointPath(model_id, "sampler_weights", check_segment(name, "path"))
            return lambda: self._workspace.save_for_sampler(model_id, path)

        def finished(result: Answer) -> None:
            if result.get("sampling_session_id") == key:
                self._sampling[key] = key

        return self._model_call(fields, raw, "save_weights_for_sampler", model_id, prepare, finished)

    async def _load_weights(self, fields: Fields, raw: bytes) -> Response:
        model_id, _ = self._model(fields)

        def prepare() -> Callable[[], Answer]:
            path = parse_path(fields.text("path"), "path")
            self._store.require(path, "path")
            optimizer = fields.flag("optimizer", True)
            return lambda: self._workspace.load_weights(model_id, path, optimizer=optimizer)

        return self._model_call(fields, raw, "load_weights", model_id, prepare)

    async def _unload(self, fields: Fields, raw: bytes) -> Response:
        model_id, _ = self._model(fields)
        future = self._futures.create(model_id)
        del self._models[model_id]
        self._unloaded.add(model_id)
        self._run(future, lambda: self._workspace.unload(model_id))
        return self._accepted(future)

    def _model_call(
        self,
        fields: Fields,
        raw: bytes,
        call: str,
        model_id: str,
        prepare: Callable[[], Callable[[], Answer]],
        finished: Callable[[Answer], None] | None = None,
    ) -> Response:
        sequence = fields.integer("seq_id", low=0)
        repeated = self._futures.repeated(model_id, sequence, call, raw)
        if repeated is not None:
            return self._accepted(repeated)
        run = prepare()
        future = self._futures.create(model_id)
        self._futures.remember(future, model_id, sequence, call, raw)
        self._run(future, run, finished)
        return self._accepted(future)

    async def _asample(self, fields: Fields, raw: bytes) -> Response:
        sampling = fields.optional_text("sampling_session_id")
        if sampling is not None:
            key = self._sampling.get(sampling)
            if key is None:
                raise fields.fail("sampling_session_id", f"there is no sampling session {sampling!r}", status=404)
            sequence = fields.integer("seq_id", low=0)
            scope = f"sampling/{sampling}"
            repeated = self._futures.repeated(scope, sequence, "asample", raw)
            if repeated is not None:
                return self._accepted(repeated)
        else:
            key = self._source(fields)
            sequence = fields.integer("seq_id", low=0, default=0)
            scope = None
        spec = sample_spec(fields, secrets.randbits(63))
        group = None
        if fields.get("batch") is not None:
            given = fields.child("batch")
            group = (sampling or key, given.text("id"))
            self._check_batch(given, group, given.integer("size", low=1, high=100_000), sequence)
        future = self._futures.create()
        if scope is not None:
            self._futures.remember(future, scope, sequence, "asample", raw)
        deliver = self._deliverer(future)
        if group is None:
            self._engine.submit(SampleJob(key, lambda: self._workspace.sampler(key), [spec], [deliver], joinable=True))
        else:
            self._join_batch(group, key, sequence, spec, deliver)
        return self._accepted(future)

    def _check_batch(self, given: Fields, group: tuple[str, str], size: int, sequence: int) -> None:
        batch = self._batches.get(group)
        if batch is None:
            batch = self._batches[group] = _Batch(size)
            batch.timer = asyncio.get_running_loop().call_later(self._batch_seconds, self._expire_batch, group)
        if batch.size != size:
            raise given.fail("size", f"is {size}, but earlier requests of this batch said {batch.size}")
        if sequence in batch.members:
            raise RequestError(f"seq_id: {sequence} occurs twice in batch {group[1]!r}", field="seq_id", status=409)

    def _join_batch(self, group: tuple[str, str], key: str, sequence: int, spec: SampleSpec, deliver: Callable[[Answer], None]) -> None:
        batch = self._batches[group]
        batch.members[sequence] = (spec, deliver)
        if len(batch.members) < batch.size:
            return
        del self._batches[group]
        if batch.timer is not None:
            batch.timer.cancel()
        ordered = [batch.members[i] for i in sorted(batch.members)]
        specs, deliveries = [spec for spec, _ in ordered], [deliver for _, deliver in ordered]
        self._engine.submit(SampleJob(key, lambda: self._workspace.sampler(key), specs, deliveries, joinable=False))

    def _expire_batch(self, group: tuple[str, str]) -> None:
        batch = self._batches.pop(group, None)
        if batch is None:
            return
        message = f"batch: only {len(batch.members)} of the {batch.size} requests of batch {group[1]!r} arrived within {self._batch_seconds:g} s"
        for _, deliver in batch.members.values():
            deliver({"error": message, "category": "user"})

    async def _retrieve(self, fields: Fields, raw: bytes) -> Response:
        future = self._futures.get(fields.text("request_id"))
        try:
            await asyncio.wait_for(future.done.wait(), POLL_SECONDS)
        except TimeoutError:
            return answer({"type": "try_again", "request_id": future.request_id, "queue_state": "active"})
        return answer(future.result)

    # OpenAI

    async def _openai_models(self, request: Request) -> Response:
        names = list(self._workspace.bases.contexts())
        for run in sorted(p.name for p in self._store.root.glob("*") if p.is_dir() and not p.name.startswith(".")):
            names.extend(str(c["tinker_path"]) for c in self._store.list(run) if c["checkpoint_type"] == "sampler")
        return answer({"object": "list", "data": [{"id": n, "object": "model", "created": 0, "owned_by": "specdojo"} for n in names]})

    async def _openai_chat(self, request: Request) -> Response:
        fields = parse_body(await _read(request))
        model = fields.text("model")
        if model.startswith("tinker://"):
            path = parse_path(model, "model")
            directory: Path = self._store.require(path, "model")
            key = f"path:{path}"
        else:
            locate(model, "model")
            key = f"base:{model}"
            directory = await self._directory(model)
        chat = await asyncio.to_thread(chat_request, fields, directory, self._tokenizers, secrets.randbits(63))
        future = self._futures.create()
        self._engine.submit(SampleJob(key, lambda: self._workspace.sampler(key), [chat.spec], [self._deliverer(future)], joinable=True))
        await future.done.wait()
        result = future.result or {}
        if "error" in result:
            raise RequestError(str(result["error"]), status=400 if result.get("category") == "user" else 500)
        sequences: list[dict[str, object]] = result["sequences"]  # type: ignore[assignment]
        return answer(chat_response(chat, sequences, model, f"chatcmpl-{future.request_id}", int(time.time())))

    async def _directory(self, model: str) -> Path:
        """Where a base model lies; found on the engine thread, since it may have to be downloaded."""
        future = self._futures.create()
        self._run(future, lambda: {"directory": str(self._workspace.bases.directory(model))})
        await future.done.wait()
        result = future.result or {}
        if "error" in result:
            raise RequestError(str(result["error"]), field="model", status=404)
        return Path(str(result["directory"]))

    # Helpers

    def _session(self, fields: Fields) -> str:
        session = fields.text("session_id")
        if session not in self._sessions:
            raise fields.fail("session_id", f"there is no session {session!r}", status=404)
        return session

    def _model(self, fields: Fields) -> tuple[str, _ModelInfo]:
        model_id = fields.text("model_id")
        info = self._models.get(model_id)
        if info is None:
            raise fields.fail(
                "model_id", f"the model {model_id!r} was unloaded" if model_id in self._unloaded else f"there is no model {model_id!r}", status=404
            )
        return model_id, info

    def _source(self, fields: Fields) -> str:
        """The sampler key of `model_path` or `base_model`."""
        text = fields.optional_text("model_path")
        if text is not None:
            path = parse_path(text, fields.path("model_path"))
            if path.kind != "sampler_weights":
                raise fields.fail("model_path", f"{text!r} is a training checkpoint; sample from one of save_weights_for_sampler")
            self._store.require(path, fields.path("model_path"))
            return f"path:{path}"
        base_model = fields.optional_text("base_model")
        if base_model is None:
            raise fields.fail("base_model", "give base_model or model_path")
        locate(base_model)
        return f"base:{base_model}"

    def _run(self, future: Future, run: Callable[[], Answer], finished: Callable[[Answer], None] | None = None) -> None:
        self._engine.submit(Job(run, self._deliverer(future, finished)))

    def _deliverer(self, future: Future, finished: Callable[[Answer], None] | None = None) -> Callable[[Answer], None]:
        loop = asyncio.get_running_loop()

        def settle(result: Answer) -> None:
            if finished is not None:
                finished(result)
            future.result = result
            future.done.set()

        def deliver(result: Answer) -> None:
            try:
                loop.call_soon_threadsafe(settle, result)
            except RuntimeError:  # the loop is closed: the server is on its way out
                return

        return deliver

    @staticmethod
    def _accepted(future: Future) -> Response:
        content: dict[str, object] = {"request_id": future.request_id}
        if future.model_id is not None:
            content["model_id"] = future.model_id
        return answer(content)


async def _read(request: Request) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BODY:
            raise RequestError(f"body: is larger than {MAX_BODY} bytes; send fewer datums per call", field="body", status=413)
        parts.append(part)
    return b"".join(parts)


def _guarded(call: Callable[[Request], Awaitable[Response]], *, openai: bool = False) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        try:
            return await call(request)
        except RequestError as error:
            message, status, where = error.message, error.status, error.field
        except ComputeError as error:
            message, status, where = error.message, 400 if error.category == "user" else 500, None
        except ClientDisconnect:
            return Response(status_code=499)
        if openai:
            return answer(
                {"error": {"message": message, "type": "invalid_request_error" if status < 500 else "server_error", "param": where, "code": None}}, status
            )
        return answer({"detail": message, "field": where}, status)

    return handle


def application(api: Api, token: str) -> ASGIApp:
    """The ASGI application."""
    return TokenGuard(Starlette(routes=api.routes()), token)
