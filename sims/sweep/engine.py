"""The loop of a sweep: hand out units, store what comes back, survive what goes wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from sims.store import Row, Store
from sims.sweep.ledger import Ledger
from sims.sweep.plan import Plan, check_positive
from sims.sweep.pool import Died, Gone, Pool
from sims.sweep.worker import Broken, Counted, Factory, Failed, Finished, Message, Unit

MAX_DEATHS = 3  # on one unit, or of workers that never got as far as one
TICK = 0.5  # seconds between two looks at the clock for the progress display


class SweepError(RuntimeError):
    """The sweep cannot go on; what was stored stays valid."""


class Observer(Protocol):
    """Who wants to know what happens, such as a progress display."""

    def observe(self, worker: int, event: Message | Died | Gone) -> None:
        """Hear of an event in the worker process of that id."""

    def tick(self) -> None:
        """Hear that time passes."""


class Workers(Protocol):
    """Who computes units, such as a pool of processes; started and ended as a context."""

    @property
    def free(self) -> int:
        """Number of workers that wait for a unit."""

    @property
    def busy(self) -> bool:
        """Whether a unit is being computed."""

    def submit(self, unit: Unit) -> None:
        """Give a unit to a free worker."""

    def events(self, timeout: float) -> Iterator[tuple[int, Message | Died | Gone]]:
        """Yield (worker, event) of what has happened, after at most `timeout` seconds."""

    def __enter__(self) -> Workers: ...

    def __exit__(self, *error: Any) -> None: ...


def run(
    plan: Plan,
    store: Store,
    factory: Factory,
    *,
    workers: int,
    observer: Observer | None = None,
    ledger: Ledger | None = None,
    log: Path | None = None,
    pool: Callable[[Factory, int, Path | None], Workers] = Pool,
) -> Ledger:
    """Compute what a plan still lacks and store it chunk by chunk.

    Args:
        plan: what to compute.
        store: where results are and go; rows of the plan that it holds are not computed again.
        factory: picklable, builds the evaluator in each worker process.
        workers: number of worker processes, at least 1; no more are started than can be of use.
        observer: hears of every event.
        log: file that takes the workers' standard error, tracebacks among it.
        pool: makes the workers from the factory, their number and the log.
        ledger: the plan's ledger, if the caller has made one of store.rows to look at meanwhile.

    Returns:
        The ledger: complete, except for tasks that failed.

    Raises:
        OSError: if the store or the log cannot be written.
        SweepError: if no worker can be kept running.
    """
    check_positive("workers", workers)
    ledger = ledger or Ledger(plan, store.rows)
    if ledger.exhausted():
        return ledger
    deaths: Counter[tuple[float, int] | None] = Counter()
    with pool(factory, min(workers, ledger.most_units), log) as crew:
        while True:
            _hand_out(crew, ledger)
            if not crew.busy and ledger.exhausted():
                return ledger
            for worker, event in crew.events(TICK):
                if isinstance(event, Died):
                    _bury(event, ledger, deaths)
                elif not isinstance(event, Gone):
                    _take(event, plan, store, ledger)
                if observer is not None:
                    observer.observe(worker, event)
            if observer is not None:
                observer.tick()


def _hand_out(crew: Workers, ledger: Ledger) -> None:
    for _ in range(crew.free):
        unit = ledger.next_unit()
        if unit is None:
            return
        crew.submit(unit)


def _take(event: Message, plan: Plan, store: Store, ledger: Ledger) -> None:
    if isinstance(event, Broken):
        raise SweepError(f"a worker could not build the link and its receivers:\n{event.reason}")
    if isinstance(event, Counted):
        row = _row(event, plan, ledger)
        if not ledger.fits(row):
            raise SweepError(
                f"a slot carries {row.bits} bits and {row.blocks} blocks now, those in "
                f"{store.path} carry {ledger.bits} and {ledger.blocks}: the link has changed "
                "since; give another output"
            )
        store.append(row)
        ledger.add(row)
    elif isinstance(event, Failed):
        ledger.fail(event.unit, event.label, event.reason)
    elif isinstance(event, Finished):
        ledger.release(event.unit)


def _row(event: Counted, plan: Plan, ledger: Ledger) -> Row:
    unit = event.unit
    contender = ledger.cells[event.label, unit.ebno_db].contender
    return Row(
        key=plan.key(contender, unit.ebno_db),
        chunk=unit.chunk,
        scenario=dict(plan.scenario),
        receiver=contender.name,
        options=dict(contender.options),
        revision=contender.revision,
        ebno_db=unit.ebno_db,
        seed=plan.seed,
        bits=event.bits,
        blocks=event.blocks,
        bit_errors=event.bit_errors,
        block_errors=event.block_errors,
        seconds=round(event.seconds, 4),
        versions=dict(plan.versions),
    )


def _bury(event: Died, ledger: Ledger, deaths: Counter[tuple[float, int] | None]) -> None:
    """Put the dead worker's unit back; give it up when it has taken several workers with it."""
    unit = event.unit
    place = None if unit is None else (unit.ebno_db, unit.chunk)
    deaths[place] += 1
    if unit is None:
        if deaths[place] >= MAX_DEATHS:
            raise SweepError(
                f"workers end before they begin ({event.how}); "
                "is there memory for so many? Try fewer --workers"
            )
        return
    ledger.release(unit)
    if deaths[place] >= MAX_DEATHS:
        reason = f"the worker process ended {MAX_DEATHS} times in this chunk ({event.how})"
        for label in unit.labels:
            if ledger.cells[label, unit.ebno_db].wants(unit.chunk):
                ledger.fail(unit, label, reason)
