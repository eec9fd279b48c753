"""A whole sweep as a user starts it: from names to a result file, a table and plots."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.console import Console

from sims.plots import plot_rates
from sims.store import Store
from sims.sweep.engine import run
from sims.sweep.evaluator import SionnaFactory
from sims.sweep.ledger import Ledger
from sims.sweep.plan import Plan, StoppingRule, check_positive
from sims.sweep.progress import Progress
from sims.sweep.results import aligned, curves, table, write_csv
from sims.sweep.selection import choose_points, choose_receivers, choose_scenario, versions
from sims.sweep.timing import Timing
from sims.sweep.worker import Factory


@dataclass(frozen=True)
class Job:
    """A sweep in the user's words.

    Args:
        scenario: a preset's name or the fields of a Scenario.
        overrides: `field=value` texts that change the scenario.
        receivers: names, with options behind a colon, see `choose_receivers`.
        ebno_db: numbers or start:stop:step in dB, see `choose_points`.
        rule: when a point stops.
        slots_per_chunk, seed: see Plan.
        out: the results go to `<out>.jsonl`, `.csv`, `.txt`, `.png` and `.svg`; None: to
            results/<scenario>.
        workers: processes; None: as many as cores.
        target_bler: BLER at which receivers are compared, between 0 and 1.
        reference: receiver, as in `receivers`, over which gains are taken; None: the first of
            them that is not a genie.
        plot: whether to draw.
    """

    scenario: str | Mapping[str, Any]
    receivers: Sequence[str]
    ebno_db: Sequence[str | float]
    overrides: Sequence[str] = ()
    rule: StoppingRule = field(default_factory=StoppingRule)
    slots_per_chunk: int = 32
    seed: int = 0
    out: str | None = None
    workers: int | None = None
    target_bler: float = 0.1
    reference: str | None = None
    plot: bool = True


@dataclass(frozen=True)
class Sweep:
    """A job whose names are resolved: what `execute` needs. `reference` is a label."""

    plan: Plan
    factory: Factory
    out: Path
    workers: int = 1
    target_bler: float = 0.1
    reference: str | None = None
    plot: bool = True


def make_sweep(job: Job) -> Sweep:
    """Resolve a job's names.

    Raises:
        ValueError, TypeError: if it asks for something that does not exist or fit.
    """
    workers = os.cpu_count() or 1 if job.workers is None else job.workers
    check_positive("workers", workers)
    if not 0 < job.target_bler < 1:
        raise ValueError(f"target_bler must lie between 0 and 1, got {job.target_bler}")
    scenario = choose_scenario(job.scenario, job.overrides)
    contenders = choose_receivers(job.receivers, scenario)
    plan = Plan(scenario.to_dict(), contenders, choose_points(job.ebno_db), job.rule,
                job.slots_per_chunk, job.seed, versions())
    factory = SionnaFactory(plan.scenario, {
        contender.label: (contender.name, contender.options) for contender in contenders})
    out = Path(job.out if job.out is not None else f"results/{scenario.name}")
    return Sweep(plan, factory, out, workers, job.target_bler, _reference(job, plan), job.plot)


def execute(sweep: Sweep, console: Console) -> int:
    """Compute what a sweep still lacks and leave its files.

    The table, and what the files hold, are there after an interruption too, before it goes on to
    the caller.

    Args:
        sweep: what to do; the numerics are the factory's.
        console: where progress and the table go.

    Returns:
        The exit code: 0, or 1 if a receiver failed.

    Raises:
        OSError: if the results cannot be written.
        SweepError: if no worker can be kept running.
    """
    with Store(_suffixed(sweep.out, ".jsonl")) as store:
        for problem in store.problems:
            _say(console, problem)
        ledger = Ledger(sweep.plan, store.rows)
        before = sum(len(cell.stored) for cell in ledger.cells.values())
        if before:
            _say(console, f"{before} chunks are there already in {store.path}")
        progress = Progress(ledger, sweep.workers, console)
        try:
            with progress:
                run(sweep.plan, store, sweep.factory, workers=sweep.workers, observer=progress,
                    ledger=ledger)
        finally:
            _leave(sweep, ledger, console)
    if progress.timing.first:
        _say(console, _times(progress.timing))
    return _report_failures(ledger, console)


def _leave(sweep: Sweep, ledger: Ledger, console: Console) -> None:
    """Print the table and write the files that derive from the counts."""
    shown = table(ledger, target=sweep.target_bler, reference=sweep.reference)
    _say(console, shown)
    _suffixed(sweep.out, ".txt").write_text(shown + "\n", encoding="utf-8")
    write_csv(ledger, _suffixed(sweep.out, ".csv"))
    suffixes = ["jsonl", "csv", "txt"]
    if sweep.plot:
        _draw(ledger, sweep.out)
        suffixes += ["png", "svg"]
    _say(console, f"results: {sweep.out}.{{{','.join(suffixes)}}}"
         + ("" if ledger.done else "   (* not finished)"))


def _draw(ledger: Ledger, out: Path) -> None:
    figure = Figure(figsize=(13, 5.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 2)
    name = ledger.plan.scenario.get("name", "")
    for one, quantity in zip(axes, ("bler", "ber"), strict=True):
        plot_rates(one, curves(ledger, quantity), quantity=quantity, title=f"Scenario {name}")
    axes[0].get_legend().remove()  # both halves have the same
    for suffix in (".png", ".svg"):
        figure.savefig(_suffixed(out, suffix), dpi=150)


def _times(timing: Timing) -> str:
    """Write what the steps cost: first calls compile, the others do not."""
    rows = [["time in a worker", "first call (s)", "then (ms/slot)", "traces"]]
    for step, first in timing.first.items():
        rows.append([step, f"{first:.1f}", f"{1e3 * timing.per_slot(step):.3g}",
                     str(timing.traces.get(step, ""))])
    retraced = [step for step, count in timing.traces.items() if count > 1]
    warning = f"\ntraced more than once, which costs time: {', '.join(retraced)}"
    return aligned(rows) + (warning if retraced else "")


def _report_failures(ledger: Ledger, console: Console) -> int:
    """Print each reason once, with the tasks it befell; return the exit code."""
    befell: dict[str, list[str]] = {}
    for (label, ebno), cell in ledger.cells.items():
        if cell.failure is not None:
            befell.setdefault(cell.failure, []).append(f"{label} at {ebno:g} dB")
    for reason, tasks in befell.items():
        _say(console, f"failed: {', '.join(tasks)}\n{reason}")
    return 1 if befell else 0


def _reference(job: Job, plan: Plan) -> str | None:
    if job.reference is None:
        return next((c.label for c in plan.contenders if not c.genie), None)
    if job.reference not in job.receivers:
        raise ValueError(f"reference must be one of the receivers {', '.join(job.receivers)}, "
                         f"got {job.reference!r}")
    return plan.contenders[list(job.receivers).index(job.reference)].label


def _suffixed(out: Path, suffix: str) -> Path:
    # Not with_suffix: a name such as snr1.5 has no suffix to lose.
    return out.with_name(out.name + suffix)


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
