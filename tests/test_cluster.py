"""Sweeps on a Dask cluster: the results of a plain loop, whatever happens to the workers."""

from __future__ import annotations

import csv
import functools
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from numpy_sweep import NumpyEvaluator, NumpyFactory, dying, make_plan, unbuildable

from sims.store import Row, Store, read
from sims.sweep import Ledger, Plan, SweepError, run
from sims.sweep.pool import Died, Gone
from sims.sweep.revision import Revision, first_seen, on_disk
from sims.sweep.worker import Counted, Message
from tests.workers import hear_ctrl_c

distributed = pytest.importorskip("distributed", reason="needs Dask: the extra `cluster`")

HERE = Path(__file__).parent
SCRIPT = HERE.parent / "scripts" / "ber_sweep.py"
Result = dict[tuple[str, float], tuple[bool, list[int], list[int]]]


@dataclass
class Log:
    """Remembers events, and does something once so many results are there."""

    after: int = 0
    act: Callable[[], object] = lambda: None
    events: list[tuple[int, Message | Died | Gone]] = field(default_factory=list)

    def observe(self, worker: int, event: Message | Died | Gone) -> None:
        self.events.append((worker, event))
        if isinstance(event, Counted) and len(self.of(Counted)) == self.after:
            self.act()

    def tick(self) -> None:
        return

    def of(self, kind: type) -> list[tuple[int, Message | Died | Gone]]:
        return [(worker, event) for worker, event in self.events if isinstance(event, kind)]


def results(ledger: Ledger) -> Result:
    return {
        place: (cell.done, cell.bit_errors, cell.block_errors)
        for place, cell in ledger.cells.items()
    }


@functools.cache
def expected(*labels: str) -> Result:
    """The results by a plain loop, without processes."""
    plan, evaluator = make_plan(*labels), NumpyEvaluator(0.0, ".")
    rows = []
    for contender in plan.contenders:
        for ebno in plan.ebno_db:
            for chunk in range(10):
                seed = plan.chunk_seed(ebno, chunk)
                slots = evaluator.simulate(ebno, seed, plan.slots_per_chunk)
                bits, blocks = evaluator.count(contender.name, slots, seed)
                place = (plan.key(contender, ebno), chunk, {}, "", {}, 1, ebno, 0, 120, 2)
                rows.append(Row(*place, bits.tolist(), blocks.tolist(), 0.0, {}))
    return results(Ledger(plan, rows))


def swept(
    path: Path,
    plan: Plan,
    cluster: str,
    log: Log | None = None,
    factory: Callable[[], NumpyEvaluator] | None = None,
    seconds: float = 0.0,
) -> Ledger:
    from sims.sweep.cluster import ClusterPool

    with Store(path) as store:
        return run(
            plan,
            store,
            factory or NumpyFactory(seconds, str(path.parent)),
            workers=2,
            observer=log,
            log=path.with_suffix(".log"),
            pool=functools.partial(ClusterPool, cluster=cluster),
        )


@pytest.fixture(scope="module")
def cluster() -> Iterator[distributed.LocalCluster]:
    """A scheduler and two worker processes, which know nothing of the sweeps that will come."""
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        memory_limit=None,
        silence_logs=50,
    ) as local:
        yield local


# Results


def test_cluster_gives_the_results_of_a_plain_loop(
    tmp_path: Path, cluster: distributed.LocalCluster
) -> None:
    path, log = tmp_path / "r.jsonl", Log()
    plan = make_plan("good", "poor", "slow")
    assert results(swept(path, plan, cluster.scheduler_address, log, seconds=0.01)) == expected(
        "good", "poor", "slow"
    )
    assert {worker for worker, _ in log.of(Counted)} == {1, 2}
    contents = read([path])
    assert contents.problems == [] and len(contents.rows) == len(log.of(Counted))
    assert results(Ledger(plan, contents.rows)) == expected("good", "poor", "slow")


