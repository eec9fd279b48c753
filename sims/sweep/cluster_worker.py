"""What a worker process of a Dask cluster runs: the units of a sweep, on a cached evaluator."""

from __future__ import annotations

import os
import pickle
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from distributed import get_client, get_worker

from sims.sweep.revision import Revision, first_seen
from sims.sweep.worker import Broken, Evaluator, Factory, Message, Ready, Unit, work

# Libraries read these when they are imported, which is over when a sweep meets a worker;
# TensorFlow's number of threads is set by the factory.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Refused:
    """The worker must not take part; `reason` says what differs from the main process."""

    reason: str


@dataclass(frozen=True)
class Assignment:
    """What a worker is asked for.

    Args:
        topic: under which the scheduler passes its messages on.
        number: comes back with each message.
        revision: the code that the main process runs.
        factory: pickled; builds the evaluator.
        unit: what to compute; None: build the evaluator, and say if that can be done.
    """

    topic: str
    number: int
    revision: Revision
    factory: bytes
    unit: Unit | None


@dataclass
class _Bench:
    """An evaluator and the steps that ran on it before."""

    factory: bytes
    evaluator: Evaluator
    seen: set[str] = field(default_factory=set)


class Call:
    """Pickles as the call of a function: where it is unpickled, the function runs.

    A task that unpickles it needs nothing but the standard library until it runs. So a scheduler
    need not have our code, and a worker which lacks it says so in the usual way.
    """

    def __init__(self, function: Callable[[Assignment], None], assignment: Assignment) -> None:
        self._call = function, (assignment,)

    def __reduce__(self) -> tuple[Callable[[Assignment], None], tuple[Assignment]]:
        return self._call


_one_at_a_time = threading.Lock()  # evaluators share random generators, whatever Dask's threads
_bench: _Bench | None = None


def perform(assignment: Assignment) -> None:
    """Do what is asked, and send messages about it as they come up."""
    # The scheduler answers, so what is sent survives if the next step takes this process along.
    client = get_client()
    with _one_at_a_time:
        for message in _perform(assignment):
            content = {"number": assignment.number, "message": pickle.dumps(message)}
            client.log_event(assignment.topic, content)
            if _is_cancelled():
                return


def _perform(assignment: Assignment) -> Iterator[Message | Refused]:
    reason = assignment.revision.differences(first_seen()) or _too_many_threads()
    if reason:
        yield Refused(reason)
        return
    try:
        bench = _prepared(assignment.factory)
    except Exception:  # whatever it is, the main process must hear of it
        yield Broken(traceback.format_exc())
        return
    if assignment.unit is None:
        yield Ready()
    else:
        yield from work(bench.evaluator, assignment.unit, bench.seen)


def _prepared(pickled: bytes) -> _Bench:
    global _bench
    if _bench is None or _bench.factory != pickled:
        _bench = None  # before the next one is built: memory may not suffice for two
        factory: Factory = pickle.loads(pickled)
        _bench = _Bench(pickled, factory())
    return _bench


def _too_many_threads() -> str:
    wrong = [
        f"{name}={os.environ.get(name, '')}" for name in THREADS if os.environ.get(name) != "1"
    ]
    return f"one thread an operation is needed there, not {', '.join(wrong)}" if wrong else ""


def _is_cancelled() -> bool:
    """Say whether nobody waits for this task any more: Dask does not stop one that runs."""
    worker: Any = get_worker()
    task = worker.state.tasks.get(worker.get_current_task())
    return task is None or task.state == "cancelled"
