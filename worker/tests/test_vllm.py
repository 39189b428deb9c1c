"""Sampling by vLLM: what the worker asks of it and makes of its answers. Against vLLM itself where it is installed, else against a stand-in."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import FP32
from models import save_random

from specdojo_worker.checkpoints import CheckpointPath, CheckpointStore
from specdojo_worker.errors import ComputeError
from specdojo_worker.sampling import SampleSpec, sample
from specdojo_worker.workspace import LoraSpec, Workspace

REAL = importlib.util.find_spec("vllm") is not None
STAND_IN = Path(__file__).parent / "stand_in"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # vLLM's attention wants heads of at least 32.
    return save_random("qwen3", tmp_path_factory.mktemp("vllm") / "model", head_dim=32, max_position_embeddings=128)


@pytest.fixture(scope="module")
def workspaces(model: Path, tmp_path_factory: pytest.TempPathFactory):
    """One that samples with vLLM and one that samples itself, over the same checkpoints."""
    with pytest.MonkeyPatch.context() as patch:
        if not REAL:
            patch.syspath_prepend(str(STAND_IN))
        store = CheckpointStore(tmp_path_factory.mktemp("state"))
        pair = Workspace(FP32, store, vllm=True), Workspace(FP32, store)
        for i, rank in enumerate((4, 8, 0)):
            pair[0].create_model(f"m{i}", str(model), LoraSpec(rank))
            weights = pair[0]._models[f"m{i}"].policy.weights
            generator = torch.Generator().manual_seed(i)
            with torch.no_grad():
                for master in weights.masters:
                    master.copy_(torch.randn(master.shape, generator=generator) * 0.2)
            weights.publish()
            pair[0].save_for_sampler(f"m{i}", CheckpointPath(f"m{i}", "sampler_weights", "a"))
        yield pair


def spec(seed: int, **changes: object) -> SampleSpec:
    given = {"count": 2, "max_tokens": 8, "temperature": 0.0, "seed": seed, "stop": frozenset({1, 2, 3}), **changes}
    return SampleSpec(np.random.default_rng(seed).integers(5, 99, 20), **given)  # type: ignore[arg-type]


def keys(model: Path) -> list[str]:
    return [f"base:{model}", *(f"path:tinker://m{i}/sampler_weights/a" for i in range(2))]


def test_base_and_adapters_are_sampled_in_one_batch(workspaces: tuple[Workspace, Workspace], model: Path) -> None:
    by_vllm, by_itself = workspaces
    found = [by_vllm.sampler(key) for key in keys(model)]
    assert len({id(base) for base, _ in found}) == 1
    specs = [spec(i % 2) for i in range(6)]
    together = sample(found[0][0], [found[i // 2][1] for i in range(6)], specs)
    assert together[0].completions != together[2].completions != together[4].completions
    for i, output in enumerate(together):
        (want,) = sample(*by_itself.sampler(keys(model)[i // 2]), [specs[i]])
        assert [c.tokens for c in output.completions] == [c.tokens for c in want.completions]
        assert [c.stop_reason for c in output.completions] == [c.stop_reason for c in want.completions]
        for a, b in zip(output.completions, want.completions, strict=True):
            assert np.allclose(a.logprobs, b.logprobs, atol=1e-3)


@pytest.mark.skipif(REAL and not torch.cuda.is_available(), reason="vLLM's adapters for CPUs fail at prompts' logprobs")
def test_prompts_are_scored(workspaces: tuple[Workspace, Workspace], model: Path) -> None:
    asked = spec(0, prompt_logprobs=True, prompt_logprobs_last=5)
    found, want = (sample(*workspace.sampler(keys(model)[1]), [asked])[0].prompt_logprobs for workspace in workspaces)
    assert found is not None and want is not None
    assert found[:-5] == [None] * 15
    assert np.allclose(found[-5:], want[-5:], atol=1e-3)


def test_draws_end_with_a_stop_token_or_at_the_limit(workspaces: tuple[Workspace, Workspace], model: Path) -> None:
    asked = spec(3, temperature=1.0, count=40, stop=frozenset(range(60)), top_k=100, top_p=0.99)
    (output,) = sample(*workspaces[0].sampler(keys(model)[0]), [asked])
    assert len(output.completions) == 40
    assert len({tuple(c.tokens) for c in output.completions}) > 1
    assert {c.stop_reason for c in output.completions} == {"stop", "length"} or len({len(c.tokens) for c in output.completions}) > 1
    for c in output.completions:
        assert len(c.logprobs) == len(c.tokens) <= 8
        assert not any(token < 60 for token in c.tokens[:-1])
        assert c.stop_reason == ("stop" if c.tokens[-1] < 60 else "length")
        assert c.stop_reason == "stop" or len(c.tokens) == 8
    (nucleus,) = sample(*workspaces[0].sampler(keys(model)[0]), [spec(3, temperature=1.0, top_p=0.0)])
    (greedy,) = sample(*workspaces[0].sampler(keys(model)[0]), [spec(3)])
    assert [c.tokens for c in nucleus.completions] == [c.tokens for c in greedy.completions]


def test_weights_of_the_moment_reach_vllm_and_leave_it(workspaces: tuple[Workspace, Workspace], model: Path) -> None:
    workspace = workspaces[0]
    folders: list[Path] = []
    for i in range(3):
        workspace.save_ephemeral("m1", f"e{i}")
        folders.append(Path(workspace.sampler(f"e{i}")[1].request.lora_path))  # type: ignore[union-attr]
    assert [folder.is_dir() for folder in folders] == [False, True, True]
    (now,) = sample(*workspace.sampler("e2"), [spec(4)])
    (saved,) = sample(*workspace.sampler(keys(model)[2]), [spec(4)])
    assert now == saved


@pytest.mark.parametrize(
    ("key", "changes", "message"),
    [
        ("path:tinker://m2/sampler_weights/a", {}, "rank 0"),
        (None, {"grammar": 'root ::= "a"'}, "grammar"),
        (None, {"prompt": np.array([5, 10**6])}, "outside the vocabulary"),
        (None, {"prompt": np.full(128, 5)}, "context is 128"),
    ],
)
def test_what_vllm_cannot_do_is_refused(
    workspaces: tuple[Workspace, Workspace], model: Path, key: str | None, changes: dict[str, object], message: str
) -> None:
    asked = SampleSpec(**{**vars(spec(0)), **changes})  # type: ignore[arg-type]
    with pytest.raises(ComputeError, match=message):
        sample(*workspaces[0].sampler(key or keys(model)[0]), [spec(1), asked])
    # What was asked beside it is dropped.
    assert len(sample(*workspaces[0].sampler(keys(model)[0]), [spec(1)])) == 1


@pytest.mark.skipif(REAL, reason="vLLM is installed")
def test_a_worker_without_vllm_says_what_to_do() -> None:
    command = [sys.executable, "-m", "specdojo_worker", "--sampler", "vllm", "--device", "cpu"]
    environment = {"PYTHONPATH": str(Path(__file__).parents[1]), "SPECDOJO_WORKER_TOKEN": "a-token-for-this-test", "PATH": ""}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL, timeout=600, check=False)
    assert done.returncode == 2
    assert "pip install vllm" in done.stderr
    assert sys.executable in done.stderr
