"""Counter-based uniforms: a draw depends only on (seed, sample index, token position), never on its batch."""

from __future__ import annotations

import numpy as np

_GAMMA = np.uint64(0x9E3779B97F4A7C15)


def _mix(x: np.ndarray) -> np.ndarray:
    """The finalizer of SplitMix64 (Steele, Lea, Flood 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def uniforms(seeds: np.ndarray, samples: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Uniforms in (0, 1) with 53 random bits; the three inputs are uint64 arrays of one shape."""
    with np.errstate(over="ignore"):
        h = _mix(seeds + _GAMMA)
        h = _mix((h ^ samples) + _GAMMA)
        h = _mix((h ^ positions) + _GAMMA)
    return ((h >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
