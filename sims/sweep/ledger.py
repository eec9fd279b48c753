"""The state of a sweep: which chunks are there, which points are done, what comes next."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sims.store import Row
from sims.sweep.plan import Contender, Plan
from sims.sweep.worker import Unit


@dataclass
class Cell:
    """One task: a receiver at one Eb/N0.

    `bit_errors` and `block_errors` hold the slots of the chunks 0 .. `taken` - 1, which are the
    result as far as it is known; chunks beyond them wait in `stored`.
    """

    contender: Contender
    ebno_db: float
    max_chunks: int
    stored: dict[int, Row] = field(default_factory=dict)
    pending: set[int] = field(default_factory=set)
    taken: int = 0
    done: bool = False
    failure: str | None = None
    bit_errors: list[int] = field(default_factory=list)
    block_errors: list[int] = field(default_factory=list)
    errors: int = 0

    def add(self, row: Row, target: int) -> None:
        """Take a row in; the result grows by the chunks that now follow on, up to its stop."""
        self.stored[row.chunk] = row
        while not self.done and self.taken in self.stored:
            chunk = self.stored[self.taken]
            self.bit_errors += chunk.bit_errors
            self.block_errors += chunk.block_errors
            self.errors += sum(chunk.block_errors)
            self.taken += 1
            self.done = self.errors >= target or self.taken >= self.max_chunks

    def next_chunk(self) -> int | None:
        """Return the first chunk that is neither there nor under way, if one is wanted."""
        if self.done or self.failure is not None:
            return None
        return next(
            (chunk for chunk in range(self.taken, self.max_chunks) if self._lacks(chunk)), None
        )

    def wants(self, chunk: int) -> bool:
        """Say whether the task still needs this chunk."""
        return (
            not self.done
            and self.failure is None
            and self.taken <= chunk < self.max_chunks
            and self._lacks(chunk)
        )

    def _lacks(self, chunk: int) -> bool:
        return chunk not in self.stored and chunk not in self.pending


class Ledger:
    """Chunks of a plan that are known, and the order in which to compute the others.

    A task's result depends on nothing but its own chunks in their order, so neither the order of
    work, nor the number of workers, nor the other receivers' stopping can move it.

    Args:
        plan: what is to be computed.
        rows: what was computed before; rows of other tasks are left aside.
    """

    def __init__(self, plan: Plan, rows: Iterable[Row] = ()) -> None:
        self.plan = plan
        self.bits = 0
        self.blocks = 0
        self.cells = {
            (contender.label, ebno): Cell(
                contender, ebno, plan.rule.chunks(contender.slow, plan.slots_per_chunk)
            )
            for contender in plan.contenders
            for ebno in plan.ebno_db
        }
        self._by_key = {
            plan.key(cell.contender, cell.ebno_db): cell for cell in self.cells.values()
        }
        self._under_way: dict[float, int] = dict.fromkeys(plan.ebno_db, 0)
        for row in rows:
            self.add(row)

    @property
    def done(self) -> bool:
        """Whether every task has met the stopping rule."""
        return all(cell.done for cell in self.cells.values())

    @property
    def num_stored(self) -> int:
        """Number of chunks of the plan's tasks that are there."""
        return sum(len(cell.stored) for cell in self.cells.values())

    def exhausted(self) -> bool:
        """Whether nothing is left to hand out: tasks are done, given up or under way."""
        return all(cell.next_chunk() is None for cell in self.cells.values())

    @property
    def most_units(self) -> int:
        """How many units are still to be computed if no point stops early."""
        return sum(
            max(cell.max_chunks - cell.taken for cell in self._at(ebno) if not cell.done)
            for ebno in self.plan.ebno_db
            if not all(cell.done for cell in self._at(ebno))
        )

    def add(self, row: Row) -> bool:
        """Take a row in; False if it belongs to no task of this plan."""
        cell = self._by_key.get(row.key)
        if cell is None or len(row.bit_errors) != self.plan.slots_per_chunk:
            return False
        self.bits, self.blocks = row.bits, row.blocks
        cell.pending.discard(row.chunk)
        cell.add(row, self.plan.rule.target_block_errors)
        return True

    def fail(self, unit: Unit, label: str, reason: str) -> None:
        """Give a task up; what it has stays."""
        cell = self.cells[label, unit.ebno_db]
        cell.pending.discard(unit.chunk)
        cell.failure = reason

    def next_unit(self) -> Unit | None:
        """Choose the next unit and count it as under way; None if all that is wanted is.

        Points take turns, early chunks first, so that an interrupted sweep shows whole curves;
        a point that is being worked on waits, because its next chunk may not be needed.
        """
        choices: list[tuple[int, int, int, float]] = []
        for position, ebno in enumerate(self.plan.ebno_db):
            chunks = [cell.next_chunk() for cell in self._at(ebno)]
            wanted = [chunk for chunk in chunks if chunk is not None]
            if wanted:
                choices.append((self._under_way[ebno], min(wanted), position, ebno))
        if not choices:
            return None
        _, chunk, _, ebno = min(choices)
        cells = [cell for cell in self._at(ebno) if cell.wants(chunk)]
        for cell in cells:
            cell.pending.add(chunk)
        self._under_way[ebno] += 1
        return Unit(
            ebno,
            chunk,
            self.plan.chunk_seed(ebno, chunk),
            self.plan.slots_per_chunk,
            tuple(cell.contender.label for cell in cells),
        )

    def release(self, unit: Unit) -> None:
        """Count a unit as no longer under way; what it did not deliver is wanted again."""
        self._under_way[unit.ebno_db] -= 1
        for label in unit.labels:
            self.cells[label, unit.ebno_db].pending.discard(unit.chunk)

    def _at(self, ebno_db: float) -> list[Cell]:
        return [self.cells[contender.label, ebno_db] for contender in self.plan.contenders]
