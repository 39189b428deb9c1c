"""The worker's engine on one GPU (or, small, on a CPU): sampling and training against what the hardware allows, peak memory,
and how time grows.

    PYTHON bench/gpu.py                      # Qwen2.5-1.5B's shape, random weights; needs a CUDA GPU with about 40 GB
    PYTHON bench/gpu.py --model small --device cpu
    PYTHON bench/gpu.py --tiny --device cpu  # seconds; what the test runs

One command measures, on one model: the machine's matrix rate and memory bandwidth; sampling (512 rows, 600 prompt and 400
new tokens, groups of 4 that share their prompt) in tokens/s and as a share of the bandwidth floor, on a GPU also without
recorded steps (CUDA graphs); four times as many prompts whose completions have 1 to 400 tokens, with finished rows' places
filled and as four batches one after the other; rows of two adapters in one batch and in two; a training step with LoRA
on the first rows in tokens/s and as a share of the matrix rate; the same sampling by `generate` of transformers, by vLLM
where it is installed, and a step of TRL's GRPOTrainer where `trl` is; the peak memory of each; time against batch, length and
model size.

The floor of sampling: each step reads the weights once, the keys and values of each group's prompt once, and those of each
row's own tokens. Work of training: 2 operations per weight and token forward, 2 backward for the activations, and 2 more
for gradients where all weights are trained; attention adds 4 operations per layer, width, and pair of tokens, times 3.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig
from transformers import AutoModelForCausalLM, PretrainedConfig, Qwen2Config
from transformers.utils import logging as transformers_logging

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "worker"))

from specdojo_worker import sampling as sampling_module
from specdojo_worker.checkpoints import CheckpointStore
from specdojo_worker.models import Limits, Runtime, lora_targets, resolve_runtime
from specdojo_worker.packing import pack
from specdojo_worker.sampling import SampleSpec, sample
from specdojo_worker.training import AdamParams, Datum
from specdojo_worker.vllm import VllmBase
from specdojo_worker.workspace import LoraSpec, Workspace


@dataclass(frozen=True)
class Sizes:
    groups: int
    width: int
    prompt: int
    new: int

    @property
    def rows(self) -> int:
        return self.groups * self.width


@dataclass(frozen=True)
class Result:
    seconds: float
    memory: int


PAPER = Sizes(groups=128, width=4, prompt=600, new=400)
SMALL = Sizes(groups=16, width=8, prompt=440, new=32)
TINY = Sizes(groups=3, width=2, prompt=40, new=6)
RANK = 32


def shape(name: str) -> PretrainedConfig:
    """`paper` is Qwen2.5-1.5B's configuration, `half` Qwen2.5-0.5B's, `small` the bundled model's width and depth."""
    width, inner, layers, heads, shared, vocabulary = {
        "paper": (1536, 8960, 28, 12, 2, 151936),
        "half": (896, 4864, 24, 14, 2, 151936),
        "small": (256, 640, 6, 4, 4, 3072),
        "smaller": (128, 320, 6, 4, 4, 3072),
        "tiny": (32, 48, 2, 4, 2, 128),
    }[name]
    return Qwen2Config(
        vocab_size=vocabulary, hidden_size=width, intermediate_size=inner, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=shared, max_position_embeddings=32768, rope_theta=1e6, rms_norm_eps=1e-6, tie_word_embeddings=True,
        bos_token_id=0, eos_token_id=0, pad_token_id=0,
    )  # fmt: skip


