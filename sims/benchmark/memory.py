"""Memory that an output takes while it is computed, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from sims.benchmark import engine, recurrences
from sims.benchmark.bar import Budget, Found

BATCH, SAMPLES, NUM_POLES = 64, 4096, 64
STATE_BYTES = BATCH * SAMPLES * NUM_POLES * 8


def output_memory(form: str) -> Callable[[Budget], Found]:
    """Peak resident memory of a form, "ours" or "naive", over the size of the state tensor."""

    def measure(budget: Budget) -> Found:
        if budget.device == "gpu" and engine.NAME == "torch":
            return _told(engine.allocated(_call(form, BATCH, SAMPLES)))
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
        return _told(int(done.stdout))

    return measure


def _told(peak: int) -> Found:
    return Found(peak / STATE_BYTES, f"{peak / 2**20:.0f} MiB, states {STATE_BYTES >> 20} MiB")


def main(form: str) -> None:
    """Print by how many bytes the resident memory rises at most in one call."""

    def measured(batch: int, samples: int) -> int:
        call = _call(form, batch, samples)
        before = _status("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # forget the highest mark so far
        engine.array(call())
        return _status("VmHWM") - before

    measured(2, 64)  # libraries load and threads start
    print(measured(BATCH, SAMPLES))


def _call(form: str, batch: int, samples: int) -> Callable[[], Any]:
    """The output of a problem by a form, in a graph where there are any."""
    given = recurrences.problem(batch, samples, NUM_POLES)
    if form == "ours":
        run = recurrences.our_output(given)
    else:
        states = recurrences.naive_states(given)

        def run(u: Any, weights: Any) -> Any:
            return states(u) @ weights

    function = engine.function(run) if engine.NAME == "tensorflow" else run
    return partial(function, given.u, given.weights)


def _status(name: str) -> int:
    """A size in bytes of /proc/self/status."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return 1024 * int(line.split()[1])
    raise OSError(f"/proc/self/status has no {name}")


if __name__ == "__main__":
    main(sys.argv[1])
