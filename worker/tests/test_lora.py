"""Rows of several adapters of one base are decoded together, as if each had a model of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import FP32
from peft import LoraConfig

from specdojo_worker.errors import ComputeError
from specdojo_worker.models import Network, load, lora_targets
from specdojo_worker.sampling import Sampler, SampleSpec, sample


def adapted(directory: Path, kinds: list[dict[str, bool]]) -> tuple[Network, list[str]]:
    """A base with random adapters of different ranks that cover these parts."""
    network = load(directory, FP32).freeze()
    names: list[str] = []
    for seed, kind in enumerate(kinds):
        targets = lora_targets(network.hf, **{"attention": True, "mlp": True, "unembed": False, **kind})
        names.append(network.add_adapter(LoraConfig(r=2 + seed, lora_alpha=8, target_modules=targets), seed))
    generator = torch.Generator().manual_seed(1)
    for name, parameter in network.hf.named_parameters():
        if ".lora_B." in name:
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.3
    return network, names


def requests(rng: np.random.Generator, count: int) -> list[SampleSpec]:
    menu = rng.integers(5, 99, 40)
    prompts = [np.concatenate([menu, rng.integers(5, 99, 3 + i % 3)]) for i in range(count)]
    return [SampleSpec(prompt, 2, 10, 0.0 if i % 2 else 1.0, i, frozenset({1}), prompt_logprobs=i == 3) for i, prompt in enumerate(prompts)]


@pytest.mark.parametrize("kind", ["qwen2", "qwen3", "llama"])
def test_adapters_in_one_batch_give_what_they_give_apart(
    kind: str, directories: dict[str, Path], rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, names = adapted(directories[kind], [{}, {"mlp": False}, {"attention": False}])
    specs = requests(rng, 12)
    whose = [[None, *names][i % 4] for i in range(12)]
    specs[1] = specs[0]  # the same prompt and seed under two sets of weights
    # Apart, by peft's own layers.
    monkeypatch.setattr(network, "adapted", lambda _: None)
    apart = [sample(network, adapter, [spec])[0] for spec, adapter in zip(specs, whose, strict=True)]
    monkeypatch.undo()
    together = sample(network, whose, specs)
    for one, other in zip(together, apart, strict=True):
        for a, b in zip(one.completions, other.completions, strict=True):
            assert a.tokens == b.tokens
            assert np.allclose(a.logprobs, b.logprobs, atol=1e-4)
        assert (one.prompt_logprobs is None) == (other.prompt_logprobs is None)
        if one.prompt_logprobs is not None and other.prompt_logprobs is not None:
            assert np.allclose(one.prompt_logprobs[1:], other.prompt_logprobs[1:], atol=1e-4)
    assert together[0].completions != together[1].completions


def test_one_copy_of_the_base_and_one_batch_serve_all_adapters(directories: dict[str, Path], rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    network, names = adapted(directories["qwen3"], [{}, {}])
    widths: list[int] = []
    hidden = network.hidden
    monkeypatch.setattr(network, "hidden", lambda tokens, *rest: widths.append(len(tokens)) or hidden(tokens, *rest))
    specs = [SampleSpec(spec.prompt, 2, 10, 1.0, i, frozenset()) for i, spec in enumerate(requests(rng, 6))]
    sample(network, [*names, None] * 2, specs)
    # One pass over the prompts of each, then one step for all.
    assert len(widths) == 3 + 9
    assert widths[3:] == [16] * 9


def test_an_adapter_of_the_output_layer_is_sampled_by_itself(directories: dict[str, Path], rng: np.random.Generator) -> None:
    network, names = adapted(directories["llama"], [{}, {"unembed": True}])
    assert network.mixes(names[0]) and not network.mixes(names[1])
    specs = requests(rng, 6)
    whose = [[None, *names][i % 3] for i in range(6)]
    together = sample(network, whose, specs)
    apart = [sample(network, adapter, [spec])[0] for spec, adapter in zip(specs, whose, strict=True)]
    assert [[c.tokens for c in output.completions] for output in together] == [[c.tokens for c in output.completions] for output in apart]


def test_an_adapter_that_is_gone_is_not_taken_for_the_base(directories: dict[str, Path], rng: np.random.Generator) -> None:
    network, names = adapted(directories["qwen3"], [{}, {}])
    sample(network, names[0], requests(rng, 1))
    network.remove_adapter(names[0])
    sampler = Sampler(network)
    sampler.add(requests(rng, 1)[0], names[0])
    with pytest.raises(ComputeError, match="no longer"):
        sampler.step()
