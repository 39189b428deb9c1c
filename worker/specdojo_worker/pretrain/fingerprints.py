"""Hashes of the evaluation data's questions and gold calls, so that the corpus never repeats them.

Written by `python -m specdojo_worker.pretrain.clean --record DIR`.
"""

from __future__ import annotations

import hashlib
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "evaluation-fingerprints.txt"


@cache
def marks() -> frozenset[str]:
    return frozenset(FILE.read_text().split())


def fingerprint(text: str) -> str:
    """Of a text without case, spaces and punctuation."""
    return hashlib.sha256(re.sub(r"[\W_]+", "", text.lower()).encode()).hexdigest()[:16]


def call_fingerprint(calls: list[dict[str, Any]]) -> str:
    return fingerprint(json.dumps([[c["name"], c["arguments"]] for c in calls], sort_keys=True))
