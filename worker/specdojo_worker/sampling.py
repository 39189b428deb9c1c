"""Batched sampling.

Distinct prompts are computed once, and what several prompts begin with is computed once (`packing.py`). Rows are then
decoded together over a key-value cache that groups share (`decoding.py`). As rows finish, waiting rows take their places;
rows of several LoRA adapters of one base may be in a batch (`lora.py`).
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch

from .attention import PackedPlan
from .decoding import GROW, DecodePlan, Group, Place, Prefill
from .errors import ComputeError
from .grammar import Guide, guide
from .graphs import StepGraph
from .lora import LoraRows
from .memory import free_cache, is_out_of_memory
from .models import Limits, Network
from .packing import common_prefix, pack, padded, padded_length, sort_key
from .rng import uniforms

log = logging.getLogger("specdojo.sampling")

MAX_ROWS = 256
"""Rows decoded at a time on a CPU; four times as many on a GPU."""

PREFILL = 2**15
"""Prompt tokens computed at a time on a CPU, which bounds their activations; four times as many on a GPU."""

DROP = 0.75
"""When no more than this share of a batch is left, its finished rows are dropped."""

REFILL = {"cpu": 0.0, "cuda": 0.75}
"""When no more than this share of a full batch is left, waiting rows join. A GPU computes many rows as fast as few; on a CPU
filling places costs more than it saves (`bench/gpu.py`), so the next batch waits for the last row."""

SHARED_LEAST = 64
"""Prompts with at least this many tokens in common may be decoded as one group,"""

REST_MOST = 96
"""if none of them has more tokens than this behind the common ones (they are copied for every row)."""

RECORDS = True
"""Whether a GPU's decoding steps are recorded (`graphs.py`)."""

LOGIT_CHUNK = 2**24


@dataclass(frozen=True)
class SampleSpec:
    """One request: `count` completions of one prompt (int64 array, not empty)."""

    prompt: np.ndarray
    count: int
    max_tokens: int
    temperature: float
    seed: int
    stop: frozenset[int]
    top_p: float = 1.0
    top_k: int = 0
    prompt_logprobs: bool = False
    prompt_logprobs_last: int | None = None
    """Only so many tokens at the prompt's end are scored; None scores all."""
    grammar: str | None = None
    """GBNF that every completion keeps to."""


@dataclass
class Completion:
    tokens: list[int]
    logprobs: list[float]
    stop_reason: str


@dataclass
class SampleOutput:
    """Completions in sample order.

    Logprobs are the model's log-softmax at temperature 1 of the tokens drawn, whatever top_p, top_k or a grammar left out.
    """

    completions: list[Completion]
    prompt_logprobs: list[float | None] | None


@dataclass(eq=False)
class Row:
    """One completion in the making. `place` says where its prompt is, once that has been computed."""

    request: Request
    index: int
    limit: int
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    reason: str = "length"
    done: bool = False
    guide: Guide | None = None
    place: Place | None = None

    @property
    def spec(self) -> SampleSpec:
        return self.request.spec

    @property
    def group(self) -> Group:
        return self.placed().group

    @property
    def room(self) -> int:
        """Tokens of its own that it may come to have in the cache."""
        return self.placed().length - self.group.shared + self.limit + GROW

    def placed(self) -> Place:
        """Its place, with what has been drawn by now."""
        if self.place is None:
            raise ValueError("a row whose prompt has not been computed")
        self.place.drawn = len(self.tokens)
        return self.place

    def begin_anew(self) -> None:
        self.tokens, self.logprobs, self.guide, self.place = [], [], None, None


@dataclass(eq=False)
class Request:
    """A specification on its way through a `Sampler`, under an adapter or the bare base."""

    spec: SampleSpec
    adapter: str | None
    number: int
    rows: list[Row] = field(default_factory=list)
    left: int = 0
    """Rows that are not done."""
    scores: list[float | None] | None = None
    computed: bool = False
    given: SampleOutput | None = None
    """The answer of another sampler."""

    @property
    def done(self) -> bool:
        return self.computed and not self.left

    @property
    def output(self) -> SampleOutput:
        return self.given or SampleOutput([Completion(row.tokens, row.logprobs, row.reason) for row in self.rows], self.scores)