class Machine:
    """The device, its clock, and its peak memory in bytes."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.cuda = runtime.device.type == "cuda"

    @property
    def name(self) -> str:
        return torch.cuda.get_device_name() if self.cuda else f"CPU, {torch.get_num_threads()} thread(s)"

    def sync(self) -> None:
        if self.cuda:
            torch.cuda.synchronize()

    def measure(self, run: Callable[[], object], repeat: int, warm: int = 1) -> Result:
        """Median seconds, and the greatest memory of the last run. On Linux the CPU's counter is set back before it."""
        seconds: list[float] = []
        for i in range(warm + repeat):
            if i == warm + repeat - 1:
                self._forget_peak()
            self.sync()
            begin = time.perf_counter()
            run()
            self.sync()
            if i >= warm:
                seconds.append(time.perf_counter() - begin)
        return Result(statistics.median(seconds), self._peak())

    def _forget_peak(self) -> None:
        if self.cuda:
            torch.cuda.reset_peak_memory_stats()
        else:
            Path("/proc/self/clear_refs").write_text("5")

    def _peak(self) -> int:
        if self.cuda:
            return int(torch.cuda.max_memory_allocated())
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))

    def matrix_rate(self, size: int) -> float:
        """Operations per second of a large product in the compute dtype."""
        a, b = (torch.randn(size, size, device=self.runtime.device).to(self.runtime.dtype) for _ in range(2))
        return 2 * size**3 / self.measure(lambda: a @ b, 5, 2).seconds

    def bandwidth(self, size: int) -> float:
        """Bytes per second read, when a large array is summed up."""
        x = torch.ones(size, dtype=torch.float32, device=self.runtime.device)
        return 4 * size / self.measure(lambda: x.sum(), 5, 2).seconds


