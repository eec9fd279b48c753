"""The state of a sweep: which chunks are there, which points are done, what comes next."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from sims.store import Row
from sims.sweep.plan import Contender, Plan
from sims.sweep.worker import Unit

# A shard that does not see the others' chunks takes its own for typical, with this much to spare.
MARGIN = 1.5


def _owned(owns: Callable[[int], bool], first: int, chunk: int) -> bool:
    return owns(first + chunk)


def _counts() -> array[int]:
    return array("q")  # a fifth of a list's memory


@dataclass
class Cell:
    """One task: a receiver at one Eb/N0.

    `bit_errors` and `block_errors` hold the slots of the chunks 0 .. `taken` - 1, which are the
    result as far as it is known; chunks beyond them wait in `ahead`.
    """

    contender: Contender
    ebno_db: float
    max_chunks: int
    target: int
    is_mine: Callable[[int], bool] | None = None  # None: all chunks are
    ahead: dict[int, tuple[array[int], array[int]]] = field(default_factory=dict)
    pending: set[int] = field(default_factory=set)
    taken: int = 0
    done: bool = False
    failure: str | None = None
    bit_errors: array[int] = field(default_factory=_counts)
    block_errors: array[int] = field(default_factory=_counts)
    errors: int = 0

    def add(self, row: Row) -> None:
        """Take a row in; the result grows by the chunks that now follow on, up to its stop."""
        if self.has(row.chunk):
            return
        self.ahead[row.chunk] = array("q", row.bit_errors), array("q", row.block_errors)
        while not self.done and self.taken in self.ahead:
            bit_errors, block_errors = self.ahead.pop(self.taken)
            self.bit_errors += bit_errors
            self.block_errors += block_errors
            self.errors += sum(block_errors)
            self.taken += 1
            self.done = self.errors >= self.target or self.taken >= self.max_chunks

    @property
    def num_stored(self) -> int:
        """Number of chunks that are there."""
        return self.taken + len(self.ahead)

    def has(self, chunk: int) -> bool:
        """Say whether a chunk is there."""
        return chunk < self.taken or chunk in self.ahead

    def open_chunks(self) -> list[int]:
        """Return the chunks that this process is to compute if the point does not stop early."""
        if self.done or self.failure is not None:
            return []
        chunks = range(self.taken, self.max_chunks)
        return [chunk for chunk in chunks if self._owns(chunk) and chunk not in self.ahead]

    def next_chunk(self) -> int | None:
        """Return the first chunk that is neither there nor under way, if one is wanted."""
        if self.done or self.failure is not None:
            return None
        chunks = range(self.taken, self.max_chunks)
        first = next((chunk for chunk in chunks if self._is_free(chunk)), None)
        return None if first is None or self._is_beyond_the_stop(first) else first

    def wants(self, chunk: int) -> bool:
        """Say whether the task still needs this chunk."""
        return (
            not self.done
            and self.failure is None
            and self.taken <= chunk < self.max_chunks
            and self._is_free(chunk)
            and not self._is_beyond_the_stop(chunk)
        )

    def _owns(self, chunk: int) -> bool:
        return self.is_mine is None or self.is_mine(chunk)

    def _is_free(self, chunk: int) -> bool:
        return self._owns(chunk) and chunk not in self.ahead and chunk not in self.pending

    def _is_beyond_the_stop(self, chunk: int) -> bool:
        """Say whether the chunks before this one already hold the errors that stop the point.

        Those that are there decide. What a shard does not see is guessed, on the safe side; if
        the guess is wrong, the whole sweep finds the chunk missing and computes it.
        """
        before = [counts for other, (_, counts) in self.ahead.items() if other < chunk]
        known, errors = self.taken + len(before), self.errors + sum(map(sum, before))
        if errors >= self.target:
            return True
        guess = errors * chunk / known if known and self.is_mine is not None else 0.0
        return guess >= MARGIN * self.target


class Ledger:
    """Chunks of a plan that are known, and the order in which to compute the others.

    A task's result depends on nothing but its own chunks in their order, so neither the order of
    work, nor the number of workers, nor the other receivers' stopping can move it.

    Args:
        plan: what is to be computed.
        rows: what was computed before; rows of other tasks are left aside.
        owns: number of a unit, counted through the points -> whether this process computes it;
            None: it computes all.
    """

    def __init__(
        self, plan: Plan, rows: Iterable[Row] = (), owns: Callable[[int], bool] | None = None
    ) -> None:
        self.plan = plan
        self.bits = 0
        self.blocks = 0
        self.cells = {
            (contender.label, ebno): Cell(
                contender,
                ebno,
                plan.rule.chunks(contender.slow, plan.slots_per_chunk),
                plan.rule.target_block_errors,
            )
            for contender in plan.contenders
            for ebno in plan.ebno_db
        }
        if owns is not None:
            self._divide(owns)
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
        return sum(cell.num_stored for cell in self.cells.values())

    def exhausted(self) -> bool:
        """Whether nothing is left to hand out: tasks are done, given up or under way."""
        return all(cell.next_chunk() is None for cell in self.cells.values())

    @property
    def most_units(self) -> int:
        """How many units are still to be computed if no point stops early."""
        return sum(
            max(len(cell.open_chunks()) for cell in self._at(ebno)) for ebno in self.plan.ebno_db
        )

    def fits(self, row: Row) -> bool:
        """Say whether a row carries as many slots, bits and blocks as the others."""
        return len(row.bit_errors) == self.plan.slots_per_chunk and (
            not self.blocks or (row.bits, row.blocks) == (self.bits, self.blocks)
        )

    def add(self, row: Row) -> bool:
        """Take a row in; False if it belongs to no task of this plan or does not fit."""
        cell = self._by_key.get(row.key)
        if cell is None or not self.fits(row):
            return False
        self.bits, self.blocks = row.bits, row.blocks
        cell.pending.discard(row.chunk)
        cell.add(row)
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

    def _divide(self, owns: Callable[[int], bool]) -> None:
        most = max(cell.max_chunks for cell in self.cells.values())
        for position, ebno in enumerate(self.plan.ebno_db):
            for cell in self._at(ebno):
                cell.is_mine = partial(_owned, owns, position * most)

    def _at(self, ebno_db: float) -> list[Cell]:
        return [self.cells[contender.label, ebno_db] for contender in self.plan.contenders]
