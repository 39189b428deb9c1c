"""The key-value cache of rows that are decoded together, one token at a time.

The rows of a group share the keys and values of what their prompts have in common. What a row has of its own, the rest of
its prompt and the tokens drawn so far, lies right-aligned in a second cache, so that all rows write the same column. A cache
is built anew when rows have left, or others take their places; what stays is copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

Pair = tuple[torch.Tensor, torch.Tensor]

GROW = 32
"""Tokens by which the rows' own cache grows on a CPU; four times as many on a GPU."""

BLOCK_COST = 8
"""What it costs to read a group's shared tokens at all, in rows that attend to them."""


@dataclass(frozen=True, eq=False)
class Prefill:
    """Keys and values of packed prompts, per layer [KV, tokens, d]; `rows[p]` are the packed indices of prompt p."""

    cache: list[Pair]
    rows: Sequence[np.ndarray]


@dataclass(frozen=True, eq=False)
class Group:
    """Rows whose prompts begin with the same `shared` tokens. `number` orders groups."""

    number: int
    shared: int


@dataclass(eq=False)
class Place:
    """A row as the cache knows it. `source` holds its prompt's keys and values until a cache has taken them over."""

    group: Group
    source: Prefill | None
    prompt: int
    length: int
    """Tokens of the prompt."""
    drawn: int = 1
    """Tokens drawn by the time a cache is built; the last of them is the next step's input."""

    @property
    def cached(self) -> int:
        """Tokens of its own that lie in the cache."""
        return self.length - self.group.shared + self.drawn - 1