class Engine:
    """The worker's engine with one model and one LoRA policy, called as its server calls it."""

    def __init__(self, machine: Machine, name: str, folder: Path, seed: int = 0) -> None:
        self.machine = machine
        self.config = shape(name)
        self.directory = folder / name
        runtime = machine.runtime
        torch.manual_seed(seed)
        with torch.device(runtime.device):
            model = AutoModelForCausalLM.from_config(self.config, dtype=runtime.dtype)
        self.parameters = sum(p.numel() for p in model.parameters())
        model.save_pretrained(self.directory)
        del model
        self.workspace = Workspace(runtime, CheckpointStore(folder / f"{name}-state"))
        self.workspace.create_model("policy", str(self.directory), LoraSpec(RANK))

    def prompts(self, sizes: Sizes) -> list[np.ndarray]:
        rng = np.random.default_rng(0)
        return [rng.integers(1, self.config.vocab_size, sizes.prompt) for _ in range(sizes.groups)]

    def sample(self, sizes: Sizes) -> list[Datum]:
        """Draws all rows from the base and makes the data of a policy update of them."""
        network, adapter = self.workspace.sampler(f"base:{self.directory}")
        prompts = self.prompts(sizes)
        outputs = sample(network, adapter, [SampleSpec(p, sizes.width, sizes.new, 1.0, i, frozenset()) for i, p in enumerate(prompts)])
        data: list[Datum] = []
        for prompt, output in zip(prompts, outputs, strict=True):
            for i, completion in enumerate(output.completions):
                if len(completion.tokens) != sizes.new:
                    raise RuntimeError("the engine did not draw as many tokens as it should")
                sequence = np.concatenate([prompt, completion.tokens])
                logprobs = np.zeros(len(sequence) - 1, dtype=np.float32)
                logprobs[-sizes.new :] = completion.logprobs
                advantages = np.zeros_like(logprobs)
                advantages[-sizes.new :] = (1 if i % 2 else -1) / (sizes.rows * sizes.new)
                data.append(Datum(sequence[:-1], sequence[1:], logprobs=logprobs, advantages=advantages))
        return data

    def uneven(self, sizes: Sizes) -> list[SampleSpec]:
        """Four times the prompts; their completions have from one to all of the new tokens."""
        prompts = self.prompts(replace(sizes, groups=4 * sizes.groups))
        lengths = np.random.default_rng(1).integers(1, sizes.new + 1, len(prompts)).tolist()
        return [SampleSpec(p, sizes.width, n, 1.0, i, frozenset()) for i, (p, n) in enumerate(zip(prompts, lengths, strict=True))]

    def several_batches(self, sizes: Sizes) -> Callable[[], object]:
        network, adapter = self.workspace.sampler(f"base:{self.directory}")
        specs = self.uneven(sizes)
        return lambda: [sample(network, adapter, specs[at : at + sizes.groups]) for at in range(0, len(specs), sizes.groups)]

    def one_batch(self, sizes: Sizes) -> Callable[[], object]:
        network, adapter = self.workspace.sampler(f"base:{self.directory}")
        specs = self.uneven(sizes)
        return lambda: sample(network, adapter, specs)

    def adapters(self, sizes: Sizes, *, together: bool) -> Callable[[], object]:
        """Half of the prompts under each of two adapters of the one base."""
        network = self.workspace.bases.network(str(self.directory))
        targets = lora_targets(network.hf, attention=True, mlp=True, unembed=False)
        names = [network.add_adapter(LoraConfig(r=RANK, target_modules=targets), seed) for seed in range(2)]
        specs = [SampleSpec(p, sizes.width, sizes.new, 1.0, i, frozenset()) for i, p in enumerate(self.prompts(sizes))]
        if together:
            return lambda: sample(network, [names[i % 2] for i in range(len(specs))], specs)
        return lambda: [sample(network, name, specs[i::2]) for i, name in enumerate(names)]

    def vllm(self, sizes: Sizes) -> Callable[[], object]:
        base = VllmBase(self.directory, self.machine.runtime, Limits(self.config.vocab_size, self.config.max_position_embeddings), RANK)
        specs = [SampleSpec(p, sizes.width, sizes.new, 1.0, i, frozenset()) for i, p in enumerate(self.prompts(sizes))]
        return lambda: sample(base, None, specs)

    def train(self, data: list[Datum], model: str = "policy") -> None:
        self.workspace.forward_backward(model, data, "ppo", {"trained_only": 1.0}, backward=True)
        self.workspace.optim_step(model, AdamParams(1e-5, grad_clip_norm=1.0))

    @property
    def _cache_bytes(self) -> int:
        """Keys and values of one token."""
        head = self.config.hidden_size // self.config.num_attention_heads
        return 2 * self.config.num_hidden_layers * self.config.num_key_value_heads * head * self.machine.runtime.dtype.itemsize

    def floor(self, sizes: Sizes, bandwidth: float) -> float:
        """Seconds in which sampling could at best read what each step needs."""
        weights = self.parameters * self.machine.runtime.dtype.itemsize
        own = sum(range(1, sizes.new + 1)) * sizes.rows
        return (sizes.new * weights + self._cache_bytes * (sizes.new * sizes.groups * sizes.prompt + own)) / bandwidth

    def operations(self, data: list[Datum]) -> float:
        """Of one training step with LoRA, at least: those of the packed row, with the output layer where it counts."""
        c = self.config
        tokens = len(pack([d.tokens for d in data]).tokens)
        head = c.vocab_size * c.hidden_size
        needed = sum(int(d.needed.sum()) for d in data)
        pairs = sum(len(d.tokens) * int(d.needed.sum()) for d in data) + sum({bytes(d.tokens[: -int(d.needed.sum())]): len(d.tokens) ** 2 / 2 for d in data}.values())
        return 4 * ((self.parameters - head) * tokens + head * needed) + 3 * 4 * c.num_hidden_layers * c.hidden_size * pairs


def generate(engine: Engine, sizes: Sizes) -> Callable[[], object]:
    """The same rows by transformers, as one batch."""
    model = AutoModelForCausalLM.from_pretrained(engine.directory, dtype=engine.machine.runtime.dtype).to(engine.machine.runtime.device)
    rows = torch.from_numpy(np.repeat(np.stack(engine.prompts(sizes)), sizes.width, axis=0)).to(engine.machine.runtime.device)
    settings = {"do_sample": True, "max_new_tokens": sizes.new, "min_new_tokens": sizes.new, "temperature": 1.0, "top_k": 0, "top_p": 1.0}

    def run() -> None:
        with torch.inference_mode():
            model.generate(rows, attention_mask=torch.ones_like(rows), **settings)

    return run


