"""Base models: where they lie, how they are loaded, and one interface to run them with or without adapters."""

from __future__ import annotations

import copy
import json
import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from torch import nn
from torch.nn import functional
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from .attention import ATTENTION, PLAN, PackedPlan, Plan
from .decoder import LeanDecoder
from .errors import ComputeError, RequestError
from .lora import LoraRows, LoraStack
from .packing import pack

log = logging.getLogger("specdojo.models")

SMALL = 200_000_000
"""Models with fewer parameters are copied for every policy and sampler; larger ones share one copy and switch adapters."""

EXACT_HEAD = 2**24
"""Output layers with at most this many weights are multiplied in fp32, since bf16 logits are coarse (1/16 at 16)."""

STACKS_KEPT = 4
"""Sets of adapters whose weights are kept joined."""

HUB_NAME = re.compile(r"^[A-Za-z0-9][\w.-]*(/[\w.-]+)?$")

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
    "specdojo.json",
)
"""Small files that belong beside the weights, copied from the base model into every checkpoint."""


@dataclass(frozen=True)
class Limits:
    """What a model takes: token ids below `vocabulary`, sequences of at most `context` tokens."""

    vocabulary: int
    context: int


@dataclass(frozen=True)
class Runtime:
    """Where and in which precision everything is computed."""

    device: torch.device
    dtype: torch.dtype


def resolve_runtime(device: str, dtype: str) -> Runtime:
    """Turns `auto` into what this machine does best: CUDA when present; bf16 where the hardware multiplies it."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise RequestError("--device cuda: this PyTorch sees no CUDA device; use --device cpu or install a CUDA build of torch", field="--device")
    if dtype == "auto":
        fast = torch.cuda.is_bf16_supported() if device == "cuda" else _cpu_multiplies_bfloat16()
        dtype = "bfloat16" if fast else "float32"
    return Runtime(torch.device(device), {"float32": torch.float32, "bfloat16": torch.bfloat16}[dtype])


def _cpu_multiplies_bfloat16() -> bool:
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="ignore")
    except OSError:
        return False
    return re.search(r"\b(amx_bf16|avx512_bf16)\b", flags) is not None


def locate(name: str, field: str = "base_model") -> Path | None:
    """The directory that `name` means, or None for a hub name. Refuses what can be seen to be wrong."""
    path = Path(name).expanduser()
    looks_local = path.is_absolute() or name.startswith((".", "~")) or (os.sep in name and name.count("/") > 1)
    try:
        is_directory = path.is_dir()
    except OSError as error:
        raise RequestError(f"{field}: cannot look at {name!r}: {error.strerror}", field=field) from error
    if not is_directory:
        if path.is_file():
            raise RequestError(f"{field}: {name!r} is a file; give the directory that holds config.json and model.safetensors", field=field)
        if looks_local or not HUB_NAME.match(name):
            raise RequestError(f"{field}: there is no directory {name!r}", field=field)
        return None
    config = path / "config.json"
    try:
        text = config.read_text(encoding="utf-8")
        names = os.listdir(path)
    except FileNotFoundError as error:
        raise RequestError(f"{field}: {name!r} has no config.json; it is not a Hugging Face model directory", field=field) from error
    except OSError as error:
        raise RequestError(f"{field}: cannot read {name!r}: {error.strerror}", field=field) from error
    try:
        content = json.loads(text)
        model_type = content["model_type"]
    except (ValueError, KeyError, TypeError) as error:
        raise RequestError(f"{field}: {str(config)!r} is not a model configuration (no model_type)", field=field) from error
    if model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise RequestError(f"{field}: {name!r} has model_type {model_type!r}, which is no causal language model that transformers knows", field=field)
    if not any(n.endswith(".safetensors") for n in names):
        raise RequestError(f"{field}: {name!r} holds no .safetensors file; other weight formats are not read", field=field)
    return path


def download(name: str) -> Path:
    """The local snapshot of a hub model (downloaded on first use)."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model"]))
    except Exception as error:
        raise ComputeError(f"base_model: {name!r} is neither a directory nor a model that can be downloaded: {error}") from error


