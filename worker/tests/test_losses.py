"""Losses against their formulas in float64, and gradients against finite differences of those formulas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from specdojo_worker.checkpoints import CheckpointStore
from specdojo_worker.models import Runtime
from specdojo_worker.training import LOSSES, Datum, Policy, token_losses
from specdojo_worker.workspace import LoraSpec, Workspace

LOW, HIGH = 0.7, 1.1


def formula(loss: str, lp: np.ndarray, datum: Datum, ratio_at: np.ndarray) -> float:
    """The table of the protocol, in float64; `ratio_at` are the logprobs at which cispo's ratio, a constant, is taken."""
    if loss == "cross_entropy":
        return float(-(datum.weights.astype(np.float64) * lp).sum())  # type: ignore[union-attr]
    old, advantage = datum.logprobs.astype(np.float64), datum.advantages.astype(np.float64)  # type: ignore[union-attr]
    ratio = np.exp(lp - old)
    if loss == "importance_sampling":
        return float(-(ratio * advantage).sum())
    if loss == "ppo":
        return float(-np.minimum(ratio * advantage, np.clip(ratio, LOW, HIGH) * advantage).sum())
    return float(-(np.clip(np.exp(ratio_at - old), LOW, HIGH) * lp * advantage).sum())


def options(loss: str) -> dict[str, float]:
    return {"clip_low_threshold": LOW, "clip_high_threshold": HIGH} if loss in ("ppo", "cispo") else {}


@pytest.mark.parametrize("loss", LOSSES)
def test_tokens_follow_the_formula(rng: np.random.Generator, loss: str) -> None:
    for _ in range(20):
        n = 40
        lp, old = -rng.exponential(2, n), -rng.exponential(2, n)
        datum = Datum(np.zeros(n), np.zeros(n), rng.normal(size=n).astype(np.float32), old.astype(np.float32), rng.normal(size=n).astype(np.float32))
        given = torch.from_numpy(lp.astype(np.float32))
        found = token_losses(
            loss,
            given,
            weights=torch.from_numpy(datum.weights) if loss == "cross_entropy" else None,
            sampled=torch.from_numpy(datum.logprobs),
            advantages=torch.from_numpy(datum.advantages),
            clip_low=LOW,
            clip_high=HIGH,
        )
        want = formula(loss, given.double().numpy(), datum, given.double().numpy())
        assert float(found.double().sum()) == pytest.approx(want, rel=1e-5, abs=1e-5)


def data_for(loss: str, rng: np.random.Generator, policy: Policy) -> list[Datum]:
    """Three sequences with a common beginning; old logprobs near the policy's own, on both sides of the clip."""
    start = rng.integers(5, 100, 20)
    sequences = [np.concatenate([start, rng.integers(5, 100, n)]) for n in (6, 9, 3)]
    data: list[Datum] = []
    for sequence in sequences:
        n = len(sequence) - 1
        trained = np.arange(n) >= 19
        data.append(Datum(sequence[:-1], sequence[1:], weights=(trained * rng.uniform(0.2, 1.5, n)).astype(np.float32)))
    if loss == "cross_entropy":
        return data
    found, _ = policy.forward_backward(data, "cross_entropy", {}, backward=False)
    return [
        Datum(
            datum.tokens,
            datum.targets,
            logprobs=np.where(datum.needed, lp + rng.normal(0, 0.3, len(lp)), 0).astype(np.float32),
            advantages=np.where(datum.needed, rng.normal(size=len(lp)), 0).astype(np.float32),
        )
        for datum, lp in zip(data, found, strict=True)
    ]


