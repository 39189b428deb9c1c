"""Losses against their formulas, and packed gradients against separate ones."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import FP32
from transformers import AutoModelForCausalLM

from specdojo_worker import training
from specdojo_worker.checkpoints import CheckpointStore
from specdojo_worker.errors import ComputeError
from specdojo_worker.training import AdamParams, Datum, Policy
from specdojo_worker.workspace import LoraSpec, Workspace


def datums(rng: np.random.Generator, *, policy: bool, groups: int = 3, width: int = 3) -> list[Datum]:
    """Groups behind one menu, as in GRPO; some completions begin alike, and one datum occurs twice."""
    menu = rng.integers(5, 99, 30)
    data: list[Datum] = []
    for _ in range(groups):
        question = rng.integers(5, 99, rng.integers(3, 25))
        opening = rng.integers(5, 99, 20)
        for _ in range(width):
            completion = np.concatenate([opening[: rng.integers(0, 21)], rng.integers(5, 99, rng.integers(1, 9))])
            sequence = np.concatenate([menu, question, completion])
            prompt = np.arange(len(sequence) - 1) < len(menu) + len(question) - 1
            values = rng.normal(size=(2, len(prompt))).astype(np.float32)
            values[:, prompt] = 0
            if policy:
                data.append(Datum(sequence[:-1], sequence[1:], logprobs=-3.5 + values[0] * ~prompt - 0 * values[0], advantages=values[1]))
                data[-1].logprobs[prompt] = 0  # type: ignore[index]
            else:
                data.append(Datum(sequence[:-1], sequence[1:], weights=values[0]))
    return [*data, data[0]]


def make(directory: Path, tmp_path: Path, rank: int) -> tuple[Workspace, Policy]:
    workspace = Workspace(FP32, CheckpointStore(tmp_path))
    workspace.create_model("m", str(directory), LoraSpec(rank, seed=1))
    return workspace, workspace._models["m"].policy


def reference_loss(loss: str, lp: torch.Tensor, datum: Datum, low: float, high: float) -> torch.Tensor:
    """The protocol's formulas, written out token by token."""
    total = torch.zeros(())
    for i in range(len(lp)):
        if loss == "cross_entropy":
            total = total - float(datum.weights[i]) * lp[i]  # type: ignore[index]
            continue
        advantage = float(datum.advantages[i])  # type: ignore[index]
        ratio = torch.exp(lp[i] - float(datum.logprobs[i]))  # type: ignore[index]
        clipped = min(max(ratio.item(), low), high)
        if loss == "importance_sampling":
            total = total - ratio * advantage
        elif loss == "cispo":
            total = total - clipped * lp[i] * advantage
        elif (ratio.item() - clipped) * advantage > 0:  # ppo: the clipped term is the smaller one and has no gradient
            total = total - clipped * advantage
        else:
            total = total - ratio * advantage
    return total