class Network:
    """A causal language model, with any number of LoRA adapters of which at most one is active.

    Calls take packed rows; nothing here keeps state between calls but the choice of the adapter.
    """

    def __init__(self, hf: PreTrainedModel, directory: Path, runtime: Runtime) -> None:
        self.hf = hf
        self.directory = directory
        self.runtime = runtime
        self.peft: PeftModel | None = None
        self._active: str | None = None
        self._adapters = 0
        self._bare = False
        self._lean: LeanDecoder | None = None
        self._stacks: dict[tuple[str, ...], LoraStack] = {}
        self._checkpointed = False

    @property
    def config(self) -> object:
        return self.hf.config

    @property
    def vocabulary(self) -> int:
        return int(self.hf.config.vocab_size)

    @property
    def max_context(self) -> int:
        return int(getattr(self.hf.config, "max_position_embeddings", 0) or 2**20)

    @property
    def size(self) -> int:
        return sum(p.numel() for p in self.hf.parameters())

    def copy(self) -> Network:
        """An independent copy without adapters (only of a network that has none)."""
        if self.peft is not None:
            raise ValueError("a network with adapters cannot be copied")
        twin = copy.deepcopy(self.hf)
        twin.requires_grad_(False)
        return Network(twin, self.directory, self.runtime)

    def freeze(self) -> Network:
        """Says that the weights will not change any more, which lets inference take a faster way. Returns itself."""
        if self._lean is None and LeanDecoder.supports(self.hf):
            self._lean = LeanDecoder(self.hf)
        return self

    def add_adapter(self, config: LoraConfig, seed: int) -> str:
        """Adds a LoRA adapter; returns its name. Its initial weights depend only on `seed`."""
        name = f"adapter-{self._adapters}"
        self._adapters += 1
        devices = [self.runtime.device] if self.runtime.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            if self.peft is None:
                self.peft = get_peft_model(self.hf, config, adapter_name=name, autocast_adapter_dtype=False)
                self._active = name
            else:
                self.peft.add_adapter(name, config, autocast_adapter_dtype=False)
        for parameter_name, parameter in self.hf.named_parameters():
            if f".{name}." in parameter_name:
                parameter.data = parameter.data.to(self.runtime.device, self.runtime.dtype)
        return name

    def remove_adapter(self, name: str) -> None:
        if self.peft is None:
            return
        self._stacks = {names: stack for names, stack in self._stacks.items() if name not in names}
        if len(self.peft.peft_config) == 1:
            self.hf = self.peft.unload()
            self.peft = None
            self._active = None
            return
        self.peft.delete_adapter(name)
        if self._active == name:
            self._active = next(iter(self.peft.peft_config))
            self.peft.set_adapter(self._active)

    @contextmanager
    def using(self, adapter: str | None) -> Iterator[None]:
        """Runs the block with `adapter`, or with the bare base when None."""
        if self.peft is None:
            yield
        elif adapter is None:
            self._bare = True
            try:
                with self.peft.disable_adapter():
                    yield
            finally:
                self._bare = False
        else:
            if self._active != adapter:
                self.peft.set_adapter(adapter)
                self._active = adapter
            yield

    def mixes(self, adapter: str | None) -> bool:
        """Whether rows with this adapter may be computed together with rows of others, by `adapted`."""
        head = self.hf.get_output_embeddings()
        return self._lean is not None and not (isinstance(head, LoraLayer) and adapter in head.lora_A)

    def adapted(self, adapters: Sequence[str | None]) -> LoraRows | None:
        """Rows with these adapters (None: the bare base) for `hidden` and `logits`; None where they do not mix.

        The adapters' weights are read at the first use: those of samplers never change.
        """
        names = tuple(sorted({name for name in adapters if name is not None}))
        if self._lean is None or not all(map(self.mixes, names)):
            return None
        if names not in self._stacks:
            self._stacks[names] = LoraStack(self._lean.layers, names)
            while len(self._stacks) > STACKS_KEPT:
                del self._stacks[next(iter(self._stacks))]
        return self._stacks[names].rows(adapters)

    def can_checkpoint(self) -> bool:
        """Whether `checkpoint` would change something. Layers checkpoint in training mode alone, in which dropout must do nothing."""
        dropout = any(isinstance(m, nn.Dropout) and m.p > 0 for m in self.hf.modules())
        return self.hf.supports_gradient_checkpointing and not self._checkpointed and not dropout

    def checkpoint(self) -> None:
        """From now on the layers' activations are not kept for the backward pass but computed again."""
        self._checkpointed = True
        self.hf.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})

    def hidden(self, tokens: torch.Tensor, positions: torch.Tensor, plan: Plan, lora: LoraRows | None = None) -> torch.Tensor:
        """Last hidden states [N, D] of a packed row; tokens and positions are int64 [N].

        `lora` is that of `adapted`, whichever adapter is active; without it, it is the active one.
        """
        if self._lean is not None and not torch.is_grad_enabled() and (lora is not None or self.peft is None or self._bare):
            return self._lean(tokens, positions, plan, lora)
        if lora is not None:
            raise ValueError("rows with adapters of their own are for inference")
        if self._checkpointed:
            self.hf.train(torch.is_grad_enabled())
        decoder = self.hf.get_decoder()
        output = decoder(input_ids=tokens.unsqueeze(0), position_ids=positions.unsqueeze(0), use_cache=False, **{PLAN: plan})
        return output.last_hidden_state[0]

    def logits(self, hidden: torch.Tensor, lora: LoraRows | None = None) -> torch.Tensor:
        """Logits [N, V] in fp32. With `lora` the output layer is the base's."""
        head = self.hf.get_output_embeddings()
        if lora is not None and isinstance(head, LoraLayer):
            head = head.get_base_layer()
        if isinstance(head, nn.Linear) and not isinstance(head, LoraLayer) and head.weight.numel() <= EXACT_HEAD:
            bias = None if head.bias is None else head.bias.float()
            return functional.linear(hidden.float(), head.weight.float(), bias)
        return head(hidden).float()

    def check(self) -> None:
        """Compares the packed forward with the model's own on a few tokens; an architecture that differs is refused."""
        rng = np.random.default_rng(0)
        sequences = [rng.integers(0, self.vocabulary, 12) for _ in range(2)]
        sequences[1][:5] = sequences[0][:5]
        packed = pack(sequences, min_shared=2)
        device = self.runtime.device
        with torch.no_grad():
            plan = PackedPlan(packed, device, self.runtime.dtype)
            hidden = self.hidden(torch.from_numpy(packed.tokens).to(device), torch.from_numpy(packed.positions).to(device), plan)
            own = self.logits(hidden).log_softmax(-1)
            self.hf.set_attn_implementation("eager")
            try:
                want = self.hf(input_ids=torch.from_numpy(np.stack(sequences)).to(device), use_cache=False).logits.float().log_softmax(-1)
            finally:
                self.hf.set_attn_implementation(ATTENTION)
        got = torch.stack([own[torch.from_numpy(row).to(device)] for row in packed.rows])
        probability = want.exp()
        difference = float(((got - want).abs() * probability).sum(-1).max())
        if not difference < (1e-3 if self.runtime.dtype == torch.float32 else 0.2):
            raise ComputeError(
                f"base_model: {type(self.hf).__name__} does not give the same results under the worker's attention (off by {difference:.3g}); this architecture is not supported"
            )


