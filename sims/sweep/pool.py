"""Worker processes: started afresh, fed one unit at a time, replaced when they die."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import TracebackType

from sims.sweep.worker import Factory, Finished, Message, Ready, Unit, serve

# Sums are done in one order only where one thread does them, so every worker gets one.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)


@dataclass(frozen=True)
class Died:
    """A worker ended by itself; `unit` is what it was doing, if anything."""

    unit: Unit | None
    exit_code: int | None  # of a worker of another machine, nobody knows it

    @property
    def how(self) -> str:
        """How it ended, in words."""
        if self.exit_code is None:
            return "exit code unknown"
        hint = ", which often means: out of memory" if self.exit_code == -signal.SIGKILL else ""
        return f"exit code {self.exit_code}{hint}"


@dataclass(frozen=True)
class Gone:
    """A worker takes part no longer, or never did, which costs no results; why, in words."""

    reason: str


class _Worker:
    """A process, the pipe to it, and what it is doing: `unit` until it has finished that."""

    def __init__(self, factory: Factory, log: Path | None) -> None:
        # A forked TensorFlow deadlocks, so the process starts from nothing.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(
            target=serve, args=(theirs, factory, log), daemon=True
        )
        self.process.start()
        # Only the worker may hold its end: its death is then seen as the end of the pipe.
        theirs.close()
        self.ready = False
        self.unit: Unit | None = None

    def stop(self) -> None:
        # Killed, not asked: a worker holds nothing that is worth waiting for.
        self.connection.close()
        self.process.kill()
        self.process.join()


class Pool:
    """A fixed number of worker processes with one thread each.

    Args:
        factory: picklable, builds the evaluator in each worker.
        size: number of workers, at least 1.
        log: file that takes the workers' standard error; None: it is shared with this process.

    Raises:
        OSError: if the log cannot be written.
    """

    def __init__(self, factory: Factory, size: int, log: Path | None = None) -> None:
        self._factory, self._log = factory, log
        if log is not None:
            # A worker that cannot open it has nowhere to say so.
            log.open("ab").close()
        with single_threaded():
            self._workers = [_Worker(factory, log) for _ in range(size)]

    @property
    def free(self) -> int:
        """Number of workers that wait for a unit."""
        return sum(worker.ready and worker.unit is None for worker in self._workers)

    @property
    def busy(self) -> bool:
        """Whether a unit is being computed."""
        return any(worker.unit is not None for worker in self._workers)

    def submit(self, unit: Unit) -> None:
        """Give a unit to a free worker; one that has just died reports so in `events`."""
        worker = next(w for w in self._workers if w.ready and w.unit is None)
        worker.unit = unit
        # If it is gone, `events` reads the end of its pipe and replaces it.
        with suppress(BrokenPipeError, ConnectionResetError):
            worker.connection.send(unit)

    def events(self, timeout: float) -> Iterator[tuple[int, Message | Died]]:
        """Yield (process id, message) of what has happened, after at most `timeout` seconds."""
        by_connection: dict[object, _Worker] = {w.connection: w for w in self._workers}
        for connection in wait([w.connection for w in self._workers], timeout):
            worker = by_connection[connection]
            pid = worker.process.pid or 0
            try:
                message = worker.connection.recv()
            except (EOFError, OSError):  # OSError: it died while it was writing
                yield pid, self._replace(worker)
                continue
            if isinstance(message, Ready):
                worker.ready = True
            elif isinstance(message, Finished):
                worker.unit = None
            yield pid, message

    def _replace(self, worker: _Worker) -> Died:
        worker.process.join()
        died = Died(worker.unit, worker.process.exitcode)
        worker.stop()
        with single_threaded():
            self._workers[self._workers.index(worker)] = _Worker(self._factory, self._log)
        return died

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in self._workers:
            worker.stop()


@contextmanager
def single_threaded() -> Iterator[None]:
    """Start processes meanwhile with one thread an operation: libraries read this at import."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
