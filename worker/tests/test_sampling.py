"""Sampling agrees with transformers, and is a function of its requests alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import FP32
from transformers import AutoModelForCausalLM

from specdojo_worker import sampling
from specdojo_worker.decoding import blocks
from specdojo_worker.models import Network, load
from specdojo_worker.rng import uniforms
from specdojo_worker.sampling import Request, Row, SampleOutput, Sampler, SampleSpec, sample


def spec(prompt: list[int] | np.ndarray, **changes: object) -> SampleSpec:
    given = {"count": 3, "max_tokens": 12, "temperature": 1.0, "seed": 5, "stop": frozenset({1, 2, 3}), **changes}
    return SampleSpec(prompt=np.asarray(prompt, dtype=np.int64), **given)  # type: ignore[arg-type]


@pytest.fixture(autouse=True, params=["grouped by prompt", "grouped by menu"])
def grouping(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways of sharing keys and values; the prompts of these tests are short."""
    monkeypatch.setattr(sampling, "SHARED_LEAST", 30 if request.param == "grouped by menu" else 10**6)


def menu_prompts(rng: np.random.Generator, count: int = 5) -> list[np.ndarray]:
    """Prompts of different lengths behind a common menu, two of them equal and one a prefix of another."""
    menu = rng.integers(5, 99, 40)
    prompts = [np.concatenate([menu, rng.integers(5, 99, 3 + 4 * i)]) for i in range(count)]
    return [*prompts, prompts[0], prompts[-1][:-2], rng.integers(5, 99, 7)]


def transformers_logprobs(directory: Path, tokens: np.ndarray) -> torch.Tensor:
    model = AutoModelForCausalLM.from_pretrained(directory)
    with torch.no_grad():
        return model(torch.from_numpy(tokens)[None]).logits[0].log_softmax(-1)


def test_logprobs_agree_with_transformers(network: Network, rng: np.random.Generator) -> None:
    prompts = menu_prompts(rng)
    specs = [spec(p, seed=i, count=1 + i % 4, prompt_logprobs=i % 2 == 0, temperature=0.5 + i / 4) for i, p in enumerate(prompts)]
    lengths = set()
    for request, output in zip(specs, sample(network, None, specs), strict=True):
        assert len(output.completions) == request.count
        assert (output.prompt_logprobs is not None) == request.prompt_logprobs
        for completion in output.completions:
            whole = np.concatenate([request.prompt, completion.tokens])
            want = transformers_logprobs(network.directory, whole)[:-1].gather(1, torch.from_numpy(whole[1:])[:, None])[:, 0]
            assert torch.allclose(torch.tensor(completion.logprobs), want[len(request.prompt) - 1 :], atol=1e-4)
            if output.prompt_logprobs is not None:
                assert output.prompt_logprobs[0] is None
                assert torch.allclose(torch.tensor(output.prompt_logprobs[1:]), want[: len(request.prompt) - 1], atol=1e-4)
            stopped = [t in request.stop for t in completion.tokens]
            assert not any(stopped[:-1])
            assert completion.stop_reason == ("stop" if stopped[-1] else "length")
            assert stopped[-1] or len(completion.tokens) == request.max_tokens
            lengths.add(len(completion.tokens))
    assert len(lengths) > 2, "rows should have finished at different times"


def test_greedy_equals_transformers(network: Network, rng: np.random.Generator) -> None:
    model = AutoModelForCausalLM.from_pretrained(network.directory)
    prompts = menu_prompts(rng)
    outputs = sample(network, None, [spec(p, temperature=0.0, max_tokens=40, stop=frozenset({1})) for p in prompts])
    for prompt, output in zip(prompts, outputs, strict=True):
        ids = torch.from_numpy(prompt)[None]
        want = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=40, do_sample=False)[0, len(prompt) :].tolist()
        assert [c.tokens for c in output.completions] == [want] * 3


def test_a_row_does_not_depend_on_its_neighbours(network: Network, rng: np.random.Generator) -> None:
    specs = [spec(p, seed=i, max_tokens=8) for i, p in enumerate(menu_prompts(rng))]
    together = sample(network, None, specs)
    for request, output in zip(specs, together, strict=True):
        alone = sample(network, None, [request])[0]
        assert [c.tokens for c in alone.completions] == [c.tokens for c in output.completions]
    again = sample(network, None, specs)
    assert again == together
    assert sample(network, None, [spec(specs[0].prompt, seed=99)]) != sample(network, None, [spec(specs[0].prompt, seed=5)])


