"""Attention over packed rows, plugged into transformers' attention interface.

A model loaded with `attn_implementation=ATTENTION` receives a *plan* as a keyword of its forward call. The model's
layers pass it to `dispatch`, and the plan decides what attends to what: `PackedPlan` for prompts and training rows,
`sampling.DecodePlan` for the step-by-step decoding of grouped rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn
from transformers import AttentionInterface

from .errors import ComputeError
from .packing import Pack

ATTENTION = "specdojo"
PLAN = "specdojo_plan"

LINK = 448
"""Longer segments are cut into a chain of links of about this many tokens, so that one block of scores fits the cache."""

QUERIES = 256
"""Descendants attend to a segment in blocks of at most this many queries."""

ROUND = 32
"""Sizes of the matrix products of the backward pass are multiples of this: CPU kernels are compiled for each new shape."""

AREA = 2**17
"""Small blocks are computed together as long as they have at most this many scores per head."""


class Plan(Protocol):
    """How the tokens of one forward call attend. Shapes: query [1, H, N, d], key and value [1, KV, N, d]."""

    longest: int

    def attend(self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float) -> torch.Tensor:
        """Returns [N, H, d]."""
        ...


def dispatch(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """The attention function registered with transformers."""
    plan: Plan | None = kwargs.get(PLAN)
    if plan is None:
        raise ComputeError(f"{type(module).__name__} does not hand keyword arguments to its attention; this architecture is not supported")
    for name in ("s_aux", "softcap"):
        if kwargs.get(name) is not None:
            raise ComputeError(f"{type(module).__name__} uses {name}; this architecture is not supported")
    if sliding_window is not None and plan.longest > sliding_window:
        raise ComputeError(f"the sequence has {plan.longest} tokens and the model's attention window {sliding_window}; sliding windows are not supported")
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    layer: int = module.layer_idx  # type: ignore[assignment]
    return plan.attend(layer, query, key, value, scale).unsqueeze(0), None


AttentionInterface.register(ATTENTION, dispatch)


@dataclass(frozen=True)
class _Block:
    """Tokens `queries` attend to all of `keys` or, when `causal`, each to itself and those before it (queries = keys).

    `level` is the number of links above `keys`: at one level, no query occurs in two blocks that are not causal.
    """

    queries: range
    keys: range
    causal: bool
    level: int

    @property
    def area(self) -> int:
        return len(self.queries) * len(self.keys)


@dataclass(frozen=True)
class _Piece:
    """Blocks of one kind and similar size, padded to [B, Q] queries and [B, K] keys (packed indices, flat).

    bias: additive mask [B, 1, Q, K] or [1, 1, Q, K], None when everything is seen. real: which of the B * Q queries are no
    padding, None when all are; rows: the packed indices of the real ones.
    For the backward pass sizes are rounded up (few different shapes), and N, the row behind the last token, is the
    padding: wide_queries and wide_keys; later: bool [1, 1, Q, K], where a causal block must not look.
    """

    queries: torch.Tensor
    keys: torch.Tensor
    bias: torch.Tensor | None
    real: torch.Tensor | None
    rows: torch.Tensor
    shape: tuple[int, int, int]
    wide_queries: torch.Tensor
    wide_keys: torch.Tensor
    later: torch.Tensor | None


class PackedPlan:
    """Tree attention for one packed row. With `keep`, each layer's keys and values [KV, N, d] are kept in `cache`."""

    def __init__(self, packed: Pack, device: torch.device, dtype: torch.dtype, *, keep: bool = False) -> None:
        self.longest = int(packed.positions.max()) + 1
        self.keep = keep
        self.cache: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self._pieces = [_piece(blocks, len(packed.tokens), device, dtype) for blocks in _together(_blocks(packed))]

    def attend(self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float) -> torch.Tensor:
        if self.keep:
            self.cache[layer] = (key[0], value[0])
        q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))
        return _TreeAttention.apply(q, k, v, self._pieces, scale)


