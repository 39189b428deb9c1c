"""Batched sampling over a shared key-value cache.

Distinct prompts are prefilled once, and what several prompts begin with is prefilled once. Rows are decoded in a grid
[groups, width]: the rows of a group share the keys and values of their prompt, or of what their prompts have in common
when the rest is short; each row's rest and its own tokens lie in a second cache. Finished rows are dropped from the
grid as it empties.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn import functional

from .attention import PackedPlan
from .errors import ComputeError
from .grammar import Guide, guide
from .memory import free_cache, is_out_of_memory
from .models import Network
from .packing import common_prefix, pack, padded, padded_length, sort_key
from .rng import uniforms

log = logging.getLogger("specdojo.sampling")

MAX_ROWS = 256
"""Rows decoded at a time on a CPU; four times as many on a GPU."""

PREFILL = 2**15
"""Prompt tokens computed at a time on a CPU, which bounds their activations; four times as many on a GPU."""

GROW = 32
"""Tokens by which the suffix cache grows."""

SHARED_LEAST = 64
"""Prompts with at least this many tokens in common may be decoded as one group,"""

REST_MOST = 96
"""if none of them has more tokens than this behind the common ones (they are copied for every row)."""

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
    first: int = 0
    """Number of the first completion, where a request was split."""


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


_Pair = tuple[torch.Tensor, torch.Tensor]


class DecodePlan:
    """Attention of one decoding step for a grid of rows [G, W].

    prefix: per layer keys [G, KV, d, P] and values [G, KV, P, d] that a group shares; the first shared[g] count.
    own: per layer keys and values [G * W, KV, R, d] that begin each row's own cache; the first rest[row] count.
    Depths are rounded up and masked, so that few different matrix shapes occur.
    """

    def __init__(self, prefix: list[_Pair], shared: torch.Tensor, own: list[_Pair], rest: torch.Tensor, width: int) -> None:
        self.prefix = prefix
        self.shared = shared
        self.own = own
        self.rest = rest
        self.width = width
        self.used = self.begin = own[0][0].shape[2]
        self.room = self.begin
        self.longest = int(shared.max()) + int(rest.max())
        self._mask_prefix()

    def _mask_prefix(self) -> None:
        """Additive [G, 1, 1, P]; None when all of it counts."""
        self._prefix_bias = _bias(self.prefix[0][0].shape[3], self.shared, self.prefix[0][0].dtype)

    def _mask_own(self) -> torch.Tensor:
        """Additive [G, 1, W, T], or [1, 1, 1, T] when the rows do not differ."""
        columns = torch.arange(self.room, device=self.rest.device)
        open_ = (columns >= self.begin) & (columns < self.used)
        if self.begin:
            open_ = open_ | (columns < self.rest[:, None])
        mask = torch.zeros(open_.shape, dtype=self.own[0][0].dtype, device=open_.device).masked_fill_(~open_, float("-inf"))
        return mask.view(-1, 1, self.width, self.room) if self.begin else mask.view(1, 1, 1, self.room)

    def _grow(self) -> None:
        self.room += GROW
        for layer, pair in enumerate(self.own):
            grown = [old.new_zeros((*old.shape[:2], self.room, old.shape[3])) for old in pair]
            for new, old in zip(grown, pair, strict=True):
                new[:, :, : self.used] = old[:, :, : self.used]
            self.own[layer] = (grown[0], grown[1])

    def advance(self) -> None:
        """To be called before each forward: makes room for one more token per row."""
        if self.used == self.room:
            self._grow()
        self.used += 1
        self.longest += 1
        self._own_bias = self._mask_own()

    def compact(self, groups: torch.Tensor, slots: torch.Tensor, width: int) -> None:
        """Keeps `groups` (indices) and `slots` (old flat slot of each new slot)."""
        if len(groups) < len(self.shared):
            self.prefix = [(k.index_select(0, groups), v.index_select(0, groups)) for k, v in self.prefix]
            self.shared = self.shared.index_select(0, groups)
            self._mask_prefix()
        self.own = [(k.index_select(0, slots), v.index_select(0, slots)) for k, v in self.own]
        self.rest = self.rest.index_select(0, slots)
        self.width = width

    def attend(self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float) -> torch.Tensor:
        heads, padded_rows, dim = query.shape[1:]
        shared = key.shape[1]
        repeat = heads // shared
        prefix_key, prefix_value = self.prefix[layer]
        groups, depth = prefix_key.shape[0], prefix_key.shape[3]
        width, room = self.width, self.room
        rows = groups * width
        own_key, own_value = self.own[layer]
        own_key[:, :, self.used - 1] = key[0, :, :rows].transpose(0, 1)
        own_value[:, :, self.used - 1] = value[0, :, :rows].transpose(0, 1)

        q = (query[0, :, :rows].transpose(0, 1) * scale).view(rows, shared, repeat, dim)
        grouped = q.view(groups, width, shared, repeat, dim).permute(0, 2, 3, 1, 4).reshape(groups, shared, repeat * width, dim)
        far = torch.matmul(grouped, prefix_key)
        if self._prefix_bias is not None:
            far.add_(self._prefix_bias)
        near = torch.matmul(q, own_key.transpose(2, 3)).view(groups, width, shared, repeat, room).permute(0, 2, 3, 1, 4)
        near = near + self._own_bias[:, :, None]  # [G, KV, repeat, W, T]
        weights = torch.cat((far, near.reshape(groups, shared, repeat * width, room)), dim=-1).softmax(-1)
        out = torch.matmul(weights[..., :depth], prefix_value).view(groups, shared, repeat, width, dim).permute(0, 3, 1, 2, 4)
        own = weights[..., depth:].view(groups, shared, repeat, width, room).permute(0, 3, 1, 2, 4)
        own = torch.matmul(own.reshape(rows, shared, repeat, room), own_value)
        mixed = out.reshape(rows, heads, dim) + own.view(rows, heads, dim)
        return mixed if rows == padded_rows else functional.pad(mixed, (0, 0, 0, 0, 0, padded_rows - rows))


def _bias(depth: int, lengths: torch.Tensor, dtype: torch.dtype) -> torch.Tensor | None:
    """Additive [G, 1, 1, depth] that hides what lies behind `lengths`; None when nothing does."""
    hidden = torch.arange(depth, device=lengths.device)[None, :] >= lengths[:, None]
    if not bool(hidden.any()):
        return None
    return torch.zeros(hidden.shape, dtype=dtype, device=lengths.device).masked_fill_(hidden, float("-inf"))[:, None, None, :]


@dataclass
class _Row:
    """One completion in the making."""

    request: int
    index: int
    spec: SampleSpec
    limit: int
    tokens: list[int]
    logprobs: list[float]
    guide: Guide | None = None
    reason: str = "length"


def sample(network: Network, adapter: str | None, specs: Sequence[SampleSpec]) -> list[SampleOutput]:
    """Answers all requests in one batch, cut into chunks that fit the memory. The result depends only on `specs`."""
    budget, most_rows = _room(network)
    parts = [(request, part) for request, spec in enumerate(specs) for part in _parts(network, spec, budget, most_rows)]
    split = [part for _, part in parts]
    found: list[SampleOutput | None] = [None] * len(split)
    with torch.inference_mode(), network.using(adapter):
        chunks = _chunks(split, budget, most_rows)[::-1]
        while chunks:
            chunk = chunks.pop()
            drawn: list[SampleOutput] = []
            try:
                drawn = _sample_chunk(network, [split[i] for i in chunk])
            except Exception as error:
                if len(chunk) == 1 or not is_out_of_memory(error):
                    raise
            # Outside of the handler: the error's traceback would keep the tensors that have to go.
            if not drawn:
                log.warning("out of memory: a batch of %d prompts is halved", len(chunk))
                free_cache(network.runtime.device)
                chunks.extend([chunk[len(chunk) // 2 :], chunk[: len(chunk) // 2]])
                continue
            for i, output in zip(chunk, drawn, strict=True):
                found[i] = output
    outputs: list[SampleOutput] = [SampleOutput([], None) for _ in specs]
    for (request, _), output in zip(parts, found, strict=True):
        if output is not None:
            outputs[request].completions.extend(output.completions)
            outputs[request].prompt_logprobs = output.prompt_logprobs
    return outputs


def _room(network: Network) -> tuple[int, int]:
    """How many tokens of cache, and how many rows, one chunk may have."""
    config = network.hf.config
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    per_token = 2 * config.num_hidden_layers * heads * dim * network.runtime.dtype.itemsize
    if network.runtime.device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(network.runtime.device)
        memory = free // 2
    else:
        memory = 2 * 2**30
    return max(memory // per_token, 1), 4 * MAX_ROWS if network.runtime.device.type == "cuda" else MAX_ROWS


def _parts(network: Network, spec: SampleSpec, budget: int, most_rows: int) -> list[SampleSpec]:
    """The request, split where its completions alone would not fit into the memory; draws do not depend on that."""
    length = min(spec.max_tokens, network.max_context - len(spec.prompt)) + GROW
    rows = max(1, min(4 * most_rows, budget // length))
    if spec.count <= rows:
        return [spec]
    return [replace(spec, first=first, count=min(rows, spec.count - first)) for first in range(0, spec.count, rows)]


def _chunks(specs: Sequence[SampleSpec], budget: int, most_rows: int) -> list[list[int]]:
    """Requests in prompt order, cut so that their caches fit into the memory set aside for them."""
    chunks: list[list[int]] = []
    used = rows = tokens = 0
    for i in sorted(range(len(specs)), key=lambda i: (sort_key(specs[i].prompt), i)):
        spec = specs[i]
        cost = 2 * len(spec.prompt) + spec.count * (spec.max_tokens + GROW)
        if chunks and used + cost <= budget and rows + spec.count <= most_rows and tokens + len(spec.prompt) <= PREFILL * most_rows // MAX_ROWS:
            chunks[-1].append(i)
            used += cost
            rows += spec.count
            tokens += len(spec.prompt)
        else:
            chunks.append([i])
            used, rows, tokens = cost, spec.count, len(spec.prompt)
    return chunks


def _sample_chunk(network: Network, specs: list[SampleSpec]) -> list[SampleOutput]:
    device = network.runtime.device
    keys = [sort_key(spec.prompt) for spec in specs]
    distinct = sorted(set(keys))
    number = {key: i for i, key in enumerate(distinct)}
    prompts: list[np.ndarray] = [np.empty(0)] * len(distinct)
    grid: list[list[_Row]] = [[] for _ in distinct]
    rows: list[list[_Row]] = []
    for request, spec in enumerate(specs):
        group = number[keys[request]]
        prompts[group] = spec.prompt
        limit = min(spec.max_tokens, network.max_context - len(spec.prompt))
        made = [_Row(request, spec.first + i, spec, limit, [], [], _guide(network, spec)) for i in range(spec.count)]
        rows.append(made)
        grid[group].extend(row for row in made if row.limit > 0)

    packed = padded(pack(prompts))
    plan = PackedPlan(packed, device, network.runtime.dtype, keep=True)
    hidden = network.hidden(torch.from_numpy(packed.tokens).to(device), torch.from_numpy(packed.positions).to(device), plan)
    scores: dict[int, list[float | None]] = {}
    for request, spec in enumerate(specs):
        group = number[keys[request]]
        if spec.prompt_logprobs and group not in scores:
            scores[group] = _prompt_logprobs(network, hidden, packed.rows[group], spec.prompt)
    last = torch.tensor([int(row[-1]) for row in packed.rows], device=device)
    logits = network.logits(hidden.index_select(0, last))

    groups = _groups(prompts, [len(group) for group in grid])
    if groups:
        _decode(network, [(shared, [(p, row) for p in members for row in grid[p]]) for shared, members in groups], prompts, packed.rows, plan, logits)
    return [
        SampleOutput(
            [Completion(row.tokens, row.logprobs, row.reason) for row in made],
            _last(scores[number[keys[request]]], specs[request].prompt_logprobs_last) if specs[request].prompt_logprobs else None,
        )
        for request, made in enumerate(rows)
    ]


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


def _decode(
    network: Network,
    grid: list[tuple[int, list[tuple[int, _Row]]]],
    prompts: list[np.ndarray],
    packed_rows: Sequence[np.ndarray],
    prefill: PackedPlan,
    logits: torch.Tensor,
) -> None:
    """Draws tokens for all rows until each is done.

    grid: per group the number of shared tokens and its rows, each with the number of its prompt. logits [prompts, V]
    are those after the prompts.
    """
    device = network.runtime.device
    groups, width = len(grid), max(len(rows) for _, rows in grid)
    slots: list[_Row | None] = []
    prompt_of: list[int] = []
    for _, rows in grid:
        slots.extend(row for _, row in rows)
        slots.extend([None] * (width - len(rows)))
        prompt_of.extend(p for p, _ in rows)
        prompt_of.extend([rows[0][0]] * (width - len(rows)))
    shared = [grid[slot // width][0] for slot in range(len(slots))]
    rest = [len(prompts[p]) - s for p, s in zip(prompt_of, shared, strict=True)]
    prefix_index = np.zeros((groups, -(-max(shared) // 64) * 64), dtype=np.int64)
    own_index = np.zeros((len(slots), -(-max(rest) // 16) * 16), dtype=np.int64)
    for slot, p in enumerate(prompt_of):
        prefix_index[slot // width, : shared[slot]] = packed_rows[p][: shared[slot]]
        own_index[slot, : rest[slot]] = packed_rows[p][shared[slot] :]
    prefix: list[_Pair] = []
    own: list[_Pair] = []
    flat_prefix, flat_own = (torch.from_numpy(index.reshape(-1)).to(device) for index in (prefix_index, own_index))
    for layer in range(len(prefill.cache)):
        pair = prefill.cache.pop(layer)
        key, value = (x.index_select(1, flat_prefix).view(x.shape[0], *prefix_index.shape, x.shape[2]).transpose(0, 1) for x in pair)
        prefix.append((key.transpose(2, 3).contiguous(), value.contiguous()))
        key, value = (x.index_select(1, flat_own).view(x.shape[0], *own_index.shape, x.shape[2]).transpose(0, 1).contiguous() for x in pair)
        own.append((key, value))
    plan = DecodePlan(prefix, torch.tensor(shared[::width], device=device), own, torch.tensor(rest, device=device), width)
    lengths = torch.tensor([len(prompts[p]) for p in prompt_of], device=device)
    logits = logits.index_select(0, torch.tensor(prompt_of, device=device))
    step = 0
    while True:
        drawn, logprobs = _draw(logits, slots, step)
        for slot, row in enumerate(slots):
            if row is None:
                continue
            token = drawn[slot]
            row.tokens.append(token)
            row.logprobs.append(logprobs[slot])
            if token in row.spec.stop:
                row.reason = "stop"
                slots[slot] = None
                continue
            if row.guide is not None:
                row.guide.take(token)
            if len(row.tokens) >= row.limit:
                slots[slot] = None
        step += 1
        live = [[slot for slot in range(g * width, (g + 1) * width) if slots[slot] is not None] for g in range(groups)]
        kept = [g for g in range(groups) if live[g]]
        if not kept:
            return
        narrow = max(len(group) for group in live)
        if len(kept) * narrow <= 0.75 * groups * width:
            old = [(live[g] + [live[g][0]] * narrow)[:narrow] for g in kept]
            kept_slots = torch.tensor([s for group in old for s in group], device=device)
            plan.compact(torch.tensor(kept, device=device), kept_slots, narrow)
            lengths = lengths.index_select(0, kept_slots)
            slots = [slots[s] if i < len(live[g]) else None for g, group in zip(kept, old, strict=True) for i, s in enumerate(group)]
            drawn = [drawn[s] for group in old for s in group]
            groups, width = len(kept), narrow
        plan.advance()
        rows = groups * width
        extra = padded_length(rows) - rows
        positions = functional.pad(lengths + (step - 1), (0, extra))
        hidden = network.hidden(torch.tensor(drawn + [0] * extra, device=device), positions, plan)
        logits = network.logits(hidden[:rows])


def _draw(logits: torch.Tensor, slots: list[_Row | None], step: int) -> tuple[list[int], list[float]]:
    """One token per slot (0 for an empty one) and its logprob at temperature 1."""
    logprobs = torch.log_softmax(logits, dim=-1)
    live = [row for row in slots if row is not None]
    open_ = logprobs
    for slot, row in enumerate(slots):
        if row is not None and row.guide is not None:
            if open_ is logprobs:
                open_ = logprobs.clone()
            open_[slot].masked_fill_(torch.from_numpy(~row.guide.allowed()).to(logits.device), float("-inf"))
            open_[slot] -= open_[slot].max()
    choice: torch.Tensor | None = None
    if any(row.spec.temperature <= 0 for row in live):
        choice = open_.argmax(-1)
    if any(row.spec.temperature > 0 for row in live):
        seeds = np.array([0 if row is None else row.spec.seed for row in slots], dtype=np.uint64)
        samples = np.array([0 if row is None else row.index for row in slots], dtype=np.uint64)
        u = torch.from_numpy(uniforms(seeds, samples, np.full(len(slots), step, dtype=np.uint64))).to(logits.device)
        scaled = open_
        if any(row.spec.temperature not in (1.0, 0.0) for row in live):
            temperature = torch.tensor([1.0 if row is None or row.spec.temperature <= 0 else row.spec.temperature for row in slots], device=logits.device)
            scaled = open_ / temperature[:, None]
            scaled = scaled - scaled.max(-1, keepdim=True).values
        weights = scaled.exp()
        top_k = [0 if row is None else row.spec.top_k for row in slots]
        top_p = [1.0 if row is None else row.spec.top_p for row in slots]
        if any(top_k) or min(top_p) < 1:
            weights = _truncate(weights, top_k, top_p)
        mass = weights.double().cumsum(-1)
        target = u[:, None] * mass[:, -1:]
        drawn = torch.searchsorted(mass, target, right=True)[:, 0].clamp_(max=logits.shape[-1] - 1)
        if choice is None:
            choice = drawn
        else:
            greedy = torch.tensor([row is None or row.spec.temperature <= 0 for row in slots], device=logits.device)
            choice = torch.where(greedy, choice, drawn)
    if choice is None:
        raise ComputeError("nothing to draw", category="server")
    values = logprobs.gather(1, choice[:, None])[:, 0].tolist()
    if not np.isfinite([v for v, row in zip(values, slots, strict=True) if row is not None]).all():
        raise ComputeError("the model's probabilities are not finite", category="server")
    return choice.tolist(), values


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


def _prompt_logprobs(network: Network, hidden: torch.Tensor, row: np.ndarray, prompt: np.ndarray) -> list[float | None]:
    """Logprob of each prompt token given those before it; None for the first."""
    values: list[float | None] = [None]
    size = max(1, LOGIT_CHUNK // network.vocabulary)
    for begin in range(0, len(prompt) - 1, size):
        end = min(begin + size, len(prompt) - 1)
        logits = network.logits(hidden.index_select(0, torch.from_numpy(row[begin:end]).to(hidden.device)))
        target = torch.from_numpy(prompt[begin + 1 : end + 1]).to(hidden.device)
        values.extend(logits.log_softmax(-1).gather(1, target[:, None])[:, 0].tolist())
    return values