def tokens_of(outputs: list[SampleOutput]) -> list[list[list[int]]]:
    return [[c.tokens for c in output.completions] for output in outputs]


@pytest.mark.parametrize("most", [1, 5, 8])
def test_waiting_rows_take_the_places_of_finished_ones(
    most: int, directories: dict[str, Path], rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = load(directories["qwen3"], FP32).freeze()
    specs = [spec(p, seed=i, count=6, max_tokens=3 + 40 * (i % 2), prompt_logprobs=i == 2) for i, p in enumerate(menu_prompts(rng))]
    whole = sample(network, None, specs)
    assert len({len(c.tokens) for output in whole for c in output.completions}) > 8
    sizes: list[int] = []
    compute = sampling._Batch._compute
    monkeypatch.setattr(sampling._Batch, "_compute", lambda self: sizes.append(len(self.rows)) or compute(self))
    monkeypatch.setattr(sampling, "MAX_ROWS", most)
    assert tokens_of(sample(network, None, specs)) == tokens_of(whole)
    assert max(sizes) == most
    sizes.clear()
    monkeypatch.setitem(sampling.REFILL, "cpu", sampling.REFILL["cuda"])
    again = sample(network, None, specs)
    assert tokens_of(again) == tokens_of(whole)
    assert again[2].prompt_logprobs is not None
    assert max(sizes) == most
    # Batch by batch, one of rows with 3 and with 43 tokens is mostly empty.
    assert sum(sizes) < 1.6 * sum(len(c.tokens) - 1 for output in whole for c in output.completions)


def test_requests_may_come_while_others_are_decoded(network: Network, rng: np.random.Generator) -> None:
    specs = [spec(p, seed=i, max_tokens=4 + 3 * i) for i, p in enumerate(menu_prompts(rng))]
    sampler = Sampler(network)
    asked = [sampler.add(specs[0])]
    done: list[Request] = []
    while not sampler.idle:
        done.extend(sampler.step())
        if len(asked) < len(specs):
            asked.append(sampler.add(specs[len(asked)]))
    assert sorted(done, key=lambda request: request.number) == asked
    assert [[c.tokens for c in request.output.completions] for request in asked] == tokens_of(sample(network, None, specs))


def test_the_budget_of_memory_bounds_the_batch(directories: dict[str, Path], rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    network = load(directories["qwen3"], FP32)
    specs = [spec(p, seed=i) for i, p in enumerate(menu_prompts(rng))]
    whole = tokens_of(sample(network, None, specs))
    compute = sampling._Batch._compute
    sizes: list[int] = []
    monkeypatch.setattr(sampling._Batch, "_compute", lambda self: sizes.append(len(self.rows)) or compute(self))
    for budget in (1, 400):
        sizes.clear()
        monkeypatch.setattr(sampling, "_room", lambda _, budget=budget: budget)
        assert tokens_of(sample(network, None, specs)) == whole
        assert max(sizes) == 1 if budget == 1 else 1 < max(sizes) <= 400 // sampling.GROW


def test_blocks_hold_groups_of_different_sizes_with_little_waste() -> None:
    assert blocks([8, 8, 8]) == [(0, 0, 8), (1, 0, 8), (2, 0, 8)]
    assert blocks([64]) == [(0, 0, 64)]
    uneven = blocks([64, *[3] * 10])
    assert len(uneven) * max(n for _, _, n in uneven) < 200
    for counts in ([64, *[3] * 10], [1], [5, 1, 9, 2]):
        assert [sum(n for group, _, n in blocks(counts) if group == i) for i in range(len(counts))] == counts


def test_groups_share_what_they_have_in_common(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "SHARED_LEAST", 3)
    monkeypatch.setattr(sampling, "REST_MOST", 4)
    prompts = [np.array(p) for p in ([1, 2, 3, 4], [1, 2, 3, 5, 6], [1, 2, 3, 5, 7, 8, 9, 9], [2, 2, 2, 2], [2, 2, 3])]
    assert sampling._groups(prompts, [2, 2, 2, 4, 4]) == [(3, [0, 1]), (8, [2]), (4, [3]), (3, [4])]
    assert sampling._groups(prompts[:2], [0, 2]) == [(5, [1])]
    assert sampling._groups(prompts, [2, 2, 2, 0, 0]) == [(3, [0, 1]), (8, [2])]
    assert sampling._groups(prompts, [9, 9, 1, 1, 1]) == [(len(p), [i]) for i, p in enumerate(prompts)]


def test_completions_longer_than_the_first_cache(directories: dict[str, Path]) -> None:
    network = load(directories["llama"], FP32)
    output = sample(network, None, [spec([5, 6, 7], max_tokens=500, stop=frozenset(), count=2)])[0]
    for completion in output.completions:
        assert len(completion.tokens) == network.max_context - 3
        whole = np.concatenate([[5, 6, 7], completion.tokens])
        want = transformers_logprobs(directories["llama"], whole)[:-1].gather(1, torch.from_numpy(whole[1:])[:, None])[2:, 0]
        assert torch.allclose(torch.tensor(completion.logprobs), want, atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "kept"),
    [({}, [0, 1, 2, 3]), ({"top_k": 2}, [0, 1]), ({"top_k": 1}, [0]), ({"top_p": 0.5}, [0]), ({"top_p": 0.69}, [0, 1]), ({"top_p": 0.0}, [0]), ({"top_k": 3, "top_p": 0.9}, [0, 1, 2])],
)  # fmt: skip
def test_draws_follow_the_truncated_distribution(changes: dict[str, float], kept: list[int]) -> None:
    probabilities = np.array([0.55, 0.25, 0.15, 0.05])
    for temperature in (1.0, 2.0):
        tempered = probabilities ** (1 / temperature)
        if temperature != 1.0 and "top_p" in changes:
            continue
        request = Request(spec([5], temperature=temperature, **changes), None, 0)
        tokens = sampling._Tokens([Row(request, i, 1) for i in range(4000)], torch.device("cpu"))
        drawn, logprobs = (x.numpy() for x in tokens.draw(torch.from_numpy(np.log(probabilities)).float().expand(4000, 4)))
        counts = np.bincount(drawn, minlength=4) / 4000
        want = np.where(np.isin(range(4), kept), tempered, 0)
        assert np.abs(counts - want / want.sum()).max() < 0.03
        assert set(np.nonzero(counts)[0]) == set(kept)
        assert np.allclose(logprobs, np.log(probabilities)[drawn], atol=1e-5)


def test_uniforms_are_uniform_and_differ_in_every_argument() -> None:
    n = 20_000
    counter, zero = np.arange(n, dtype=np.uint64), np.zeros(n, dtype=np.uint64)
    streams = [uniforms(counter, zero, zero), uniforms(zero, counter, zero), uniforms(zero, zero, counter)]
    for u in streams:
        assert u.min() > 0
        assert u.max() < 1
        assert np.abs(np.histogram(u, 20)[0] / n - 0.05).max() < 0.008
        assert abs(np.corrcoef(u[:-1], u[1:])[0, 1]) < 0.03
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert abs(np.corrcoef(streams[a], streams[b])[0, 1]) < 0.03


def test_out_of_memory_halves_batches(network: Network, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    specs = [spec(prompt, seed=i) for i, prompt in enumerate(menu_prompts(rng))]
    want = sample(network, None, specs)
    compute = sampling._Batch._compute
    sizes: list[int] = []

    def scarce(self: sampling._Batch) -> torch.Tensor:
        sizes.append(len(self.rows))
        if len(self.rows) > 5 and len(sizes) > 3:  # in the middle of the work
            raise torch.OutOfMemoryError("CUDA out of memory")
        return compute(self)

    monkeypatch.setattr(sampling._Batch, "_compute", scarce)
    got = sample(network, None, specs)
    assert max(sizes) > 5 >= sizes[-1]
    assert tokens_of(got) == tokens_of(want)

    monkeypatch.setattr(sampling._Batch, "_compute", lambda _: (_ for _ in ()).throw(torch.OutOfMemoryError("CUDA out of memory")))
    with pytest.raises(torch.OutOfMemoryError):
        sample(network, None, specs)
