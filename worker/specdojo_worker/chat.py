"""Text for the endpoints that take and give text: tokenizers, requests of OpenAI's API, and their answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from .errors import RequestError
from .models import Limits
from .sampling import SampleSpec
from .wire import Fields

MAX_PROMPTS = 256
"""Prompts in one completions request."""

NOTHING = {"frequency_penalty": 0, "presence_penalty": 0, "top_logprobs": 0, "best_of": 1, "echo": False, "suffix": "", "logit_bias": {}}
"""Options of OpenAI's API that this worker lacks, with the values that ask for nothing."""


@dataclass(frozen=True)
class TextRequest:
    """A request for text. `specs` has one entry per prompt."""

    specs: list[SampleSpec]
    cut: tuple[str, ...]
    tokenizer: PreTrainedTokenizerBase
    ends: frozenset[int]
    logprobs: bool
    stream: bool
    usage: bool


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


def chat_request(fields: Fields, tokenizer: PreTrainedTokenizerBase, ends: frozenset[int], limits: Limits | None, seed: int) -> TextRequest:
    """Reads a chat completion request and renders its prompt with the model's own chat template."""
    messages = fields.list("messages")
    for i, message in enumerate(messages):
        Fields(message, f"messages[{i}]").text("role")
    if not messages:
        raise fields.fail("messages", "must hold at least one message")
    tools = None if fields.get("tools") is None else fields.list("tools")
    if fields.get("response_format") is not None and fields.child("response_format").get("type") != "text":
        raise fields.fail("response_format", "only text is supported", status=400)
    if not getattr(tokenizer, "chat_template", None):
        raise RequestError("model: its tokenizer has no chat template; use /v1/completions", field="model", status=400)
    try:
        text = tokenizer.apply_chat_template(messages, tools=tools, add_generation_prompt=True, tokenize=False)
    except Exception as error:
        raise fields.fail("messages", f"the model's chat template refuses them: {error}", status=400) from error
    prompt = tokenizer.encode(text, add_special_tokens=False)
    limit = "max_completion_tokens" if fields.get("max_completion_tokens") is not None else "max_tokens"
    return _request(fields, [prompt], "messages", fields.integer(limit, low=1, default=1024), fields.flag("logprobs", False), tokenizer, ends, limits, seed)


def completion_request(fields: Fields, tokenizer: PreTrainedTokenizerBase, ends: frozenset[int], limits: Limits | None, seed: int) -> TextRequest:
    """Reads a completion request: a text, token ids, or several of either."""
    given = fields.get("prompt")
    several = given if isinstance(given, list) and not all(type(item) is int for item in given) else [given]
    prompts: list[list[int]] = []
    for item in several:
        if isinstance(item, str):
            prompts.append(tokenizer.encode(item, add_special_tokens=False))
        elif isinstance(item, list) and all(type(token) is int and 0 <= token < 2**31 for token in item):
            prompts.append(item)
        else:
            raise fields.fail("prompt", "must be a text, an array of token ids, or an array of either", status=400)
    if len(prompts) > MAX_PROMPTS:
        raise fields.fail("prompt", f"holds {len(prompts)} prompts; send at most {MAX_PROMPTS}", status=400)
    scored = fields.get("logprobs") is not None
    if scored and fields.integer("logprobs") != 0:
        raise fields.fail("logprobs", "alternatives are not given; send 0 for the logprobs of the tokens written", status=400)
    return _request(fields, prompts, "prompt", fields.integer("max_tokens", low=1, default=16), scored, tokenizer, ends, limits, seed)


def _request(
    fields: Fields,
    prompts: list[list[int]],
    field: str,
    max_tokens: int,
    logprobs: bool,
    tokenizer: PreTrainedTokenizerBase,
    ends: frozenset[int],
    limits: Limits | None,
    seed: int,
) -> TextRequest:
    for name, nothing in NOTHING.items():
        if fields.get(name) not in (None, nothing):
            raise fields.fail(name, "is not supported by this worker", status=400)
    stop = fields.get("stop")
    cut = [] if stop is None else [stop] if isinstance(stop, str) else stop
    if not isinstance(cut, list) or not all(isinstance(s, str) and s for s in cut):
        raise fields.fail("stop", "must be a string or an array of strings that are not empty", status=400)
    for prompt in prompts:
        if not prompt:
            raise fields.fail(field, "is empty", status=400)
        if limits is not None and len(prompt) >= limits.context:
            raise fields.fail(field, f"has {len(prompt)} tokens and the model's context is {limits.context}", status=400)
        if limits is not None and max(prompt) >= limits.vocabulary:
            raise fields.fail(field, f"token id {max(prompt)} is outside the vocabulary of {limits.vocabulary}", status=400)
    common = {
        "count": fields.integer("n", low=1, high=128, default=1),
        "max_tokens": max_tokens,
        "temperature": fields.number("temperature", low=0.0, high=2.0, default=1.0),
        "stop": ends,
        "top_p": fields.number("top_p", low=0.0, high=1.0, default=1.0),
    }
    if 0 < common["temperature"] < 1e-3:  # type: ignore[operator]
        common["temperature"] = 0.0
    seed = fields.integer("seed", low=0, high=2**62, default=seed)
    return TextRequest(
        specs=[SampleSpec(prompt=np.array(prompt, dtype=np.int64), seed=seed + i, **common) for i, prompt in enumerate(prompts)],  # type: ignore[arg-type]
        cut=tuple(cut),
        tokenizer=tokenizer,
        ends=ends,
        logprobs=logprobs,
        stream=fields.flag("stream", False),
        usage=fields.optional_child("stream_options").flag("include_usage", False),
    )


