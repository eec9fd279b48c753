"""What the machine is and the most it can do: beside them ratios can be read."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops

from sims.benchmark import engine
from sims.benchmark.timing import interleaved

SIZE = 1024  # of the matrix product
COPIED = 2**26  # bytes


def describe(device: str) -> dict[str, Any]:
    """Name and size of the machine, and of the device that computes."""
    found = {"processor": _processor(), "cores": len(os.sched_getaffinity(0))}
    if device == "gpu":
        found["gpu"] = engine.gpu_name() or "unknown"
    return found


def ceilings(rounds: int) -> dict[str, float]:
    """GFLOP/s of one complex single-precision matrix product, and GB/s of one copy in memory."""
    rng = np.random.default_rng(0)
    parts = rng.standard_normal((2, SIZE, SIZE)).astype(np.float32)
    matrix = engine.constant(parts[0] + 1j * parts[1], "complex64")
    block = ops.zeros([COPIED // 4], dtype="float32")
    product = engine.graph(lambda x: x @ x, matrix)
    copy = engine.graph(lambda x: x + 1.0, block)
    seconds = interleaved({"cgemm": product, "copy": copy}, rounds)
    fastest = {name: float(np.median(times)) for name, times in seconds.items()}
    return {
        "cgemm_gflops": 8e-9 * SIZE**3 / fastest["cgemm"],
        "copy_gbytes": 2e-9 * COPIED / fastest["copy"],
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"