def test_killed_worker_is_replaced_and_its_chunk_redone(
    tmp_path: Path, cluster: distributed.LocalCluster
) -> None:
    victim = next(iter(cluster.workers.values()))
    log = Log(5, lambda: os.kill(victim.pid, signal.SIGKILL))
    ledger = swept(
        tmp_path / "r.jsonl", make_plan("good", "poor"), cluster.scheduler_address, log, seconds=0.1
    )
    assert results(ledger) == expected("good", "poor")
    assert len(log.of(Died)) == 1
    dead = log.of(Died)[0][0]
    joined = {worker for worker, _ in log.of(Counted)} - {1, 2}
    assert dead in (1, 2) and joined  # the worker that Dask started instead was used


def test_receivers_that_raise_or_take_their_worker_along_are_given_up_alone(
    tmp_path: Path, cluster: distributed.LocalCluster
) -> None:
    plan = make_plan("good", "raises", "kills", ebno_db=(8.0,))
    ledger = swept(tmp_path / "r.jsonl", plan, cluster.scheduler_address)
    assert results(ledger)["good", 8.0] == expected("good")["good", 8.0]
    assert "RuntimeError: it is too bright" in str(ledger.cells["raises", 8.0].failure)
    assert "ended 3 times" in str(ledger.cells["kills", 8.0].failure)


# What stops a sweep


def test_worker_that_runs_other_code_is_named_with_what_differs(
    tmp_path: Path, cluster: distributed.LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = on_disk()
    other = Revision({**here.versions, "numpy": "1"}, {**here.sources, "sims/sweep/worker.py": ""})
    monkeypatch.setattr("sims.sweep.cluster.on_disk", lambda: other)
    with pytest.raises(SweepError) as caught:
        swept(tmp_path / "r.jsonl", make_plan("good"), cluster.scheduler_address)
    assert any(nanny.worker_address in str(caught.value) for nanny in cluster.workers.values())
    version = here.versions["numpy"]
    assert f"numpy is {version} there and 1 here; sims/sweep/worker.py differs" in str(caught.value)


def test_worker_with_many_threads_is_refused(
    tmp_path: Path, cluster: distributed.LocalCluster
) -> None:
    with distributed.Client(cluster, set_as_default=False) as client:
        threads = "import os; os.environ['OMP_NUM_THREADS'] = '{}'"
        client.run(exec, threads.format(4))
        with pytest.raises(SweepError, match="one thread .* not OMP_NUM_THREADS=4"):
            swept(tmp_path / "r.jsonl", make_plan("good"), cluster.scheduler_address)
        client.run(exec, threads.format(1))


@pytest.mark.parametrize(
    ("factory", "reason"),
    [(unbuildable, "on tcp://127.*\n(.*\n)*LookupError: no such link"), (dying, "code unknown")],
    ids=["unbuildable", "dying"],
)
def test_worker_that_cannot_begin_ends_the_sweep_with_the_reason(
    tmp_path: Path, cluster: distributed.LocalCluster, factory: Callable, reason: str
) -> None:
    with pytest.raises(SweepError, match=reason):
        swept(tmp_path / "r.jsonl", make_plan("good"), cluster.scheduler_address, factory=factory)


@pytest.mark.parametrize("mute", [False, True], ids=["closed", "mute"])
def test_address_without_a_scheduler_is_an_error_in_bounded_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mute: bool
) -> None:
    monkeypatch.setattr("sims.sweep.cluster.CONNECT_WITHIN", 0.5)
    start = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        if not mute:
            server.close()
        with pytest.raises(SweepError, match=f"no Dask scheduler answers at {address}: "):
            swept(tmp_path / "r.jsonl", make_plan("good"), address)
    assert time.monotonic() - start < 5


