"""Writes requests about made-up APIs with their answers, one menu a line: `replay.jsonl` is trained along with the
Solver so that other APIs are not forgotten, `other-apis.jsonl` measures whether they were. The seeds differ from each
other and from the training corpus.

`python -m specdojo_worker.pretrain.samples --out DIR`
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import Any

from .corpus import draw_menu, request

SEEDS = {"replay": 50_001, "other-apis": 60_001}


def sample(seed: int, menus: int, per_menu: int) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    out = []
    while len(out) < menus:
        menu, others = draw_menu(rng, rng.choices([rng.randint(2, 8), rng.randint(9, 20)], [7, 3])[0])
        items = []
        while len(items) < per_menu:
            example = request(rng, menu, others, rng.choices(["one", "two", "talk", "none"], [78, 14, 4, 4])[0])
            if example:
                items.append({"question": example.text, "gold": example.calls})
        out.append({"tools": [{"name": o.name, "description": o.description, "parameters": o.schema} for o in menu], "items": items})
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    for name, menus, per_menu in (("replay", 250, 6), ("other-apis", 200, 1)):
        lines = [json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in sample(SEEDS[name], menus, per_menu)]
        (args.out / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
