"""The worker process: builds an evaluator, then computes the units of work it is sent."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike


class Evaluator(Protocol):
    """What a worker runs: slots are simulated once and every receiver counts its errors on them.

    Results must depend on the arguments alone, not on earlier calls.
    """

    bits: int
    blocks: int

    def simulate(self, ebno_db: float, seed: int, num_slots: int) -> Any:
        """Return `num_slots` slots, in the form that `count` takes."""

    def count(self, label: str, slots: Any, seed: int) -> tuple[ArrayLike, ArrayLike]:
        """Return the bit errors and block errors of one receiver in each slot, `[num_slots]`."""

    def traces(self) -> Mapping[str, int]:
        """Return how often each compiled function was traced so far."""


Factory = Callable[[], Evaluator]


@dataclass(frozen=True)
class Unit:
    """One chunk of slots at one Eb/N0, and the receivers that still need it."""

    ebno_db: float
    chunk: int
    seed: int
    num_slots: int
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Ready:
    """The evaluator was built."""


@dataclass(frozen=True)
class Broken:
    """The evaluator could not be built, so no worker can run."""

    reason: str


@dataclass(frozen=True)
class Begun:
    """A step of a unit began: a receiver's label, or "link"; `first` calls compile."""

    step: str
    first: bool


@dataclass(frozen=True)
class Counted:
    """A receiver's errors in each slot of a unit, out of `bits` and `blocks` a slot."""

    unit: Unit
    label: str
    bits: int
    blocks: int
    bit_errors: list[int]
    block_errors: list[int]
    seconds: float
    first: bool


@dataclass(frozen=True)
class Failed:
    """A receiver could not do a unit; `reason` is one line."""

    unit: Unit
    label: str
    reason: str


@dataclass(frozen=True)
class Finished:
    """A unit is done; `seconds` is what its slots took to simulate."""

    unit: Unit
    seconds: float
    first: bool
    traces: Mapping[str, int]


Message = Ready | Broken | Begun | Counted | Failed | Finished


def serve(connection: Connection, factory: Factory, log: Path | None) -> None:
    """Answer units with messages until the other side hangs up.

    Args:
        connection: receives Unit, sends Message.
        factory: builds the evaluator; picklable.
        log: file that takes the standard error, tracebacks among it; None: it stays where it is.
    """
    settle(log)
    try:
        evaluator = factory()
    except Exception:  # whatever it is, the main process must hear of it
        connection.send(Broken(traceback.format_exc()))
        return
    connection.send(Ready())
    seen: set[str] = set()
    try:
        while True:
            for message in work(evaluator, connection.recv(), seen):
                connection.send(message)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the main process is gone; what it has stored is all there is to keep


def settle(log: Path | str | None) -> None:
    """Make this process a worker: its standard error goes to the log, Ctrl-C to others."""
    if log is not None:
        # Native code writes to the descriptor, so it is the descriptor that is turned.
        file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        os.dup2(file, 2)
        os.close(file)
    # Ctrl-C reaches every process of a terminal; the main process decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def work(evaluator: Evaluator, unit: Unit, seen: set[str]) -> Iterator[Message]:
    """Yield what happens while a unit is computed, each receiver's counts as they are there.

    Args:
        evaluator: what computes.
        unit: what to compute.
        seen: steps that ran before in this process, whose first calls are over; is added to.
    """
    first = _is_first("link", seen)
    yield Begun("link", first)
    start = time.perf_counter()
    try:
        slots = evaluator.simulate(unit.ebno_db, unit.seed, unit.num_slots)
    except Exception:  # no receiver can run without slots, other points may still do
        reason = _reason()
        for label in unit.labels:
            yield Failed(unit, label, reason)
        yield Finished(unit, time.perf_counter() - start, first, evaluator.traces())
        return
    simulated = time.perf_counter() - start
    for label in unit.labels:
        first_call = _is_first(label, seen)
        yield Begun(label, first_call)
        start = time.perf_counter()
        try:
            counts = evaluator.count(label, slots, unit.seed)
            bit_errors, block_errors = (
                _per_slot(errors, unit.num_slots, most)
                for errors, most in zip(counts, (evaluator.bits, evaluator.blocks), strict=True)
            )
        except Exception:  # a receiver that fails must not take the others along
            yield Failed(unit, label, _reason())
        else:
            seconds = time.perf_counter() - start
            yield Counted(
                unit,
                label,
                evaluator.bits,
                evaluator.blocks,
                bit_errors,
                block_errors,
                seconds,
                first_call,
            )
    yield Finished(unit, simulated, first, evaluator.traces())


def _reason() -> str:
    """Return the last line of the traceback at hand, and leave all of it on standard error."""
    text = traceback.format_exc()
    print(text, file=sys.stderr, flush=True)
    return text.strip().splitlines()[-1].strip()


def _per_slot(errors: ArrayLike, num_slots: int, most: int) -> list[int]:
    counts = np.asarray(errors)
    if counts.shape != (num_slots,):
        raise ValueError(
            f"expected one count for each of {num_slots} slots, got shape {counts.shape}"
        )
    # NaN compares false, so it is none of them.
    wrong = np.flatnonzero(~((counts >= 0) & (counts <= most) & (counts == np.floor(counts))))
    if wrong.size:
        raise ValueError(
            f"error counts of {wrong.size} of {num_slots} slots are no integers between 0 and "
            f"{most}; the first of them, number {wrong[0]}, is {counts[wrong[0]]}"
        )
    return [int(count) for count in counts]


def _is_first(step: str, seen: set[str]) -> bool:
    first = step not in seen
    seen.add(step)
    return first
