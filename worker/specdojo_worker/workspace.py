"""What the engine thread works on: base models, policies under training, samplers, and their checkpoints."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import LoraConfig
from transformers import PreTrainedModel

from .checkpoints import (
    ADAPTER_TENSORS,
    MERGED,
    OPTIMIZER_META,
    OPTIMIZER_TENSORS,
    CheckpointPath,
    CheckpointStore,
    parse_path,
    read_json,
    read_tensors,
    tensor_names,
    write_json,
    write_tensors,
)
from .errors import ComputeError
from .memory import give_back
from .models import SMALL, TOKENIZER_FILES, BaseModels, Network, Runtime, load, lora_targets
from .training import AdamParams, Datum, FlatWeights, Policy, token_budget
from .vllm import Adapter, VllmBase

log = logging.getLogger("specdojo.workspace")

EPHEMERAL_KEPT = 2
"""Ephemeral samplers kept per model; saving another one drops the oldest."""

PERSISTED_KEPT = 8
"""Sampler checkpoints kept in memory; others are read again when they are sampled."""

ADAPTER_PREFIX = "base_model.model."


@dataclass(frozen=True)
class LoraSpec:
    """rank 0 trains the full weights. The adapter's output is scaled by alpha / rank."""

    rank: int
    alpha: float = 32.0
    seed: int = 0
    attention: bool = True
    mlp: bool = True
    unembed: bool = False


@dataclass
class _Trained:
    base_model: str
    lora: LoraSpec
    policy: Policy
    ephemeral: list[str]


@dataclass
class _Sampler:
    """`release` frees what belongs to this sampler alone."""

    base: Network | VllmBase
    adapter: str | Adapter | None
    release: Callable[[], None]


def _nothing() -> None:
    return None


