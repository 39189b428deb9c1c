"""Policies that are trained: losses, gradient accumulation, AdamW on fp32 master weights.

The weights that compute are in the runtime's dtype (bf16 where the hardware has it); gradients are accumulated and the
optimizer runs in fp32 on one flat master copy.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from .attention import PackedPlan
from .errors import ComputeError
from .memory import free_cache, is_out_of_memory
from .models import Network
from .packing import Pack, pack, padded, split_by_budget

log = logging.getLogger("specdojo.training")

LOSSES = ("cross_entropy", "importance_sampling", "ppo", "cispo")
OWN_OPTIONS = {"kl_beta", "trained_only"}
"""Additions to the protocol: a KL term to the base model; logprobs of the trained tokens alone (see Policy)."""

LOSS_OPTIONS = {
    "cross_entropy": OWN_OPTIONS,
    "importance_sampling": OWN_OPTIONS,
    "ppo": OWN_OPTIONS | {"clip_low_threshold", "clip_high_threshold"},
    "cispo": OWN_OPTIONS | {"clip_low_threshold", "clip_high_threshold"},
}

LOGIT_CHUNK = 2**24
"""Logits computed at a time (positions x vocabulary)."""

LEAST_BUDGET = 256
"""Micro-batches are not made smaller than this many tokens when memory runs out."""


@dataclass(frozen=True)
class Datum:
    """One shifted sequence; all arrays have length n. `needed` marks the targets whose logprob matters."""

    tokens: np.ndarray
    targets: np.ndarray
    weights: np.ndarray | None = None
    logprobs: np.ndarray | None = None
    advantages: np.ndarray | None = None

    @property
    def needed(self) -> np.ndarray:
        if self.advantages is not None and self.logprobs is not None:
            return (self.advantages != 0) | (self.logprobs != 0)
        if self.weights is not None:
            return self.weights != 0
        return np.ones(len(self.tokens), dtype=bool)


@dataclass(frozen=True)
class AdamParams:
    learning_rate: float
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-12
    weight_decay: float = 0.0
    grad_clip_norm: float = 0.0


@dataclass
class _Sums:
    loss: float = 0.0
    tokens: int = 0
    kl: float = 0.0
    ratio: float = 0.0
    clipped: int = 0
    packed: int = 0
    extra: dict[str, float] = field(default_factory=dict)


def token_losses(
    loss: str,
    logprobs: torch.Tensor,
    *,
    weights: torch.Tensor | None = None,
    sampled: torch.Tensor | None = None,
    advantages: torch.Tensor | None = None,
    clip_low: float = 0.8,
    clip_high: float = 1.2,
) -> torch.Tensor:
    """Loss of each token [n], to be summed; r = exp(logprobs - sampled).

    cross_entropy -w lp; importance_sampling -r A; ppo -min(r A, clip(r) A) (Schulman et al. 2017, eq. 7);
    cispo -stopgrad(clip(r)) lp A (MiniMax-M1, eq. 4).
    """
    if loss == "cross_entropy":
        return -logprobs if weights is None else -weights * logprobs
    if sampled is None or advantages is None:
        raise ComputeError(f"{loss} needs logprobs and advantages")
    ratio = torch.exp(logprobs - sampled)
    if loss == "importance_sampling":
        return -ratio * advantages
    clipped = ratio.clamp(clip_low, clip_high)
    if loss == "ppo":
        return -torch.minimum(ratio * advantages, clipped * advantages)
    if loss == "cispo":
        return -clipped.detach() * logprobs * advantages
    raise ComputeError(f"unknown loss_fn {loss!r}")


def kl_to_reference(logprobs: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Per-token estimate of KL(policy || reference), exp(d) - d - 1 with d = reference - logprobs (Schulman's k3)."""
    difference = reference - logprobs
    return torch.exp(difference) - difference - 1


