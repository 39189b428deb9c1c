"""Compares shapes, vocabularies and optimizers: `python -m specdojo_worker.pretrain.sweep --out DIR --minutes 10`.

Each is trained from scratch for the same minutes on one thread, with the program and corpus of the bundled model, and measured on the
same held-out rows (which a vocabulary packs its own way). Prints a table; what is in DIR already is not trained again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from safetensors import safe_open

SMALL, MIDDLE, LARGE = ("--hidden 192 --heads 3 --ff 512", "--hidden 256 --heads 4 --ff 640", "--hidden 384 --heads 6 --ff 1024")
RUNS = {
    "small": SMALL, "middle": MIDDLE, "large": LARGE, "vocab-1536": f"{MIDDLE} --vocab 1536", "vocab-6144": f"{MIDDLE} --vocab 6144",
    "adamw": f"{MIDDLE} --optimizer adamw --rate 0.001",
}


def parameters(weights: Path) -> tuple[int, int]:
    """Parameters, and rows of the embedding."""
    with safe_open(weights, "np") as file:
        shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118 - not a dict
    sizes = [shape[0] * (shape[1] if len(shape) > 1 else 1) for shape in shapes.values()]
    return sum(sizes), shapes["model.embed_tokens.weight"][0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--only", nargs="+", choices=list(RUNS), default=list(RUNS))
    args = parser.parse_args()
    print("| run | parameters | vocabulary | tokens | loss, nats per character | nats per token | one call |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name in args.only:
        folder: Path = args.out / name
        command = [sys.executable, "-m", "specdojo_worker.pretrain.train", "--out", str(folder), "--minutes", str(args.minutes), "--threads", "1", *RUNS[name].split()]
        subprocess.run(command, check=True, stdout=sys.stderr, env={**os.environ, "OMP_NUM_THREADS": "1"})
        last = json.loads((folder / "log.jsonl").read_text().splitlines()[-1])
        count, vocabulary = parameters(folder / "model.safetensors")
        print(f"| {name} | {count / 1e6:.1f} M | {vocabulary} | {last['tokens'] / 1e6:.2f} M | {last['nats/character']} | {last['loss']} | {last['one']} |", flush=True)


if __name__ == "__main__":
    main()