def load(directory: Path, runtime: Runtime, dtype: torch.dtype | None = None) -> Network:
    """Loads a model directory for the worker's attention. Weights are cast to `dtype` (default: the runtime's)."""
    dtype = dtype or runtime.dtype
    try:
        config = AutoConfig.from_pretrained(directory, trust_remote_code=False)
        hf = AutoModelForCausalLM.from_pretrained(
            directory, config=config, dtype=dtype, attn_implementation=ATTENTION, trust_remote_code=False, use_safetensors=True
        )
    except ComputeError:
        raise
    except Exception as error:
        raise ComputeError(f"base_model: cannot load {str(directory)!r}: {type(error).__name__}: {error}") from error
    hf.requires_grad_(False)
    hf.eval()
    return Network(hf.to(runtime.device), directory, runtime)


class BaseModels:
    """The base models loaded so far, each once, in the runtime's dtype. Used on the engine thread only."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self._directories: dict[str, Path] = {}
        self._networks: dict[Path, Network] = {}

    def directory(self, name: str) -> Path:
        if name not in self._directories:
            found = locate(name)
            self._directories[name] = (found if found is not None else download(name)).resolve()
        return self._directories[name]

    def network(self, name: str) -> Network:
        directory = self.directory(name)
        if directory not in self._networks:
            log.info("loading %s", directory)
            network = load(directory, self.runtime).freeze()
            network.check()
            self._networks[directory] = network
        return self._networks[directory]

    def limits(self, name: str) -> Limits | None:
        """What the model takes, as far as it can be known without loading it. May be called from any thread."""
        path = self._directories.get(name)
        if path in self._networks:
            return Limits(self._networks[path].vocabulary, self._networks[path].max_context)
        if path is None:
            path = locate(name)
        if path is None:
            return None
        try:
            config = json.loads((path / "config.json").read_text(encoding="utf-8"))
            return Limits(int(config["vocab_size"]), int(config.get("max_position_embeddings") or 2**20))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def contexts(self) -> dict[str, int]:
        """Names of the loaded models with their context lengths in tokens."""
        loaded = list(self._directories.items())
        return {name: self._networks[path].max_context for name, path in loaded if path in self._networks}


def lora_targets(hf: PreTrainedModel, *, attention: bool, mlp: bool, unembed: bool) -> list[str]:
    """Last name components of the linear layers that an adapter covers."""
    head = hf.get_output_embeddings()
    names: list[str] = []
    for name, module in hf.named_modules():
        if (not isinstance(module, nn.Linear) and not isinstance(module, LoraLayer)) or ".lora_" in name:
            continue
        if module is head or name.endswith("lm_head"):
            if unembed:
                names.append(name)
        elif "attn" in name or "attention" in name:
            if attention:
                names.append(name)
        elif mlp:
            names.append(name)
    return sorted({name.removesuffix(".base_layer").rpartition(".")[2] for name in names})
