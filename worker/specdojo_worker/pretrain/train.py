"""Pretrains the bundled model on one machine: `python -m specdojo_worker.pretrain.train --out DIR --minutes 60`.

Muon (Newton-Schulz orthogonalised momentum) for matrices, AdamW for embeddings and norms; warm-up, constant, linear decay
over the share of the time budget that is used. Killed and started again it goes on from its last checkpoint.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor

from . import tokenizer as tok
from .batches import Batch, batches
from .model import Decoder, Shape


def orthogonalised(x: Tensor, steps: int = 5) -> Tensor:
    """The nearest semi-orthogonal matrices of a stack [n, rows, columns], rows <= columns, by quintic Newton-Schulz
    iterations (Muon, Jordan et al. 2024)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = x.bfloat16()
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        y = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(y, y, y, beta=b, alpha=c), x, beta=a)
    return x.float()


class Muon:
    def __init__(self, params: list[Tensor], momentum: float = 0.95, decay: float = 0.01) -> None:
        self.params, self.momentum, self.decay = params, momentum, decay
        self.buffers = [torch.zeros_like(p) for p in params]

    @torch.no_grad()
    def step(self, rate: float) -> None:
        stacks: dict[tuple[int, int], list[tuple[Tensor, Tensor]]] = {}
        for p, buffer in zip(self.params, self.buffers, strict=True):
            if p.grad is None:
                continue
            buffer.lerp_(p.grad, 1 - self.momentum)
            update = p.grad.lerp(buffer, self.momentum)
            if update.shape[0] > update.shape[1]:
                update = update.T
            stacks.setdefault((update.shape[0], update.shape[1]), []).append((p, update))
        for members in stacks.values():
            updates = orthogonalised(torch.stack([update for _, update in members]))
            for (p, _), update in zip(members, updates, strict=True):
                wide = update if update.shape == p.shape else update.T
                p.mul_(1 - rate * self.decay).add_(wide, alpha=-rate * max(1.0, p.shape[0] / p.shape[1]) ** 0.5)


def schedule(used: float, decay: float, warm: float = 0.02) -> float:
    """Share of the peak rate when `used` (0 to 1) of the budget is gone; it falls in the last `decay` of it."""
    if used < warm:
        return used / warm
    return max(0.0, min(1.0, (1 - used) / decay))


@torch.no_grad()
def evaluate(model: Decoder, held_out: list[Batch]) -> dict[str, float]:
    """Share of completions that greedy decoding gets exactly right, by kind of branch, and the mean loss on them: nats per token, on the
    Solver's alone ("answers"), and per character, which vocabularies can be compared by."""
    right: dict[str, list[bool]] = {}
    sums, counts = {True: 0.0, False: 0.0}, {True: 0, False: 0}  # of the Solver's completions, of the Generator's
    for batch in held_out:
        h = model(batch.menu, batch.lanes, model.places(batch))
        logits = (h[batch.where] @ model.model.embed_tokens.weight.to(h.dtype).T).float()
        each = torch.nn.functional.cross_entropy(logits, batch.targets, ignore_index=-100, reduction="none")
        hit = logits.argmax(-1) == batch.targets
        for kind, start, end in batch.kinds:
            right.setdefault(kind, []).append(bool(hit[start:end].all()))
            solver = kind.startswith("solver")
            sums[solver] += each[start:end].sum().item()
            counts[solver] += end - start
    out = {k.removeprefix("solver-"): round(sum(x) / len(x), 3) for k, x in sorted(right.items()) if k.startswith("solver")}
    nats = sum(sums.values())
    means = {"loss": nats / sum(counts.values()), "answers": sums[True] / counts[True], "nats/character": nats / sum(batch.characters for batch in held_out)}
    return {**{name: round(x, 4) for name, x in means.items()}, **out}