@pytest.mark.parametrize("kind", ["qwen2", "qwen3", "llama"])
@pytest.mark.parametrize("loss", training.LOSSES)
def test_packed_gradients_equal_separate_ones(directories: dict[str, Path], tmp_path: Path, rng: np.random.Generator, kind: str, loss: str) -> None:
    data = datums(rng, policy=loss != "cross_entropy")
    options = {"kl_beta": 0.3} if loss == "cross_entropy" else {} if loss == "importance_sampling" else {"clip_low_threshold": 0.7, "clip_high_threshold": 1.1}
    _, policy = make(directories[kind], tmp_path, 0)
    base = AutoModelForCausalLM.from_pretrained(directories[kind])
    model = AutoModelForCausalLM.from_pretrained(directories[kind])
    with torch.no_grad():  # away from the base, so that the KL term has a gradient
        generator = torch.Generator().manual_seed(0)
        for name, parameter in model.named_parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
            policy.weights.masters[policy.weights.names.index(name)].copy_(parameter)
    policy.weights.publish()

    outputs, metrics = policy.forward_backward(data, loss, options, backward=True)
    total = torch.zeros(())
    divergence, tokens = 0.0, 0
    for datum, output in zip(data, outputs, strict=True):
        rows = torch.arange(len(datum.targets))
        lp = model(torch.from_numpy(datum.tokens)[None]).logits[0].log_softmax(-1)[rows, torch.from_numpy(datum.targets)]
        total = total + reference_loss(loss, lp, datum, options.get("clip_low_threshold", 0.8), options.get("clip_high_threshold", 1.2))
        needed = torch.from_numpy(datum.needed)
        assert torch.allclose(torch.from_numpy(output)[needed], lp[needed], atol=1e-4)
        assert torch.allclose(torch.from_numpy(output), lp, atol=1e-4)
        tokens += int(needed.sum())
        if "kl_beta" in options:
            with torch.no_grad():
                ref = base(torch.from_numpy(datum.tokens)[None]).logits[0].log_softmax(-1)[rows, torch.from_numpy(datum.targets)]
            d = (ref - lp)[needed]
            k3 = (torch.exp(d) - d - 1).sum()
            total = total + options["kl_beta"] * k3
            divergence += k3.item()
    total.backward()
    assert metrics["tokens:sum"] == tokens
    assert metrics["packed_tokens:sum"] < 0.7 * sum(len(d.tokens) for d in data)
    if "kl_beta" in options:
        assert metrics["kl:mean"] == pytest.approx(divergence / tokens, rel=1e-3)
        assert metrics["loss:sum"] == pytest.approx(total.item(), rel=1e-3, abs=1e-2)
    else:
        assert metrics["loss:sum"] == pytest.approx(total.item(), rel=1e-4, abs=1e-3)
    gradients = dict(zip(policy.weights.names, policy.weights.gradients, strict=True))
    for name, parameter in model.named_parameters():
        scale = parameter.grad.abs().max()
        assert (gradients[name] - parameter.grad).abs().max() < 1e-4 * scale + 1e-6, name