class Workspace:
    """All methods run on the engine thread."""

    def __init__(self, runtime: Runtime, store: CheckpointStore, *, vllm: bool = False) -> None:
        """vllm: samples with vLLM, which has to be installed."""
        self.runtime = runtime
        self.store = store
        self.bases = BaseModels(runtime)
        self._models: dict[str, _Trained] = {}
        self._ephemeral: dict[str, _Sampler] = {}
        self._persisted: OrderedDict[str, _Sampler] = OrderedDict()
        self._vllm: dict[Path, VllmBase] | None = {} if vllm else None

    # Policies

    def create_from(self, model_id: str, path: CheckpointPath, *, optimizer: bool) -> dict[str, object]:
        """A new model of the checkpoint's kind that goes on from it."""
        base_model, lora = self.origin(path)
        self.create_model(model_id, base_model, lora)
        try:
            loaded = self.load_weights(model_id, path, optimizer=optimizer)
        except Exception:
            self.unload(model_id)
            raise
        return {**loaded, "model_id": model_id}

    def origin(self, path: CheckpointPath) -> tuple[str, LoraSpec]:
        """Base model and adapter of a checkpoint."""
        directory = self.store.require(path, "path")
        meta = self.store.meta(path)
        rank, base_model, alpha = meta.get("rank"), meta.get("base_model"), meta.get("alpha")
        if not isinstance(rank, int) or not isinstance(base_model, str) or not isinstance(alpha, int | float):
            raise ComputeError(f"checkpoint {path} has a damaged description")
        if rank == 0:
            return base_model, LoraSpec(0, alpha)
        names = tensor_names(directory / ADAPTER_TENSORS)
        adapted = [name.rpartition(".lora_A.")[0] for name in names if ".lora_A." in name]
        head = any(name.endswith("lm_head") for name in adapted)
        return base_model, LoraSpec(
            rank, alpha, attention=any("attn" in n or "attention" in n for n in adapted), mlp=any("mlp" in n for n in adapted), unembed=head
        )

    def create_model(self, model_id: str, base_model: str, lora: LoraSpec) -> dict[str, object]:
        if lora.rank == 0:
            network = load(self.bases.directory(base_model), self.runtime, torch.float32)
            named = list(network.hf.named_parameters())
            weights = FlatWeights(named, [p.data for _, p in named], self.runtime.dtype)
            adapter = None
            network.check()
            reference: Callable[[], Network] = lambda: self.bases.network(base_model)
        else:
            base = self.bases.network(base_model)
            network = base.copy() if base.size < SMALL else base
            adapter = network.add_adapter(self._lora_config(network, lora), lora.seed)
            named = [(n, p) for n, p in network.hf.named_parameters() if f".{adapter}." in n]
            short = [(n.replace(f".{adapter}.", "."), p) for n, p in named]
            weights = FlatWeights(short, [p.data for _, p in named], self.runtime.dtype)
            own = network
            reference = lambda: own
        policy = Policy(network, adapter, weights, reference, budget=token_budget(network))
        self._models[model_id] = _Trained(base_model, lora, policy, [])
        log.info("model %s: %s, %s", model_id, base_model, f"LoRA rank {lora.rank}" if lora.rank else "full weights")
        return {"type": "create_model", "model_id": model_id}

    def _lora_config(self, network: Network, lora: LoraSpec) -> LoraConfig:
        targets = lora_targets(network.hf, attention=lora.attention, mlp=lora.mlp, unembed=lora.unembed)
        if not targets:
            raise ComputeError("lora_config: no linear layer is left to train; set train_attn or train_mlp")
        return LoraConfig(
            r=lora.rank, lora_alpha=lora.alpha, target_modules=targets, lora_dropout=0.0, bias="none", task_type="CAUSAL_LM",
            base_model_name_or_path=str(network.directory),
        )  # fmt: skip

    def _model(self, model_id: str) -> _Trained:
        model = self._models.get(model_id)
        if model is None:
            raise ComputeError(f"model_id: there is no model {model_id!r}; its creation failed or it was unloaded")
        return model

    def forward_backward(self, model_id: str, data: list[Datum], loss: str, options: dict[str, float], *, backward: bool) -> dict[str, object]:
        policy = self._model(model_id).policy
        for i, datum in enumerate(data):
            high = max(int(datum.tokens.max()), int(datum.targets.max()))
            if high >= policy.network.vocabulary:
                raise ComputeError(f"data[{i}]: token id {high} is outside the vocabulary of {policy.network.vocabulary}")
            if len(datum.tokens) > policy.network.max_context:
                raise ComputeError(f"data[{i}].model_input: has {len(datum.tokens)} tokens and the model's context is {policy.network.max_context}")
        outputs, metrics = policy.forward_backward(data, loss, options, backward=backward)
        return {
            "type": "forward_backward",
            "loss_fn_output_type": "logprobs",
            "loss_fn_outputs": [{"logprobs": {"data": o.tolist(), "dtype": "float32", "shape": [len(o)]}} for o in outputs],
            "metrics": metrics,
        }

    def optim_step(self, model_id: str, adam: AdamParams) -> dict[str, object]:
        weights = self._model(model_id).policy.weights
        norm = weights.step(adam)
        return {"type": "optim_step", "metrics": {"grad_norm:mean": norm, "learning_rate:mean": adam.learning_rate, "step:max": float(weights.steps)}}

    def unload(self, model_id: str) -> dict[str, object]:
        model = self._model(model_id)
        for key in model.ephemeral:
            self._drop_ephemeral(key)
        del self._models[model_id]
        if model.policy.adapter is not None:
            model.policy.network.remove_adapter(model.policy.adapter)
        return {"type": "unload_model", "model_id": model_id}

    # Checkpoints

    def save_weights(self, model_id: str, path: CheckpointPath, extra: dict[str, object] | None = None, *, overwrite: bool = False) -> dict[str, object]:
        """Weights in fp32 and AdamW's state. Gradients that no optim_step has used are not part of it."""
        model = self._model(model_id)
        weights = model.policy.weights
        with self.store.writing(path, {**self._meta(model, "float32"), **(extra or {})}, overwrite=overwrite) as draft:
            if model.lora.rank:
                self._write_adapter(model, draft)
            else:
                masters = dict(zip(weights.names, weights.masters, strict=True))
                _write_full(model.policy.network.hf, masters, draft, "float32")
                _copy_companions(model.policy.network.directory, draft)
            write_tensors(draft / OPTIMIZER_TENSORS, weights.state())
            write_json(draft / OPTIMIZER_META, {"algorithm": "adamw", "steps": weights.steps})
        give_back()
        return {"type": "save_weights", "path": str(path)}

    def save_external(self, model_id: str, path: CheckpointPath, extra: dict[str, object] | None = None) -> dict[str, object]:
        """A directory that transformers and vLLM load: all weights, with the adapter added, in the compute dtype."""
        model = self._model(model_id)
        network = model.policy.network
        dtype = str(self.runtime.dtype).removeprefix("torch.")
        with self.store.writing(path, {**self._meta(model, dtype), **(extra or {})}) as draft:
            self._write_merged(model, draft, dtype)
            _copy_companions(network.directory, draft)
        return {"type": "save_weights_external", "path": str(path)}

    def _write_merged(self, model: _Trained, directory: Path, dtype: str) -> None:
        if model.lora.rank:
            _write_full(self.bases.network(model.base_model).hf, self._merged_tensors(model.base_model, self._deltas(model)), directory, dtype)
        else:
            _write_full(model.policy.network.hf, dict(model.policy.network.hf.named_parameters()), directory, dtype)

    def save_for_sampler(self, model_id: str, path: CheckpointPath, extra: dict[str, object] | None = None) -> dict[str, object]:
        """What samples, to last: full weights in the compute dtype, or the adapter in fp32 with `merged/` beside it."""
        model = self._model(model_id)
        network = model.policy.network
        dtype = str(self.runtime.dtype).removeprefix("torch.")
        with self.store.writing(path, {**self._meta(model, dtype), **(extra or {})}) as draft:
            whole = draft
            if model.lora.rank:
                self._write_adapter(model, draft)
                _copy_companions(network.directory, draft)
                whole = draft / MERGED
                whole.mkdir()
            self._write_merged(model, whole, dtype)
            _copy_companions(network.directory, whole)
        give_back()
        return {"type": "save_weights_for_sampler", "path": str(path)}

    def save_ephemeral(self, model_id: str, key: str) -> dict[str, object]:
        """Keeps a copy of the current weights under `key` until two newer ones exist."""
        model = self._model(model_id)
        network = model.policy.network
        if self._vllm is not None:
            folder = Path(tempfile.mkdtemp(prefix="specdojo-adapter-"))
            sampler = self._vllm_sampler(
                model.base_model, model.lora, folder, fill=lambda: self._write_adapter(model, folder), clean=lambda: shutil.rmtree(folder, ignore_errors=True)
            )
        elif not model.lora.rank:
            sampler = _Sampler(network.copy().freeze(), None, _nothing)
        elif network.size < SMALL:
            sampler = self._merged_sampler(model.base_model, self._deltas(model))
        else:
            weights = model.policy.weights
            sampler = self._adapter_sampler(model.base_model, model.lora, dict(zip(weights.names, weights.masters, strict=True)))
        self._ephemeral[key] = sampler
        model.ephemeral.append(key)
        while len(model.ephemeral) > EPHEMERAL_KEPT:
            self._drop_ephemeral(model.ephemeral.pop(0))
        return {"type": "save_weights_for_sampler", "sampling_session_id": key}

    def load_weights(self, model_id: str, path: CheckpointPath, *, optimizer: bool) -> dict[str, object]:
        model = self._model(model_id)
        weights = model.policy.weights
        directory = self.store.require(path, "path")
        meta = self.store.meta(path)
        if meta.get("rank") != model.lora.rank:
            raise ComputeError(f"path: {path} was saved with rank {meta.get('rank')} and the model has rank {model.lora.rank}")
        if optimizer and path.kind != "weights":
            raise ComputeError(f"optimizer: {path} holds no optimizer state; load it with optimizer false")
        if model.lora.rank:
            if meta.get("alpha") != model.lora.alpha:
                raise ComputeError(f"path: {path} was saved with alpha {meta.get('alpha')} and the model has alpha {model.lora.alpha}")
            tensors = {k.removeprefix(ADAPTER_PREFIX): v for k, v in read_tensors(directory / ADAPTER_TENSORS).items()}
        else:
            saved = load(directory, self.runtime, torch.float32)
            tensors = {name: p.data for name, p in saved.hf.named_parameters()}
        shapes = {name: m.shape for name, m in zip(weights.names, weights.masters, strict=True)}
        if {name: t.shape for name, t in tensors.items()} != shapes:
            raise ComputeError(f"path: {path} holds other tensors than the model has; it was made from another base model or configuration")
        state: dict[str, torch.Tensor] = {}
        steps = 0
        if optimizer:
            state = read_tensors(directory / OPTIMIZER_TENSORS)
            count = read_json(directory / OPTIMIZER_META).get("steps")
            steps = count if isinstance(count, int) else 0
            if state and set(state) != {f"{key}.{name}" for key in ("exp_avg", "exp_avg_sq") for name in shapes}:
                raise ComputeError(f"path: the optimizer state of {path} does not fit the model")
        with torch.no_grad():
            for name, master in zip(weights.names, weights.masters, strict=True):
                master.copy_(tensors[name])
        weights.clear()
        weights.restore(state, steps)
        weights.publish()
        return {"type": "load_weights", "path": str(path)}

    def _meta(self, model: _Trained, dtype: str) -> dict[str, object]:
        return {"base_model": model.base_model, "rank": model.lora.rank, "alpha": model.lora.alpha, "dtype": dtype}

    def _write_adapter(self, model: _Trained, directory: Path) -> None:
        policy = model.policy
        if policy.network.peft is None or policy.adapter is None:
            raise ComputeError("the model has no adapter", category="server")
        tensors = {ADAPTER_PREFIX + n: m for n, m in zip(policy.weights.names, policy.weights.masters, strict=True)}
        write_tensors(directory / ADAPTER_TENSORS, tensors)
        config = policy.network.peft.peft_config[policy.adapter]
        plain = config.to_dict()
        plain["target_modules"] = sorted(plain["target_modules"])
        plain["inference_mode"] = True
        plain["base_model_name_or_path"] = model.base_model
        write_json(directory / "adapter_config.json", plain)

    # Samplers

    def sampler(self, key: str) -> tuple[Network | VllmBase, str | Adapter | None]:
        """Base and adapter behind a key: `base:NAME`, `path:tinker://…`, or an ephemeral session's id."""
        if key.startswith("base:"):
            name = key.removeprefix("base:")
            return (self.bases.network(name) if self._vllm is None else self._vllm_base(name)), None
        if key.startswith("path:"):
            found = self._persisted.get(key)
            if found is None:
                found = self._load_sampler(parse_path(key.removeprefix("path:"), "model_path"))
                self._persisted[key] = found
                while len(self._persisted) > PERSISTED_KEPT:
                    self._persisted.popitem(last=False)[1].release()
            self._persisted.move_to_end(key)
            return found.base, found.adapter
        ephemeral = self._ephemeral.get(key)
        if ephemeral is None:
            raise ComputeError(
                f"sampling_session_id: the weights of {key!r} are no longer kept (each model keeps its {EPHEMERAL_KEPT} newest); save for the sampler again"
            )
        return ephemeral.base, ephemeral.adapter

    def _load_sampler(self, path: CheckpointPath) -> _Sampler:
        directory = self.store.require(path, "model_path")
        base_model, lora = self.origin(path)
        if self._vllm is not None:
            return self._vllm_sampler(base_model, lora, directory)
        if lora.rank == 0:
            return _Sampler(load(directory, self.runtime).freeze(), None, _nothing)
        tensors = {k.removeprefix(ADAPTER_PREFIX): v for k, v in read_tensors(directory / ADAPTER_TENSORS).items()}
        if self.bases.network(base_model).size < SMALL:
            return self._merged_sampler(base_model, lora_deltas(tensors, lora.alpha / lora.rank, self.runtime.device))
        return self._adapter_sampler(base_model, lora, tensors)

    def _deltas(self, model: _Trained) -> dict[str, torch.Tensor]:
        weights = model.policy.weights
        return lora_deltas(dict(zip(weights.names, weights.masters, strict=True)), model.lora.alpha / model.lora.rank, self.runtime.device)

    def _merged_tensors(self, base_model: str, deltas: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The base's parameters with the adapter added, in the compute dtype. An adapted output layer is no longer tied to the embeddings."""
        tensors: dict[str, torch.Tensor] = {}
        hf = self.bases.network(base_model).hf
        for name, parameter in hf.named_parameters(remove_duplicate=False):
            if (
                name.removesuffix(".weight").removesuffix(".base_layer").endswith("lm_head")
                and "lm_head.weight" not in deltas
                and hf.config.tie_word_embeddings
            ):
                continue
            if ".lora_" in name:
                continue
            plain = name.replace(".base_layer.", ".")
            delta = deltas.get(plain)
            tensors[plain] = parameter.data if delta is None else (parameter.data.float() + delta).to(parameter.dtype)
        missing = deltas.keys() - tensors.keys()
        if missing:
            raise ComputeError(f"the adapter covers {sorted(missing)[0]!r}, which the base model lacks")
        return tensors

    def _merged_sampler(self, base_model: str, deltas: dict[str, torch.Tensor]) -> _Sampler:
        network = self.bases.network(base_model).copy()
        tensors = self._merged_tensors(base_model, deltas)
        if "lm_head.weight" in deltas:
            network.hf.get_output_embeddings().weight = torch.nn.Parameter(tensors["lm_head.weight"], requires_grad=False)
        for name, parameter in network.hf.named_parameters():
            if name in deltas:
                parameter.data = tensors[name]
        return _Sampler(network.freeze(), None, _nothing)

    def _adapter_sampler(self, base_model: str, lora: LoraSpec, tensors: dict[str, torch.Tensor]) -> _Sampler:
        network = self.bases.network(base_model)
        adapter = network.add_adapter(self._lora_config(network, lora), 0)
        for name, parameter in network.hf.named_parameters():
            if f".{adapter}." in name:
                parameter.data = tensors[name.replace(f".{adapter}.", ".")].to(parameter.device, parameter.dtype, copy=True)
        return _Sampler(network, adapter, lambda: network.remove_adapter(adapter))

    def _vllm_base(self, name: str) -> VllmBase:
        directory = self.bases.directory(name)
        limits = self.bases.limits(name)
        if self._vllm is None or limits is None:
            raise ComputeError(f"base_model: the configuration of {name!r} says nothing of its vocabulary")
        if directory not in self._vllm:
            rank = max((model.lora.rank for model in self._models.values() if model.base_model == name), default=0)
            self._vllm[directory] = VllmBase(directory, self.runtime, limits, rank)
        return self._vllm[directory]

    def _vllm_sampler(self, base_model: str, lora: LoraSpec, folder: Path, *, fill: Callable[[], None] = _nothing, clean: Callable[[], None] = _nothing) -> _Sampler:
        """folder: holds the adapter, once `fill` was called; `clean` is called when the sampler goes, or cannot be made."""
        try:
            if not lora.rank or lora.unembed:
                what = "an adapter of the output layer" if lora.rank else "all weights trained (rank 0)"
                raise ComputeError(f"lora_config: vLLM samples no model with {what}; train with LoRA, or start the worker without --sampler vllm")
            fill()
            base = self._vllm_base(base_model)
            adapter = base.adapter(folder, lora.rank)
        except Exception:
            clean()
            raise

        def release() -> None:
            adapter.release()
            clean()

        return _Sampler(base, adapter, release)

    def _drop_ephemeral(self, key: str) -> None:
        sampler = self._ephemeral.pop(key, None)
        if sampler is not None:
            sampler.release()


def lora_deltas(tensors: dict[str, torch.Tensor], scale: float, device: torch.device) -> dict[str, torch.Tensor]:
    """scale * B A per adapted weight, fp32, keyed by the weight's name in the base model."""
    deltas: dict[str, torch.Tensor] = {}
    for name, a in tensors.items():
        module, found, _ = name.partition(".lora_A.")
        if found:
            b = tensors[f"{module}.lora_B.weight"]
            deltas[f"{module}.weight"] = (b.to(device).float() @ a.to(device).float()) * scale
    return deltas


def _write_full(hf: PreTrainedModel, tensors: dict[str, torch.Tensor], directory: Path, dtype: str) -> None:
    """A directory that `from_pretrained` loads."""
    config = hf.config.to_diff_dict()
    config.update(dtype=dtype, architectures=[type(hf).__name__], model_type=hf.config.model_type)
    config.pop("_name_or_path", None)
    if hf.config.tie_word_embeddings and "lm_head.weight" in tensors:
        config["tie_word_embeddings"] = False
    write_json(directory / "config.json", config)
    write_tensors(directory / "model.safetensors", tensors)


def _copy_companions(source: Path, directory: Path) -> None:
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, directory / name)
