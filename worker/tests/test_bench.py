"""The GPU benchmark works from its first line to its last, at a size of seconds on a CPU."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench" / "gpu.py"


def run(*options: str) -> subprocess.CompletedProcess[str]:
    # Without the test's own packages: TRL may be there or not.
    return subprocess.run(
        [sys.executable, str(BENCH), *options], capture_output=True, text=True, timeout=900, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False
    )


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peak memory of a CPU is read from /proc")
def test_gpu_benchmark_runs_small_on_a_cpu() -> None:
    done = run("--tiny", "--device", "cpu", "--repeat", "1", "--no-peers", "--threads", "1")
    assert done.returncode == 0, done.stderr
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in done.stdout.splitlines() if re.match(r"\| [a-z0-9]", line)]
    assert [row[0] for row in rows[:2]] == ["what", "sampling"]
    assert [row[0] for row in rows[6:8]] == ["training step, LoRA 32", "model, M"]
    assert len(rows) == 8 + 7
    for row in rows[1:7]:
        assert all(float(cell.replace(",", "")) > 0 for cell in row[1:3])
    for row in rows[8:]:
        assert all(float(cell) >= 0 for cell in row)
        assert float(row[6]) > 0.01 and float(row[7]) > 0.01