@pytest.mark.parametrize("rank", [0, 4])
def test_micro_batches_add_up(directories: dict[str, Path], tmp_path: Path, rng: np.random.Generator, rank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data = datums(rng, policy=True, groups=5)
    _, policy = make(directories["qwen3"], tmp_path, rank)
    whole, metrics = policy.forward_backward(data, "ppo", {"kl_beta": 0.1}, backward=True)
    gradient = policy.weights.flat.grad.clone()
    policy.weights.clear()
    policy.budget = 100
    monkeypatch.setattr(training, "LOGIT_CHUNK", 7 * 120)
    parts, metrics_parts = policy.forward_backward(data, "ppo", {"kl_beta": 0.1}, backward=True)
    assert metrics_parts["loss:sum"] == pytest.approx(metrics["loss:sum"], rel=1e-4)
    assert gradient.abs().max() > 0
    assert torch.allclose(policy.weights.flat.grad, gradient, atol=1e-4 * gradient.abs().max().item())
    for a, b in zip(whole, parts, strict=True):
        assert np.allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("loss", training.LOSSES)
@pytest.mark.parametrize("rank", [0, 4])
def test_one_step_lowers_the_loss(directories: dict[str, Path], tmp_path: Path, rng: np.random.Generator, rank: int, loss: str) -> None:
    data = datums(rng, policy=loss != "cross_entropy")
    if loss == "cross_entropy":
        data = [Datum(d.tokens, d.targets, weights=np.abs(d.weights)) for d in data]  # type: ignore[arg-type]
    _, policy = make(directories["llama"], tmp_path, rank)
    if loss != "cross_entropy":  # sampled from the policy itself: the ratio begins at 1
        current, _ = policy.forward_backward(data, loss, {}, backward=False)
        data = [Datum(d.tokens, d.targets, logprobs=lp, advantages=d.advantages) for d, lp in zip(data, current, strict=True)]
    _, before = policy.forward_backward(data, loss, {}, backward=True)
    if loss != "cross_entropy":
        assert before["ratio:mean"] == pytest.approx(1, abs=1e-4)
    norm = policy.weights.step(AdamParams(1e-3))
    _, after = policy.forward_backward(data, loss, {}, backward=False)
    assert norm > 0
    if loss == "cispo":
        # its value is no objective (the ratio is a constant weight): look at the advantage-weighted logprobs instead
        lp, _ = policy.forward_backward(data, loss, {}, backward=False)
        assert sum(float((d.advantages * (new - d.logprobs)).sum()) for d, new in zip(data, lp, strict=True)) > 0
    else:
        assert after["loss:sum"] < before["loss:sum"] - 1e-3


def test_adamw_is_the_formula(directories: dict[str, Path], tmp_path: Path, rng: np.random.Generator) -> None:
    _, policy = make(directories["qwen2"], tmp_path, 0)
    data = datums(rng, policy=False)
    weights = policy.weights.flat.detach().clone().double()
    first, second = torch.zeros_like(weights), torch.zeros_like(weights)
    for t in range(1, 4):
        adam = AdamParams(1e-2 / t, beta1=0.8, beta2=0.9, eps=1e-6, weight_decay=0.1, grad_clip_norm=0.5)
        policy.forward_backward(data, "cross_entropy", {}, backward=True)
        gradient = policy.weights.flat.grad.double()
        norm = gradient.norm().item()
        assert norm > 0.5
        gradient = gradient * (0.5 / norm)
        assert policy.weights.step(adam) == pytest.approx(norm, rel=1e-5)
        first = 0.8 * first + 0.2 * gradient
        second = 0.9 * second + 0.1 * gradient**2
        weights = weights - adam.learning_rate * 0.1 * weights
        weights = weights - adam.learning_rate * (first / (1 - 0.8**t)) / ((second / (1 - 0.9**t)).sqrt() + 1e-6)
        assert torch.allclose(policy.weights.flat.double(), weights, atol=1e-5)
        weights = policy.weights.flat.detach().clone().double()


def test_a_gradient_that_is_not_finite_changes_nothing(directories: dict[str, Path], tmp_path: Path, rng: np.random.Generator) -> None:
    _, policy = make(directories["qwen3"], tmp_path, 4)
    data = datums(rng, policy=True)
    wild = [Datum(d.tokens, d.targets, logprobs=np.where(d.needed, -1e4, 0).astype(np.float32), advantages=d.advantages) for d in data]
    before = policy.weights.flat.detach().clone()
    with pytest.raises(ComputeError, match="not finite"):
        policy.forward_backward(wild, "importance_sampling", {}, backward=True)
    assert policy.weights.flat.grad.abs().max() == 0
    policy.weights.flat.grad[0] = math.inf
    with pytest.raises(ComputeError, match="not finite"):
        policy.weights.step(AdamParams(1e-2))
    assert torch.equal(policy.weights.flat, before)


def test_full_disk_leaves_no_checkpoint(directories: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from specdojo_worker import workspace as module
    from specdojo_worker.checkpoints import CheckpointPath

    workspace, _ = make(directories["qwen3"], tmp_path, 4)
    path = CheckpointPath("m", "weights", "one")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_tensors", full)
        with pytest.raises(ComputeError, match="No space left"):
            workspace.save_weights("m", path)
    assert not workspace.store.exists(path)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []
    workspace.save_weights("m", path)
    assert workspace.store.exists(path)
    with pytest.raises(ComputeError, match="exists already"):
        workspace.save_weights("m", path)


def test_large_models_share_one_base(directories: dict[str, Path], tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the size limit, policies and samplers are adapters of one network and switch without touching each other."""
    from specdojo_worker import workspace as module
    from specdojo_worker.sampling import SampleSpec, sample

    monkeypatch.setattr(module, "SMALL", 0)
    workspace = Workspace(FP32, CheckpointStore(tmp_path))
    name = str(directories["qwen3"])
    data = datums(rng, policy=False)
    specs = [SampleSpec(rng.integers(5, 99, 20), 2, 6, 1.0, 3, frozenset(), prompt_logprobs=True)]

    def drawn(key: str) -> list[float | None]:
        return sample(*workspace.sampler(key), specs)[0].prompt_logprobs  # type: ignore[return-value]

    base = drawn(f"base:{name}")
    for model in ("a", "b"):
        workspace.create_model(model, name, LoraSpec(4, seed=1))
    assert workspace._models["a"].policy.network is workspace._models["b"].policy.network
    workspace.forward_backward("a", data, "cross_entropy", {"kl_beta": 0.1}, backward=True)
    workspace.optim_step("a", AdamParams(1e-2))
    workspace.save_ephemeral("a", "a0")
    trained = drawn("a0")
    assert drawn(f"base:{name}") == base
    assert trained != base
    workspace.save_ephemeral("b", "b0")
    assert drawn("b0")[1:] == pytest.approx(base[1:], abs=1e-5)
    workspace.forward_backward("a", data, "cross_entropy", {"kl_beta": 0.1}, backward=True)
    workspace.optim_step("a", AdamParams(1e-2))
    assert drawn("a0") == trained
    workspace.unload("b")
    workspace.save_ephemeral("a", "a1")
    workspace.save_ephemeral("a", "a2")
    assert drawn("a1") == drawn("a2") != trained
    workspace.unload("a")
    assert drawn(f"base:{name}") == base
    assert workspace.bases.network(name).peft is None


@pytest.mark.parametrize("rank", [0, 4])
def test_out_of_memory_halves_micro_batches(
    directories: dict[str, Path], tmp_path: Path, rng: np.random.Generator, rank: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Results and gradients are those of enough memory, gradients of an earlier call are kept, and later batches are smaller."""
    data, earlier = datums(rng, policy=True, groups=5), datums(rng, policy=False, groups=1)
    _, policy = make(directories["qwen3"], tmp_path, rank)
    policy.forward_backward(earlier, "cross_entropy", {}, backward=True)
    whole, metrics = policy.forward_backward(data, "ppo", {}, backward=True)
    gradient = policy.weights.flat.grad.clone()
    policy.weights.clear()

    policy.forward_backward(earlier, "cross_entropy", {}, backward=True)
    backward = torch.Tensor.backward
    sizes: list[int] = []

    def scarce(self: torch.Tensor, *gradients: torch.Tensor) -> None:
        """The memory ends in the last part of a backward pass, when parts of the gradient are there."""
        if self.ndim == 2:
            sizes.append(len(self))
            if len(self) > 60:
                raise torch.OutOfMemoryError("CUDA out of memory")
        backward(self, *gradients)

    monkeypatch.setattr(torch.Tensor, "backward", scarce)
    budget = policy.budget
    parts, metrics_parts = policy.forward_backward(data, "ppo", {"trained_only": 1.0}, backward=True)
    assert max(sizes) > 60 and min(sizes) <= 60
    assert policy.budget < budget
    assert any("is halved" in record.getMessage() for record in caplog.records)
    assert metrics_parts["loss:sum"] == pytest.approx(metrics["loss:sum"], rel=1e-4)
    assert torch.allclose(policy.weights.flat.grad, gradient, atol=1e-4 * gradient.abs().max().item())
    for a, b, datum in zip(whole, parts, data, strict=True):
        assert np.allclose(a[datum.needed], b[datum.needed], atol=1e-5)


@pytest.mark.parametrize("rank", [0, 4])
@pytest.mark.parametrize("kind", ["qwen2", "qwen3", "llama"])
def test_one_sequence_too_many_is_checkpointed(
    directories: dict[str, Path], tmp_path: Path, rng: np.random.Generator, rank: int, kind: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    data = datums(rng, policy=True)[:1]
    workspace, policy = make(directories[kind], tmp_path, rank)
    policy.forward_backward(data, "ppo", {}, backward=True)
    gradient = policy.weights.flat.grad.clone()
    policy.weights.clear()
    micro_batch = Policy._micro_batch
    saved: list[int] = []

    def scarce(self: Policy, *args: object) -> None:
        """The memory ends after the backward pass; counts what that keeps."""
        kept = 0

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal kept
            kept += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            micro_batch(self, *args)
        saved.append(kept)
        if len(saved) == 1:
            self.weights.clear()
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 1 bytes")

    monkeypatch.setattr(Policy, "_micro_batch", scarce)
    policy.forward_backward(data, "ppo", {}, backward=True)
    assert saved[1] < saved[0]
    assert any("gradient checkpointing" in record.getMessage() for record in caplog.records)
    assert not policy.network.can_checkpoint()
    assert torch.allclose(policy.weights.flat.grad, gradient, atol=1e-5 * gradient.abs().max().item())
    # Samplers of the policy sample as before.
    workspace.save_ephemeral("m", "s")

    monkeypatch.setattr(Policy, "_micro_batch", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError("CUDA out of memory")))
    with pytest.raises(torch.OutOfMemoryError):
        policy.forward_backward(data, "ppo", {}, backward=True)
    assert not policy.weights.dirty