class Sampling(Protocol):
    """What samples requests over one base: `Sampler`, or `vllm.VllmSampler`."""

    @property
    def idle(self) -> bool: ...

    def add(self, spec: SampleSpec, adapter: Any = None) -> Request: ...

    def step(self) -> list[Request]: ...

    def abandon(self) -> None: ...


class Base(Protocol):
    """A base model of another engine."""

    def sampler(self) -> Sampling: ...


def sampler_of(base: Network | Base) -> Sampling:
    return Sampler(base) if isinstance(base, Network) else base.sampler()


def sample(base: Network | Base, adapter: Any, specs: Sequence[SampleSpec]) -> list[SampleOutput]:
    """Answers all requests in one batch, as far as they fit. The result depends only on `specs` (and the weights).

    adapter: that of all requests, or a list of each one's; None is the bare base.
    """
    adapters = list(adapter) if isinstance(adapter, list) else [adapter] * len(specs)
    order = sorted(range(len(specs)), key=lambda i: (str(adapters[i] or ""), sort_key(specs[i].prompt), i))
    sampler = sampler_of(base)
    try:
        requests = {i: sampler.add(specs[i], adapters[i]) for i in order}
        while not sampler.idle:
            sampler.step()
    except Exception:
        sampler.abandon()
        raise
    return [requests[i].output for i in range(len(specs))]


def check_prompt(spec: SampleSpec, limits: Limits) -> None:
    """Refuses prompts that the model cannot take."""
    if len(spec.prompt) >= limits.context:
        raise ComputeError(f"prompt: has {len(spec.prompt)} tokens and the model's context is {limits.context}; nothing can be sampled")
    if int(spec.prompt.max()) >= limits.vocabulary:
        raise ComputeError(f"prompt: token id {int(spec.prompt.max())} is outside the vocabulary of {limits.vocabulary}")


