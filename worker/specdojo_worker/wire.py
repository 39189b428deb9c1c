"""The JSON of the protocol: checked readers that name the field they refuse."""

from __future__ import annotations

import json
import re
import sys

import numpy as np

from .errors import ComputeError, RequestError
from .grammar import MAX_GRAMMAR, lark
from .models import Limits
from .sampling import SampleSpec
from .training import LOSS_OPTIONS, LOSSES, AdamParams, Datum

MAX_DATA = 65_536
"""Data in one forward_backward call."""

MAX_SAMPLES = 4096
"""Completions of one asample call."""

MAX_INTEGER = 2**63 - 1
"""Largest number of a request, a session's model or a seed."""

SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
"""What may be half of a character; a tokenizer takes only whole ones."""

UNSUPPORTED = {
    "topk_prompt_logprobs": 0,
    "topk_sample_logprobs": 0,
    "target_prompt_logprobs": None,
    "prompt_alt_tokens_k": 0,
    "record_stability_info": False,
}
"""Fields of asample that this worker does not serve, with the values that ask for nothing."""


class Fields:
    """A JSON object with its path in the request, read field by field."""

    def __init__(self, value: object, path: str = "") -> None:
        if not isinstance(value, dict):
            raise RequestError(f"{path or 'body'}: must be an object", field=path or "body")
        self._value: dict[str, object] = value
        self._path = path

    def path(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name

    def fail(self, name: str, why: str, status: int = 422) -> RequestError:
        return RequestError(f"{self.path(name)}: {why}", field=self.path(name), status=status)

    def get(self, name: str) -> object:
        """The value, None when absent."""
        return self._value.get(name)

    def names(self) -> list[str]:
        return list(self._value)

    def child(self, name: str) -> Fields:
        return Fields(self.get(name), self.path(name))

    def optional_child(self, name: str) -> Fields:
        value = self.get(name)
        return Fields({} if value is None else value, self.path(name))

    def list(self, name: str) -> list[object]:
        value = self.get(name)
        if not isinstance(value, list):
            raise self.fail(name, "must be an array")
        return value

    def texts(self, name: str) -> dict[str, str] | None:
        """An object of strings, such as user_metadata; None when absent."""
        value = self.get(name)
        if value is None:
            return None
        if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
            raise self.fail(name, "must be an object of strings")
        return value

    def text(self, name: str) -> str:
        value = self.get(name)
        if not isinstance(value, str) or not value:
            raise self.fail(name, "must be a string that is not empty")
        return value

    def optional_text(self, name: str) -> str | None:
        return None if self.get(name) is None else self.text(name)

    def flag(self, name: str, default: bool) -> bool:
        value = self.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.fail(name, "must be true or false")
        return value

    def integer(self, name: str, *, low: int | None = None, high: int = MAX_INTEGER, default: int | None = None) -> int:
        value = self.get(name)
        if value is None and default is not None:
            return default
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.fail(name, "must be an integer")
        if (low is not None and value < low) or value > high:
            raise self.fail(name, f"must be an integer {_range(low, high)}, not {value}")
        return value

    def number(self, name: str, *, low: float | None = None, high: float | None = None, default: float | None = None) -> float:
        value = self.get(name)
        if value is None and default is not None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
            raise self.fail(name, "must be a finite number")
        if (low is not None and value < low) or (high is not None and value > high):
            raise self.fail(name, f"must be a number {_range(low, high)}, not {value}")
        return float(value)


def _range(low: float | None, high: float | None) -> str:
    if high is None:
        return f"of at least {low}"
    return f"of at most {high}" if low is None else f"from {low} to {high}"


def parse_body(raw: bytes) -> Fields:
    if not raw:
        return Fields({})
    try:
        text = raw.decode("utf-8-sig")
        value = json.loads(text)
        if SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise RequestError("body: holds half a surrogate pair, which is no character", field="body") from error
    except (ValueError, RecursionError) as error:
        raise RequestError(f"body: is not JSON ({error})", field="body") from error
    return Fields(value)


def model_input(fields: Fields, name: str, limits: Limits | None, room: int = 0) -> np.ndarray:
    """The tokens of a ModelInput, int64 and not empty; `room` tokens of the context must be left."""
    given = fields.child(name)
    parts: list[np.ndarray] = []
    for i, chunk in enumerate(given.list("chunks")):
        part = Fields(chunk, given.path(f"chunks[{i}]"))
        if part.get("type") not in (None, "encoded_text"):
            raise part.fail("type", f"{part.get('type')!r} is not supported; only encoded_text is")
        parts.append(integers(part, "tokens"))
    tokens = np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)
    if not len(tokens):
        raise given.fail("chunks", "must hold at least one token")
    if limits is not None and len(tokens) + room > limits.context:
        raise fields.fail(name, f"has {len(tokens)} tokens and the model's context is {limits.context}" + ("; nothing can be sampled" if room else ""))
    if limits is not None and int(tokens.max()) >= limits.vocabulary:
        raise given.fail("chunks", f"token id {int(tokens.max())} is outside the vocabulary of {limits.vocabulary}")
    return tokens