def export(model: Decoder, tokenizer: Tokenizer, folder: Path) -> None:
    """A directory that `transformers.AutoModelForCausalLM.from_pretrained` reads."""
    tok.save(tokenizer, folder, model.s.context)
    ids = {name: tokenizer.token_to_id(name) for name in ("<|end|>", "<|pad|>", "<|system|>")}
    config = model.s.hf_config(eos=ids["<|end|>"], bos=ids["<|system|>"], pad=ids["<|pad|>"])
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    generation = {"bos_token_id": ids["<|system|>"], "eos_token_id": ids["<|end|>"], "pad_token_id": ids["<|pad|>"]}
    (folder / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")
    (folder / "specdojo.json").write_text(json.dumps({"prompts": "brief"}) + "\n")
    weights = {k: v.detach().bfloat16().contiguous() for k, v in model.state_dict().items()}
    save_file(weights, folder / "model.safetensors.tmp", metadata={"format": "pt"})
    (folder / "model.safetensors.tmp").chmod(0o644)
    os.replace(folder / "model.safetensors.tmp", folder / "model.safetensors")


class Peer:
    """Local SGD with two processes: each leaves its weights in its folder and moves half-way to what the other left.

    Two single-threaded processes train about twice as many tokens as one with two threads, and neither waits for the other.
    """

    def __init__(self, model: Decoder, own: Path, other: Path) -> None:
        self.model, self.own, self.other, self.seen = model, own / "shared.safetensors", other / "shared.safetensors", 0.0

    @torch.no_grad()
    def exchange(self) -> None:
        at = self.other.stat().st_mtime if self.other.exists() else 0.0
        if at > self.seen:
            self.seen = at
            theirs = load_file(self.other)
            for name, own in self.model.state_dict().items():
                own.lerp_(theirs[name], 0.5)
        save_file(self.model.state_dict(), self.own.with_suffix(".tmp"))
        os.replace(self.own.with_suffix(".tmp"), self.own)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--start", type=Path, help="an exported model of this shape whose weights and tokenizer are trained on")
    parser.add_argument("--peer", type=Path, help="the --out of a second run of the same model: the two average their weights as they go")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--vocab", type=int, default=3072)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--ff", type=int, default=640)
    parser.add_argument("--optimizer", choices=["muon", "adamw"], default="muon", help="of the matrices; adamw wants a rate of about 0.001")
    parser.add_argument("--rate", type=float, default=0.025)
    parser.add_argument("--embedding-rate", type=float, default=0.004)
    parser.add_argument("--decay", type=float, default=0.45, help="the last share of the minutes, in which the rates fall to zero")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    state_file = args.out / "state.pt"

    trained = next((d for d in (args.out, args.start) if d and (d / "tokenizer.json").exists()), None)
    if trained:
        tokenizer = Tokenizer.from_file(str(trained / "tokenizer.json"))
    else:
        tokenizer = tok.train(args.seed + 7, args.vocab)
        tok.save(tokenizer, args.out, 4096)
    shape = Shape(vocab=tokenizer.get_vocab_size(), hidden=args.hidden, layers=args.layers, heads=args.heads, kv_heads=args.heads, head_dim=args.hidden // args.heads, ff=args.ff)
    model = Decoder(shape)
    matrices = [p for n, p in model.named_parameters() if p.dim() == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.dim() != 2 or "embed" in n]
    groups = [{"params": others, "peak": args.embedding_rate, "weight_decay": 0.0}]
    if args.optimizer == "adamw":
        groups.append({"params": matrices, "peak": args.rate, "weight_decay": 0.01})
    muon = Muon(matrices if args.optimizer == "muon" else [])
    adam = torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True)
    clipped = [p for group in groups for p in group["params"]]
    step, seconds, tokens = 0, 0.0, 0
    if args.start and not state_file.exists():
        model.load_state_dict(load_file(args.start / "model.safetensors"))
    if state_file.exists():
        state = torch.load(state_file, weights_only=True)
        model.load_state_dict(state["model"])
        adam.load_state_dict(state["adam"])
        for buffer, saved in zip(muon.buffers, state["muon"], strict=True):
            buffer.copy_(saved)
        step, seconds, tokens = state["step"], state["seconds"], state["tokens"]
    print(f"{sum(p.numel() for p in model.parameters())} parameters, from step {step}", flush=True)
    stream = batches(tokenizer, args.seed + 1 + step, 0 if args.start else max(0, 2000 - step))  # other data after a restart
    known, unseen = batches(tokenizer, 987_654), batches(tokenizer, 987_655, held_out=True)
    validation = {"": [next(known) for _ in range(16)], "unseen-": [next(unseen) for _ in range(16)]}
    peer = Peer(model, args.out, args.peer) if args.peer else None
    loss_fn = torch.compile(model.loss, dynamic=False)

    last = saved_at = time.monotonic()
    running = 0.0
    while seconds < args.minutes * 60:
        share = schedule(seconds / (args.minutes * 60), args.decay)
        batch = next(stream)
        loss = loss_fn(batch.menu, batch.lanes, model.places(batch), batch.where, batch.targets, batch.weights)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(clipped, 1.0)
        muon.step(args.rate * share)
        for group in adam.param_groups:
            group["lr"] = group["peak"] * share
        adam.step()
        model.zero_grad(set_to_none=True)
        step += 1
        tokens += batch.tokens
        now = time.monotonic()
        if now - last < 20:  # compilation is not training time
            seconds += now - last
        last = now
        running = loss.item() if running == 0.0 else 0.97 * running + 0.03 * loss.item()
        if peer and step % 50 == 0:
            peer.exchange()
        if step % 100 == 0:
            print(f"step {step} tokens {tokens / 1e6:.2f}M minutes {seconds / 60:.1f} loss {running:.3f} rate {tokens / max(seconds, 1e-9):.0f}/s", flush=True)
        if now - saved_at > 300 or seconds >= args.minutes * 60:
            record = {"step": step, "tokens": tokens, "minutes": round(seconds / 60, 1), **{f"{prefix}{k}": x for prefix, held_out in validation.items() for k, x in evaluate(model, held_out).items()}}
            with (args.out / "log.jsonl").open("a") as log:
                log.write(json.dumps(record) + "\n")
            print(json.dumps(record), flush=True)
            state = {"model": model.state_dict(), "adam": adam.state_dict(), "muon": muon.buffers, "step": step, "seconds": seconds, "tokens": tokens}
            torch.save(state, args.out / "state.tmp")
            os.replace(args.out / "state.tmp", state_file)
            export(model, tokenizer, args.out)
            last = saved_at = time.monotonic()


if __name__ == "__main__":
    main()
