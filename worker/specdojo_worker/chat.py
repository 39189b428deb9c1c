"""OpenAI's chat completions over the worker's samplers (not streamed)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from .errors import RequestError
from .sampling import SampleSpec
from .wire import Fields


@dataclass(frozen=True)
class ChatRequest:
    spec: SampleSpec
    cut: tuple[str, ...]
    tokenizer: PreTrainedTokenizerBase


class Tokenizers:
    """Tokenizers by model directory, read once."""

    def __init__(self) -> None:
        self._loaded: dict[Path, tuple[PreTrainedTokenizerBase, frozenset[int]]] = {}

    def get(self, directory: Path) -> tuple[PreTrainedTokenizerBase, frozenset[int]]:
        """The tokenizer and the ids that end a turn."""
        if directory not in self._loaded:
            try:
                tokenizer = AutoTokenizer.from_pretrained(directory, trust_remote_code=False)
            except Exception as error:
                raise RequestError(f"model: its tokenizer cannot be loaded: {error}", field="model") from error
            ends: set[int] = set()
            if tokenizer.eos_token_id is not None:
                ends.add(int(tokenizer.eos_token_id))
            try:
                given = json.loads((directory / "generation_config.json").read_text(encoding="utf-8")).get("eos_token_id")
            except (OSError, ValueError):
                given = None
            ends.update(given if isinstance(given, list) else [] if given is None else [given])
            self._loaded[directory] = (tokenizer, frozenset(ends))
        return self._loaded[directory]


def chat_request(fields: Fields, directory: Path, tokenizers: Tokenizers, seed: int) -> ChatRequest:
    """Reads a chat completion request and renders its prompt with the model's own chat template."""
    if fields.flag("stream", False):
        raise fields.fail("stream", "streaming is not supported; send false", status=400)
    messages = fields.list("messages")
    for i, message in enumerate(messages):
        Fields(message, f"messages[{i}]").text("role")
    if not messages:
        raise fields.fail("messages", "must hold at least one message")
    tools = fields.get("tools")
    tokenizer, ends = tokenizers.get(directory)
    if not getattr(tokenizer, "chat_template", None):
        raise RequestError("model: its tokenizer has no chat template", field="model")
    try:
        text = tokenizer.apply_chat_template(messages, tools=tools, add_generation_prompt=True, tokenize=False)
    except Exception as error:
        raise fields.fail("messages", f"the model's chat template refuses them: {error}", status=400) from error
    tokens = tokenizer.encode(text, add_special_tokens=False)
    stop = fields.get("stop")
    cut = (stop,) if isinstance(stop, str) else tuple(s for s in stop if isinstance(s, str) and s) if isinstance(stop, list) else ()
    limit = "max_completion_tokens" if fields.get("max_completion_tokens") is not None else "max_tokens"
    return ChatRequest(
        SampleSpec(
            prompt=np.array(tokens, dtype=np.int64),
            count=fields.integer("n", low=1, high=128, default=1),
            max_tokens=fields.integer(limit, low=1, default=1024),
            temperature=fields.number("temperature", low=0.0, high=2.0, default=1.0),
            seed=fields.integer("seed", low=0, high=2**63 - 1, default=seed),
            stop=ends,
            top_p=fields.number("top_p", low=0.0, high=1.0, default=1.0),
        ),
        cut,
        tokenizer,
    )


def chat_response(request: ChatRequest, sequences: list[dict[str, object]], model: str, identifier: str, created: int) -> dict[str, object]:
    choices: list[dict[str, object]] = []
    written = 0
    for i, sequence in enumerate(sequences):
        tokens = [int(t) for t in sequence["tokens"]]  # type: ignore[attr-defined]
        written += len(tokens)
        ended = sequence["stop_reason"] == "stop"
        text = request.tokenizer.decode(tokens[:-1] if ended else tokens, skip_special_tokens=False)
        found = [at for at in (text.find(s) for s in request.cut) if at >= 0]
        if found:
            text, ended = text[: min(found)], True
        choices.append(
            {"index": i, "message": {"role": "assistant", "content": text, "refusal": None}, "logprobs": None, "finish_reason": "stop" if ended else "length"}
        )
    prompt = len(request.spec.prompt)
    return {
        "id": identifier,
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": choices,
        "usage": {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written},
    }
