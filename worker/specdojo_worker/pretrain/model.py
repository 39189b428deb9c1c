"""The bundled decoder for pretraining: Qwen3 arithmetic, written lean so that one CPU core trains it fast.

Weights are fp32 masters; the forward pass casts each matrix to bfloat16. Parameter names are those of
`transformers.Qwen3ForCausalLM`, so `state_dict()` is the exported checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .batches import Batch


@dataclass(frozen=True)
class Shape:
    """Sizes of the decoder. `heads * head_dim` may differ from `hidden`."""

    vocab: int = 2048
    hidden: int = 192
    layers: int = 6
    heads: int = 6
    kv_heads: int = 6
    head_dim: int = 32
    ff: int = 512
    context: int = 4096
    rope_theta: float = 10000.0
    eps: float = 1e-6

    def hf_config(self, eos: int, bos: int, pad: int) -> dict[str, object]:
        """The `config.json` that transformers, llama.cpp, vLLM and SkyRL read."""
        return {
            "architectures": ["Qwen3ForCausalLM"],
            "model_type": "qwen3",
            "attention_bias": False,
            "attention_dropout": 0.0,
            "bos_token_id": bos,
            "eos_token_id": eos,
            "pad_token_id": pad,
            "head_dim": self.head_dim,
            "hidden_act": "silu",
            "hidden_size": self.hidden,
            "initializer_range": 0.02,
            "intermediate_size": self.ff,
            "max_position_embeddings": self.context,
            "num_attention_heads": self.heads,
            "num_hidden_layers": self.layers,
            "num_key_value_heads": self.kv_heads,
            "rms_norm_eps": self.eps,
            "rope_theta": self.rope_theta,
            "sliding_window": None,
            "tie_word_embeddings": True,
            "torch_dtype": "bfloat16",
            "use_cache": True,
            "use_sliding_window": False,
            "vocab_size": self.vocab,
        }


Places = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
"""Of a batch: cosine and sine of the rotary embedding, [rows, 1, menu + lanes * length, head_dim / 2], and the masks to add to scores:
of the menu to itself, [menu, menu], of the lanes to the menu, [rows, 1, 1, menu], and within lanes, [rows, 1, lanes, length, length]."""


class RMSNorm(nn.Module):
    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        y = x.float()
        y = y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + self.eps)
        return (self.weight * y).to(x.dtype)


class Linear(nn.Linear):
    """A bias-free linear layer whose fp32 weight is cast to the input's dtype."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__(n_in, n_out, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.to(x.dtype))


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding on `x` [rows, heads, length, head_dim] in the half-split layout of Qwen and Llama."""
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


def weights(scores: Tensor, mask: Tensor) -> Tensor:
    """Unnormalised attention weights. Normed queries and keys bound the scores, so no maximum has to be taken off."""
    return torch.exp(scores - (scores - 60.0).clamp(min=0.0).detach() + mask)


class Attention(nn.Module):
    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.s = s
        self.q_proj = Linear(s.hidden, s.heads * s.head_dim)
        self.k_proj = Linear(s.hidden, s.kv_heads * s.head_dim)
        self.v_proj = Linear(s.hidden, s.kv_heads * s.head_dim)
        self.o_proj = Linear(s.heads * s.head_dim, s.hidden)
        self.q_norm = RMSNorm(s.head_dim, s.eps)
        self.k_norm = RMSNorm(s.head_dim, s.eps)

    def forward(self, x: Tensor, places: Places, menu: int) -> Tensor:
        """x [rows, menu + lanes * length, hidden]; the lanes see the menu and themselves, the menu sees itself."""
        rows, total, _ = x.shape
        s = self.s
        weight = torch.cat((self.q_proj.weight, self.k_proj.weight, self.v_proj.weight)).to(x.dtype)
        q, k, v = F.linear(x, weight).view(rows, total, 3 * s.heads, s.head_dim).chunk(3, 2)
        cos, sin, causal, to_menu, within = places
        q = rotate(self.q_norm(q).transpose(1, 2) * s.head_dim**-0.5, cos, sin)
        k = rotate(self.k_norm(k).transpose(1, 2), cos, sin)
        v = v.transpose(1, 2)
        km, vm = k[:, :, :menu], v[:, :, :menu]
        e = weights(q[:, :, :menu] @ km.transpose(-1, -2), causal)
        out_menu = (e @ vm) / e.float().sum(-1, keepdim=True)
        ql = q[:, :, menu:]
        lanes, length = within.shape[-3], within.shape[-1]

        def by_lane(t: Tensor) -> Tensor:
            return t[:, :, menu:].reshape(rows, s.heads, lanes, length, s.head_dim)

        far = weights(ql @ km.transpose(-1, -2), to_menu)
        near = weights(by_lane(q) @ by_lane(k).transpose(-1, -2), within)
        total_weight = far.float().sum(-1, keepdim=True) + near.float().sum(-1, keepdim=True).flatten(2, 3)
        out = (far @ vm + (near @ by_lane(v)).flatten(2, 3)) / total_weight
        y = torch.cat((out_menu, out), 2).to(x.dtype)
        return self.o_proj(y.transpose(1, 2).reshape(rows, total, -1))


class MLP(nn.Module):
    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.gate_proj = Linear(s.hidden, s.ff)
        self.up_proj = Linear(s.hidden, s.ff)
        self.down_proj = Linear(s.ff, s.hidden)

    def forward(self, x: Tensor) -> Tensor:
        weight = torch.cat((self.gate_proj.weight, self.up_proj.weight)).to(x.dtype)
        gate, up = F.linear(x, weight).chunk(2, -1)
        return self.down_proj(F.silu(gate) * up)


class Block(nn.Module):
    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(s.hidden, s.eps)
        self.self_attn = Attention(s)
        self.post_attention_layernorm = RMSNorm(s.hidden, s.eps)
        self.mlp = MLP(s)

    def forward(self, x: Tensor, places: Places, menu: int) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), places, menu)
        return x + self.mlp(self.post_attention_layernorm(x))


class Decoder(nn.Module):
    """Rows of one menu and lanes of packed branches; each branch sees the menu and its own past only."""

    def __init__(self, s: Shape) -> None:
        super().__init__()
        if s.heads != s.kv_heads:
            raise ValueError("pretraining writes one key-value head per query head")
        self.s = s
        self.model = nn.Module()
        self.model.embed_tokens = nn.Embedding(s.vocab, s.hidden)
        self.model.layers = nn.ModuleList(Block(s) for _ in range(s.layers))
        self.model.norm = RMSNorm(s.hidden, s.eps)
        for name, p in self.named_parameters():
            if p.dim() == 2:
                std = 0.02 if "embed" in name else p.shape[1] ** -0.5
                if "o_proj" in name or "down_proj" in name:
                    std = 0.0
                nn.init.normal_(p, std=std)

    def places(self, batch: Batch) -> Places:
        """Computed once, outside of compiled code, which would do it again in every layer."""
        s, segments = self.s, batch.segments
        rows, width = batch.menu.shape
        length = segments.shape[-1]
        where = torch.cat((torch.arange(width).expand(rows, width), (batch.positions + batch.menu_length[:, None, None]).flatten(1)), 1)
        inverse = s.rope_theta ** (-torch.arange(0, s.head_dim, 2).float() / s.head_dim)
        angle = where[:, None, :, None].float() * inverse
        order, step = torch.arange(width), torch.arange(length)
        same = (segments[..., :, None] == segments[..., None, :]) & (step[:, None] >= step[None, :])

        def mask(seen: Tensor) -> Tensor:
            return torch.where(seen, 0.0, -1e9).bfloat16()

        causal = mask(order[:, None] >= order[None, :])
        to_menu = mask(order[None, :] < batch.menu_length[:, None])[:, None, None, :]
        return angle.cos().bfloat16(), angle.sin().bfloat16(), causal, to_menu, mask(same)[:, None]

    def forward(self, menu: Tensor, lanes: Tensor, places: Places) -> Tensor:
        """Hidden states of the lanes after the last norm, [rows * lanes * length, hidden]."""
        x = self.model.embed_tokens(torch.cat((menu, lanes.flatten(1)), 1)).bfloat16()
        for block in self.model.layers:
            x = block(x, places, menu.shape[1])
        return self.model.norm(x)[:, menu.shape[1] :].flatten(0, 1)

    def loss(self, menu: Tensor, lanes: Tensor, places: Places, where: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """Weighted sum of cross entropies by the number of those with weight 1; the fields of a batch and its `places`."""
        h = self(menu, lanes, places)[where]
        logits = F.linear(h, self.model.embed_tokens.weight.to(h.dtype))
        each = F.cross_entropy(logits.float(), targets, ignore_index=-100, reduction="none")
        return (each * weights).sum() / (weights == 1).sum()
