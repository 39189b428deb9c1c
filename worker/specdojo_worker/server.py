"""The training API over HTTP. Everything here runs on the event loop; computing is handed to the engine.

`rest.py` has the calls about runs, sessions and checkpoints, `openai.py` those of OpenAI's API.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp
from transformers import PreTrainedTokenizerBase

from . import __version__, proto
from .chat import Tokenizers, cut_at
from .checkpoints import MAX_KEPT_SECONDS, CheckpointPath, CheckpointStore, check_segment, parse_path
from .engine import Answer, Engine, Job, SampleJob
from .errors import RequestError
from .futures import Future, FutureStore
from .models import Limits, locate
from .openai import OpenAi
from .rest import Rest
from .sampling import SampleSpec
from .web import TokenGuard, answer, content_type, guarded, not_found, read_body
from .wire import Fields, adam_params, forward_backward_input, parse_body, sample_spec, stop_strings
from .workspace import LoraSpec, Workspace

log = logging.getLogger("specdojo.server")

POLL_SECONDS = 20.0
"""How long retrieve_future waits before it answers try_again."""

BATCH_SECONDS = 60.0
"""How long the requests of one batch may take to arrive."""

SWEEP_SECONDS = 5.0
"""How often sessions are looked at, where they expire."""


@dataclass
class _Batch:
    """Requests that wait for the rest of their batch."""

    size: int
    members: dict[int, tuple[SampleSpec, Callable[[Answer], None]]] = field(default_factory=dict)
    timer: asyncio.TimerHandle | None = None


@dataclass
class Session:
    """A client's session: its models and samplers go when it ends."""

    id: str
    user_metadata: dict[str, object] | None
    name: str | None
    seen: float
    models: list[str] = field(default_factory=list)
    samplers: list[str] = field(default_factory=list)
    closed: bool = False


@dataclass
class Model:
    """A model under training. `limits` are None where they are not known without loading it."""

    base_model: str
    lora: LoraSpec
    limits: Limits | None
    session: Session
    user_metadata: dict[str, str] | None = None
    used: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True)
class Sampling:
    """A sampling session: the engine's key for its weights, and what they belong to."""

    key: str
    base_model: str
    path: str | None
    session: Session | None