def cut_at(sequence: dict[str, object], tokenizer: PreTrainedTokenizerBase, strings: tuple[str, ...]) -> dict[str, object]:
    """The sequence up to the token with which one of `strings` is complete."""
    tokens: list[int] = sequence["tokens"]  # type: ignore[assignment]

    def holds(count: int) -> bool:
        text = tokenizer.decode(tokens[:count], skip_special_tokens=False)
        return any(s in text for s in strings)

    if not holds(len(tokens)):
        return sequence
    low, high = 1, len(tokens)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return {**sequence, "tokens": tokens[:low], "logprobs": sequence["logprobs"][:low], "stop_reason": "stop"}  # type: ignore[index]


@dataclass(frozen=True)
class Written:
    """One completion as text, with the tokens that make it up (without the one that ends the turn)."""

    text: str
    finish_reason: str
    tokens: list[str]
    logprobs: list[float]


def _written(request: TextRequest, sequence: dict[str, object]) -> Written:
    if request.cut:
        sequence = cut_at(sequence, request.tokenizer, request.cut)
    tokens: list[int] = sequence["tokens"]  # type: ignore[assignment]
    ended = sequence["stop_reason"] == "stop"
    if ended and tokens and tokens[-1] in request.ends:
        tokens = tokens[:-1]
    text = request.tokenizer.decode(tokens, skip_special_tokens=False)
    found = [at for at in (text.find(s) for s in request.cut) if at >= 0]
    if found:
        text = text[: min(found)]
    pieces = [request.tokenizer.decode([token], skip_special_tokens=False) for token in tokens] if request.logprobs else []
    return Written(text, "stop" if ended else "length", pieces, sequence["logprobs"][: len(pieces)])  # type: ignore[index]


def text_answer(request: TextRequest, results: list[dict[str, object]], head: dict[str, object], *, chat: bool) -> dict[str, object]:
    """A chat.completion or text_completion; choices of the first prompt come first."""
    sequences: list[dict[str, object]] = [s for result in results for s in result["sequences"]]  # type: ignore[attr-defined]
    written = [_written(request, sequence) for sequence in sequences]
    choices: list[dict[str, object]] = []
    for i, one in enumerate(written):
        if chat:
            scores = [{"token": t, "logprob": p, "bytes": list(t.encode()), "top_logprobs": []} for t, p in zip(one.tokens, one.logprobs, strict=True)]
            choices.append(
                {
                    "index": i,
                    "message": {"role": "assistant", "content": one.text, "refusal": None},
                    "logprobs": {"content": scores, "refusal": None} if request.logprobs else None,
                    "finish_reason": one.finish_reason,
                }
            )
        else:
            offsets = [sum(map(len, one.tokens[:j])) for j in range(len(one.tokens))]
            scored = {"tokens": one.tokens, "token_logprobs": one.logprobs, "top_logprobs": None, "text_offset": offsets}
            choices.append({"index": i, "text": one.text, "logprobs": scored if request.logprobs else None, "finish_reason": one.finish_reason})
    prompt, count = sum(len(spec.prompt) for spec in request.specs), sum(len(s["tokens"]) for s in sequences)  # type: ignore[arg-type]
    usage = {"prompt_tokens": prompt, "completion_tokens": count, "total_tokens": prompt + count}
    return {**head, "object": "chat.completion" if chat else "text_completion", "choices": choices, "usage": usage}


def events(request: TextRequest, whole: dict[str, object], *, chat: bool) -> Iterator[str]:
    """The answer as server-sent events. Batches are sampled whole, so each choice comes in one piece."""
    head = {**whole, "object": "chat.completion.chunk" if chat else "text_completion", "choices": []}
    usage = head.pop("usage")
    for choice in whole["choices"]:  # type: ignore[attr-defined]
        index, reason, scores = choice["index"], choice["finish_reason"], choice["logprobs"]
        if chat:
            delta = {"role": "assistant", "content": choice["message"]["content"]}
            yield _event({**head, "choices": [{"index": index, "delta": delta, "logprobs": scores, "finish_reason": None}]})
            yield _event({**head, "choices": [{"index": index, "delta": {}, "logprobs": None, "finish_reason": reason}]})
        else:
            yield _event({**head, "choices": [choice]})
    if request.usage:
        yield _event({**head, "usage": usage})
    yield "data: [DONE]\n\n"


def _event(content: dict[str, object]) -> str:
    return f"data: {json.dumps(content, separators=(',', ':'))}\n\n"
