"""LoRA adapters of one base, stacked so that the rows of one batch may each have their own.

All adapters' A matrices are one matrix, and so are their B matrices: of x A each row keeps the columns of its adapter, the
others become zero. Two matrix products per joined projection, however many adapters there are, on one copy of the base.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from peft.tuners.lora import LoraLayer
from torch import nn
from torch.nn import functional

from .errors import ComputeError

SITES = {
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "out": ("self_attn.o_proj",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "down": ("mlp.down_proj",),
}
"""The products of a layer of `LeanDecoder` and the linear layers whose outputs they join, in order."""


@dataclass(frozen=True)
class _Site:
    """a [S, in], b [S, out]; owner [S]: the adapter that each of the S columns belongs to; scale [S]."""

    a: torch.Tensor
    b: torch.Tensor
    owner: torch.Tensor
    scale: torch.Tensor


class LoraStack:
    """Adapters `names` of the peft model whose decoder layers are `layers`. Reads the weights once: for adapters that do not change."""

    def __init__(self, layers: nn.ModuleList, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._sites = [{site: found for site, parts in SITES.items() if (found := _site(layer, parts, self.names)) is not None} for layer in layers]
        held = {number for sites in self._sites for site in sites.values() for number in site.owner.tolist()}
        if len(held) < len(self.names):
            raise ComputeError(f"the adapters {', '.join(self.names)} are no longer all there", category="server")

    def rows(self, adapters: Sequence[str | None]) -> LoraRows:
        """The stack for rows with these adapters; None is the bare base."""
        number = {name: i for i, name in enumerate(self.names)} | {None: -1}
        return LoraRows(self._sites, [number[name] for name in adapters])


class LoraRows:
    """What adapters add to the products of a batch, row by row."""

    def __init__(self, sites: list[dict[str, _Site]], index: list[int]) -> None:
        self._sites = sites
        self._index = index
        self._kept: dict[tuple[int, str], torch.Tensor] = {}

    def add(self, layer: int, site: str, x: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        """out [N, out] of a product of x [N, in], with the adapters' share; rows behind the given ones have none."""
        found = self._sites[layer].get(site)
        if found is None:
            return out
        inner = functional.linear(x, found.a).mul_(self._keep(layer, site, found, len(x)))
        return torch.addmm(out, inner, found.b)

    def _keep(self, layer: int, site: str, found: _Site, rows: int) -> torch.Tensor:
        """[N, S]: the scale of the row's own adapter, 0 for others; one for all layers that are adapted alike."""
        kept = self._kept.get((layer, site))
        if kept is None:
            below = self._sites[layer - 1].get(site) if layer else None
            if below is not None and below.owner.equal(found.owner) and below.scale.equal(found.scale):
                kept = self._kept[layer - 1, site]
            else:
                index = torch.tensor(self._index + [-1] * (rows - len(self._index)), device=found.owner.device)
                kept = torch.where(index[:, None] == found.owner, found.scale, 0)
            self._kept[layer, site] = kept
        return kept


def _site(layer: nn.Module, parts: Sequence[str], names: Sequence[str]) -> _Site | None:
    modules = [layer.get_submodule(part) for part in parts]
    widths = [module.weight.shape[0] for module in modules]
    a: list[torch.Tensor] = []
    b: list[torch.Tensor] = []
    owner: list[int] = []
    scale: list[float] = []
    for number, name in enumerate(names):
        for part, module in enumerate(modules):
            if not isinstance(module, LoraLayer) or name not in module.lora_A:
                continue
            down, up = module.lora_A[name].weight, module.lora_B[name].weight
            a.append(down)
            b.append(functional.pad(up.T, (sum(widths[:part]), sum(widths[part + 1 :]))))
            owner += [number] * len(down)
            scale += [module.scaling[name]] * len(down)
    if not a:
        return None
    device, dtype = a[0].device, a[0].dtype
    return _Site(torch.cat(a).detach(), torch.cat(b).detach(), torch.tensor(owner, device=device), torch.tensor(scale, device=device, dtype=dtype))