class Api:
    """The protocol's state: sessions, model ids, futures. Weights live in the workspace.

    A session without any request for `session_seconds` ends, with its models; None keeps all.
    """

    def __init__(
        self,
        engine: Engine,
        workspace: Workspace,
        store: CheckpointStore,
        *,
        batch_seconds: float = BATCH_SECONDS,
        session_seconds: float | None = None,
    ) -> None:
        self._engine = engine
        self.workspace = workspace
        self.store = store
        self._batch_seconds = batch_seconds
        self._session_seconds = session_seconds
        self._sweeping = False
        self._futures = FutureStore()
        self.tokenizers = Tokenizers()
        self.sessions: dict[str, Session] = {}
        self.models: dict[str, Model] = {}
        self._unloaded: set[str] = set()
        self.sampling: dict[str, Sampling] = {}
        self._sampling_by_seq: dict[tuple[str, int], tuple[str, str]] = {}
        self._batches: dict[tuple[str, str], _Batch] = {}
        self._limits: dict[str, Limits] = {}

    def routes(self) -> list[Route]:
        def get(name: str, call: Callable[[Request], Awaitable[Response]]) -> Route:
            return Route(f"/api/v1/{name}", guarded(call), methods=["GET"])

        def post(name: str, call: Callable[[Fields, bytes], Awaitable[Response]]) -> Route:
            async def handle(request: Request) -> Response:
                raw = await read_body(request)
                return await call(parse_body(raw), raw)

            return Route(f"/api/v1/{name}", guarded(handle), methods=["POST"])

        return [
            get("healthz", self._healthz),
            get("get_server_capabilities", self._capabilities),
            post("client/config", self._client_config),
            post("client/dynamic_config", self._dynamic_config),
            post("telemetry", self._telemetry),
            post("create_session", self._create_session),
            post("session_heartbeat", self._heartbeat),
            post("create_sampling_session", self._create_sampling_session),
            post("get_info", self._get_info),
            post("create_model", self._create_model),
            post("asample", self._asample),
            Route("/api/v1/forward_backward", guarded(self._forward_backward), methods=["POST"]),
            post("forward", self._forward),
            post("optim_step", self._optim_step),
            post("save_weights", self._save_weights),
            post("save_weights_for_sampler", self._save_for_sampler),
            post("save_weights_external", self._save_external),
            post("load_weights", self._load_weights),
            post("unload_model", self._unload),
            Route("/api/v1/retrieve_future", guarded(self._retrieve), methods=["POST"]),
            post("cancel_future", self._cancel),
        ]

    # Synchronous calls

    async def _healthz(self, request: Request) -> Response:
        return answer({"status": "ok"})

    async def _capabilities(self, request: Request) -> Response:
        models = [
            {"model_name": name, "max_context_length": length, "trainable": True, "sampleable": True}
            for name, length in self.workspace.bases.contexts().items()
        ]
        return answer(
            {
                "supported_models": models,
                "server": "specdojo-worker",
                "version": __version__,
                "device": str(self.workspace.runtime.device),
                "dtype": str(self.workspace.runtime.dtype).removeprefix("torch."),
                "full_weights": True,
                "sample_batches": True,
                "loss_reduction": "sum",
            }
        )

    async def _client_config(self, fields: Fields, raw: bytes) -> Response:
        # Parts of one batch would arrive in any order and be summed in that order: serially the result is the same each time.
        return answer({"parallel_fwdbwd_chunks": False, "proto_compress_fwdbwd": False})

    async def _dynamic_config(self, fields: Fields, raw: bytes) -> Response:
        return answer({"refresh_interval_sec": 3600, "sample_cancel_enabled": True})

    async def _telemetry(self, fields: Fields, raw: bytes) -> Response:
        """Nothing of it is kept."""
        return answer({"status": "accepted"})

    async def _create_session(self, fields: Fields, raw: bytes) -> Response:
        if fields.get("tags") is not None and not all(isinstance(tag, str) for tag in fields.list("tags")):
            raise fields.fail("tags", "must be an array of strings")
        metadata = fields.get("user_metadata")
        if metadata is not None and not isinstance(metadata, dict):
            raise fields.fail("user_metadata", "must be an object")
        session = Session(f"session-{secrets.token_hex(8)}", metadata, fields.optional_text("display_name"), time.monotonic())
        self.sessions[session.id] = session
        if self._session_seconds is not None and not self._sweeping:
            self._sweeping = True
            asyncio.get_running_loop().call_later(min(SWEEP_SECONDS, self._session_seconds), self._sweep, self._session_seconds)
        return answer({"type": "create_session", "session_id": session.id})

    def _sweep(self, seconds: float) -> None:
        """Ends the sessions whose client has vanished."""
        now = time.monotonic()
        for session in list(self.sessions.values()):
            if not session.closed and now - session.seen > seconds:
                log.info("session %s: no request for %.0f s; its models are unloaded", session.id, seconds)
                self.end_session(session)
        asyncio.get_running_loop().call_later(min(SWEEP_SECONDS, seconds), self._sweep, seconds)

    def end_session(self, session: Session) -> None:
        """Drops the session's waiting requests, models and samplers. Checkpoints stay."""
        session.closed = True
        for model_id in session.models:
            if self.models.pop(model_id, None) is not None:
                self._unloaded.add(model_id)
                self._engine.submit(Job(lambda model_id=model_id: self.workspace.unload(model_id), lambda _: None))
        for sampler in session.samplers:
            self.sampling.pop(sampler, None)

    async def _heartbeat(self, fields: Fields, raw: bytes) -> Response:
        self.session(fields)
        return answer({"type": "session_heartbeat"})

    async def _create_sampling_session(self, fields: Fields, raw: bytes) -> Response:
        session = self.session(fields)
        sampling = self._source(fields, session)
        sequence = (session.id, fields.integer("sampling_session_seq_id", low=0))
        known = self._sampling_by_seq.get(sequence)
        if known is not None:
            if known[1] != sampling.key:
                raise fields.fail("sampling_session_seq_id", f"{sequence[1]} was already used for another model", status=409)
            return answer({"type": "create_sampling_session", "sampling_session_id": known[0]})
        identifier = f"{session.id}:sample:{sequence[1]}"
        self._add_sampling(identifier, sampling)
        self._sampling_by_seq[sequence] = (identifier, sampling.key)
        return answer({"type": "create_sampling_session", "sampling_session_id": identifier})

    def _add_sampling(self, identifier: str, sampling: Sampling) -> None:
        self.sampling[identifier] = sampling
        if sampling.session is not None:
            sampling.session.samplers.append(identifier)

    async def _get_info(self, fields: Fields, raw: bytes) -> Response:
        model_id, info = self._model(fields)
        data = {"model_name": info.base_model, "tokenizer_id": info.base_model, "arch": "causal_lm"}
        rank = info.lora.rank
        return answer(
            {"type": "get_info", "model_id": model_id, "model_name": info.base_model, "model_data": data, "is_lora": rank > 0, "lora_rank": rank or None}
        )

    # Calls answered by a future

    async def _create_model(self, fields: Fields, raw: bytes) -> Response:
        session = self.session(fields)
        sequence = fields.integer("model_seq_id", low=0)
        repeated = self._futures.repeated(f"{session.id}/models", sequence, "create_model", raw)
        if repeated is not None:
            return self._accepted(repeated)
        base_model = fields.text("base_model")
        locate(base_model)
        self._check_optimizer(fields)
        given = fields.child("lora_config")
        lora = LoraSpec(
            rank=given.integer("rank", low=0, high=1024),
            alpha=given.number("alpha", low=1e-6, default=32.0),
            seed=given.integer("seed", low=0, default=0),
            attention=given.flag("train_attn", True),
            mlp=given.flag("train_mlp", True),
            unembed=given.flag("train_unembed", False),
        )
        if lora.rank and not (lora.attention or lora.mlp or lora.unembed):
            raise given.fail("train_attn", "nothing is left to train; set train_attn, train_mlp or train_unembed")
        future = self._new_model(session, sequence, "create_model", raw, base_model, lora, fields.texts("user_metadata"))
        model_id = str(future.model_id)
        self._run(future, lambda: self.workspace.create_model(model_id, base_model, lora), session=session)
        return self._accepted(future)

    @staticmethod
    def _check_optimizer(fields: Fields) -> None:
        if fields.get("optimizer_config") is not None and fields.child("optimizer_config").get("type") not in (None, "adamw"):
            raise fields.fail("optimizer_config.type", "only adamw is supported")

    def _new_model(self, session: Session, sequence: int, call: str, raw: bytes, base_model: str, lora: LoraSpec, metadata: dict[str, str] | None) -> Future:
        """Registers a model under the id that clients derive themselves: SESSION:train:SEQUENCE."""
        model_id = f"{session.id}:train:{sequence}"
        future = self._futures.create(model_id)
        self._futures.remember(future, f"{session.id}/models", sequence, call, raw)
        self.models[model_id] = Model(base_model, lora, self.limits(base_model), session, metadata)
        session.models.append(model_id)
        return future

    async def _forward_backward(self, request: Request) -> Response:
        raw = await read_body(request)
        if content_type(request) == proto.CONTENT_TYPE:
            content = proto.read_forward_backward(raw)
            forward_only = content["forward_only"] is True
            return self._pass(Fields(content), raw, "forward_backward", backward=not forward_only)
        return self._pass(parse_body(raw), raw, "forward_backward", backward=True)

    async def _forward(self, fields: Fields, raw: bytes) -> Response:
        return self._pass(fields, raw, "forward", backward=False)

    def _pass(self, fields: Fields, raw: bytes, call: str, *, backward: bool) -> Response:
        model_id, info = self._model(fields)

        def prepare() -> Callable[[], Answer]:
            data, loss, options = forward_backward_input(fields, info.limits)
            return lambda: self.workspace.forward_backward(model_id, data, loss, options, backward=backward)

        return self._model_call(fields, raw, call, model_id, prepare)

    async def _optim_step(self, fields: Fields, raw: bytes) -> Response:
        model_id, _ = self._model(fields)

        def prepare() -> Callable[[], Answer]:
            adam = adam_params(fields)
            return lambda: self.workspace.optim_step(model_id, adam)

        return self._model_call(fields, raw, "optim_step", model_id, prepare)

    async def _save_weights(self, fields: Fields, raw: bytes) -> Response:
        model_id, _ = self._model(fields)

        def prepare() -> Callable[[], Answer]:
            path = CheckpointPath(model_id, "weights", check_segment(fields.text("path"), "path"))
            extra, overwrite = _kept(fields), fields.flag("overwrite", False)
            return lambda: self.workspace.save_weights(model_id, path, extra, overwrite=overwrite)

        return self._model_call(fields, raw, "save_weights", model_id, prepare)

    async def _save_external(self, fields: Fields, raw: bytes) -> Response:
        model_id, _ = self._model(fields)

        def prepare() -> Callable[[], Answer]:
            path = CheckpointPath(model_id, "external_weights", check_segment(fields.text("path"), "path"))
            if fields.get("age_encryption_recipients"):
                raise fields.fail("age_encryption_recipients", "is not supported by this worker")
            extra = _kept(fields)
            return lambda: self.workspace.save_external(model_id, path, extra)

        return self._model_call(fields, raw, "save_weights_external", model_id, prepare)

    async def _save_for_sampler(self, fields: Fields, raw: bytes) -> Response:
        model_id, info = self._model(fields)
        name = fields.optional_text("path")
        key = ""
        if name is None:
            key = f"{model_id}:sample:{fields.integer('sampling_session_seq_id', low=0)}-{secrets.token_hex(4)}"

        def prepare() -> Callable[[], Answer]:
            if fields.get("kind") not in (None, "snapshot"):
                raise fields.fail("kind", f"{fields.get('kind')!r} is not supported; only snapshot is")
            if name is None:
                return lambda: self.workspace.save_ephemeral(model_id, key)
            path = CheckpointPath(model_id, "sampler_weights", check_segment(name, "path"))
            extra = _kept(fields)
            return lambda: self.workspace.save_for_sampler(model_id, path, extra)

        def finished(result: Answer) -> None:
            if result.get("sampling_session_id") == key:
                self._add_sampling(key, Sampling(key, info.base_model, None, info.session))

        return self._model_call(fields, raw, "save_weights_for_sampler", model_id, prepare, finished)

    async def _load_weights(self, fields: Fields, raw: bytes) -> Response:
        if fields.get("model_id") is None and fields.get("session_id") is not None:
            return self._create_from(fields, raw)
        model_id, _ = self._model(fields)

        def prepare() -> Callable[[], Answer]:
            path = self._loadable(fields)
            optimizer = fields.flag("optimizer", True)
            return lambda: self.workspace.load_weights(model_id, path, optimizer=optimizer)

        return self._model_call(fields, raw, "load_weights", model_id, prepare)

    def _loadable(self, fields: Fields) -> CheckpointPath:
        path = parse_path(fields.text("path"), fields.path("path"))
        if path.kind == "external_weights":
            raise fields.fail("path", f"{path} is an export; load a checkpoint of save_weights")
        self.store.require(path, fields.path("path"))
        return path

    def _create_from(self, fields: Fields, raw: bytes) -> Response:
        """A load that makes the model: its kind comes from the checkpoint."""
        session = self.session(fields)
        sequence = fields.integer("model_seq_id", low=0)
        repeated = self._futures.repeated(f"{session.id}/models", sequence, "load_weights", raw)
        if repeated is not None:
            return self._accepted(repeated)
        path = self._loadable(fields)
        optimizer = fields.flag("optimizer", True)
        if optimizer and path.kind != "weights":
            raise fields.fail("optimizer", f"{path} holds no optimizer state; load it with optimizer false")
        self._check_optimizer(fields)
        base_model, lora = self.workspace.origin(path)
        if fields.optional_text("base_model") not in (None, base_model):
            raise fields.fail("base_model", f"the checkpoint belongs to {base_model!r}")
        future = self._new_model(session, sequence, "load_weights", raw, base_model, lora, fields.texts("user_metadata"))
        model_id = str(future.model_id)
        self._run(future, lambda: self.workspace.create_from(model_id, path, optimizer=optimizer), session=session)
        return self._accepted(future)

    async def _unload(self, fields: Fields, raw: bytes) -> Response:
        model_id, _ = self._model(fields)
        future = self._futures.create(model_id)
        del self.models[model_id]
        self._unloaded.add(model_id)
        self._run(future, lambda: self.workspace.unload(model_id))
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
        self._run(future, run, finished, session=self.models[model_id].session)
        return self._accepted(future)

    async def _asample(self, fields: Fields, raw: bytes) -> Response:
        identifier = fields.optional_text("sampling_session_id")
        scope = None
        if identifier is not None:
            sampling = self.sampling.get(identifier)
            if sampling is None:
                raise fields.fail("sampling_session_id", f"there is no sampling session {identifier!r}", status=404)
            if sampling.session is not None:
                sampling.session.seen = time.monotonic()
            sequence = fields.integer("seq_id", low=0)
            scope = f"sampling/{identifier}"
        else:
            sampling = self._source(fields, None)
            sequence = fields.integer("seq_id", low=0, default=0)
        cut = stop_strings(fields)
        ends: frozenset[int] = frozenset()
        if cut is not None:
            tokenizer, ends = await self.tokenizer(sampling.base_model, "base_model")
        if scope is not None:
            repeated = self._futures.repeated(scope, sequence, "asample", raw)
            if repeated is not None:
                return self._accepted(repeated)
        spec = sample_spec(fields, secrets.randbits(63), self.limits(sampling.base_model), ends)
        group = None
        if fields.get("batch") is not None:
            given = fields.child("batch")
            group = (identifier or sampling.key, given.text("id"))
            self._check_batch(given, group, given.integer("size", low=1, high=100_000), sequence)
        future = self._futures.create()
        future.samples = spec.count
        if scope is not None:
            self._futures.remember(future, scope, sequence, "asample", raw)
        deliver = self._deliverer(future)
        if cut:
            deliver = _cutting(deliver, tokenizer, cut)
        if group is None:
            wanted = self._wanted(future, sampling.session)
            self._engine.submit(SampleJob(sampling.key, lambda: self.workspace.sampler(sampling.key), [spec], [deliver], joinable=True, wanted=wanted))
        else:
            self._join_batch(group, sampling, sequence, spec, deliver)
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

    def _join_batch(self, group: tuple[str, str], sampling: Sampling, sequence: int, spec: SampleSpec, deliver: Callable[[Answer], None]) -> None:
        batch = self._batches[group]
        batch.members[sequence] = (spec, deliver)
        if len(batch.members) < batch.size:
            return
        del self._batches[group]
        if batch.timer is not None:
            batch.timer.cancel()
        ordered = [batch.members[i] for i in sorted(batch.members)]
        specs, deliveries = [spec for spec, _ in ordered], [deliver for _, deliver in ordered]
        session = sampling.session
        wanted = lambda: session is None or not session.closed
        self._engine.submit(SampleJob(sampling.key, lambda: self.workspace.sampler(sampling.key), specs, deliveries, joinable=False, wanted=wanted))

    def _expire_batch(self, group: tuple[str, str]) -> None:
        batch = self._batches.pop(group, None)
        if batch is None:
            return
        message = f"batch: only {len(batch.members)} of the {batch.size} requests of batch {group[1]!r} arrived within {self._batch_seconds:g} s"
        for _, deliver in batch.members.values():
            deliver({"error": message, "category": "user"})

    async def _retrieve(self, request: Request) -> Response:
        future = self._futures.get(parse_body(await read_body(request)).text("request_id"))
        model = self.models.get(future.model_id or "")
        if model is not None:
            model.session.seen = time.monotonic()
        try:
            await asyncio.wait_for(future.done.wait(), POLL_SECONDS)
        except TimeoutError:
            return answer({"type": "try_again", "request_id": future.request_id, "queue_state": "active"})
        if proto.CONTENT_TYPE in request.headers.get("accept", ""):
            packed = proto.write_result(future.result or {})
            if packed is not None:
                return Response(packed, media_type=proto.CONTENT_TYPE)
        return answer(future.result)

    async def _cancel(self, fields: Fields, raw: bytes) -> Response:
        """A request that is not being computed yet never will be."""
        self._futures.get(fields.text("request_id")).cancelled = True
        return Response(status_code=204)

    # Helpers

    async def directory(self, model: str, field: str) -> Path:
        """Where a base model lies; found on the engine thread, since it may have to be downloaded."""
        future = self._futures.create()
        self._run(future, lambda: {"directory": str(self.workspace.bases.directory(model))})
        await future.done.wait()
        result = future.result or {}
        if "error" in result:
            message = str(result["error"]).removeprefix("base_model: ")
            raise RequestError(f"{field}: {message}", field=field, status=404)
        return Path(str(result["directory"]))

    async def tokenizer(self, base_model: str, field: str) -> tuple[PreTrainedTokenizerBase, frozenset[int]]:
        """A base model's tokenizer and the ids that end a text. `field` is the one that names the model."""
        local = locate(base_model, field)
        directory = local if local is not None else await self.directory(base_model, field)
        return await asyncio.to_thread(self.tokenizers.get, directory)

    async def sample(self, sampling: Sampling, specs: list[SampleSpec]) -> list[Answer]:
        """Samples for a caller that waits. Raises RequestError for a failure."""
        futures = [self._futures.create() for _ in specs]
        for future, spec in zip(futures, specs, strict=True):
            self._engine.submit(SampleJob(sampling.key, lambda: self.workspace.sampler(sampling.key), [spec], [self._deliverer(future)], joinable=True))
        for future in futures:
            await future.done.wait()
        results = [future.result or {} for future in futures]
        for result in results:
            if "error" in result:
                raise RequestError(str(result["error"]), status=400 if result.get("category") == "user" else 500)
        return results

    def session(self, fields: Fields) -> Session:
        return self.session_of(fields.text("session_id"), fields.path("session_id"))

    def session_of(self, identifier: str, field: str) -> Session:
        session = self.sessions.get(identifier)
        if session is None:
            raise RequestError(f"{field}: there is no session {identifier!r}", field=field, status=404)
        if session.closed:
            raise RequestError(f"{field}: the session {identifier!r} has ended", field=field, status=410)
        session.seen = time.monotonic()
        return session

    def _model(self, fields: Fields) -> tuple[str, Model]:
        model_id = fields.text("model_id")
        info = self.models.get(model_id)
        if info is None:
            raise fields.fail(
                "model_id", f"the model {model_id!r} was unloaded" if model_id in self._unloaded else f"there is no model {model_id!r}", status=404
            )
        info.session.seen = time.monotonic()
        info.used = datetime.now(UTC)
        return model_id, info

    def limits(self, base_model: str) -> Limits | None:
        known = self._limits.get(base_model)
        if known is None:
            known = self.workspace.bases.limits(base_model)
            if known is not None:
                self._limits[base_model] = known
        return known

    def _source(self, fields: Fields, session: Session | None) -> Sampling:
        """What `model_path` or `base_model` names."""
        text = fields.optional_text("model_path")
        base_model = fields.optional_text("base_model")
        if text is None:
            if base_model is None:
                raise fields.fail("base_model", "give base_model or model_path")
            return self.source(base_model, "base_model", session)
        return self.source(text, "model_path", session)

    def source(self, name: str, field: str, session: Session | None = None) -> Sampling:
        """The weights behind the name of a base model or the path of a sampler checkpoint."""
        if not name.startswith("tinker://"):
            if field == "model_path":
                parse_path(name, field)
            locate(name, field)
            return Sampling(f"base:{name}", name, None, session)
        path = parse_path(name, field)
        if path.kind != "sampler_weights":
            raise RequestError(f"{field}: {name!r} is not a checkpoint to sample from; use one of save_weights_for_sampler", field=field)
        self.store.require(path, field)
        base_model, _ = self.workspace.origin(path)
        return Sampling(f"path:{path}", base_model, str(path), session)

    @staticmethod
    def _wanted(future: Future, session: Session | None) -> Callable[[], bool]:
        return lambda: not future.cancelled and (session is None or not session.closed)

    def _run(self, future: Future, run: Callable[[], Answer], finished: Callable[[Answer], None] | None = None, *, session: Session | None = None) -> None:
        self._engine.submit(Job(run, self._deliverer(future, finished), self._wanted(future, session)))

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
        if future.samples:
            content["sample_sequence_ids"] = [f"{future.request_id}:{i}" for i in range(future.samples)]
        return answer(content)