def in_float64(directory: Path) -> torch.nn.Module:
    """transformers' own model in float64; its norms would compute in fp32, in which small differences drown."""
    model = AutoModelForCausalLM.from_pretrained(directory, attn_implementation="sdpa").double()
    for module in model.modules():
        if type(module).__name__.endswith("RMSNorm"):
            module.forward = lambda x, norm=module: torch.nn.functional.rms_norm(x, x.shape[-1:], norm.weight, norm.variance_epsilon)
    return model


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("rank", [0, 4])
def test_loss_and_gradient(directories: dict[str, Path], tmp_path: Path, rng: np.random.Generator, loss: str, rank: int) -> None:
    workspace = Workspace(Runtime(torch.device("cpu"), torch.float32), CheckpointStore(tmp_path))
    # The default of the official SDK also adapts an output layer that is tied to the embeddings.
    workspace.create_model("m", str(directories["qwen3"]), LoraSpec(rank, unembed=rank > 0))
    policy = workspace._models["m"].policy
    weights = policy.weights
    if rank:  # B starts as zeros; away from there both factors have a gradient
        with torch.no_grad():
            for master in weights.masters:
                master.add_(0.05 * torch.from_numpy(rng.normal(size=master.shape).astype(np.float32)))
        weights.publish()
    data = data_for(loss, rng, policy)
    outputs, metrics = policy.forward_backward(data, loss, options(loss), backward=True)

    reference = in_float64(directories["qwen3"])
    head = torch.nn.Linear(1, 1, bias=False)
    head.weight = torch.nn.Parameter(reference.get_output_embeddings().weight.detach().clone())
    base = {name: p.detach().clone() for name, p in reference.named_parameters()}

    def logprobs(masters: list[torch.Tensor]) -> list[np.ndarray]:
        """Under transformers' own forward, in float64."""
        given = {n: m.double() for n, m in zip(weights.names, masters, strict=True)}
        output = head.weight.detach()
        with torch.no_grad():
            if rank:
                for name, parameter in reference.named_parameters():
                    a = given.get(name.replace(".weight", ".lora_A.weight"))
                    if a is not None:
                        parameter.copy_(base[name] + given[name.replace(".weight", ".lora_B.weight")] @ a * (32 / rank))
                output = base["model.embed_tokens.weight"] + given["lm_head.lora_B.weight"] @ given["lm_head.lora_A.weight"] * (32 / rank)
            else:
                for name, parameter in reference.named_parameters():
                    parameter.copy_(given[name])
                output = given["model.embed_tokens.weight"]
            found = []
            for datum in data:
                hidden = reference.model(torch.from_numpy(datum.tokens)[None]).last_hidden_state[0]
                rows = (hidden @ output.T).log_softmax(-1)
                found.append(rows[torch.arange(len(datum.targets)), torch.from_numpy(datum.targets)].numpy())
        return found

    at = logprobs(weights.masters)
    for output, want in zip(outputs, at, strict=True):
        np.testing.assert_allclose(output, want, atol=1e-5, rtol=1e-5)
    want = sum(formula(loss, lp, datum, lp) for lp, datum in zip(at, data, strict=True))
    size = sum(np.abs(datum.weights if loss == "cross_entropy" else datum.advantages).sum() for datum in data)
    assert metrics["loss:sum"] == pytest.approx(want, abs=1e-5 * max(1.0, float(size)))

    for _ in range(3):
        direction = [torch.from_numpy(rng.normal(size=m.shape)) for m in weights.masters]
        length = float(sum((d * d).sum() for d in direction)) ** 0.5
        step = 1e-4

        def moved(sign: int, direction: list[torch.Tensor] = direction, scale: float = step / length) -> float:
            found = logprobs([m.double() + sign * scale * d for m, d in zip(weights.masters, direction, strict=True)])
            return sum(formula(loss, lp, datum, lp0) for lp, datum, lp0 in zip(found, data, at, strict=True))

        slope = (moved(1) - moved(-1)) / (2 * step)
        analytic = float(sum((g.double() * d).sum() for g, d in zip(weights.gradients, direction, strict=True))) / length
        norm = float(torch.linalg.vector_norm(weights.flat.grad))
        assert analytic == pytest.approx(slope, abs=1e-4 * norm)


@pytest.mark.parametrize("loss", LOSSES)
def test_trained_only_changes_no_gradient(directories: dict[str, Path], tmp_path: Path, rng: np.random.Generator, loss: str) -> None:
    workspace = Workspace(Runtime(torch.device("cpu"), torch.float32), CheckpointStore(tmp_path))
    workspace.create_model("m", str(directories["llama"]), LoraSpec(0))
    policy = workspace._models["m"].policy
    data = data_for(loss, rng, policy)
    found = []
    for flag in (0.0, 1.0):
        outputs, metrics = policy.forward_backward(data, loss, {**options(loss), "kl_beta": 0.2, "trained_only": flag}, backward=True)
        found.append((outputs, metrics, policy.weights.flat.grad.clone()))
        policy.weights.clear()
    (everywhere, metrics, gradient), (trained, metrics_trained, gradient_trained) = found
    assert metrics == pytest.approx(metrics_trained, rel=1e-4, abs=1e-5)
    assert torch.allclose(gradient, gradient_trained, atol=1e-5 * float(gradient.abs().max()))
    for datum, all_of_it, part in zip(data, everywhere, trained, strict=True):
        np.testing.assert_allclose(all_of_it[datum.needed], part[datum.needed], atol=1e-6)
        assert (part[~datum.needed] == 0).all()
        assert (all_of_it[~datum.needed] < 0).all()
