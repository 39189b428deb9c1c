"""Calls about runs, sessions and checkpoints. A training run is a model that was trained; its id is the model's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

from starlette.concurrency import iterate_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Route

from .checkpoints import KINDS, MAX_KEPT_SECONDS, CheckpointPath, check_run, check_segment, parse_path, tar_stream
from .errors import RequestError
from .web import FILES, TokenGuard, answer, guarded, read_body
from .wire import Fields, parse_body

if TYPE_CHECKING:
    from .server import Api

T = TypeVar("T")

URL_SECONDS = 3600
"""How long a download's address is good."""

CHECKPOINT = "/api/v1/training_runs/{run}/checkpoints/{kind}/{name}"


class Rest:
    """Reads the state of `Api` and the checkpoints on disk."""

    def __init__(self, api: Api, guard: TokenGuard) -> None:
        self._api = api
        self._store = api.store
        self._guard = guard

    def routes(self) -> list[Route]:
        def route(method: str, path: str, call: Callable[[Request], Awaitable[Response]]) -> Route:
            return Route(path, guarded(call), methods=[method])

        return [
            route("POST", "/api/v1/weights_info", self._weights_info),
            route("GET", "/api/v1/training_runs", self._runs),
            route("GET", "/api/v1/training_runs/{run}", self._run),
            route("GET", "/api/v1/training_runs/{run}/checkpoints", self._run_checkpoints),
            route("GET", "/api/v1/checkpoints", self._checkpoints),
            route("GET", f"{CHECKPOINT}/archive", self._archive),
            route("GET", f"{CHECKPOINT}/external_weights_urls", self._urls),
            route("PUT", f"{CHECKPOINT}/ttl", self._expire),
            route("DELETE", CHECKPOINT, self._delete),
            route("GET", f"{FILES}{{run}}/{{kind}}/{{name}}.tar", self._tar),
            route("GET", f"{FILES}{{run}}/{{kind}}/{{name}}/{{file:path}}", self._file),
            route("GET", "/api/v1/sessions", self._sessions),
            route("GET", "/api/v1/sessions/{session}", self._session),
            route("POST", "/api/v1/sessions/{session}/finish", self._finish),
            route("GET", "/api/v1/samplers/{sampler:path}", self._sampler),
        ]

    # Training runs

    async def _weights_info(self, request: Request) -> Response:
        path = parse_path(parse_body(await read_body(request)).text("tinker_path"), "tinker_path")
        self._store.require(path, "tinker_path")
        meta = self._store.meta(path)
        return answer({"base_model": meta.get("base_model"), "is_lora": meta.get("rank") != 0, "lora_rank": meta.get("rank") or None})

    def _run_ids(self) -> list[str]:
        """Runs with checkpoints and models in memory, the latest used first."""
        return sorted({*self._store.runs(), *self._api.models}, key=lambda run: (self._used(run), run), reverse=True)

    def _used(self, run: str) -> str:
        model = self._api.models.get(run)
        if model is not None:
            return model.used.isoformat(timespec="milliseconds")
        checkpoints = self._store.list(run)
        return str(checkpoints[-1]["time"]) if checkpoints else ""

    def _describe(self, run: str) -> dict[str, object] | None:
        model = self._api.models.get(run)
        checkpoints = self._store.list(run)
        if model is None and not checkpoints:
            return None
        if model is not None:
            base_model, rank = model.base_model, model.lora.rank
        else:
            meta = self._store.meta(parse_path(str(checkpoints[-1]["tinker_path"]), "path"))
            base_model, rank = str(meta.get("base_model")), int(meta.get("rank") or 0)  # type: ignore[call-overload]

        def last(kind: str) -> dict[str, object] | None:
            return next((c for c in reversed(checkpoints) if c["checkpoint_type"] == kind), None)

        return {
            "training_run_id": run,
            "base_model": base_model,
            "model_owner": "local",
            "is_lora": rank > 0,
            "lora_rank": rank or None,
            "corrupted": False,
            "last_request_time": self._used(run),
            "last_checkpoint": last("training"),
            "last_sampler_checkpoint": last("sampler"),
            "user_metadata": None if model is None else model.user_metadata,
        }

    async def _runs(self, request: Request) -> Response:
        found = [run for run in (self._describe(identifier) for identifier in self._run_ids()) if run is not None]
        page, cursor = _page(request, found)
        return answer({"training_runs": page, "cursor": cursor})

    async def _run(self, request: Request) -> Response:
        run = check_run(request.path_params["run"], "training_run_id")
        found = self._describe(run)
        if found is None:
            raise RequestError(f"training_run_id: there is no training run {run!r}", field="training_run_id", status=404)
        return answer(found)

    # Checkpoints

    async def _run_checkpoints(self, request: Request) -> Response:
        return answer({"checkpoints": self._store.list(check_run(request.path_params["run"], "training_run_id"))})

    async def _checkpoints(self, request: Request) -> Response:
        found = [checkpoint for run in self._store.runs() for checkpoint in self._store.list(run)]
        page, cursor = _page(request, sorted(found, key=lambda c: str(c["time"]), reverse=True))
        return answer({"checkpoints": page, "cursor": cursor})

    def _checkpoint(self, request: Request) -> CheckpointPath:
        params = request.path_params
        if params["kind"] not in KINDS:
            raise RequestError(f"checkpoint_id: {params['kind']!r} is not one of {', '.join(KINDS)}", field="checkpoint_id", status=404)
        path = CheckpointPath(check_run(params["run"], "training_run_id"), params["kind"], check_segment(params["name"], "checkpoint_id"))
        self._store.require(path, "checkpoint_id")
        return path

    async def _delete(self, request: Request) -> Response:
        self._store.delete(self._checkpoint(request))
        return Response(status_code=204)

    async def _expire(self, request: Request) -> Response:
        path = self._checkpoint(request)
        fields = parse_body(await read_body(request))
        seconds = None if fields.get("ttl_seconds") is None else fields.integer("ttl_seconds", low=1, high=MAX_KEPT_SECONDS)
        self._store.expire(path, seconds)
        return Response(status_code=204)

    def _url(self, request: Request, path: CheckpointPath, rest: str) -> str:
        base = str(request.base_url).rstrip("/")
        return base + self._guard.signed(f"{FILES}{quote(path.run, safe='')}/{path.kind}/{quote(path.name)}{rest}", URL_SECONDS)

    async def _archive(self, request: Request) -> Response:
        return answer({"url": self._url(request, self._checkpoint(request), ".tar"), "expires": _expiry()})

    async def _urls(self, request: Request) -> Response:
        """Addresses of the checkpoint's files, which need no token for an hour."""
        path = self._checkpoint(request)
        directory = self._store.directory(path)
        names = [file.relative_to(directory).as_posix() for file in sorted(directory.rglob("*")) if file.is_file()]
        return answer({"urls": {name: self._url(request, path, f"/{quote(name)}") for name in names}, "expires": _expiry()})

    async def _tar(self, request: Request) -> Response:
        directory = self._store.directory(self._checkpoint(request))
        return StreamingResponse(iterate_in_threadpool(tar_stream(directory)), media_type="application/x-tar")

    async def _file(self, request: Request) -> Response:
        directory = self._store.directory(self._checkpoint(request)).resolve()
        file = (directory / request.path_params["file"]).resolve()
        if not file.is_relative_to(directory) or not file.is_file():
            raise RequestError("path: the checkpoint has no such file", field="path", status=404)
        return FileResponse(file, media_type="application/octet-stream")

    # Sessions

    async def _sessions(self, request: Request) -> Response:
        page, _ = _page(request, [s.id for s in reversed(self._api.sessions.values()) if not s.closed])
        return answer({"sessions": page})

    async def _session(self, request: Request) -> Response:
        session = self._api.session_of(request.path_params["session"], "session_id")
        return answer(
            {
                "training_run_ids": session.models,
                "sampler_ids": session.samplers,
                "user_metadata": session.user_metadata,
                "display_name": session.name,
                "status": {"type": "active"},
            }
        )

    async def _finish(self, request: Request) -> Response:
        """The client is done: its models go at once."""
        self._api.end_session(self._api.session_of(request.path_params["session"], "session_id"))
        return Response(status_code=204)

    async def _sampler(self, request: Request) -> Response:
        identifier = request.path_params["sampler"]
        sampling = self._api.sampling.get(identifier)
        if sampling is None:
            raise RequestError(f"sampler_id: there is no sampler {identifier!r}", field="sampler_id", status=404)
        return answer({"sampler_id": identifier, "base_model": sampling.base_model, "model_path": sampling.path})


def _expiry() -> str:
    return (datetime.now(UTC) + timedelta(seconds=URL_SECONDS)).isoformat(timespec="seconds")


def _page(request: Request, items: list[T]) -> tuple[list[T], dict[str, int]]:
    """The part that `limit` and `offset` in the query ask for."""
    query: dict[str, object] = {name: int(v) if v.isascii() and v.isdigit() and len(v) < 10 else v for name, v in request.query_params.items()}
    fields = Fields(query, "query")
    limit, offset = fields.integer("limit", low=0, high=1000, default=20), fields.integer("offset", low=0, default=0)
    return items[offset : offset + limit], {"offset": offset, "limit": limit, "total_count": len(items)}
