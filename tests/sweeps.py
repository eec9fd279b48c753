"""What the tests of sweeps share: a log of events, results as values, sweeps as processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy_sweep import NumpyEvaluator, NumpyFactory
from rich.console import Console

from sims.store import Row, Store
from sims.sweep import Contender, Ledger, Plan, run
from sims.sweep.execution import Sweep, execute
from sims.sweep.pool import Died
from sims.sweep.timing import Timing
from sims.sweep.worker import Counted, Message
from tests.workers import hear_ctrl_c

HERE = Path(__file__).parent


@dataclass
class Log:
    """Remembers events; kills workers if told to, after every so many results."""

    events: list[tuple[int, Message | Died]] = field(default_factory=list)
    kill_every: int = 0
    timing: Timing | None = None
    counted: int = 0

    def observe(self, worker: int, event: Message | Died) -> None:
        self.events.append((worker, event))
        if self.timing is not None:
            self.timing.observe(worker, event)
        self.counted += isinstance(event, Counted)
        if self.kill_every and isinstance(event, Counted) and self.counted % self.kill_every == 0:
            os.kill(worker, signal.SIGKILL)

    def tick(self) -> None:
        return


Result = dict[tuple[str, float], tuple[bool, list[int], list[int]]]


def results(ledger: Ledger) -> Result:
    return {
        place: (cell.done, cell.bit_errors, cell.block_errors)
        for place, cell in ledger.cells.items()
    }


def swept(
    path: Path, plan: Plan, workers: int = 1, log: Log | None = None, **options: object
) -> Ledger:
    with Store(path) as store:
        return run(
            plan,
            store,
            NumpyFactory(scratch=str(path.parent), **options),
            workers=workers,
            observer=log,
        )


def in_process(plan: Plan, order: np.random.Generator | None = None) -> Ledger:
    """The plan's results by a loop without processes, chunks computed in any order."""
    evaluator = NumpyEvaluator(0.0, ".")
    rows = [
        row_of(plan, evaluator, contender, ebno, chunk)
        for contender in plan.contenders
        for ebno in plan.ebno_db
        for chunk in range(plan.rule.chunks(False, plan.slots_per_chunk) + 2)
    ]
    if order is not None:
        order.shuffle(rows)  # type: ignore[arg-type]
    return Ledger(plan, rows)


def row_of(
    plan: Plan, evaluator: NumpyEvaluator, contender: Contender, ebno: float, chunk: int
) -> Row:
    seed = plan.chunk_seed(ebno, chunk)
    bits, blocks = evaluator.count(
        contender.name, evaluator.simulate(ebno, seed, plan.slots_per_chunk), seed
    )
    return Row(
        plan.key(contender, ebno),
        chunk,
        dict(plan.scenario),
        contender.name,
        {},
        1,
        ebno,
        plan.seed,
        evaluator.bits,
        evaluator.blocks,
        bits.tolist(),
        blocks.tolist(),
        0.0,
        {},
    )


def started(out: Path, workers: int, *options: str) -> subprocess.Popen[str]:
    """Start the sweep of numpy_sweep.py as a process of its own."""
    return subprocess.Popen(
        [sys.executable, str(HERE / "numpy_sweep.py"), str(out), str(workers), *options],
        cwd=HERE.parent,
        env=os.environ | {"PYTHONPATH": str(HERE.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_ctrl_c,
    )


def wait_for_rows(process: subprocess.Popen[str], path: Path, number: int) -> None:
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        if path.exists() and path.read_bytes().count(b"\n") >= number:
            return
        time.sleep(0.005)


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def executed(sweep: Sweep, tmp_path: Path) -> tuple[int, str]:
    with open(tmp_path / "log", "w+", encoding="utf-8") as file:
        code = execute(sweep, Console(file=file, width=80))
        file.seek(0)
        return code, file.read()