def integers(fields: Fields, name: str) -> np.ndarray:
    """An array of integers from 0 to 2^31 - 1, as int64."""
    given = fields.get(name)
    if isinstance(given, np.ndarray):
        if (given < 0).any():
            raise fields.fail(name, "must be an array of token ids")
        return given.astype(np.int64)
    values = fields.list(name)
    if not all(type(v) is int and 0 <= v < 2**31 for v in values):
        raise fields.fail(name, "must be an array of token ids")
    return np.array(values, dtype=np.int64)


def tensor(fields: Fields, name: str, length: int) -> np.ndarray | None:
    """A flat tensor of `length` values; int64 or float32. None when absent."""
    if fields.get(name) is None:
        return None
    given = fields.child(name)
    if given.get("sparse") or given.get("sparse_crow_indices") is not None:
        raise given.fail("sparse_csr", "is not supported; send a dense tensor")
    dtype = given.get("dtype")
    if dtype not in (None, "int64", "float32"):
        raise given.fail("dtype", "must be float32 or int64")
    data = given.get("data") if isinstance(given.get("data"), np.ndarray) else given.list("data")
    if len(data) != length:
        raise given.fail("data", f"has {len(data)} values, but model_input has {length} tokens")
    shape = given.get("shape")
    if shape is not None and shape != [length]:
        raise given.fail("shape", f"must be [{length}]")
    if isinstance(data, np.ndarray):
        if not np.isfinite(data).all():
            raise given.fail("data", "must be finite numbers")
        return data
    if not all(type(v) is int or type(v) is float for v in data):
        raise given.fail("data", "must be an array of numbers")
    try:
        if dtype == "int64":
            if not all(type(v) is int for v in data):
                raise given.fail("data", "must be integers, since dtype is int64")
            return np.array(data, dtype=np.int64)
        values = np.array(data, dtype=np.float32)
    except OverflowError as error:
        raise given.fail("data", "holds a number that is too large") from error
    if not np.isfinite(values).all():
        raise given.fail("data", "must be finite numbers")
    return values


def forward_backward_input(fields: Fields, limits: Limits | None) -> tuple[list[Datum], str, dict[str, float]]:
    """Data, loss name and loss options of a forward_backward or forward call."""
    given = fields.child(
        "forward_backward_input" if fields.get("forward_backward_input") is not None or fields.get("forward_input") is None else "forward_input"
    )
    loss = given.text("loss_fn")
    if loss not in LOSSES:
        raise given.fail("loss_fn", f"{loss!r} is not one of {', '.join(LOSSES)}")
    config = given.optional_child("loss_fn_config")
    options: dict[str, float] = {}
    for name in config.names():
        if name not in LOSS_OPTIONS[loss]:
            raise config.fail(name, f"is not an option of {loss}; known: {', '.join(sorted(LOSS_OPTIONS[loss]))}")
        options[name] = config.number(name, low=0.0)
    data: list[Datum] = []
    items = given.list("data")
    if len(items) > MAX_DATA:
        raise given.fail("data", f"holds {len(items)} data; send at most {MAX_DATA} per call", status=413)
    for i, item in enumerate(items):
        datum = Fields(item, given.path(f"data[{i}]"))
        tokens = model_input(datum, "model_input", limits)
        inputs = datum.child("loss_fn_inputs")
        known = {"target_tokens", "weights"} if loss == "cross_entropy" else {"target_tokens", "logprobs", "advantages"}
        for name in inputs.names():
            if name not in known and inputs.get(name) is not None:
                raise inputs.fail(name, f"is not an input of {loss}; known: {', '.join(sorted(known))}")
        targets = tensor(inputs, "target_tokens", len(tokens))
        if targets is None:
            raise inputs.fail("target_tokens", "is missing")
        targets = targets.astype(np.int64)
        if targets.min() < 0 or (limits is not None and targets.max() >= limits.vocabulary):
            known_size = "" if limits is None else f" of the vocabulary of {limits.vocabulary}"
            raise inputs.fail("target_tokens", f"must be token ids{known_size}")
        if loss == "cross_entropy":
            weights = tensor(inputs, "weights", len(tokens))
            data.append(Datum(tokens, targets, weights=np.ones(len(tokens), dtype=np.float32) if weights is None else weights.astype(np.float32)))
            continue
        logprobs, advantages = tensor(inputs, "logprobs", len(tokens)), tensor(inputs, "advantages", len(tokens))
        if logprobs is None or advantages is None:
            raise inputs.fail("logprobs" if logprobs is None else "advantages", f"is missing; {loss} needs it")
        data.append(Datum(tokens, targets, logprobs=logprobs.astype(np.float32), advantages=advantages.astype(np.float32)))
    if not data:
        raise given.fail("data", "must hold at least one datum")
    return data, loss, options


