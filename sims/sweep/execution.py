"""A sweep from its plan to a result file, a table and plots."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.console import Console

from sims.plots import plot_rates
from sims.store import Store, read
from sims.sweep.engine import Observer, SweepError, Workers, run
from sims.sweep.events import Both, Events
from sims.sweep.kept import unused
from sims.sweep.ledger import Ledger
from sims.sweep.plan import Plan
from sims.sweep.pool import Died, Gone, Pool
from sims.sweep.progress import Progress
from sims.sweep.results import aligned, curves, table, write_csv
from sims.sweep.shard import Neighbours, Shard
from sims.sweep.timing import Timing
from sims.sweep.worker import Factory, Message


@dataclass(frozen=True)
class Sweep:
    """A plan, what evaluates it, and where the results go.

    Args:
        plan: what to compute.
        factory: picklable, builds the evaluator in each worker process.
        out: results go to `<out>.jsonl`, `.csv`, `.txt`, `.png` and `.svg`, what workers write to
            standard error to `<out>.log`.
        workers: number of processes, at least 1.
        targets: quantity, "bler" or "ber" -> the rate, between 0 and 1, at which receivers are
            compared; the table and the plot show these quantities.
        reference: label of the receiver over which gains are taken; None: no gains.
        plot: whether to draw.
        title: stands over the plot.
        shard: the part of the sweep that this process computes; None: all of it.
        cluster: None: the workers are processes of this one; "local" or tcp://host:port: those of
            a Dask cluster, see ClusterPool.
    """

    plan: Plan
    factory: Factory
    out: Path
    workers: int = 1
    targets: Mapping[str, float] = field(default_factory=lambda: {"bler": 0.1, "ber": 0.01})
    reference: str | None = None
    plot: bool = True
    title: str = ""
    shard: Shard | None = None
    cluster: str | None = None


def execute(sweep: Sweep, console: Console, events: TextIO | None = None) -> int:
    """Compute what a sweep still lacks and leave its files.

    The table, and what the files hold, are there after an interruption too, before it goes on to
    the caller.

    Args:
        sweep: what to do; the numerics are the factory's.
        console: where progress and the table go.
        events: where events go as JSON Lines, see `sims.sweep.events`; None: nowhere.

    Returns:
        The exit code: 0, or 1 if a receiver failed.

    Raises:
        OSError: if the results cannot be written.
        SweepError: if no worker can be kept running.

    Notes:
        What is raised carries a note where a part of the results is stored.
    """
    with Store(_suffixed(sweep.out, ".jsonl")) as store:
        for problem in store.problems:
            _say(console, problem)
        ledger = _ledger(sweep, store, console)
        progress = Progress(ledger, sweep.workers, console)
        observer: Observer = progress
        if sweep.shard is not None:
            neighbours = Neighbours(sweep.shard, sweep.out, ledger)
            neighbours.look()
            observer = _Looking(progress, neighbours)
        watching = ExitStack()
        watching.enter_context(progress)
        if events is not None:
            told = Events(ledger, sweep.workers, store.path, events)
            watching.enter_context(told)
            observer = Both(observer, told)
        with _noting_what_is_kept(sweep.plan, store.path):
            try:
                with watching:
                    run(
                        sweep.plan,
                        store,
                        sweep.factory,
                        workers=sweep.workers,
                        observer=observer,
                        ledger=ledger,
                        log=_suffixed(sweep.out, ".log"),
                        pool=_pool(sweep.cluster),
                    )
            except BaseException:
                with suppress(OSError):  # the first reason is the one to hear of
                    _leave(sweep, ledger, console)
                raise
            _leave(sweep, ledger, console)
    if progress.timing.first:
        _say(console, _times(progress.timing))
    if sweep.shard is not None:
        _say(console, _what_next(sweep.shard, sweep.out))
    return _report_failures(sweep, ledger, console)


def _ledger(sweep: Sweep, store: Store, console: Console) -> Ledger:
    """Take in what the store holds, and say what of it is of no use."""
    rows = store.rows
    for problem in [*store.problems, *unused(sweep.plan, rows)]:
        _say(console, problem)
    ledger = Ledger(sweep.plan, rows, None if sweep.shard is None else sweep.shard.owns)
    if ledger.num_stored:
        _say(console, f"{ledger.num_stored} chunks are there already in {store.path}")
    return ledger


@dataclass(frozen=True)
class _Looking:
    """An observer that also looks at what other shards have stored."""

    progress: Progress
    neighbours: Neighbours

    def observe(self, worker: int, event: Message | Died | Gone) -> None:
        self.progress.observe(worker, event)

    def tick(self) -> None:
        self.neighbours.look()
        self.progress.tick()


def _what_next(shard: Shard, out: Path) -> str:
    whole = shard.whole(out)
    return (
        f"shard {shard.index} of {shard.count} is done; once all are:\n"
        f"  scripts/merge.py {whole}.shard*of{shard.count}.jsonl --out {whole}\n"
        f"and then the same command without --shard, with --out {whole}"
    )


def _pool(cluster: str | None) -> Callable[[Factory, int, Path | None], Workers]:
    if cluster is None:
        return Pool
    from sims.sweep.cluster import ClusterPool  # Dask need not be there unless it is asked for

    return functools.partial(ClusterPool, cluster=cluster)


@contextmanager
def _noting_what_is_kept(plan: Plan, path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, SweepError, KeyboardInterrupt) as error:
        # From the file: an interruption may come between a row's writing and its counting.
        with suppress(OSError):
            if Ledger(plan, read([path]).rows).num_stored:
                error.add_note("What was stored is kept.")
        raise


def _leave(sweep: Sweep, ledger: Ledger, console: Console) -> None:
    """Write the files that derive from the counts, and print the table."""
    shown = "\n\n".join(
        table(ledger, quantity, target=target, reference=sweep.reference)
        for quantity, target in sweep.targets.items()
    )
    _say(console, shown)  # first, as there may be no room for files
    _suffixed(sweep.out, ".txt").write_text(shown + "\n", encoding="utf-8")
    write_csv(ledger, _suffixed(sweep.out, ".csv"))
    suffixes = ["jsonl", "csv", "txt"]
    if sweep.plot:
        _draw(ledger, sweep)
        suffixes += ["png", "svg"]
    _say(
        console,
        f"results: {sweep.out}.{{{','.join(suffixes)}}}"
        + ("" if ledger.done else "   (* not finished)"),
    )


def _draw(ledger: Ledger, sweep: Sweep) -> None:
    quantities = tuple(sweep.targets)
    figure = Figure(figsize=(3.6 + 4.7 * len(quantities), 5.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(quantities), squeeze=False)[0]
    figure.suptitle(sweep.title)
    for one, quantity in zip(axes, quantities, strict=True):
        plot_rates(one, curves(ledger, quantity), quantity=quantity)
    for one in axes[:-1]:
        one.get_legend().remove()  # all have the same
    for suffix in (".png", ".svg"):
        figure.savefig(_suffixed(sweep.out, suffix), dpi=150)


def _times(timing: Timing) -> str:
    """Write what the steps cost: first calls compile, the others do not."""
    rows = [["time in a worker", "first call (s)", "then (ms/slot)", "traces"]]
    for step, first in timing.first.items():
        rows.append(
            [
                step,
                f"{first:.1f}",
                f"{1e3 * timing.per_slot(step):.3g}" if timing.calls[step] else "-",
                str(timing.traces.get(step, "")),
            ]
        )
    retraced = [step for step, count in timing.traces.items() if count > 1]
    warning = f"\ntraced more than once, which costs time: {', '.join(retraced)}"
    return aligned(rows) + (warning if retraced else "")


def _report_failures(sweep: Sweep, ledger: Ledger, console: Console) -> int:
    """Print each reason once, with the tasks it befell; return the exit code."""
    befell: dict[str, list[str]] = {}
    for (label, ebno), cell in ledger.cells.items():
        if cell.failure is not None:
            befell.setdefault(cell.failure, []).append(f"{label} at {ebno:g} dB")
    for reason, tasks in befell.items():
        _say(console, f"failed: {', '.join(tasks)}: {reason}")
    if befell:
        remote = sweep.cluster not in (None, "local")
        where = "the output of the cluster's workers" if remote else _suffixed(sweep.out, ".log")
        _say(
            console,
            f"tracebacks are in {where}; once the cause is removed, the same command "
            "computes what is missing",
        )
    return 1 if befell else 0


def _suffixed(out: Path, suffix: str) -> Path:
    # Not with_suffix: a name such as snr1.5 has no suffix to lose.
    return out.with_name(out.name + suffix)


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
