"""Workers on many machines: a Dask cluster behind the interface of the pool of processes."""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import queue
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any
from uuid import uuid4

import cloudpickle
import dask
from distributed import Client, Future, LocalCluster
from distributed.comm import connect

from sims.sweep.cluster_worker import Assignment, Call, Refused, perform
from sims.sweep.engine import SweepError
from sims.sweep.pool import THREAD_VARIABLES, Died, Gone, single_threaded
from sims.sweep.revision import on_disk
from sims.sweep.worker import Broken, Factory, Finished, Message, Ready, Unit

CONNECT_WITHIN = 10.0  # seconds in which a scheduler must answer the first time
ANSWER_WITHIN = 30.0  # and later, when it may have much to do
LOOK_EVERY = 0.5  # seconds between two looks at who is in the cluster
LOGGERS = ("distributed", "tornado", "asyncio")


@dataclass
class _Member:
    """A worker that takes part, and what it was asked for last: to get ready or to do a unit."""

    id: int
    address: str
    from_start: bool
    number: int = -1
    asked: Future | None = None
    ready: bool = False
    unit: Unit | None = None


class ClusterPool:
    """The workers of a Dask cluster, each of which computes one unit at a time.

    Workers that join later are used, those that leave are forgotten, and what one took with it
    is reported as with a pool of processes. Every worker must run the code of this process.

    Args:
        factory: picklable, builds the evaluator in each worker.
        size: most workers to use, at least 1; so many are started if the cluster is "local".
        log: file that takes what Dask has to say, and the standard error of local workers; None:
            it is shared with this process.
        cluster: "local" or the scheduler's address, tcp://host:port.

    Raises:
        OSError: if the log cannot be written.
        SweepError: if no scheduler answers.
    """

    def __init__(self, factory: Factory, size: int, log: Path | None, cluster: str) -> None:
        self._size = size
        self._where = "the local cluster" if cluster == "local" else f"the scheduler at {cluster}"
        self._topic = f"sweep-{uuid4().hex}"
        self._revision = on_disk()
        self._factory = cloudpickle.dumps(factory)
        self._numbers, self._ids = count(), count(1)
        self._members: dict[str, _Member] = {}
        self._refused: set[str] = set()
        # Filled by Dask's threads, emptied by ours: (number, message, or why there will be none).
        self._inbox: queue.SimpleQueue[tuple[int, bytes | str]] = queue.SimpleQueue()
        self._next_look = 0.0
        with ExitStack() as stack:
            stack.enter_context(_logging_to(log))
            self._client: Client = stack.enter_context(_connected(cluster, size, log))
            self._client.subscribe_topic(self._topic, self._hear)
            self._welcome(self._present(), from_start=True)
            self._closing = stack.pop_all()

    @property
    def free(self) -> int:
        """Number of workers that wait for a unit."""
        return sum(member.ready and member.unit is None for member in self._members.values())

    @property
    def busy(self) -> bool:
        """Whether a unit is being computed."""
        return any(member.unit is not None for member in self._members.values())

    def submit(self, unit: Unit) -> None:
        """Give a unit to a free worker; one that has just died reports so in `events`."""
        member = next(m for m in self._members.values() if m.ready and m.unit is None)
        member.unit = unit
        self._ask(member)

    def events(self, timeout: float) -> Iterator[tuple[int, Message | Died | Gone]]:
        """Yield (a worker's number, message) of what happened, after at most `timeout` seconds.

        Raises:
            SweepError: if the scheduler is gone, or a worker must not take part.
        """
        if time.monotonic() >= self._next_look:
            present = self._present()
            yield from self._miss(present)
            self._welcome(present, from_start=False)
            self._next_look = time.monotonic() + LOOK_EVERY
        with suppress(queue.Empty):
            number, content = self._inbox.get(timeout=timeout)
            while True:
                yield from self._open(number, content)
                number, content = self._inbox.get_nowait()

    def _ask(self, member: _Member) -> None:
        """Send a worker its unit, or have it get ready for units."""
        member.number = number = next(self._numbers)
        assignment = Assignment(self._topic, number, self._revision, self._factory, member.unit)
        # Pinned: that a worker is lost is for the engine to handle, which counts its deaths.
        member.asked = self._client.submit(
            pickle.loads,
            pickle.dumps(Call(perform, assignment)),
            key=f"{self._topic}-{number}",
            workers=[member.address],
            allow_other_workers=False,
        )
        member.asked.add_done_callback(lambda future: self._ended(number, future))

    def _hear(self, event: tuple[float, Mapping[str, Any]]) -> None:
        _, content = event
        self._inbox.put((content["number"], content["message"]))

    def _ended(self, number: int, future: Future) -> None:
        # Comes after all of the task's messages; none is awaited if the last was among them.
        reason = repr(future.exception()) if future.status == "error" else future.status
        self._inbox.put((number, reason))

    def _open(
        self, number: int, content: bytes | str
    ) -> Iterator[tuple[int, Message | Died | Gone]]:
        """Take note of a message and pass it on, unless it is about something long given up."""
        member = next((m for m in self._members.values() if m.number == number), None)
        if member is None:
            return
        if isinstance(content, str):
            yield from self._fail(member, content)
            return
        message: Message | Refused = pickle.loads(content)
        if isinstance(message, Refused):
            yield member.id, self._refuse(member, message.reason)
            return
        if isinstance(message, Broken):
            message = Broken(f"on {member.address}:\n{message.reason}")
        if isinstance(message, Ready):
            member.ready, member.number = True, -1
        elif isinstance(message, Finished):
            member.unit, member.number = None, -1
        yield member.id, message

    def _fail(self, member: _Member, reason: str) -> Iterator[tuple[int, Died | Gone]]:
        """Handle a task that ended without its last message."""
        if reason == "cancelled":  # not by us
            raise self._cut_off()
        logging.getLogger("distributed").error("%s: %s", member.address, reason)
        if member.unit is None and "ModuleNotFoundError" in reason:
            hint = "start it with PYTHONPATH=/path/to/checkout"
            yield member.id, self._refuse(member, f"{reason}; {hint}")
            return
        yield member.id, self._lost(member)
        member.ready, member.unit = False, None
        self._ask(member)  # to get ready, as another process may be there by now

    def _refuse(self, member: _Member, reason: str) -> Gone:
        del self._members[member.address]
        self._refused.add(member.address)
        text = f"the worker at {member.address} cannot take part: {reason}"
        if member.from_start or not self._members:
            raise SweepError(text)
        return Gone(text)

    def _lost(self, member: _Member) -> Died | Gone:
        """Say what is lost with a worker: of interest is a unit, or that no worker gets ready."""
        idle = member.ready and member.unit is None
        others = any(m.ready for m in self._members.values() if m is not member)
        if idle or (member.unit is None and others):
            return Gone(f"the worker at {member.address} has left")
        return Died(member.unit, None)

    def _present(self) -> set[str]:
        """Return the addresses of the workers that are in the cluster."""
        try:
            if self._client.status == "running":
                ask = self._client.scheduler.ncores
                return set(self._client.sync(ask, callback_timeout=ANSWER_WITHIN))
        except (OSError, TimeoutError):
            pass
        raise self._cut_off()

    def _cut_off(self) -> SweepError:
        return SweepError(f"{self._where} is gone, or has dropped the work")

    def _welcome(self, present: set[str], from_start: bool) -> None:
        """Have the workers that have joined get ready, if there are not enough."""
        for address in sorted(present - self._refused - set(self._members)):
            if len(self._members) < self._size:
                self._members[address] = _Member(next(self._ids), address, from_start)
                self._ask(self._members[address])

    def _miss(self, present: set[str]) -> Iterator[tuple[int, Died | Gone]]:
        """Forget the workers that have left."""
        self._refused &= present
        for member in [m for m in self._members.values() if m.address not in present]:
            yield member.id, self._lost(member)
            del self._members[member.address]
            if member.asked is not None:
                member.asked.cancel()

    def __enter__(self) -> ClusterPool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.close()


