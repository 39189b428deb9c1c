from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from client import Worker
from models import KINDS, save_random

from specdojo_worker.models import Network, Runtime, load

FP32 = Runtime(torch.device("cpu"), torch.float32)


@pytest.fixture(scope="session")
def directories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {kind: save_random(kind, root / kind) for kind in KINDS}


@pytest.fixture(params=[(kind, lean) for kind in KINDS for lean in (False, True)], ids=lambda p: f"{p[0]}{'-lean' if p[1] else ''}")
def network(request: pytest.FixtureRequest, directories: dict[str, Path]) -> Network:
    """A model of each architecture, in the general and in the lean forward."""
    kind, lean = request.param
    loaded = load(directories[kind], FP32)
    return loaded.freeze() if lean else loaded


@pytest.fixture(scope="session")
def worker(tmp_path_factory: pytest.TempPathFactory):
    with Worker(tmp_path_factory.mktemp("state")) as running:
        yield running


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)
