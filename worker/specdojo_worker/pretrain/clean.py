"""Cleanliness of the corpus: no operation, question or gold call of the evaluation data, no well-known API's name.

`python -m specdojo_worker.pretrain.clean --samples 1000000` draws that many requests and reports what it finds;
`--record DIR` first writes the fingerprints of the evaluation data in DIR (with `specs/`, `openapi-tasks/`, `bench-samples/`).
Only hashes lie in the repository, so the data itself does not.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from .apis import BANNED
from .corpus import Branch, rows
from .fingerprints import FILE, call_fingerprint, fingerprint, marks

CALL = re.compile(r"<tool_call_answer>(.*)</tool_call_answer>|for: (\[.*\])<")


def evaluation_files(data: Path) -> Iterator[tuple[list[str], list[dict[str, Any]]]]:
    """Operation names of each document, and the items of each suite."""
    for file in sorted([*data.glob("specs/*"), *data.glob("openapi-tasks/*/openapi.*")]):
        text = gzip.decompress(file.read_bytes()).decode() if file.suffix == ".gz" else file.read_text(encoding="utf-8")
        yield re.findall(r"operationId[\"']?\s*:\s*[\"']?([\w.\- /]+)", text), []
    for file in sorted([*data.glob("openapi-tasks/*/tasks.jsonl"), *data.glob("bench-samples/*.jsonl")]):
        items = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
        yield [t["name"] for item in items for t in item.get("tools", [])], items


def record(data: Path) -> tuple[int, int]:
    """Writes `banned-names.txt` and the fingerprints; returns how many of each."""
    names: set[str] = set()
    found_marks: set[str] = set()
    for found, items in evaluation_files(data):
        names |= set(found)
        for item in items:
            found_marks.add(fingerprint(item["question"]))
            gold = [c for c in item["gold"] if c.get("name")]
            names |= {c["name"] for c in gold}
            if any(c["arguments"] for c in gold):
                found_marks.add(call_fingerprint(gold))
    keys = {re.sub(r"[^a-z]", "", name.lower()) for name in names}
    hashes = sorted(f"{zlib.crc32(key.encode()):08x}" for key in keys if len(key) > 3)
    FILE.with_name("banned-names.txt").write_text("\n".join(hashes) + "\n")
    FILE.write_text("\n".join(sorted(found_marks)) + "\n")
    return len(hashes), len(found_marks)


def branches(seed: int) -> Iterator[tuple[str, Branch]]:
    for row in rows(seed, (3, 14), 17):
        yield from ((row.menu, branch) for branch in row.branches)


def contaminated(samples: Iterable[tuple[str, Branch]]) -> Iterator[str]:
    """What in the samples is also evaluation data or a well-known API's name. Raises nothing."""
    for menu, branch in samples:
        text = branch.prompt + branch.completion
        words = set(re.findall(r"[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", menu + " " + text).lower()))
        for word in words & BANNED:
            yield f"banned word {word!r} in {text}"
        questions = [*re.findall(r"<question>(.*?)</question>", text, re.S), *re.findall(r"<\|user\|>([^<]*)", branch.prompt)]
        yield from (f"question: {q}" for q in questions if fingerprint(q) in marks())
        for match in CALL.finditer(text):
            calls = json.loads(match.group(1) or match.group(2))
            if any(c["arguments"] for c in calls) and call_fingerprint(calls) in marks():
                yield f"calls: {calls}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=80_001)
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    if args.record:
        print("{} operation names, {} questions and gold calls recorded".format(*record(args.record)))
    found = list(contaminated(islice(branches(args.seed), args.samples)))
    for line in found[:50]:
        print(line)
    print(f"{args.samples} samples, {len(found)} of them contaminated")
    raise SystemExit(1 if found else 0)


if __name__ == "__main__":
    main()
