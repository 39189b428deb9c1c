"""Tools and prompts of the corpus as JSON: a test on each side holds the Python and the TypeScript texts together.

`python -m specdojo_worker.pretrain.golden > test/fixtures/pretrain/prompts.json`
"""

from __future__ import annotations

import json
import random
from typing import Any

from .corpus import draw_menu, generator_branch, menu_text, request, solver_branch


def golden(seed: int = 70_001, menus: int = 12) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    out = []
    while len(out) < menus:
        menu, others = draw_menu(rng, rng.randint(2, 9))
        items = []
        for kind in ("one", "two", "talk"):
            example = request(rng, menu, others, kind, plain=True)
            if example is None:
                continue
            solver = solver_branch(example)
            given, free = generator_branch(example, False), generator_branch(example, True)
            items.append({
                "question": example.text, "calls": example.calls, "context": "multi_turn" if kind == "talk" else "single_turn",
                "solver": solver.prompt, "solver_completion": solver.completion, "given": given.prompt, "given_completion": given.completion,
                "free": free.prompt, "free_completion": free.completion,
            })
        tools = [{"name": o.name, "description": o.description, "parameters": o.schema} for o in menu]
        out.append({"tools": tools, "menu": menu_text(menu), "full": menu_text(menu, full=True), "items": items})
    return out


if __name__ == "__main__":
    print(json.dumps(golden(), ensure_ascii=False, indent=1))