class FlatWeights:
    """The trainable parameters as one flat fp32 master tensor with its gradient and AdamW state."""

    def __init__(self, named: Sequence[tuple[str, torch.nn.Parameter]], masters: Sequence[torch.Tensor], dtype: torch.dtype) -> None:
        self.names = [name for name, _ in named]
        self.parameters = [parameter for _, parameter in named]
        device = self.parameters[0].device
        total = sum(p.numel() for p in self.parameters)
        self.flat = torch.nn.Parameter(torch.empty(total, dtype=torch.float32, device=device))
        self.flat.grad = torch.zeros_like(self.flat)
        self.masters = self._views(self.flat.data)
        self.gradients = self._views(self.flat.grad)
        for view, master in zip(self.masters, masters, strict=True):
            view.copy_(master)
        self._shared = dtype == torch.float32
        for parameter, view in zip(self.parameters, self.masters, strict=True):
            parameter.data = view if self._shared else view.to(dtype)
            parameter.requires_grad_(True)
        self.optimizer = torch.optim.AdamW([self.flat], fused=True)
        self.steps = 0
        self.dirty = False

    def _views(self, flat: torch.Tensor) -> list[torch.Tensor]:
        views: list[torch.Tensor] = []
        at = 0
        for parameter in self.parameters:
            views.append(flat[at : at + parameter.numel()].view(parameter.shape))
            at += parameter.numel()
        return views

    def collect(self) -> None:
        """Adds the parameters' gradients to the fp32 accumulator."""
        for parameter, gradient in zip(self.parameters, self.gradients, strict=True):
            if parameter.grad is not None:
                gradient.add_(parameter.grad)
                parameter.grad = None
        self.dirty = True

    def forget(self) -> None:
        """Drops gradients that were not collected."""
        for parameter in self.parameters:
            parameter.grad = None

    def clear(self) -> None:
        """Drops accumulated gradients."""
        self.forget()
        self.flat.grad.zero_()
        self.dirty = False

    def step(self, adam: AdamParams) -> float:
        """One AdamW step; returns the gradient's norm before clipping."""
        norm = float(torch.linalg.vector_norm(self.flat.grad))
        if not math.isfinite(norm):
            self.clear()
            raise ComputeError("optim_step: the gradient is not finite; it was dropped and the weights are unchanged", category="server")
        if adam.grad_clip_norm > 0 and norm > adam.grad_clip_norm:
            self.flat.grad.mul_(adam.grad_clip_norm / norm)
        group = self.optimizer.param_groups[0]
        group.update(lr=adam.learning_rate, betas=(adam.beta1, adam.beta2), eps=adam.eps, weight_decay=adam.weight_decay)
        self.optimizer.step()
        self.steps += 1
        self.clear()
        self.publish()
        return norm

    def publish(self) -> None:
        """Copies the masters into the weights that compute."""
        if not self._shared:
            with torch.no_grad():
                for parameter, master in zip(self.parameters, self.masters, strict=True):
                    parameter.data.copy_(master)

    def state(self) -> dict[str, torch.Tensor]:
        """AdamW's moments by parameter name; empty before the first step."""
        state = self.optimizer.state.get(self.flat)
        if not state:
            return {}
        tensors: dict[str, torch.Tensor] = {}
        for key in ("exp_avg", "exp_avg_sq"):
            for name, view in zip(self.names, self._views(state[key]), strict=True):
                tensors[f"{key}.{name}"] = view
        return tensors

    def restore(self, tensors: dict[str, torch.Tensor], steps: int) -> None:
        """Puts back what `state` gave."""
        self.steps = steps
        self.optimizer = torch.optim.AdamW([self.flat], fused=True)
        if not tensors:
            return
        state = self.optimizer.state[self.flat]
        state["step"] = torch.tensor(float(steps), dtype=torch.float32, device=self.flat.device)
        for key in ("exp_avg", "exp_avg_sq"):
            state[key] = torch.empty_like(self.flat.data)
            for name, view in zip(self.names, self._views(state[key]), strict=True):
                view.copy_(tensors[f"{key}.{name}"])