@contextmanager
def _connected(cluster: str, size: int, log: Path | None) -> Iterator[Client]:
    """Yield a client of the cluster, which is started first and ended afterwards if it is local."""
    with ExitStack() as stack:
        try:
            if cluster == "local":
                client = Client(
                    stack.enter_context(_local_cluster(size, log)), set_as_default=False
                )
            else:
                asyncio.run(_knock(cluster))
                client = Client(cluster, timeout=CONNECT_WITHIN, set_as_default=False)
        except Exception as error:  # of many kinds: what answers may speak anything
            reason = [*str(error).splitlines(), f"nothing within {CONNECT_WITHIN:g} seconds"][0]
            raise SweepError(
                f"no local cluster could be started: {reason}"
                if cluster == "local"
                else f"no Dask scheduler answers at {cluster}: {reason}"
            ) from error
        yield stack.enter_context(client)


async def _knock(address: str) -> None:
    """Wait for an answer, and no longer: a client would wait forever for one that has none."""
    async with asyncio.timeout(CONNECT_WITHIN):
        comm = await connect(address, timeout=0.9 * CONNECT_WITHIN)
    comm.abort()


@contextmanager
def _local_cluster(size: int, log: Path | None) -> Iterator[LocalCluster]:
    where = None if log is None else str(log.absolute())
    settled = f"from sims.sweep.worker import settle; settle({where!r})"
    spawned_with = dict.fromkeys(THREAD_VARIABLES, "1") | {"DASK_LOGGING__DISTRIBUTED": "warning"}
    before = dict(os.environ)
    try:
        # Each worker that is started, now or to replace another, takes this environment.
        with (
            single_threaded(),
            dask.config.set({"distributed.nanny.pre-spawn-environ": spawned_with}),
        ):
            local = LocalCluster(
                n_workers=size,
                threads_per_worker=1,
                host="127.0.0.1",
                # No dashboard, and what is always served stays on this machine.
                scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
                worker_dashboard_address="127.0.0.1:0",
                memory_limit=None,
                silence_logs=False,
                preload=[settled],
            )
        with local:
            yield local
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]  # Dask sets them for itself too
        os.environ.update(before)


@contextmanager
def _logging_to(log: Path | None) -> Iterator[None]:
    """Have Dask write what it has to say to a file meanwhile, from warnings on."""
    if log is None:
        yield
        return
    handler = logging.FileHandler(log)
    handler.setLevel(logging.WARNING)
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s"))
    names = {name for name in logging.root.manager.loggerDict if name.split(".")[0] in LOGGERS}
    loggers = [logging.getLogger(name) for name in sorted(names | set(LOGGERS))]
    before = [(logger.handlers, logger.propagate) for logger in loggers]
    for logger in loggers:
        # One that stands below another passes its records on.
        logger.handlers = [handler] if logger.name in LOGGERS else []
        logger.propagate = logger.name not in LOGGERS
    try:
        yield
    finally:
        for logger, (handlers, propagate) in zip(loggers, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate
        handler.close()