def adam_params(fields: Fields) -> AdamParams:
    if fields.get("optimizer_params") is not None:
        raise fields.fail("optimizer_params", "only AdamW is supported; send adam_params")
    given = fields.child("adam_params")
    # Beyond these bounds one step turns weights into infinities, or a gradient of zero (a new adapter has some) into 0 / 0.
    return AdamParams(
        learning_rate=given.number("learning_rate", low=0.0, high=1000.0),
        beta1=given.number("beta1", low=0.0, high=0.999999, default=0.9),
        beta2=given.number("beta2", low=0.0, high=0.999999, default=0.95),
        eps=given.number("eps", low=1e-30, default=1e-12),
        weight_decay=given.number("weight_decay", low=0.0, high=1000.0, default=0.0),
        grad_clip_norm=given.number("grad_clip_norm", low=0.0, default=0.0),
    )


def stop_strings(fields: Fields) -> tuple[str, ...] | None:
    """The `stop` of sampling_params where it is a string or several; () when it is absent, None when it is token ids."""
    params = fields.optional_child("sampling_params")
    given = params.get("stop")
    if given is None:
        return ()
    if isinstance(given, str):
        given = [given]
    if isinstance(given, list) and given and all(isinstance(s, str) for s in given):
        if not all(given):
            raise params.fail("stop", "must not hold an empty string")
        return tuple(given)
    return None


def sample_spec(fields: Fields, seed: int, limits: Limits | None, ends: frozenset[int]) -> SampleSpec:
    """The sampling request of an asample call; `seed` and the stop tokens `ends` are used when the caller gives none."""
    for name, nothing in UNSUPPORTED.items():
        if fields.get(name) not in (None, nothing):
            raise fields.fail(name, "is not supported by this worker")
    prompt = model_input(fields, "prompt", limits, room=1)
    params = fields.optional_child("sampling_params")
    stop = frozenset(integers(params, "stop").tolist()) if stop_strings(fields) is None else ends
    last = None
    if fields.get("prompt_logprobs_last_n") is not None:
        if not fields.flag("prompt_logprobs", False):
            raise fields.fail("prompt_logprobs_last_n", "needs prompt_logprobs")
        last = fields.integer("prompt_logprobs_last_n", low=1, high=max(len(prompt) - 1, 1))
    top_k = params.integer("top_k", low=-1, default=-1)
    temperature = params.number("temperature", low=0.0, high=100.0, default=1.0)
    if 0 < temperature < 1e-3:
        raise params.fail("temperature", "must be 0 (greedy) or at least 0.001")
    grammar = params.get("grammar")
    if grammar is not None and not (isinstance(grammar, str) and 0 < len(grammar) <= MAX_GRAMMAR):
        raise params.fail("grammar", f"must be a GBNF grammar of at most {MAX_GRAMMAR} characters")
    if grammar is not None:
        try:
            lark(grammar)
        except ComputeError as error:
            raise RequestError(error.message, field=params.path("grammar")) from error
    return SampleSpec(
        prompt=prompt,
        count=fields.integer("num_samples", low=1, high=MAX_SAMPLES, default=1),
        max_tokens=params.integer("max_tokens", low=1, high=2**20, default=2**20),
        temperature=temperature,
        seed=params.integer("seed", low=0, default=seed),
        stop=stop,
        top_p=params.number("top_p", low=0.0, high=1.0, default=1.0),
        top_k=max(top_k, 0),
        grammar=grammar,
        prompt_logprobs=fields.flag("prompt_logprobs", False),
        prompt_logprobs_last=last,
    )