class DecodePlan:
    """Attention of one decoding step for N rows, sorted by group.

    prefix: per layer keys [B, KV, d, P] and values [B, KV, P, d] of B blocks of at most W rows of one group, of which the
    group's shared tokens count. own: per layer keys and values [N, KV, T, d]; row n's are the columns from start[n] to
    `used`. Depths are rounded up and masked, so that few different matrix shapes occur.
    """

    def __init__(self, places: Sequence[Place], device: torch.device, old: DecodePlan | None = None, were: Sequence[int | None] = ()) -> None:
        """`were`: which row of `old` each row was, None for those that come. `old` is used up."""
        were = were or [None] * len(places)
        counts: dict[Group, int] = {}
        for place in places:
            counts[place.group] = counts.get(place.group, 0) + 1
        layout = blocks(list(counts.values()))
        groups, ends = list(counts), np.cumsum(list(counts.values()))
        firsts = [int(ends[number]) - counts[groups[number]] + at for number, at, _ in layout]
        self.rows = len(places)
        self.groups = [groups[number] for number, _, _ in layout]
        """Of each block."""
        self.width = max(n for _, _, n in layout)
        row_at, place_of = np.zeros((len(layout), self.width), dtype=np.int64), np.zeros(len(places), dtype=np.int64)
        for block, (first, (_, _, n)) in enumerate(zip(firsts, layout, strict=True)):
            row_at[block, :n] = np.arange(first, first + n)
            place_of[first : first + n] = block * self.width + np.arange(n)
        self._grid: Pair | None = None
        """The row at each of the B * W places (0 at those that are left over), and the place of each row; None where they are the same."""
        if row_at.size > len(places):
            self._grid = (torch.from_numpy(row_at.reshape(-1)).to(device), torch.from_numpy(place_of).to(device))

        self._step = 4 * GROW if device.type == "cuda" else GROW
        cached = [place.cached for place in places]
        self.used = -(-max(cached) // self._step) * self._step
        self.room = self.used + self._step
        self.start = torch.tensor([self.used - n for n in cached], device=device)
        self.column = torch.tensor([self.used - 1], device=device)
        self.longest = max(place.length + place.drawn - 1 for place in places)

        self.prefix = self._build_prefix([places[first] for first in firsts], old, device)
        self.own = self._build_own(places, old, were, device)
        self._prefix_bias = _bias(self.prefix[0][0].shape[3], [group.shared for group in self.groups], self.prefix[0][0].dtype, device)
        self._own_bias: torch.Tensor | None = None
        for place in places:
            place.source = None

    def _build_prefix(self, firsts: list[Place], old: DecodePlan | None, device: torch.device) -> list[Pair]:
        """firsts: a row of each block."""
        depth = -(-max(group.shared for group in self.groups) // 64) * 64
        known = {} if old is None else {group: block for block, group in enumerate(old.groups)}
        stay = [block for block, group in enumerate(self.groups) if group in known]
        come: dict[Prefill, list[int]] = {}
        for block, place in enumerate(firsts):
            if place.group not in known:
                come.setdefault(_source(place), []).append(block)
        taken = torch.tensor([known[self.groups[block]] for block in stay], device=device)
        indices: dict[Prefill, torch.Tensor] = {}
        for source, members in come.items():
            index = np.zeros((len(members), depth), dtype=np.int64)
            for i, block in enumerate(members):
                shared = self.groups[block].shared
                index[i, :shared] = source.rows[firsts[block].prompt][:shared]
            indices[source] = torch.from_numpy(index).to(device)
        built: list[Pair] = []
        for layer in range(len(old.prefix if old is not None else next(iter(come)).cache)):
            parts: list[tuple[list[int], torch.Tensor, torch.Tensor]] = []
            if old is not None and stay:
                parts.append((stay, *(x.index_select(0, taken) for x in old.prefix[layer])))
            for source, members in come.items():
                key, value = (_gather(x, indices[source]) for x in source.cache[layer])
                parts.append((members, key.transpose(2, 3), value))
            built.append(
                (_joined([(at, key) for at, key, _ in parts], len(firsts), depth, 3), _joined([(at, value) for at, _, value in parts], len(firsts), depth, 2))
            )
            if old is not None:
                old.prefix[layer] = built[-1]
        return built

    def _build_own(self, places: Sequence[Place], old: DecodePlan | None, were: Sequence[int | None], device: torch.device) -> list[Pair]:
        stay = [row for row, was in enumerate(were) if was is not None]
        come: dict[Prefill, list[int]] = {}
        for row, (place, was) in enumerate(zip(places, were, strict=True)):
            if was is None:
                come.setdefault(_source(place), []).append(row)
        taken = torch.tensor([was for was in were if was is not None], device=device)
        indices: dict[Prefill, torch.Tensor] = {}
        for source, members in come.items():
            index = np.zeros((len(members), max(places[row].cached for row in members)), dtype=np.int64)
            for i, row in enumerate(members):
                place = places[row]
                index[i, index.shape[1] - place.cached :] = source.rows[place.prompt][place.group.shared :]
            indices[source] = torch.from_numpy(index).to(device)
        kept = max((places[row].cached for row in stay), default=0)
        at = {source: torch.tensor(members, device=device) for source, members in come.items()}
        at_kept = torch.tensor(stay, device=device)
        like = old.own[0][0] if old is not None else next(iter(come)).cache[0][0]
        shared, dim = (like.shape[1], like.shape[3]) if old is not None else (like.shape[0], like.shape[2])
        built: list[Pair] = []
        for layer in range(len(self.prefix)):
            pair = [like.new_zeros((len(places), shared, self.room, dim)) for _ in range(2)]
            for which, new in enumerate(pair):
                if old is not None and stay and kept:
                    new[at_kept, :, self.used - kept : self.used] = old.own[layer][which][:, :, old.used - kept : old.used].index_select(0, taken)
                for source in come:
                    width = indices[source].shape[1]
                    if width:
                        new[at[source], :, self.used - width : self.used] = _gather(source.cache[layer][which], indices[source])
            built.append((pair[0], pair[1]))
            if old is not None:
                old.own[layer] = built[-1]
        return built

    def advance(self) -> bool:
        """To be called before each step: makes room for one more token per row. True when the cache has moved."""
        grown = self.used == self.room
        if grown:
            self.room += self._step
            for layer, pair in enumerate(self.own):
                wide = [old.new_zeros((*old.shape[:2], self.room, old.shape[3])) for old in pair]
                for new, old in zip(wide, pair, strict=True):
                    new[:, :, : self.used] = old
                self.own[layer] = (wide[0], wide[1])
        self.used += 1
        self.longest += 1
        self.column += 1
        return grown

    def begin(self) -> None:
        """Each step's first operation: which of the rows' own columns are seen, additive [N, 1, 1, T]."""
        columns = torch.arange(self.room, device=self.start.device)
        seen = (columns >= self.start[:, None]) & (columns <= self.column)
        bias = torch.zeros(seen.shape, dtype=self.own[0][0].dtype, device=seen.device).masked_fill_(~seen, float("-inf"))
        self._own_bias = bias[:, None, None, :]

    def attend(self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float) -> torch.Tensor:
        heads, padded_rows, dim = query.shape[1:]
        shared = key.shape[1]
        repeat = heads // shared
        prefix_key, prefix_value = self.prefix[layer]
        count, depth = prefix_key.shape[0], prefix_key.shape[3]
        rows, width = self.rows, self.width
        own_key, own_value = self.own[layer]
        for own, new in ((own_key, key), (own_value, value)):
            token = new[0, :, :rows].transpose(0, 1)
            if own.device.type == "cpu":
                own[:, :, self.used - 1] = token
            else:  # where to is read on the device: a recorded step writes the column of its time
                own.index_copy_(2, self.column, token.unsqueeze(2))

        def to_grid(x: torch.Tensor) -> torch.Tensor:
            """[N, KV, repeat, n] as [B, KV, repeat * W, n]."""
            placed = x if self._grid is None else x.index_select(0, self._grid[0])
            return placed.view(count, width, shared, repeat, -1).permute(0, 2, 3, 1, 4).reshape(count, shared, repeat * width, -1)

        def from_grid(x: torch.Tensor) -> torch.Tensor:
            placed = x.view(count, shared, repeat, width, -1).permute(0, 3, 1, 2, 4).reshape(count * width, shared, repeat, -1)
            return placed if self._grid is None else placed.index_select(0, self._grid[1])

        q = (query[0, :, :rows].transpose(0, 1) * scale).view(rows, shared, repeat, dim)
        far = torch.matmul(to_grid(q), prefix_key)
        if self._prefix_bias is not None:
            far.add_(self._prefix_bias)
        near = torch.matmul(q, own_key.transpose(2, 3)).add_(self._own_bias)
        weights = torch.cat((far, to_grid(near)), dim=-1).softmax(-1)
        out = from_grid(torch.matmul(weights[..., :depth], prefix_value))
        out = out + torch.matmul(from_grid(weights[..., depth:]), own_value)
        mixed = out.view(rows, heads, dim)
        return mixed if rows == padded_rows else functional.pad(mixed, (0, 0, 0, 0, 0, padded_rows - rows))


def blocks(counts: Sequence[int]) -> list[tuple[int, int, int]]:
    """Groups of so many rows in blocks (group, its first row, rows) of one width that wastes little; large groups take several."""
    widths = {*counts, *(2**i for i in range(max(counts).bit_length()))}
    width = min(widths, key=lambda w: (sum(-(-n // w) for n in counts) * (w + BLOCK_COST), w))
    return [(group, at, min(width, n - at)) for group, n in enumerate(counts) for at in range(0, n, width)]


def _source(place: Place) -> Prefill:
    if place.source is None:
        raise ValueError("a row comes into the cache without its prompt")
    return place.source


def _gather(x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Tokens `index` [n, m] of x [KV, tokens, d] as [n, KV, m, d]."""
    return x.index_select(1, index.reshape(-1)).view(x.shape[0], *index.shape, x.shape[2]).transpose(0, 1)


def _joined(parts: list[tuple[list[int], torch.Tensor]], count: int, depth: int, dim: int) -> torch.Tensor:
    """[count, ...] with each part's rows where they belong; `depth` long in dimension `dim`, where parts are cut or filled up."""
    _, first = parts[0]
    if len(parts) == 1 and first.shape[dim] == depth:
        return first.contiguous()
    shape = list(first.shape)
    shape[0], shape[dim] = count, depth
    whole = first.new_zeros(shape)
    for at, part in parts:
        length = min(depth, part.shape[dim])
        whole.narrow(dim, 0, length)[torch.tensor(at, device=first.device)] = part.narrow(dim, 0, length)
    return whole


def _bias(depth: int, lengths: list[int], dtype: torch.dtype, device: torch.device) -> torch.Tensor | None:
    """Additive [B, 1, 1, depth] that hides what lies behind `lengths`; None when nothing does."""
    if min(lengths) == depth:
        return None
    hidden = torch.arange(depth, device=device)[None, :] >= torch.tensor(lengths, device=device)[:, None]
    return torch.zeros(hidden.shape, dtype=dtype, device=device).masked_fill_(hidden, float("-inf"))[:, None, None, :]