def trl_step(engine: Engine, sizes: Sizes, folder: Path) -> float:
    """Seconds of the second step of TRL's GRPOTrainer with transformers' generation, LoRA, and micro-batches of 16 rows."""
    from datasets import Dataset
    from peft import LoraConfig
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import PreTrainedTokenizerFast, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    words = Tokenizer(WordLevel({f"w{i}": i for i in range(engine.config.vocab_size)}, unk_token="w1"))
    words.pre_tokenizer = WhitespaceSplit()
    texts = [" ".join(f"w{token}" for token in prompt) for prompt in engine.prompts(sizes)]
    micro = max(size for size in (sizes.width, 2 * sizes.width, 4 * sizes.width) if sizes.rows % size == 0)
    settings = GRPOConfig(
        output_dir=str(folder), per_device_train_batch_size=micro, gradient_accumulation_steps=sizes.rows // micro, num_generations=sizes.width,
        max_completion_length=sizes.new, generation_kwargs={"min_new_tokens": sizes.new}, temperature=1.0, beta=0.0, max_steps=2,
        bf16=engine.machine.runtime.dtype == torch.bfloat16, gradient_checkpointing=False, use_cpu=not engine.machine.cuda, report_to="none",
        save_strategy="no", logging_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    marks: list[float] = []

    class Marks(TrainerCallback):
        def on_step_begin(self, *_: object, **__: object) -> None:
            marks.append(time.perf_counter())

        def on_step_end(self, *_: object, **__: object) -> None:
            engine.machine.sync()
            marks.append(time.perf_counter())

    trainer = GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(engine.directory, dtype=engine.machine.runtime.dtype), args=settings,
        reward_funcs=lambda completion_ids, **_: [float(sum(t % 7 for t in ids)) for ids in completion_ids],
        train_dataset=Dataset.from_dict({"prompt": texts}), peft_config=LoraConfig(r=RANK, lora_alpha=32, target_modules="all-linear"),
        processing_class=PreTrainedTokenizerFast(tokenizer_object=words, eos_token="w0", pad_token="w0"), callbacks=[Marks()],
    )  # fmt: skip
    trainer.train()
    return marks[-1] - marks[-2]


def gib(size: int) -> str:
    return f"{size / 2**30:.2f}"