class Sampler:
    """Decodes the rows of any number of requests over one base together. Requests may come between two steps.

    What is drawn depends only on the request and the weights, not on the other requests, but for the rounding of sums.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self._device = network.runtime.device
        cuda = self._device.type == "cuda"
        self._most_rows = 4 * MAX_ROWS if cuda else MAX_ROWS
        self._most_prefill = 4 * PREFILL if cuda else PREFILL
        self._budget = _room(network)
        self._records = cuda and RECORDS
        self._requests = self._groups = 0
        self._open: dict[int, Request] = {}
        self._waiting: deque[Request] = deque()
        self._ready: deque[Row] = deque()
        """Rows whose prompts are computed and whose first tokens are drawn."""
        self._batch: _Batch | None = None
        self._full = 0
        """Rows of the batch when it was last filled."""
        self._refill_at = REFILL["cuda" if cuda else "cpu"]
        self._added = False
        self._finished: list[Request] = []

    def add(self, spec: SampleSpec, adapter: str | None = None) -> Request:
        """Raises ComputeError for what the model cannot take."""
        network = self.network
        check_prompt(spec, Limits(network.vocabulary, network.max_context))
        _guide(network, spec)
        request = Request(spec, adapter, self._requests)
        self._requests += 1
        self._open[request.number] = request
        limit = min(spec.max_tokens, network.max_context - len(spec.prompt))
        request.rows = [Row(request, i, limit, done=limit <= 0) for i in range(spec.count)]
        request.left = spec.count if limit > 0 else 0
        self._waiting.append(request)
        self._added = True
        return request

    @property
    def idle(self) -> bool:
        return not self._waiting and not self._ready and self._batch is None

    def step(self) -> list[Request]:
        """Draws one token for every row of the batch. Returns the requests that are done by that."""
        failed = False
        try:
            with torch.inference_mode():
                self._step()
        except Exception as error:
            if self._most_rows == 1 or not is_out_of_memory(error):
                raise
            failed = True
        # Outside of the handler: the error's traceback would keep the tensors that have to go.
        if failed:
            self._retreat()
        finished, self._finished = self._finished, []
        return finished

    def abandon(self) -> None:
        """Drops what is not done."""
        self._open.clear()
        self._waiting.clear()
        self._ready.clear()
        self._batch = None

    def _step(self) -> None:
        batch = self._batch
        live = 0 if batch is None else batch.live
        admits = self._added or (live <= self._refill_at * self._full and bool(self._ready or self._waiting))
        if batch is None or admits or live <= DROP * len(batch.rows):
            self._added = False
            self._replace(admits=admits)
            batch = self._batch
        if batch is not None:
            for row in batch.step():
                self._end(row)
            if not batch.live and not self._ready and not self._waiting:
                self._batch = None

    def _end(self, row: Row) -> None:
        row.done, row.guide = True, None
        row.request.left -= 1
        if row.request.done:
            self._close(row.request)

    def _close(self, request: Request) -> None:
        del self._open[request.number]
        self._finished.append(request)

    def _retreat(self) -> None:
        """After memory ran out: all rows that are not done begin anew, in batches of half the size. They draw the same tokens."""
        self._most_rows = max(1, min(self._most_rows, sum(request.left for request in self._open.values())) // 2)
        self._most_prefill = max(1, min(self._most_prefill, sum(len(request.spec.prompt) for request in self._open.values())) // 2)
        self._budget = max(1, self._budget // 2)
        self._batch = None
        self._ready.clear()
        self._waiting = deque(self._open.values())
        for request in self._waiting:
            request.computed = False
            for row in request.rows:
                if not row.done:
                    row.begin_anew()
        self._added = True
        free_cache(self._device)
        log.warning("out of memory: from now on at most %d rows are sampled at a time", self._most_rows)

    def _replace(self, *, admits: bool) -> None:
        """Drops the finished rows from the batch. With `admits`, waiting ones take their places."""
        old, self._batch = self._batch, None
        kept = [] if old is None else old.kept()
        fresh = self._admit([row for _, row in kept]) if admits else []
        if admits:
            self._full = len(kept) + len(fresh)
        if old is not None and not fresh and len(kept) == len(old.rows):
            self._batch = old
            return
        entries = sorted([*kept, *((None, row) for row in fresh)], key=lambda entry: entry[1].group.number)
        if entries:
            rows = [row for _, row in entries]
            plan = DecodePlan([row.placed() for row in rows], self._device, None if old is None else old.plan, [was for was, _ in entries])
            self._batch = _Batch(self.network, rows, plan, records=self._records)

    def _admit(self, kept: list[Row]) -> list[Row]:
        """Rows whose prompts are computed, as many as there is room for beside `kept`."""
        fresh: list[Row] = []
        adapters = {row.request.adapter for row in kept}
        groups = {row.group: row.group.shared for row in kept}
        most = max((row.room for row in kept), default=0)
        while len(kept) + len(fresh) < self._most_rows:
            if not self._ready:
                if not self._waiting:
                    break
                self._compute_prompts()
                continue
            row = self._ready[0]
            if kept or fresh:
                if row.request.adapter not in adapters and not all(map(self.network.mixes, {row.request.adapter, *adapters})):
                    break
                tokens = 2 * sum((groups | {row.group: row.group.shared}).values()) + (len(kept) + len(fresh) + 1) * max(most, row.room)
                if tokens > self._budget:
                    break
            adapters.add(row.request.adapter)
            groups[row.group] = row.group.shared
            most = max(most, row.room)
            fresh.append(self._ready.popleft())
        return fresh

    def _compute_prompts(self) -> None:
        """Computes the prompts of the next requests, those of one adapter, and draws the first token of each of their rows."""
        network, device = self.network, self._device
        requests = [self._waiting.popleft()]
        rows, tokens, adapter = requests[0].left, len(requests[0].spec.prompt), requests[0].adapter
        while self._waiting and self._waiting[0].adapter == adapter:
            rows, tokens = rows + self._waiting[0].left, tokens + len(self._waiting[0].spec.prompt)
            if rows > self._most_rows or tokens > self._most_prefill:
                break
            requests.append(self._waiting.popleft())

        keys = [sort_key(request.spec.prompt) for request in requests]
        number = {key: i for i, key in enumerate(sorted(set(keys)))}
        prompts: list[np.ndarray] = [np.empty(0)] * len(number)
        made: list[list[Row]] = [[] for _ in number]
        for request, key in zip(requests, keys, strict=True):
            prompts[number[key]] = request.spec.prompt
            made[number[key]].extend(row for row in request.rows if not row.done)

        packed = padded(pack(prompts))
        plan = PackedPlan(packed, device, network.runtime.dtype, keep=True)
        lora = network.adapted([adapter] * len(packed.tokens))
        with nullcontext() if lora is not None else network.using(adapter):
            hidden = network.hidden(torch.from_numpy(packed.tokens).to(device), torch.from_numpy(packed.positions).to(device), plan, lora)
            for request, key in zip(requests, keys, strict=True):
                if request.spec.prompt_logprobs:
                    scores = _prompt_logprobs(network, hidden, packed.rows[number[key]], request.spec.prompt, lora)
                    request.scores = _last(scores, request.spec.prompt_logprobs_last)
            last = torch.tensor([int(row[-1]) for row in packed.rows], device=device)
            logits = network.logits(hidden.index_select(0, last), lora)

        source = Prefill([plan.cache[layer] for layer in range(len(plan.cache))], packed.rows)
        drawn: list[tuple[int, Row]] = []
        for shared, members in _groups(prompts, [len(rows) for rows in made]):
            group = Group(self._groups, shared)
            self._groups += 1
            for prompt in members:
                for row in made[prompt]:
                    row.place = Place(group, source, prompt, len(prompts[prompt]))
                    row.guide = _guide(network, row.spec)
                    drawn.append((prompt, row))
        for request in requests:
            request.computed = True
            if request.done:
                self._close(request)
        for begin in range(0, len(drawn), self._most_rows):
            part = drawn[begin : begin + self._most_rows]
            first = _Tokens([row for _, row in part], device)
            for row in first.take(logits.index_select(0, torch.tensor([prompt for prompt, _ in part], device=device))):
                self._end(row)
            first.flush()
            self._ready.extend(row for _, row in part if not row.done)


class _Batch:
    """Rows that are decoded together, until they are replaced by another batch."""

    def __init__(self, network: Network, rows: list[Row], plan: DecodePlan, *, records: bool) -> None:
        self._network = network
        self.rows = rows
        self.plan = plan
        self._drawn = _Tokens(rows, network.runtime.device)
        extra = padded_length(len(rows)) - len(rows)
        device = network.runtime.device
        # The inputs of a step stay in place, as a recorded step needs.
        self._input = torch.tensor([row.tokens[-1] for row in rows] + [0] * extra, device=device)
        self._positions = torch.tensor([row.place.length + len(row.tokens) - 2 for row in rows if row.place] + [0] * extra, device=device)
        adapters = [row.request.adapter for row in rows]
        self._adapter = adapters[0]
        self._lora = network.adapted(adapters)
        self._graph = StepGraph(self._compute) if records and self._lora is not None else None

    @property
    def live(self) -> int:
        return self._drawn.live

    def kept(self) -> list[tuple[int, Row]]:
        """The rows that are not done, with their numbers."""
        self._drawn.flush()
        return [(i, row) for i, row in enumerate(self.rows) if not row.done]

    def step(self) -> list[Row]:
        """One token for each row. Returns the rows that end with it."""
        moved = self.plan.advance()
        self._positions += 1
        logits = self._compute() if self._graph is None else self._graph(anew=moved)
        ended = self._drawn.take(logits)
        self._input[: len(self.rows)] = self._drawn.last
        return ended

    def _compute(self) -> torch.Tensor:
        """Logits [N, V] after the rows' inputs. Waits for nothing on the host."""
        with nullcontext() if self._lora is not None else self._network.using(self._adapter):
            self.plan.begin()
            hidden = self._network.hidden(self._input, self._positions, self.plan, self._lora)
            return self._network.logits(hidden[: len(self.rows)], self._lora)


