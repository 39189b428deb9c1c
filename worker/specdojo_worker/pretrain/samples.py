"""Writes requests about made-up APIs with their answers, one menu a line: `replay.jsonl` is trained along with the
Solver so that other APIs are not forgotten, `other-apis.jsonl` measures whether they were. The seeds differ from each
other and from the training corpus.

`python -m specdojo_worker.pretrain.samples --out DIR`; with `--suites N` instead N requests of each kind that the model card
tells of, in the format of the benchmark samples: `one.jsonl`, `two.jsonl`, ...
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .apis import Operation
from .corpus import Example, draw_menu, request

SEEDS = {"replay": 50_001, "other-apis": 60_001}


def sample(seed: int, menus: int, per_menu: int) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    out = []
    while len(out) < menus:
        menu, others = draw_menu(rng, rng.choices([rng.randint(2, 8), rng.randint(9, 20)], [7, 3])[0])
        items = []
        while len(items) < per_menu:
            example = request(rng, menu, others, rng.choices(["one", "two", "three", "talk", "none"], [78, 11, 3, 4, 4])[0])
            if example:
                items.append({"question": example.text, "gold": example.calls})
        out.append({"tools": [described(o) for o in menu], "items": items})
    return out


# Name of a suite: kind of request, operations of its menus (least, most), whether from scenarios that are held out.
SUITES: dict[str, tuple[str, tuple[int, int], bool]] = {
    "one": ("one", (3, 14), False), "two": ("two", (3, 14), False), "three": ("three", (3, 14), False), "nested": ("one", (3, 14), False),
    "thirty": ("one", (30, 30), False), "none": ("none", (3, 14), False), "ask": ("ask", (3, 14), False), "talk": ("talk", (3, 14), False),
    "unseen": ("one", (3, 14), True),
}


def described(op: Operation) -> dict[str, Any]:
    return {"name": op.name, "description": op.description, "parameters": op.schema}


def suite(name: str, count: int, seed: int = 90_001) -> Iterator[dict[str, Any]]:
    """`count` items of one suite: one request about each menu."""
    kind, sizes, held_out = SUITES[name]
    rng = random.Random(f"{seed}/{name}")

    def fits(example: Example | None) -> bool:
        if example is None or example.kind != kind:
            return False
        return name != "nested" or any(isinstance(x, dict) for c in example.calls for x in c["arguments"].values())

    made = 0
    while made < count:
        menu, others = draw_menu(rng, rng.randint(*sizes), held_out)
        tries = (request(rng, menu, others, kind) for _ in range(40))
        example = next((e for e in tries if fits(e)), None)
        if example:
            made += 1
            messages = [{"role": role, "content": text} for role, text in example.turns]
            yield {"id": f"{name}-{made}", "question": example.text, **({"messages": messages} if len(messages) > 1 else {}), "tools": [described(o) for o in menu], "gold": example.calls}


def write(file: Path, lines: list[dict[str, Any]]) -> None:
    file.write_text("".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in lines), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--suites", type=int, metavar="N")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.suites:
        for name in SUITES:
            write(args.out / f"{name}.jsonl", list(suite(name, args.suites)))
        return
    for name, menus, per_menu in (("replay", 250, 6), ("other-apis", 200, 1)):
        write(args.out / f"{name}.jsonl", sample(SEEDS[name], menus, per_menu))


if __name__ == "__main__":
    main()
