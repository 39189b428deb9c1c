"""Packed rows stand for the sequences they were made from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from specdojo_worker import attention
from specdojo_worker.packing import pack, padded, split_by_budget


def random_sequences(rng: np.random.Generator, count: int) -> list[np.ndarray]:
    """Sequences that share prefixes of all lengths, some equal, some prefixes of others."""
    sequences: list[np.ndarray] = []
    for _ in range(count):
        stem = sequences[rng.integers(len(sequences))] if sequences and rng.random() < 0.8 else np.empty(0, dtype=np.int64)
        cut = rng.integers(0, len(stem) + 1)
        fresh = rng.integers(0, 4, rng.integers(0 if cut else 1, 30))
        sequences.append(np.concatenate([stem[:cut], fresh]).astype(np.int64))
    return [s for s in sequences if len(s)]


@pytest.mark.parametrize("min_shared", [1, 3, 16])
def test_rows_restore_the_sequences(rng: np.random.Generator, min_shared: int) -> None:
    for count in (1, 2, 5, 40):
        for _ in range(20):
            sequences = random_sequences(rng, count)
            packed = pack(sequences, min_shared)
            for sequence, row in zip(sequences, packed.rows, strict=True):
                assert (packed.tokens[row] == sequence).all()
                assert (packed.positions[row] == np.arange(len(sequence))).all()
            if min_shared == 1:
                assert len(packed.tokens) == len({s[:n].tobytes() for s in sequences for n in range(1, len(s) + 1)})
            ends = 0
            for i, segment in enumerate(packed.segments):
                assert segment.start == ends
                assert segment.parent < i
                ends = segment.stop


def test_micro_batches_hold_their_budget(rng: np.random.Generator) -> None:
    sequences = random_sequences(rng, 60)
    batches = split_by_budget(sequences, 64)
    assert sorted(i for batch in batches for i in batch) == list(range(len(sequences)))
    assert len(batches) > 3
    for batch in batches:
        assert len(batch) == 1 or len(pack([sequences[i] for i in batch]).tokens) <= 64


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)])
def test_tree_attention_is_attention(rng: np.random.Generator, dtype: torch.dtype, tolerance: float, plain: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Output and gradients against one dense masked softmax, with links, query blocks and padding in play."""
    if plain:
        monkeypatch.setattr(attention, "_softmax_values", attention._softmax_values_plain)
    monkeypatch.setattr(attention, "LINK", 13)
    monkeypatch.setattr(attention, "QUERIES", 7)
    menu = rng.integers(0, 50, 30)
    packed = padded(pack([np.concatenate([menu, rng.integers(0, 50, n)]) for n in (1, 5, 5, 17)] + [rng.integers(0, 50, 20)], min_shared=2))
    n = len(packed.tokens)
    seen = torch.zeros(n, n, dtype=torch.bool)
    for i, segment in enumerate(packed.segments):
        own = slice(segment.start, segment.stop)
        seen[own, own] = torch.ones(segment.length, segment.length, dtype=torch.bool).tril()
        for above in packed.ancestors(i):
            seen[own, packed.segments[above].start : packed.segments[above].stop] = True
    torch.manual_seed(0)
    q, k, v, g = (torch.randn(1, heads, n, 8).to(dtype).requires_grad_() for heads in (4, 2, 2, 4))
    plan = attention.PackedPlan(packed, torch.device("cpu"), dtype)
    got = plan.attend(0, q, k, v, 0.3)
    gradients = torch.autograd.grad(got, (q, k, v), g[0].transpose(0, 1))
    wide = [x.float().repeat_interleave(2, 1) for x in (k, v)]
    scores = (q.float() @ wide[0].transpose(2, 3) * 0.3).masked_fill(~seen, float("-inf"))
    want = scores.softmax(-1) @ wide[1]
    assert torch.allclose(got.float(), want[0].transpose(0, 1), atol=tolerance)
    for a, b in zip(gradients, torch.autograd.grad(want, (q, k, v), g.float()), strict=True):
        assert (a.float() - b.float()).abs().max() < tolerance * b.float().abs().max()
