"""What a sweep's steps cost, first calls told apart, and how long the rest may take."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Mapping

from sims.sweep.ledger import Cell, Ledger
from sims.sweep.pool import Died, Gone
from sims.sweep.worker import Begun, Counted, Finished, Message, Ready


class Timing:
    """Times of the steps of a sweep ("link" and the receivers' labels), from its events.

    The first call of a step in a worker compiles it, which takes seconds to a minute and says
    nothing about the others; `first` keeps the longest of those, `per_slot` the mean of the rest.
    """

    def __init__(self, num_slots: int, workers: int) -> None:
        self.first: dict[str, float] = {}
        self.calls: dict[str, int] = defaultdict(int)
        self.traces: dict[str, int] = {}
        self.doing: dict[int, Begun] = {}
        self.slots = 0
        self._ready: set[int] = set()
        self._total: dict[str, float] = defaultdict(float)
        self._num_slots = num_slots
        self._workers = workers
        self._start = time.monotonic()
        self._warm_since: float | None = None
        self._warm_slots = 0

    def observe(self, worker: int, event: Message | Died | Gone) -> None:
        """Take an event of a worker into account."""
        if isinstance(event, Ready):
            self._ready.add(worker)
        elif isinstance(event, Begun):
            self.doing[worker] = event
        elif isinstance(event, Counted):
            self._step(event.label, event.seconds, event.first)
        elif isinstance(event, Finished):
            self._step("link", event.seconds, event.first)
            self.slots += self._num_slots
            self._count_traces(event.traces)
            self.doing.pop(worker, None)
            if self._warm_since is None:
                self._warm_since = time.monotonic()
            else:
                self._warm_slots += self._num_slots
        elif isinstance(event, Died | Gone):
            self.doing.pop(worker, None)
            self._ready.discard(worker)

    def per_slot(self, step: str) -> float:
        """Seconds a slot, first calls left out; NaN before the second call."""
        calls = self.calls[step]
        return self._total[step] / calls / self._num_slots if calls else math.nan

    @property
    def rate(self) -> float:
        """Slots per second of all workers since the first unit was done; NaN before."""
        if self._warm_since is None or not self._warm_slots:
            return math.nan
        return self._warm_slots / (time.monotonic() - self._warm_since)

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._start

    def left(self, ledger: Ledger) -> float:
        """Seconds that the rest takes if errors go on as so far; NaN while that is unknown."""
        seconds, plan = 0.0, ledger.plan
        for ebno in plan.ebno_db:
            slots = {
                contender.label: expected_slots(ledger, ledger.cells[contender.label, ebno])
                for contender in plan.contenders
            }
            seconds += sum(count * self._cost(label) for label, count in slots.items() if count)
            if max(slots.values()):
                seconds += max(slots.values()) * self._cost("link")
        return seconds / max(1, min(self._workers, len(self._ready)))

    def _cost(self, step: str) -> float:
        steady = self.per_slot(step)
        if math.isnan(steady) and step in self.first:
            return self.first[step] / self._num_slots  # too much, until there is a second call
        return steady

    def _step(self, step: str, seconds: float, first: bool) -> None:
        if first:
            self.first[step] = max(seconds, self.first.get(step, 0.0))
        else:
            self._total[step] += seconds
            self.calls[step] += 1

    def _count_traces(self, traces: Mapping[str, int]) -> None:
        for step, count in traces.items():
            self.traces[step] = max(count, self.traces.get(step, 0))


def expected_slots(ledger: Ledger, cell: Cell) -> float:
    """Return the slots that a task is likely to need still."""
    if cell.next_chunk() is None and not cell.pending:
        return 0.0
    size = ledger.plan.slots_per_chunk
    limit = len(cell.open_chunks()) * size
    if not cell.errors:
        return float(limit)
    missing = ledger.plan.rule.target_block_errors - cell.errors
    own = limit / ((cell.max_chunks - cell.taken) * size)  # a shard does not do all of them
    return min(float(limit), own * missing * cell.taken * size / cell.errors)
