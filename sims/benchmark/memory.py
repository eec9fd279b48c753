"""Memory that an output takes while it is computed, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from sims.benchmark.bar import Budget, Found

BATCH, SAMPLES, NUM_POLES = 64, 4096, 64
STATE_BYTES = BATCH * SAMPLES * NUM_POLES * 8


def output_memory(form: str) -> Callable[[Budget], Found]:
    """Peak resident memory of a form, "ours" or "naive", over the size of the state tensor."""

    def measure(budget: Budget) -> Found:
        del budget
        if not Path("/proc/self/clear_refs").exists():
            return Found(None, "needs Linux's /proc/self/clear_refs")
        done = subprocess.run(
            [sys.executable, "-m", "sims.benchmark.memory", form],
            capture_output=True, text=True, check=False,
            cwd=Path(__file__).resolve().parents[2],
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )  # fmt: skip
        if done.returncode:
            return Found(None, f"the process failed: {done.stderr.strip().splitlines()[-1:]}")
        peak = int(done.stdout)
        return Found(peak / STATE_BYTES, f"{peak / 2**20:.0f} MiB, states {STATE_BYTES >> 20} MiB")

    return measure


def main(form: str) -> None:
    """Print by how many bytes the resident memory rises at most in one call."""
    import tensorflow as tf

    from sims.benchmark import naive, recurrences

    def call(batch: int, samples: int) -> None:
        given = recurrences.problem(batch, samples, NUM_POLES)
        if form == "ours":
            run = recurrences.our_output(given)
        else:
            poles = tf.constant(given.poles, tf.complex64)
            matrix = tf.constant(given.input_weights.T, tf.complex64)

            def run(u: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
                return naive.states(u @ matrix, poles) @ weights

        function = tf.function(run, autograph=False)
        before = _status("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # forget the highest mark so far
        function(given.u, given.weights).numpy()
        highest.append(_status("VmHWM") - before)

    highest: list[int] = []
    call(2, 64)  # libraries load and threads start
    call(BATCH, SAMPLES)
    print(highest[-1])


def _status(name: str) -> int:
    """A size in bytes of /proc/self/status."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return 1024 * int(line.split()[1])
    raise OSError(f"/proc/self/status has no {name}")


if __name__ == "__main__":
    main(sys.argv[1])