class Policy:
    """A model under training. `reference()` gives the network whose bare base `kl_beta` refers to."""

    def __init__(
        self,
        network: Network,
        adapter: str | None,
        weights: FlatWeights,
        reference: Callable[[], Network],
        *,
        budget: int,
    ) -> None:
        self.network = network
        self.adapter = adapter
        self.weights = weights
        self.reference = reference
        self.budget = budget

    def forward_backward(self, data: Sequence[Datum], loss: str, options: dict[str, float], *, backward: bool) -> tuple[list[np.ndarray], dict[str, float]]:
        """Logprobs per datum and metrics; with `backward` the gradients of the summed loss are added.

        With the option `trained_only` the logprobs of tokens that do not count in the loss are not computed and are 0.
        """
        outputs = [np.zeros(len(datum.tokens), dtype=np.float32) for datum in data]
        sums = _Sums()
        try:
            batches = split_by_budget([datum.tokens for datum in data], self.budget)[::-1]
            while batches:
                batch = batches.pop()
                short = False
                try:
                    self._micro_batch([data[i] for i in batch], [outputs[i] for i in batch], loss, options, sums, backward)
                except Exception as error:
                    short = is_out_of_memory(error) and (len(batch) > 1 or (backward and self.network.can_checkpoint()))
                    if not short:
                        raise
                # Outside of the handler: the error's traceback would keep the tensors that have to go.
                if short:
                    batches.extend(self._smaller(batch))
        except Exception:
            if backward:
                self.weights.clear()
            raise
        finite = all(np.isfinite(output).all() for output in outputs) and math.isfinite(sums.loss)
        if not finite:
            if backward:
                self.weights.clear()
            raise ComputeError("the loss is not finite; accumulated gradients were dropped", category="server")
        count = max(sums.tokens, 1)
        metrics = {"loss:sum": sums.loss, "tokens:sum": float(sums.tokens), "packed_tokens:sum": float(sums.packed)}
        if loss != "cross_entropy":
            metrics["ratio:mean"] = sums.ratio / count
            metrics["clipped:mean"] = sums.clipped / count
        if options.get("kl_beta"):
            metrics["kl:mean"] = sums.kl / count
        return outputs, metrics

    def _smaller(self, batch: list[int]) -> list[list[int]]:
        """What to try, last first, in the place of a micro-batch for which the memory did not suffice."""
        self.weights.forget()
        free_cache(self.network.runtime.device)
        if len(batch) == 1:
            log.warning("out of memory: from now on activations are computed again in the backward pass (gradient checkpointing)")
            self.network.checkpoint()
            return [batch]
        self.budget = max(self.budget // 2, LEAST_BUDGET)
        middle = len(batch) // 2
        log.warning("out of memory: a micro-batch of %d sequences is halved, later ones have at most %d tokens", len(batch), self.budget)
        return [batch[middle:], batch[:middle]]

    def _micro_batch(self, data: list[Datum], outputs: list[np.ndarray], loss: str, options: dict[str, float], sums: _Sums, backward: bool) -> None:
        device = self.network.runtime.device
        unpadded = pack([datum.tokens for datum in data])
        packed = padded(unpadded)
        everywhere = not options.get("trained_only")
        needed = [np.arange(len(datum.tokens)) if everywhere else np.nonzero(datum.needed)[0] for datum in data]
        if not any(len(n) for n in needed):
            return
        where = np.concatenate([row[n] for row, n in zip(packed.rows, needed, strict=True)])
        positions, pairs = np.unique(where, return_inverse=True)
        plan = PackedPlan(packed, device, self.network.runtime.dtype)
        targets = _gather(data, needed, "targets", device, torch.int64)
        sampled = _gather(data, needed, "logprobs", device, torch.float32) if loss != "cross_entropy" else None
        advantages = _gather(data, needed, "advantages", device, torch.float32) if loss != "cross_entropy" else None
        weights = _gather(data, needed, "weights", device, torch.float32) if loss == "cross_entropy" and data[0].weights is not None else None
        counted = None
        if everywhere:
            counted = torch.from_numpy(np.concatenate([datum.needed for datum in data])).to(device, torch.float32)
        beta = options.get("kl_beta", 0.0)
        clip_low, clip_high = options.get("clip_low_threshold", 0.8), options.get("clip_high_threshold", 1.2)

        reference = None
        if beta:
            frozen = self.reference()
            with torch.no_grad(), frozen.using(None):
                reference = self._logprobs(frozen, packed, plan, positions, pairs, targets)
        found = torch.empty(len(where), dtype=torch.float32, device=device)
        total = torch.zeros((), dtype=torch.float64, device=device)
        statistics = torch.zeros(3, dtype=torch.float64, device=device)
        with torch.set_grad_enabled(backward), self.network.using(self.adapter):
            hidden = self._hidden(self.network, packed, plan, positions)
            leaf = hidden.detach().requires_grad_(backward)
            for rows, chunk in self._chunks(positions, pairs, device):
                logits = self.network.logits(leaf[rows])
                local = torch.from_numpy(pairs[chunk] - rows.start).to(device)
                at = torch.from_numpy(chunk).to(device)
                logprobs = logits[local, targets[at]] - logits.logsumexp(-1)[local]
                terms = token_losses(
                    loss,
                    logprobs,
                    weights=None if weights is None else weights[at],
                    sampled=None if sampled is None else sampled[at],
                    advantages=None if advantages is None else advantages[at],
                    clip_low=clip_low,
                    clip_high=clip_high,
                )
                value = terms.sum()
                if reference is not None:
                    distance = kl_to_reference(logprobs, reference[at])
                    divergence = (distance if counted is None else distance * counted[at]).sum()
                    value = value + beta * divergence
                    statistics[0] += divergence.detach()
                if backward:
                    value.backward()
                found[at] = logprobs.detach()
                total += value.detach()
                if sampled is not None:
                    ratio = torch.exp(logprobs.detach() - sampled[at])
                    outside = (ratio < clip_low) | (ratio > clip_high)
                    statistics[1] += (ratio if counted is None else ratio * counted[at]).sum()
                    statistics[2] += (outside if counted is None else outside * counted[at]).sum()
            if backward:
                hidden.backward(leaf.grad)
                self.weights.collect()
        sums.loss += float(total)
        sums.tokens += sum(int(datum.needed.sum()) for datum in data)
        sums.packed += len(unpadded.tokens)
        kl, ratio_sum, clipped = statistics.tolist()
        sums.kl += kl
        sums.ratio += ratio_sum
        sums.clipped += int(clipped)
        values = found.cpu().numpy()
        begin = 0
        for output, n in zip(outputs, needed, strict=True):
            output[n] = values[begin : begin + len(n)]
            begin += len(n)

    def _hidden(self, network: Network, packed: Pack, plan: PackedPlan, positions: np.ndarray) -> torch.Tensor:
        device = network.runtime.device
        hidden = network.hidden(torch.from_numpy(packed.tokens).to(device), torch.from_numpy(packed.positions).to(device), plan)
        return hidden.index_select(0, torch.from_numpy(positions).to(device))

    def _chunks(self, positions: np.ndarray, pairs: np.ndarray, device: torch.device) -> list[tuple[slice, np.ndarray]]:
        """Slices of the needed positions, each with the indices of the (position, target) pairs that fall into it."""
        size = max(1, LOGIT_CHUNK // self.network.vocabulary)
        order = np.argsort(pairs, kind="stable")
        ordered = pairs[order]
        chunks: list[tuple[slice, np.ndarray]] = []
        for begin in range(0, len(positions), size):
            end = min(begin + size, len(positions))
            low, high = np.searchsorted(ordered, [begin, end])
            chunks.append((slice(begin, end), order[low:high]))
        return chunks

    def _logprobs(self, network: Network, packed: Pack, plan: PackedPlan, positions: np.ndarray, pairs: np.ndarray, targets: torch.Tensor) -> torch.Tensor:
        hidden = self._hidden(network, packed, plan, positions)
        found = torch.empty(len(pairs), dtype=torch.float32, device=hidden.device)
        for rows, chunk in self._chunks(positions, pairs, hidden.device):
            logits = network.logits(hidden[rows])
            local = torch.from_numpy(pairs[chunk] - rows.start).to(hidden.device)
            at = torch.from_numpy(chunk).to(hidden.device)
            found[at] = logits[local, targets[at]] - logits.logsumexp(-1)[local]
        return found


def _gather(data: list[Datum], needed: list[np.ndarray], name: str, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    parts = [getattr(datum, name)[n] for datum, n in zip(data, needed, strict=True)]
    return torch.from_numpy(np.concatenate(parts)).to(device, dtype)


def token_budget(network: Network) -> int:
    """Packed tokens per micro-batch, from the activations a token leaves behind (about 40 values per layer and width)."""
    config = network.hf.config
    per_token = config.num_hidden_layers * config.hidden_size * 40 * network.runtime.dtype.itemsize
    if network.runtime.device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(network.runtime.device)
        memory = free // 4
    else:
        memory = 3 * 2**30
    return int(min(max(memory // per_token, 1024), 16384))