def _blocks(packed: Pack) -> list[_Block]:
    """Each link attends causally to itself, and everything below it in the tree attends to all of it."""
    below = [segment.stop for segment in packed.segments]  # where the subtree of each segment ends
    for i in range(len(packed.segments) - 1, -1, -1):
        parent = packed.segments[i].parent
        if parent >= 0:
            below[parent] = max(below[parent], below[i])
    blocks: list[_Block] = []
    levels: list[int] = []  # the number of links up to and including each segment
    for segment, end in zip(packed.segments, below, strict=True):
        level = levels[segment.parent] if segment.parent >= 0 else 0
        links = -(-segment.length // LINK)
        levels.append(level + links)
        cuts = [segment.start + segment.length * i // links for i in range(links + 1)]
        for i, (start, stop) in enumerate(pairwise(cuts)):
            link = range(start, stop)
            blocks.append(_Block(link, link, True, 0))
            blocks.extend(_Block(range(at, min(at + QUERIES, end)), link, False, level + i) for at in range(stop, end, QUERIES))
    return blocks


def _together(blocks: list[_Block]) -> list[list[_Block]]:
    """Groups small blocks of a kind and level so that padding costs at most about a quarter of the work."""
    groups: list[list[_Block]] = []
    used = 0
    for block in sorted(blocks, key=lambda b: (b.causal, b.level, -len(b.keys), -len(b.queries), b.queries.start)):
        if groups and (groups[-1][0].causal, groups[-1][0].level) == (block.causal, block.level):
            width = max(len(block.queries), *(len(b.queries) for b in groups[-1]))
            padded = width * len(groups[-1][0].keys) * (len(groups[-1]) + 1)
            if padded <= AREA and padded <= 1.25 * (used + block.area):
                groups[-1].append(block)
                used += block.area
                continue
        groups.append([block])
        used = block.area
    return groups


def _piece(blocks: list[_Block], tokens: int, device: torch.device, dtype: torch.dtype) -> _Piece:
    count, width, depth = len(blocks), max(len(b.queries) for b in blocks), max(len(b.keys) for b in blocks)
    wide_queries = np.full((count, -(-width // ROUND) * ROUND), tokens, dtype=np.int64)
    wide_keys = np.full((count, -(-depth // ROUND) * ROUND), tokens, dtype=np.int64)
    for i, block in enumerate(blocks):
        wide_queries[i, : len(block.queries)] = block.queries
        wide_keys[i, : len(block.keys)] = block.keys
    causal = blocks[0].causal
    later = ~np.tri(wide_queries.shape[1], wide_keys.shape[1], dtype=bool)[None, None] if causal else None
    queries, keys = wide_queries[:, :width], wide_keys[:, :depth]
    real, known = queries < tokens, keys < tokens
    bias = None
    if causal or not known.all():
        visible = known[:, None, None, :] & np.tri(width, depth, dtype=bool) if causal else np.repeat(known[:, None, None, :], width, axis=2)
        if (visible == visible[:1]).all():
            visible = visible[:1]
        bias = torch.zeros(visible.shape, dtype=dtype).masked_fill_(~torch.from_numpy(visible), float("-inf")).to(device)
    some = None if real.all() else torch.from_numpy(np.nonzero(real.reshape(-1))[0]).to(device)
    flat = torch.from_numpy(np.where(real, queries, 0).reshape(-1)).to(device)
    return _Piece(
        queries=flat,
        keys=torch.from_numpy(np.where(known, keys, 0).reshape(-1)).to(device),
        bias=bias,
        real=some,
        rows=flat if some is None else flat[some],
        shape=(count, width, depth),
        wide_queries=torch.from_numpy(wide_queries.reshape(-1)).to(device),
        wide_keys=torch.from_numpy(wide_keys.reshape(-1)).to(device),
        later=None if later is None else torch.from_numpy(later).to(device),
    )


def _take(x: torch.Tensor, index: torch.Tensor, count: int, shared: int) -> torch.Tensor:
    """Rows of x [N, H, d] as [B, KV, H / KV * L, d]: the query heads of one key head are put one after another."""
    heads, dim = x.shape[1:]
    y = x.index_select(0, index).view(count, -1, shared, heads // shared, dim)
    return y.permute(0, 2, 3, 1, 4).reshape(count, shared, -1, dim)


def _give(y: torch.Tensor, piece: _Piece, heads: int) -> torch.Tensor:
    """The inverse of `_take` for queries: [B, KV, H / KV * Q, d] as [real rows, H, d]."""
    count, width, _ = piece.shape
    shared, dim = y.shape[1], y.shape[3]
    x = y.view(count, shared, heads // shared, width, dim).permute(0, 3, 1, 2, 4).reshape(count * width, heads, dim)
    return x if piece.real is None else x.index_select(0, piece.real)


def _tiled(mask: torch.Tensor, repeat: int) -> torch.Tensor:
    return mask if repeat == 1 else mask.repeat(1, 1, repeat, 1)


def _softmax_values(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: torch.Tensor | None, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    """softmax(q k^T scale + bias) v and the log of the softmax's denominator (fp32), over one block."""
    if q.device.type == "cpu":
        out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v, 0.0, False, attn_mask=bias, scale=scale)
        return out, lse
    return _softmax_values_plain(q, k, v, bias, scale)


def _softmax_values_plain(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: torch.Tensor | None, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The same in plain operations, for devices whose fused kernels do not give the denominator."""
    scores = torch.matmul(q, k.transpose(2, 3)).float() * scale
    if bias is not None:
        scores = scores + bias
    lse = scores.logsumexp(-1)
    return torch.matmul(torch.exp(scores - lse[..., None]).to(v.dtype), v), lse


def _two_parts(x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """x [...] in fp32 as two addends [..., 2] of `dtype`, so that a matmul in `dtype` can subtract it exactly enough."""
    high = x.to(dtype)
    return torch.stack((high, (x - high.float()).to(dtype)), dim=-1)


class _TreeAttention(torch.autograd.Function):
    """Attention over the pieces of a packed row: q [N, H, d], k and v [N, KV, d] -> [N, H, d].

    The pieces' results are joined by their log-denominators, as in flash attention (Dao et al. 2022, section 3.1 and
    appendix B): with the joint denominator, each piece's gradient needs nothing of the other pieces.
    """

    @staticmethod
    def forward(ctx, q, k, v, pieces, scale):  # type: ignore[no-untyped-def]
        tokens, heads, dim = q.shape
        shared = k.shape[1]
        repeat = heads // shared
        found: list[tuple[torch.Tensor, torch.Tensor]] = []
        lse = q.new_full((tokens, heads, 1), float("-inf"), dtype=torch.float32)
        for piece in pieces:
            count = piece.shape[0]
            bias = None if piece.bias is None else _tiled(piece.bias, repeat)
            part, log = _softmax_values(
                _take(q, piece.queries, count, shared), _take(k, piece.keys, count, shared), _take(v, piece.keys, count, shared), bias, scale
            )
            part, log = _give(part, piece, heads), _give(log.unsqueeze(-1), piece, heads)
            lse.index_copy_(0, piece.rows, torch.logaddexp(lse.index_select(0, piece.rows), log))
            found.append((part, log))
        out = q.new_zeros((tokens, heads, dim), dtype=torch.float32)
        for piece, (part, log) in zip(pieces, found, strict=True):
            out.index_add_(0, piece.rows, part.float().mul_(torch.exp(log - lse.index_select(0, piece.rows))))
        out = out.to(q.dtype)
        ctx.save_for_backward(q, k, v, out, lse)
        ctx.pieces, ctx.scale = pieces, scale
        return out

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        q, k, v, out, lse = ctx.saved_tensors
        heads, shared, dtype = q.shape[1], k.shape[1], q.dtype
        repeat = heads // shared
        delta = (gradient.float() * out.float()).sum(-1)
        # A row of padding behind the last token: queries of zeros, and keys whose weight comes out as exp(-30000) = 0.
        # Appended columns make the matmuls give q k^T scale - lse and grad v^T - delta at once.
        tokens, _, dim = q.shape
        q_more = q.new_zeros((tokens + 1, heads, dim + 3))
        q_more[:tokens, :, :dim] = q * ctx.scale
        q_more[:tokens, :, dim : dim + 2] = _two_parts(-lse[..., 0], dtype)
        q_more[:, :, dim + 2] = 1
        g_more = q.new_zeros((tokens + 1, heads, dim + 2))
        g_more[:tokens, :, :dim] = gradient
        g_more[:tokens, :, dim:] = _two_parts(-delta, dtype)
        k_more = k.new_zeros((tokens + 1, shared, dim + 3))
        k_more[:tokens, :, :dim] = k
        k_more[:tokens, :, dim : dim + 2] = 1
        k_more[tokens, :, dim + 2] = -30000
        v_more = v.new_zeros((tokens + 1, shared, dim + 2))
        v_more[:tokens, :, :dim] = v
        v_more[:tokens, :, dim:] = 1
        dq, dk, dv = (torch.zeros((tokens + 1, *x.shape[1:]), dtype=torch.float32, device=x.device) for x in (q, k, v))
        for piece in ctx.pieces:
            count = piece.shape[0]
            bq, bg = _take(q_more, piece.wide_queries, count, shared), _take(g_more, piece.wide_queries, count, shared)
            bk, bv = _take(k_more, piece.wide_keys, count, shared), _take(v_more, piece.wide_keys, count, shared)
            weights = torch.matmul(bq, bk.transpose(2, 3)).exp_()
            if piece.later is not None:
                weights.masked_fill_(_tiled(piece.later, repeat), 0.0)
            dv_part = torch.matmul(weights.transpose(2, 3), bg[..., :dim])
            weights.mul_(torch.matmul(bg, bv.transpose(2, 3)))
            dq_part = torch.matmul(weights, bk[..., :dim])
            dk_part = torch.matmul(weights.transpose(2, 3), bq[..., :dim])
            dq_part = dq_part.view(count, shared, repeat, -1, dim).permute(0, 3, 1, 2, 4).reshape(-1, heads, dim)
            dq.index_add_(0, piece.wide_queries, dq_part.float())
            for total, part in ((dk, dk_part), (dv, dv_part)):
                total.index_add_(0, piece.wide_keys, part.transpose(1, 2).reshape(-1, shared, dim).float())
        return dq[:tokens].mul_(ctx.scale).to(dtype), dk[:tokens].to(dtype), dv[:tokens].to(dtype), None, None