@contextmanager
def dask(tmp_path: Path, *words: str, path: str | None = None) -> Iterator[subprocess.Popen[str]]:
    """A process of Dask's own command line."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with open(tmp_path / f"{words[0]}.log", "w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *words, "--host", "127.0.0.1", "--no-dashboard"],
            cwd=tmp_path,
            env=environment | ({} if path is None else {"PYTHONPATH": path}),
            stdout=log,
            stderr=log,
            text=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


def free_address() -> str:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return f"tcp://127.0.0.1:{server.getsockname()[1]}"


def test_scheduler_that_goes_away_loses_nothing(tmp_path: Path) -> None:
    """Scheduler and worker as users start them; the scheduler need not have our code."""
    address, path = free_address(), tmp_path / "r.jsonl"
    where = os.pathsep.join((str(HERE.parent), str(HERE)))
    with (
        dask(tmp_path, "scheduler", "--port", address.rpartition(":")[2]) as scheduler,
        dask(tmp_path, "worker", address, "--nthreads", "1", path=where),
    ):
        log = Log(5, scheduler.kill)
        with pytest.raises(SweepError, match=f"{address} is gone"):
            swept(path, make_plan("good", "poor"), address, log, seconds=0.1)
    assert 5 <= len(read([path]).rows) < 15
    with Store(path) as store:
        ledger = run(make_plan("good", "poor"), store, NumpyFactory(), workers=1)
    assert results(ledger) == expected("good", "poor")


# The whole, as a process


def started(out: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(HERE / "numpy_sweep.py"), str(out), "2", "--cluster", "local"],
        cwd=HERE.parent,
        env=os.environ | {"PYTHONPATH": str(HERE.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_ctrl_c,
        start_new_session=True,
    )


def test_ctrl_c_on_a_local_cluster_keeps_what_is_done(tmp_path: Path) -> None:
    out, path = tmp_path / "r", tmp_path / "r.jsonl"
    first = started(out)
    while first.poll() is None and not (path.exists() and path.read_bytes().count(b"\n") > 3):
        time.sleep(0.01)
    os.killpg(first.pid, signal.SIGINT)  # as a terminal does
    _, errors = first.communicate(timeout=30)
    assert errors.splitlines()[-1] == "What was stored is kept."
    assert "KeyboardInterrupt" in errors and "distributed" not in errors.rpartition("Keyboard")[2]
    rows = len(read([path]).rows)
    assert 3 < rows < 40
    last = started(out)
    text, errors = last.communicate(timeout=60)
    assert (last.returncode, errors) == (0, "")
    assert f"{rows} chunks are there already" in text
    ledger = Ledger(make_plan("good", "poor"), read([path]).rows)
    assert results(ledger) == expected("good", "poor")


@pytest.mark.slow
@pytest.mark.tensorflow_only
def test_real_sweep_on_a_local_cluster_equals_the_plain_one(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--scenario", "cdl_2x2", "--workers", "2"]
    command += ["--receivers", "fixed_pole", "ls_lin_time_avg", "perfect_csi", "--no-plot"]
    command += ["--ebno-db", "4", "8", "--max-slots", "32", "--slots-per-chunk", "8"]
    for name, more in {"plain": [], "cluster": ["--cluster", "local"]}.items():
        out = ["--out", str(tmp_path / name)]
        done = subprocess.run([*command, *more, *out], check=True, capture_output=True, text=True)
        assert done.stderr == "" and "traced more than once" not in done.stdout
    plain, other = (
        {(r.key, r.chunk): (r.bit_errors, r.block_errors) for r in read([path]).rows}
        for path in (tmp_path / "plain.jsonl", tmp_path / "cluster.jsonl")
    )
    shared = plain.keys() & other.keys()  # chunks beyond a point's stop are a matter of luck
    assert shared and all(plain[place] == other[place] for place in shared)
    curves = [
        list(csv.DictReader((tmp_path / f"{name}.csv").open())) for name in ("plain", "cluster")
    ]
    assert curves[0] == curves[1]


# What code it is


def test_revision_names_files_and_libraries_and_stays_as_first_seen() -> None:
    here = on_disk()
    assert {"sims/store/row.py", "sims/sweep/worker.py", "rx_fixedpole/__init__.py"} <= set(
        here.sources
    )
    assert {"python", "numpy"} <= set(here.versions)
    assert here.differences(on_disk()) == "" and first_seen() is first_seen()
    fewer = Revision({"python": here.versions["python"]}, dict(list(here.sources.items())[2:]))
    missing = r"(\w+ is missing there and [\w.]+ here; )+2 files differ, [\w/]+\.py among them"
    assert re.fullmatch(missing, here.differences(fewer))
