"""OpenAI's API over the worker's weights: base models by name, sampler checkpoints by path."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from .chat import chat_request, completion_request, events, text_answer
from .errors import RequestError
from .web import answer, guarded, read_body
from .wire import parse_body

if TYPE_CHECKING:
    from .server import Api


class OpenAi:
    """`/v1/models`, `/v1/chat/completions` and `/v1/completions`."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def routes(self) -> list[Route]:
        return [
            Route("/v1/models", guarded(self._models, openai=True), methods=["GET"]),
            Route("/v1/models/{model:path}", guarded(self._model, openai=True), methods=["GET"]),
            Route("/v1/chat/completions", guarded(self._chat, openai=True), methods=["POST"]),
            Route("/v1/completions", guarded(self._completions, openai=True), methods=["POST"]),
        ]

    def _names(self) -> list[str]:
        names = list(self._api.workspace.bases.contexts())
        for run in self._api.store.runs():
            names.extend(str(c["tinker_path"]) for c in self._api.store.list(run) if c["checkpoint_type"] == "sampler")
        return names

    async def _models(self, request: Request) -> Response:
        return answer({"object": "list", "data": [_description(name) for name in self._names()]})

    async def _model(self, request: Request) -> Response:
        name = unquote(request.path_params["model"])
        if name not in self._names():
            raise RequestError(f"model: there is no model {name!r}", field="model", status=404)
        return answer(_description(name))

    async def _chat(self, request: Request) -> Response:
        return await self._text(request, chat=True)

    async def _completions(self, request: Request) -> Response:
        return await self._text(request, chat=False)

    async def _text(self, request: Request, *, chat: bool) -> Response:
        fields = parse_body(await read_body(request))
        model = fields.text("model")
        sampling = self._api.source(model, "model")
        tokenizer, ends = await self._api.tokenizer(sampling.base_model, "model")
        read = chat_request if chat else completion_request
        asked = read(fields, tokenizer, ends, self._api.limits(sampling.base_model), secrets.randbits(62))
        results = await self._api.sample(sampling, asked.specs)
        head = {"id": f"{'chatcmpl' if chat else 'cmpl'}-{secrets.token_hex(12)}", "created": int(time.time()), "model": model}
        whole = text_answer(asked, results, head, chat=chat)
        if asked.stream:
            return StreamingResponse(events(asked, whole, chat=chat), media_type="text/event-stream")
        return answer(whole)


def _description(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "specdojo"}
