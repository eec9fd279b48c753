"""A link in pure NumPy for the sweep engine, and a sweep of it as a process of its own."""

from __future__ import annotations

import argparse
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sims.sweep import Contender, Plan, StoppingRule

BITS, BLOCKS = 120, 2
# Receivers differ by how many dB they lose; errors are a function of the slot's fade and noise.
LOSS_DB = {
    "good": 0.0,
    "poor": 3.0,
    "slow": 1.0,
    "raises": 0.0,
    "kills": 0.0,
    "dies_once": 0.0,
    "miscounts": 0.0,
    "nan": 0.0,
    "too_many": 0.0,
}


class NumpyEvaluator:
    """Fading slots with two blocks each; a block is lost if its fade plus noise is too low."""

    bits, blocks = BITS, BLOCKS

    def __init__(self, seconds: float, scratch: str) -> None:
        self._seconds = seconds
        self._scratch = Path(scratch)

    def simulate(self, ebno_db: float, seed: int, num_slots: int) -> NDArray[np.float64]:
        time.sleep(self._seconds)
        if ebno_db > 90:
            raise ArithmeticError("no slots up there")
        rng = np.random.default_rng(seed)
        fade = 10 * np.log10(rng.exponential(size=(num_slots, 1)))
        return ebno_db + fade + 0.3 * rng.standard_normal((num_slots, BLOCKS))

    def count(
        self, label: str, slots: NDArray[np.float64], seed: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        if label == "raises" and slots.mean() > 3:
            raise RuntimeError("it is too bright")
        if label == "kills" or (label == "dies_once" and self._is_first_time()):
            os.kill(os.getpid(), signal.SIGKILL)
        if label == "miscounts":
            return np.zeros(3, int), np.zeros(3, int)
        if label == "nan":
            return np.where(np.arange(len(slots)) % 5 == 2, np.nan, 0.0), np.zeros(len(slots))
        if label == "too_many":
            return np.full(len(slots), BITS + 1), np.zeros(len(slots))
        lost = slots - LOSS_DB[label] < 0
        bits = np.random.default_rng(seed + 1).integers(1, BITS // BLOCKS, lost.shape)
        return (bits * lost).sum(axis=1), lost.sum(axis=1)

    def traces(self) -> Mapping[str, int]:
        return {}

    def _is_first_time(self) -> bool:
        mark = self._scratch / "died"
        if mark.exists():
            return False
        mark.touch()
        return True


@dataclass(frozen=True)
class NumpyFactory:
    """Builds the evaluator; `seconds` is what a chunk takes."""

    seconds: float = 0.0
    scratch: str = "."

    def __call__(self) -> NumpyEvaluator:
        return NumpyEvaluator(self.seconds, self.scratch)


def unbuildable() -> NumpyEvaluator:
    raise LookupError("no such link")


def dying() -> NumpyEvaluator:
    os._exit(7)


def make_plan(
    *labels: str,
    ebno_db: tuple[float, ...] = (0.0, 4.0, 8.0),
    seed: int = 0,
    rule: StoppingRule | None = None,
) -> Plan:
    contenders = tuple(Contender(label, slow=label == "slow") for label in labels)
    return Plan(
        {"name": "numpy"},
        contenders,
        ebno_db,
        rule or StoppingRule(target_block_errors=40, max_slots=160, max_slots_slow=32),
        slots_per_chunk=16,
        seed=seed,
    )


def main() -> int:
    """Sweep as the arguments say; `--bare` goes without table and plots, and starts sooner."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("workers", type=int)
    parser.add_argument("--seconds", type=float, default=0.05)
    parser.add_argument("--max-slots", type=int, default=160)
    parser.add_argument("--target", type=int, default=40)
    parser.add_argument("--bare", action="store_true")
    parser.add_argument("--cluster")
    given = parser.parse_args()
    rule = StoppingRule(given.target, given.max_slots, 32)
    plan, factory = make_plan("good", "poor", rule=rule), NumpyFactory(given.seconds)
    if given.bare:
        from sims.store import Store
        from sims.sweep import run

        with Store(Path(f"{given.out}.jsonl")) as store:
            return not run(plan, store, factory, workers=given.workers).done
    from rich.console import Console

    from sims.sweep.execution import Sweep, execute

    sweep = Sweep(plan, factory, given.out, given.workers, plot=False, cluster=given.cluster)
    return execute(sweep, Console())


if __name__ == "__main__":
    # Here, so that a worker, which imports this file too, starts at once.
    raise SystemExit(main())