def _kept(fields: Fields) -> dict[str, object]:
    """What a save says about the checkpoint, for its description."""
    extra: dict[str, object] = {}
    metadata = fields.texts("user_metadata")
    if metadata is not None:
        extra["user_metadata"] = metadata
    if fields.get("ttl_seconds") is not None:
        seconds = fields.integer("ttl_seconds", low=1, high=MAX_KEPT_SECONDS)
        extra["expires"] = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")
    return extra


def _cutting(deliver: Callable[[Answer], None], tokenizer: PreTrainedTokenizerBase, strings: tuple[str, ...]) -> Callable[[Answer], None]:
    """Ends each completion with the token that completes one of `strings`."""

    def cut(result: Answer) -> None:
        sequences = result.get("sequences")
        if not isinstance(sequences, list):
            deliver(result)
            return
        deliver({**result, "sequences": [cut_at(sequence, tokenizer, strings) for sequence in sequences]})

    return cut


def application(api: Api, token: str) -> ASGIApp:
    """The ASGI application."""
    guard = TokenGuard(token)
    routes = [*api.routes(), *Rest(api, guard).routes(), *OpenAi(api).routes()]
    app = Starlette(routes=routes, exception_handlers={404: not_found, 405: not_found})
    app.router.redirect_slashes = False  # the address that it names is the request's own Host
    return guard.around(app)