def main() -> int:
    parser = argparse.ArgumentParser(description="The worker's engine against the hardware's limits")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--dtype", choices=["auto", "float32", "bfloat16"], default="auto")
    parser.add_argument("--model", choices=["paper", "small"], default="paper")
    parser.add_argument("--tiny", action="store_true", help="a model and sizes of seconds, to try the command")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--no-peers", action="store_true", help="without transformers' generate and TRL")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    runtime = resolve_runtime(options.device, options.dtype)
    machine = Machine(runtime)
    if options.model == "paper" and not options.tiny and not machine.cuda:
        print("There is no CUDA GPU: the paper-size benchmark was not run. Give --model small or --tiny with --device cpu.", file=sys.stderr)
        return 2
    name, sizes, other = ("tiny", TINY, "tiny") if options.tiny else ("small", SMALL, "smaller") if options.model == "small" else ("paper", PAPER, "half")

    big = 8192 if machine.cuda else 256 if options.tiny else 1024
    rate, bandwidth = machine.matrix_rate(big), machine.bandwidth(2**28 if machine.cuda else 2**20 if options.tiny else 2**25)
    print(f"{machine.name}, {str(runtime.dtype).removeprefix('torch.')}: {rate / 1e12:.3f} TFLOP/s measured on a product of size {big}, {bandwidth / 1e9:.1f} GB/s\n")

    with tempfile.TemporaryDirectory() as folder:
        engine = Engine(machine, name, Path(folder))
        print(f"{engine.parameters / 1e6:,.1f} M parameters; {sizes.groups} prompts x {sizes.width} rows, {sizes.prompt} prompt and {sizes.new} new tokens\n")
        print("| what | seconds | tokens/s | of the limit, % | peak memory, GiB |\n| --- | ---: | ---: | ---: | ---: |")
        drawn: list[Datum] = []
        sampling = machine.measure(lambda: drawn.extend(engine.sample(sizes)), options.repeat)
        data = drawn[-sizes.rows :]
        new = sizes.rows * sizes.new
        share = 100 * engine.floor(sizes, bandwidth) / sampling.seconds
        print(f"| sampling | {sampling.seconds:.3f} | {new / sampling.seconds:,.0f} | {share:.1f} | {gib(sampling.memory)} |", flush=True)
        if machine.cuda:
            sampling_module.RECORDS = False
            plain = machine.measure(lambda: engine.sample(sizes), 1)
            sampling_module.RECORDS = True
            print(f"| sampling, steps not recorded | {plain.seconds:.3f} | {new / plain.seconds:,.0f} | | {gib(plain.memory)} |", flush=True)
        uneven = sum(spec.count * spec.max_tokens for spec in engine.uneven(sizes))
        ways = {
            "4 x the prompts, 1 to all new tokens, places filled": (engine.one_batch(sizes), uneven),
            "the same, four batches": (engine.several_batches(sizes), uneven),
            "two adapters, one batch": (engine.adapters(sizes, together=True), new),
            "two adapters, two batches": (engine.adapters(sizes, together=False), new),
        }
        for label, (way, count) in ways.items():
            found = machine.measure(way, 1)
            print(f"| {label} | {found.seconds:.3f} | {count / found.seconds:,.0f} | | {gib(found.memory)} |", flush=True)
        training = machine.measure(lambda: engine.train(data), options.repeat)
        tokens = len(pack([d.tokens for d in data]).tokens)
        share = 100 * engine.operations(data) / training.seconds / rate
        print(f"| training step, LoRA {RANK} | {training.seconds:.3f} | {tokens / training.seconds:,.0f} | {share:.1f} | {gib(training.memory)} |", flush=True)
        if not options.no_peers:
            peer = machine.measure(generate(engine, sizes), 1)
            print(f"| transformers generate | {peer.seconds:.3f} | {new / peer.seconds:,.0f} | | {gib(peer.memory)} |", flush=True)
            if importlib.util.find_spec("vllm") is None:
                print("| vLLM: not installed | | | | |")
            else:
                peer = machine.measure(engine.vllm(sizes), 1)
                print(f"| vLLM | {peer.seconds:.3f} | {new / peer.seconds:,.0f} | | |", flush=True)
            if importlib.util.find_spec("trl") is None:
                print("| TRL: not installed | | | | |")
            else:
                seconds = trl_step(engine, sizes, Path(folder) / "trl")
                print(f"| TRL GRPOTrainer, sampling and training | {seconds:.3f} | | | |")
                print(f"\nSampling and training take {seconds / (sampling.seconds + training.seconds):.1f} times as long with TRL.")

        print("\n| model, M | rows | prompt | new | sampling, s | training, s | peak sampling, GiB | peak training, GiB |")
        print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
        quarter = max(1, sizes.groups // 4)
        grid = [replace(sizes, groups=quarter), replace(sizes, groups=2 * quarter), sizes]
        grid += [replace(sizes, groups=quarter, new=2 * sizes.new), replace(sizes, groups=quarter, prompt=2 * sizes.prompt)]
        for each, cases in ((engine, grid), (Engine(machine, other, Path(folder) / "other"), [replace(sizes, groups=quarter), sizes])):
            for case in cases:
                rows: list[Datum] = []
                sampled = machine.measure(lambda each=each, case=case, rows=rows: rows.extend(each.sample(case)), 1)
                trained = machine.measure(lambda each=each, case=case, rows=rows: each.train(rows[-case.rows :]), 1)
                print(
                    f"| {each.parameters / 1e6:,.1f} | {case.rows} | {case.prompt} | {case.new} | {sampled.seconds:.3f} | {trained.seconds:.3f} "
                    f"| {gib(sampled.memory)} | {gib(trained.memory)} |",
                    flush=True,
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
