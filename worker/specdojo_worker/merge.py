"""`python -m specdojo_worker.merge BASE ADAPTER OUT`: the folder of a base model with a LoRA adapter added to its weights.

For checkpoints of servers that keep the adapter alone. Every tensor of the adapter must find its place: PEFT itself leaves
out, without a word, what `target_modules` does not name. Where a server wrote null there, ADAPTER's own file is mended.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import torch

from .checkpoints import ADAPTER_TENSORS, read_json, read_tensors, write_json, write_tensors
from .errors import ComputeError
from .models import TOKENIZER_FILES
from .workspace import ADAPTER_PREFIX, lora_deltas

COMPANIONS = ("config.json", "model.safetensors.index.json", *TOKENIZER_FILES)
PLAIN = {"use_dora": False, "use_rslora": False, "bias": "none", "fan_in_fan_out": False}
"""Options of an adapter with the values that mean W + alpha / rank * B A."""


def merge(base: Path, adapter: Path, out: Path) -> None:
    """Writes `out`, in the dtype of the base's tensors, and the names of the adapter's modules. Raises ComputeError where the adapter is none for this base."""
    config = read_json(adapter / "adapter_config.json")
    for name, plain in PLAIN.items():
        if config.get(name) not in (None, plain):
            raise ComputeError(f"adapter_config.json: {name} is {config[name]!r}; only {plain!r} can be merged")
    for name in ("rank_pattern", "alpha_pattern", "modules_to_save"):
        if config.get(name):
            raise ComputeError(f"adapter_config.json: {name} cannot be merged")
    rank, alpha = config.get("r"), config.get("lora_alpha")
    if not isinstance(rank, int) or rank < 1 or not isinstance(alpha, int | float):
        raise ComputeError("adapter_config.json: r and lora_alpha must be numbers")
    tensors = {name.removeprefix(ADAPTER_PREFIX): tensor for name, tensor in read_tensors(adapter / ADAPTER_TENSORS).items()}
    for name in tensors:
        partner = name.replace(".lora_A.", ".lora_B.") if ".lora_A." in name else name.replace(".lora_B.", ".lora_A.")
        if partner == name or partner not in tensors:
            raise ComputeError(f"{ADAPTER_TENSORS}: {name!r} is not one of a pair lora_A and lora_B")
    deltas = lora_deltas(tensors, alpha / rank, torch.device("cpu"))
    files = sorted(base.glob("*.safetensors"))
    if not files:
        raise ComputeError(f"{base} holds no safetensors file")
    out.mkdir(parents=True, exist_ok=True)
    for file in files:
        weights = read_tensors(file)
        for name in weights.keys() & deltas.keys():
            delta = deltas.pop(name)
            if delta.shape != weights[name].shape:
                raise ComputeError(f"{name}: the adapter is for {list(delta.shape)} and the base has {list(weights[name].shape)}")
            weights[name] = (weights[name].float() + delta).to(weights[name].dtype)
        write_tensors(out / file.name, weights)
    if deltas:
        raise ComputeError(f"the adapter covers {sorted(deltas)[0]!r}, which the base model lacks")
    if config.get("target_modules") is None:
        modules = sorted({name.partition(".lora_")[0].rpartition(".")[2] for name in tensors})
        write_json(adapter / "adapter_config.json", {**config, "target_modules": modules, "task_type": "CAUSAL_LM"})
    for name in COMPANIONS:
        if (base / name).is_file():
            shutil.copyfile(base / name, out / name)


def main(argv: list[str]) -> int:
    if len(argv) != 3:
        print("usage: python -m specdojo_worker.merge BASE ADAPTER OUT", file=sys.stderr)
        return 2
    try:
        merge(*map(Path, argv))
    except (ComputeError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
