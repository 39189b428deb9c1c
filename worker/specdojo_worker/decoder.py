"""A leaner inference forward for the architectures that are built alike: Llama, Qwen2 and Qwen3.

The projections of a layer that read the same input are one matrix product, and norms and rotations are few operations;
on small models these overheads are most of the time. The modules' parameters become views of the joined matrices, so
nothing is stored twice. Only for weights that do not change: samplers and base models.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional
from transformers import PreTrainedModel

from .attention import Plan
from .lora import LoraRows

MODEL_TYPES = frozenset({"llama", "qwen2", "qwen3"})


@dataclass(frozen=True)
class _Layer:
    before: torch.Tensor
    qkv: torch.Tensor
    qkv_bias: torch.Tensor | None
    head_norm: torch.Tensor | None
    out: nn.Linear
    after: torch.Tensor
    gate_up: torch.Tensor
    gate_up_bias: torch.Tensor | None
    down: nn.Linear


def _join(linears: list[nn.Linear]) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Weights (and biases) of linear layers as one matrix; the layers' own parameters become views of it."""
    joined: list[torch.Tensor | None] = []
    for name in ("weight", "bias"):
        parameters = [getattr(linear, name) for linear in linears]
        if any(p is None for p in parameters):
            joined.append(None)
            continue
        whole = torch.cat([p.data for p in parameters])
        at = 0
        for p in parameters:
            size = p.shape[0]
            p.data = whole[at : at + size]
            at += size
        joined.append(whole)
    if joined[0] is None:
        raise ValueError("a linear layer without weights")
    return joined[0], joined[1]


class LeanDecoder:
    """The decoder of `hf` (embeddings to final norm) for packed rows. See `supports`."""

    def __init__(self, hf: PreTrainedModel) -> None:
        config = hf.config
        self._model = hf.get_decoder()
        self._heads = config.num_attention_heads
        self._shared = config.num_key_value_heads
        self._eps = config.rms_norm_eps
        self._layers: list[_Layer] = []
        for layer in self._model.layers:
            attention, mlp = layer.self_attn, layer.mlp
            qkv, qkv_bias = _join([attention.q_proj, attention.k_proj, attention.v_proj])
            gate_up, gate_up_bias = _join([mlp.gate_proj, mlp.up_proj])
            norm = None
            if hasattr(attention, "q_norm"):
                norm = torch.cat((attention.q_norm.weight.expand(self._heads, -1), attention.k_norm.weight.expand(self._shared, -1))).detach()
            self._layers.append(
                _Layer(layer.input_layernorm.weight.detach(), qkv, qkv_bias, norm, attention.o_proj, layer.post_attention_layernorm.weight.detach(), gate_up, gate_up_bias, mlp.down_proj)
            )  # fmt: skip

    @staticmethod
    def supports(hf: PreTrainedModel) -> bool:
        config = hf.config
        plain = config.model_type in MODEL_TYPES and config.hidden_act == "silu"
        layers = getattr(hf.get_decoder(), "layers", [])
        windows = any(getattr(layer.self_attn, "sliding_window", None) for layer in layers) if plain else False
        linears = [m for layer in layers for m in (layer.self_attn.q_proj, layer.mlp.gate_proj)] if plain else []
        return plain and not windows and all(type(m) is nn.Linear for m in linears)

    def _norm(self, x: torch.Tensor, weight: torch.Tensor | None) -> torch.Tensor:
        return functional.rms_norm(x, (x.shape[-1],), weight, self._eps)

    @property
    def layers(self) -> nn.ModuleList:
        return self._model.layers

    def __call__(self, tokens: torch.Tensor, positions: torch.Tensor, plan: Plan, lora: LoraRows | None = None) -> torch.Tensor:
        """Last hidden states [N, D]; without gradients. `lora` adds the rows' adapters."""

        def adapted(layer: int, site: str, x: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
            return out if lora is None else lora.add(layer, site, x, out)

        count = tokens.shape[0]
        heads, shared = self._heads, self._shared
        x = self._model.embed_tokens(tokens)
        cos, sin = (part[0].unsqueeze(1) for part in self._model.rotary_emb(x.unsqueeze(0), positions.unsqueeze(0)))
        half = cos.shape[-1] // 2
        signed = torch.cat((-sin[..., :half], sin[..., half:]), -1)
        for number, layer in enumerate(self._layers):
            y = self._norm(x, layer.before)
            qkv = adapted(number, "qkv", y, functional.linear(y, layer.qkv, layer.qkv_bias)).view(count, heads + 2 * shared, -1)
            turning, value = qkv[:, : heads + shared], qkv[:, heads + shared :]
            if layer.head_norm is not None:
                turning = self._norm(turning, None).mul_(layer.head_norm)
            turning = torch.addcmul(turning * cos, turning.roll(half, -1), signed)
            query, key, value = (part.transpose(0, 1).unsqueeze(0) for part in (turning[:, :heads], turning[:, heads:], value))
            mixed = plan.attend(number, query, key, value, query.shape[-1] ** -0.5).reshape(count, -1)
            x = x + adapted(number, "out", mixed, layer.out(mixed))
            y = self._norm(x, layer.after)
            gate, up = adapted(number, "gate_up", y, functional.linear(y, layer.gate_up, layer.gate_up_bias)).chunk(2, -1)
            y = functional.silu(gate).mul_(up)
            x = x + adapted(number, "down", y, layer.down(y))
        return self._norm(x, self._model.norm.weight)
