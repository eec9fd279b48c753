"""What the machine is and the most it can do: beside them ratios can be read."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from sims.benchmark.timing import interleaved

SIZE = 1024  # of the matrix product
COPIED = 2**26  # bytes


def describe(device: str) -> dict[str, Any]:
    """Name and size of the machine, and of the device where TensorFlow computes."""
    found = {"processor": _processor(), "cores": len(os.sched_getaffinity(0))}
    if device == "gpu":
        gpu = tf.config.list_physical_devices("GPU")[0]
        found["gpu"] = tf.config.experimental.get_device_details(gpu).get("device_name", "unknown")
    return found


def ceilings(rounds: int) -> dict[str, float]:
    """GFLOP/s of one complex single-precision matrix product, and GB/s of one copy in memory."""
    rng = np.random.default_rng(0)
    parts = rng.standard_normal((2, SIZE, SIZE)).astype(np.float32)
    matrix = tf.constant(parts[0] + 1j * parts[1])
    block = tf.zeros([COPIED // 4], tf.float32)
    product = tf.function(lambda x: tf.matmul(x, x), autograph=False)
    copy = tf.function(lambda x: x + 1.0, autograph=False)
    seconds = interleaved({"cgemm": lambda: product(matrix), "copy": lambda: copy(block)}, rounds)
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
