"""What happens in a sweep, for programs: one JSON object a line.

Every line has "event" and "seconds" since the start. The events are

- `start`: scenario, receivers, ebno_db, points, stored_chunks, workers, results (the file);
- `chunk`: receiver, ebno_db, chunk, slots, bit_errors, block_errors, of a chunk just stored;
- `point`: receiver, ebno_db, slots, block_errors, bler, bler_low, bler_high, bit_errors, ber,
  ber_low, ber_high, of a point that has met the stopping rule, before the start too;
- `failure`: receiver, ebno_db, chunk, reason; the others go on;
- `worker_ended`: ebno_db, chunk (null if it had none), exit_code; it is replaced;
- `end`: points, points_done, points_failed, slots_simulated, chunks_stored, reason (null, or why
  the sweep stopped early).

Rates are those of the point's result, with 95 % intervals over slots.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import TracebackType
from typing import TextIO

import numpy as np

from sims.statistics import error_rate
from sims.sweep.engine import Observer
from sims.sweep.ledger import Ledger
from sims.sweep.pool import Died, Gone
from sims.sweep.worker import Counted, Failed, Finished, Message


class Events:
    """Writes a sweep's events as JSON Lines; hears of them as an Observer.

    Args:
        ledger: the sweep that is watched.
        workers: how many processes work on it.
        results: the file where its counts go.
        stream: where the lines go; each is flushed.
    """

    def __init__(self, ledger: Ledger, workers: int, results: Path, stream: TextIO) -> None:
        self._ledger, self._workers, self._results = ledger, workers, results
        self._stream = stream
        self._start = time.monotonic()
        self._slots = 0
        self._told: set[tuple[str, float]] = set()

    def observe(self, worker: int, event: Message | Died | Gone) -> None:
        """Write what an event says."""
        del worker
        if isinstance(event, Counted):
            self._write(
                "chunk",
                receiver=event.label,
                ebno_db=event.unit.ebno_db,
                chunk=event.unit.chunk,
                slots=event.unit.num_slots,
                bit_errors=sum(event.bit_errors),
                block_errors=sum(event.block_errors),
            )
            self._tell_of_points()
        elif isinstance(event, Failed):
            self._write(
                "failure",
                receiver=event.label,
                ebno_db=event.unit.ebno_db,
                chunk=event.unit.chunk,
                reason=event.reason,
            )
        elif isinstance(event, Finished):
            self._slots += self._ledger.plan.slots_per_chunk
        elif isinstance(event, Died):
            unit = event.unit
            self._write(
                "worker_ended",
                ebno_db=None if unit is None else unit.ebno_db,
                chunk=None if unit is None else unit.chunk,
                exit_code=event.exit_code,
            )

    def tick(self) -> None:
        """Time passing is no event."""

    def __enter__(self) -> Events:
        plan = self._ledger.plan
        self._write(
            "start",
            scenario=plan.scenario.get("name"),
            receivers=[contender.label for contender in plan.contenders],
            ebno_db=list(plan.ebno_db),
            points=len(self._ledger.cells),
            stored_chunks=self._ledger.num_stored,
            workers=self._workers,
            results=str(self._results),
        )
        self._tell_of_points()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        cells = self._ledger.cells.values()
        self._write(
            "end",
            points=len(cells),
            points_done=sum(cell.done for cell in cells),
            points_failed=sum(cell.failure is not None for cell in cells),
            slots_simulated=self._slots,
            chunks_stored=self._ledger.num_stored,
            reason=None if kind is None else (str(error) or kind.__name__),
        )

    def _tell_of_points(self) -> None:
        """Write each point once, when it has met the stopping rule."""
        for place, cell in self._ledger.cells.items():
            if not cell.done or place in self._told:
                continue
            self._told.add(place)
            blocks = error_rate(np.array(cell.block_errors), self._ledger.blocks)
            bits = error_rate(np.array(cell.bit_errors), self._ledger.bits)
            self._write(
                "point",
                receiver=place[0],
                ebno_db=place[1],
                slots=len(cell.block_errors),
                block_errors=cell.errors,
                bler=blocks.value,
                bler_low=blocks.low,
                bler_high=blocks.high,
                bit_errors=sum(cell.bit_errors),
                ber=bits.value,
                ber_low=bits.low,
                ber_high=bits.high,
            )

    def _write(self, event: str, **fields: object) -> None:
        line = {"event": event, "seconds": round(time.monotonic() - self._start, 3), **fields}
        self._stream.write(json.dumps(line, allow_nan=False) + "\n")
        self._stream.flush()


class Both:
    """Two observers as one; the first hears first."""

    def __init__(self, first: Observer, second: Observer) -> None:
        self._observers = (first, second)

    def observe(self, worker: int, event: Message | Died | Gone) -> None:
        """Hand an event on."""
        for observer in self._observers:
            observer.observe(worker, event)

    def tick(self) -> None:
        """Hand on that time passes."""
        for observer in self._observers:
            observer.tick()