class _Tokens:
    """Draws tokens for rows, step by step, and keeps them until `flush`."""

    def __init__(self, rows: list[Row], device: torch.device) -> None:
        specs = [row.spec for row in rows]
        self._rows = rows
        self._device = device
        self._seeds = np.array([spec.seed for spec in specs], dtype=np.uint64)
        self._samples = np.array([row.index for row in rows], dtype=np.uint64)
        self._counts = np.array([len(row.tokens) for row in rows])
        self._limits = np.array([row.limit for row in rows])
        self._stops = np.full((len(rows), max((len(spec.stop) for spec in specs), default=0)), -1)
        for stops, spec in zip(self._stops, specs, strict=True):
            stops[: len(spec.stop)] = sorted(spec.stop)
        self._alive = np.ones(len(rows), dtype=bool)
        self._guided = [i for i, row in enumerate(rows) if row.guide is not None]
        greedy = [spec.temperature <= 0 for spec in specs]
        self._all_greedy = all(greedy)
        self._greedy = torch.tensor(greedy, device=device) if any(greedy) else None
        self._temperature: torch.Tensor | None = None
        if any(spec.temperature not in (1.0, 0.0) for spec in specs):
            self._temperature = torch.tensor([spec.temperature if spec.temperature > 0 else 1.0 for spec in specs], device=device)[:, None]
        self._top_k, self._top_p = [spec.top_k for spec in specs], [spec.top_p for spec in specs]
        self._truncates = any(self._top_k) or min(self._top_p) < 1
        self._steps: list[tuple[list[int], list[float]]] = []
        self.last: torch.Tensor
        """The newest tokens [N]; those of rows that are done mean nothing."""

    @property
    def live(self) -> int:
        return int(self._alive.sum())

    def take(self, logits: torch.Tensor) -> list[Row]:
        """Draws a token for each row. Returns the rows that end with it; theirs are complete."""
        self.last, logprobs = self.draw(logits)
        values = torch.stack((self.last.double(), logprobs.double())).cpu().numpy()
        if not np.isfinite(values[1][self._alive]).all():
            raise ComputeError("the model's probabilities are not finite", category="server")
        tokens = values[0].astype(np.int64)
        self._steps.append((tokens.tolist(), values[1].tolist()))
        self._counts += 1
        stopped = (tokens[:, None] == self._stops).any(1)
        for i in self._guided:
            guide = self._rows[i].guide
            if guide is not None and not stopped[i]:
                guide.take(int(tokens[i]))
                stopped[i] = guide.over
        over = np.nonzero(self._alive & (stopped | (self._counts >= self._limits)))[0].tolist()
        for i in over:
            self._give(i)
            if stopped[i]:
                self._rows[i].reason = "stop"
        self._alive[over] = False
        return [self._rows[i] for i in over]

    def flush(self) -> None:
        """Gives the rows that go on their tokens."""
        for i in np.nonzero(self._alive)[0].tolist():
            self._give(i)
        self._steps = []

    def _give(self, i: int) -> None:
        self._rows[i].tokens.extend(tokens[i] for tokens, _ in self._steps)
        self._rows[i].logprobs.extend(logprobs[i] for _, logprobs in self._steps)

    def draw(self, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """One token per row [N] and its logprob at temperature 1."""
        logprobs = torch.log_softmax(logits, dim=-1)
        open_ = logprobs
        guided = [(i, guide) for i in self._guided if (guide := self._rows[i].guide) is not None]
        if guided:
            open_ = logprobs.clone()
            closed = torch.from_numpy(np.stack([~guide.allowed() for _, guide in guided])).to(logits.device)
            which = torch.tensor([i for i, _ in guided], device=logits.device)
            left = open_.index_select(0, which).masked_fill_(closed, float("-inf"))
            open_[which] = left - left.max(-1, keepdim=True).values
        choice = None if self._greedy is None else open_.argmax(-1)
        if not self._all_greedy:
            u = torch.from_numpy(uniforms(self._seeds, self._samples, self._counts.astype(np.uint64))).to(logits.device)
            scaled = open_
            if self._temperature is not None:
                scaled = open_ / self._temperature
                scaled = scaled - scaled.max(-1, keepdim=True).values
            weights = scaled.exp()
            if self._truncates:
                weights = _truncate(weights, self._top_k, self._top_p)
            mass = weights.double().cumsum(-1)
            drawn = torch.searchsorted(mass, u[:, None] * mass[:, -1:], right=True)[:, 0].clamp_(max=logits.shape[-1] - 1)
            choice = drawn if choice is None else torch.where(self._greedy, choice, drawn)
        if choice is None:
            raise ComputeError("nothing to draw", category="server")
        return choice, logprobs.gather(1, choice[:, None])[:, 0]


def _room(network: Network) -> int:
    """How many tokens of cache one batch may have."""
    config = network.hf.config
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    per_token = 2 * config.num_hidden_layers * heads * dim * network.runtime.dtype.itemsize
    if network.runtime.device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(network.runtime.device)
        memory = free // 2
    else:
        memory = 2 * 2**30
    return max(memory // per_token, 1)


def _guide(network: Network, spec: SampleSpec) -> Guide | None:
    return None if spec.grammar is None else guide(spec.grammar, network.directory, spec.stop, network.vocabulary)


def _last(scores: list[float | None], count: int | None) -> list[float | None]:
    return scores if count is None else [None] * (len(scores) - count) + scores[-count:]


def _groups(prompts: list[np.ndarray], counts: list[int]) -> list[tuple[int, list[int]]]:
    """Which prompts (sorted, with `counts` rows each) are decoded together, and how many tokens they share."""
    alone = [(len(prompt), [i]) for i, prompt in enumerate(prompts) if counts[i]]
    joined: list[tuple[int, list[int]]] = []
    for length, (i,) in alone:
        if joined:
            shared, members = joined[-1]
            common = min(shared, common_prefix(prompts[members[0]], prompts[i]))
            if common >= SHARED_LEAST and max(length, *(len(prompts[m]) for m in members)) - common <= REST_MOST:
                joined[-1] = (common, [*members, i])
                continue
        joined.append((length, [i]))
    # A grid is as wide as its widest group: uneven groups would be mostly padding.
    widest = max((sum(counts[m] for m in members) for _, members in joined), default=0)
    return joined if widest * len(joined) <= 1.5 * max(max(counts, default=0) * len(alone), 1) else alone


def _truncate(weights: torch.Tensor, top_k: list[int], top_p: list[float]) -> torch.Tensor:
    """Zeroes what top_k and then top_p exclude; the token that crosses top_p stays, and so does the most likely one."""
    ordered, order = weights.sort(dim=-1, descending=True, stable=True)
    ranks = torch.arange(weights.shape[-1], device=weights.device)
    k = torch.tensor([n if n > 0 else weights.shape[-1] for n in top_k], device=weights.device)
    ordered = ordered.masked_fill(ranks[None, :] >= k[:, None], 0.0)
    share = ordered / ordered.sum(-1, keepdim=True)
    before = share.cumsum(-1) - share
    p = torch.tensor(top_p, device=weights.device, dtype=weights.dtype)
    ordered = ordered.masked_fill((before >= p[:, None]) & (ranks[None, :] > 0) & (p[:, None] < 1), 0.0)
    return torch.zeros_like(weights).scatter_(1, order, ordered)


def _prompt_logprobs(network: Network, hidden: torch.Tensor, row: np.ndarray, prompt: np.ndarray, lora: LoraRows | None) -> list[float | None]:
    """Logprob of each prompt token given those before it; None for the first."""
    values: list[float | None] = [None]
    size = max(1, LOGIT_CHUNK // network.vocabulary)
    for begin in range(0, len(prompt) - 1, size):
        end = min(begin + size, len(prompt) - 1)
        logits = network.logits(hidden.index_select(0, torch.from_numpy(row[begin:end]).to(hidden.device)), lora)
        target = torch.from_numpy(prompt[begin + 1 : end + 1]).to(hidden.device)
        values.extend(logits.log_softmax(-1).gather(1, target[:, None])[:, 0].tolist())
    return values
