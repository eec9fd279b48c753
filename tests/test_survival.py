"""What a sweep survives: kills, full disks, damaged and foreign files; shards; flat memory."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy_sweep import BITS, BLOCKS, NumpyEvaluator, NumpyFactory, make_plan, unbuildable

from sims.store import Row, Store, Tail, read
from sims.sweep import Ledger, Plan, StoppingRule, SweepError, run
from sims.sweep.execution import Sweep
from sims.sweep.kept import unused
from sims.sweep.merging import merge
from sims.sweep.shard import Shard
from sims.sweep.timing import Timing
from sims.sweep.worker import Finished
from tests.sweeps import Log, Result, executed, in_process, results, row_of, started, swept

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "scripts" / "ber_sweep.py"


@pytest.fixture(scope="module")
def expected() -> Result:
    return results(in_process(make_plan("good", "poor")))


def counts(path: Path) -> dict[tuple[str, int], tuple[list[int], list[int]]]:
    """What a file holds, without the times that a chunk took."""
    return {(r.key, r.chunk): (r.bit_errors, r.block_errors) for r in read([path]).rows}


# Kills


def check_kills(out: Path, plan: Plan, options: list[str], kills: int) -> None:
    """Kill a sweep at random moments, each after a new chunk, and let the last run finish it."""
    path, rng, rows = Path(f"{out}.jsonl"), random.Random(kills), 0
    for _ in range(kills):
        process = started(out, 2, "--bare", *options)
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            contents = read([path])  # the file is readable at every moment
            assert len(contents.rows) >= rows
            if len(contents.rows) > rows:
                break
            time.sleep(0.01)
        time.sleep(0.1 * rng.random())
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        rows = len(read([path]).rows)
    last = started(out, 2, "--bare", *options)
    _, errors = last.communicate()
    assert last.returncode == 0, errors
    check_file(path, plan)


def check_file(path: Path, plan: Plan) -> None:
    """The file gives the plain loop's result, and no line of it counts twice."""
    ledger, reference = Ledger(plan, read([path]).rows), in_process(plan)
    assert results(ledger) == results(reference) and ledger.done
    whole = [line for line in path.read_text().splitlines() if line.endswith("}}")]
    assert len(whole) == len(counts(path))


def test_kill_9_at_any_moment_loses_nothing(tmp_path: Path) -> None:
    check_kills(tmp_path / "r", make_plan("good", "poor"), [], kills=5)


@pytest.mark.slow
def test_50_kills_lose_nothing(tmp_path: Path) -> None:
    rule = StoppingRule(10**6, 1920, 32)
    options = ["--max-slots", "1920", "--target", str(10**6)]
    check_kills(tmp_path / "r", make_plan("good", "poor", rule=rule), options, kills=50)


@pytest.mark.slow
@pytest.mark.tensorflow_only
def test_real_sweep_killed_three_times_ends_as_the_uninterrupted_one(tmp_path: Path) -> None:
    def command(out: Path, workers: int) -> list[str]:
        words = "--scenario nominal_siso --receivers ls_lin perfect_csi --ebno-db 0 6 "
        words += "--slots-per-chunk 16 --max-slots 480 --target-block-errors 9999 --no-plot "
        words += f"--workers {workers} --out {out}"
        return [sys.executable, str(SCRIPT), *words.split()]

    whole, parts = tmp_path / "whole", tmp_path / "parts"
    subprocess.run(command(whole, 1), check=True, capture_output=True)
    path, rows = Path(f"{parts}.jsonl"), 0
    for kill in range(3):
        process = subprocess.Popen(command(parts, 2), stdout=subprocess.DEVNULL)
        while process.poll() is None and len(read([path]).rows) <= rows + 5 * kill:
            time.sleep(0.01)
        process.kill()
        process.communicate()
        rows = len(read([path]).rows)
        assert process.returncode == -signal.SIGKILL and 0 < rows < 120
        print(f"killed with {rows} rows in the file")
    subprocess.run(command(parts, 2), check=True, capture_output=True)
    assert counts(path) == counts(Path(f"{whole}.jsonl")) and len(counts(path)) == 120
    assert Path(f"{parts}.csv").read_text() == Path(f"{whole}.csv").read_text()


# What happens to files


def test_full_disk_ends_a_sweep_with_what_to_do_and_loses_nothing(
    tmp_path: Path, expected: Result
) -> None:
    plan, path = make_plan("good", "poor"), tmp_path / "a.jsonl"
    sweep = Sweep(plan, NumpyFactory(), tmp_path / "a", plot=False)
    with file_size_limit(6000), pytest.raises(OSError, match="could not be stored") as full:
        executed(sweep, tmp_path)
    assert str(path) in str(full.value) and "once there is room" in str(full.value)
    assert full.value.__notes__ == ["What was stored is kept."]
    kept = counts(path)
    assert kept and len(read([path]).problems) == 1  # the row for which there was no room
    assert executed(sweep, tmp_path)[0] == 0
    check_file(path, plan)
    assert counts(path).items() >= kept.items()


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Have no room for files larger than `size` bytes, in this process alone."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_row_after_one_that_did_not_fit_stands_on_its_own_line(tmp_path: Path) -> None:
    plan, path = make_plan("good"), tmp_path / "r.jsonl"
    rows = [row_of(plan, NumpyEvaluator(0, "."), plan.contenders[0], 4.0, n) for n in range(3)]
    with Store(path) as store:
        store.append(rows[0])
        with file_size_limit(path.stat().st_size + 20), pytest.raises(OSError, match="stored"):
            store.append(rows[1])
        store.append(rows[2])
        store.append(rows[1])
    assert read([path]).rows == [rows[0], rows[2], rows[1]]


@pytest.mark.parametrize("seed", range(3))
def test_damage_in_the_middle_costs_the_damaged_chunks_alone(
    tmp_path: Path, expected: Result, seed: int
) -> None:
    plan, path, log = make_plan("good", "poor"), tmp_path / "r.jsonl", Log()
    with Store(path) as store:
        store.extend(rows_of(plan))
    whole, content = counts(path), bytearray(path.read_bytes())
    rng = np.random.default_rng(seed)
    start, length = rng.integers(len(content) - 2000), rng.integers(1, 2000)
    content[start : start + length] = bytes(length)  # what a file system may leave of a block
    path.write_bytes(content)
    left = counts(path)
    assert left.items() < whole.items() and len(left) >= len(whole) - 6
    ledger = swept(path, plan, log=log)
    assert results(ledger) == expected
    assert log.counted <= len(whole) - len(left)
    assert bytes(content) == path.read_bytes()[: len(content)]  # nothing is ever deleted


def rows_of(plan: Plan) -> list[Row]:
    evaluator = NumpyEvaluator(0, ".")
    return [
        row_of(plan, evaluator, contender, ebno, chunk)
        for contender in plan.contenders
        for ebno in plan.ebno_db
        for chunk in range(10)
    ]


def test_rows_of_another_format_are_reported_once_and_kept(tmp_path: Path) -> None:
    plan, path = make_plan("good"), tmp_path / "a.jsonl"
    newer = [dataclasses.asdict(row) | {"iterations": 3} for row in rows_of(plan)]
    older = [
        {k: v for k, v in dataclasses.asdict(row).items() if k != "seed"}
        for row in rows_of(plan)[:2]
    ]
    text = "".join(json.dumps(row) + "\n" for row in [*newer, *older])
    path.write_text(text)
    code, log = executed(Sweep(plan, NumpyFactory(), tmp_path / "a", plot=False), tmp_path)
    assert code == 0 and path.read_text().startswith(text)
    assert "line 1: the first of 30 rows that another version of this program wrote" in log
    assert "(with 'iterations'); they are kept but not used" in log
    assert "line 31: the first of 2 rows" in log and "(without 'seed')" in log
    assert results(Ledger(plan, read([path]).rows)) == results(in_process(plan))


def test_rows_of_another_revision_or_version_are_named(tmp_path: Path) -> None:
    plan, path = make_plan("good", "poor", ebno_db=(0.0, 4.0)), tmp_path / "a.jsonl"
    good, poor = plan.contenders
    revised = dataclasses.replace(
        plan, contenders=(dataclasses.replace(good, revision=2), poor), versions={"sionna": "9.1"}
    )
    with Store(path) as store:
        store.extend(rows_of(plan))
    code, log = executed(Sweep(revised, NumpyFactory(), tmp_path / "a", plot=False), tmp_path)
    assert code == 0
    assert (
        "20 chunks of good there were computed with revision 1 / Sionna None "
        "(now revision 2 / Sionna 9.1); they are kept but not used\n"
    ) in log
    assert "20 chunks of poor there were computed with Sionna None (now Sionna 9.1)" in log
    assert "chunks are there already" not in log
    assert unused(plan, rows_of(plan)) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"slots_per_chunk": 8}, "computed with slots a chunk: 16 (now slots a chunk: 8)"),
        ({"scenario": {"name": "numpy", "fft": 3}}, "computed with a scenario without fft;"),
        ({"scenario": {"name": "other"}}, None),
        ({"seed": 1}, None),
        ({"ebno_db": (5.0,)}, None),
        ({"contenders": make_plan("slow").contenders}, None),
        ({"rule": StoppingRule(7, 7, 7)}, None),
    ],
)
def test_only_rows_that_were_meant_for_the_plan_are_named(
    change: dict[str, object], message: str | None
) -> None:
    plan = make_plan("good", ebno_db=(0.0, 4.0))
    found = unused(dataclasses.replace(plan, **change), rows_of(plan))
    assert [message in line for line in found] == [True] if message else not found


def test_link_that_carries_other_bits_than_the_file_says_so(tmp_path: Path) -> None:
    plan, path = make_plan("good", ebno_db=(4.0,)), tmp_path / "r.jsonl"
    with Store(path) as store:
        store.append(dataclasses.replace(rows_of(plan)[0], bits=2 * BITS))
    with pytest.raises(SweepError, match=f"{BITS} bits and {BLOCKS} blocks now, those in"):
        swept(path, plan)


def test_folder_that_cannot_be_written_is_named_before_anything_is_computed(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", Path("/sys/kernel")):
        if folder.exists():
            sweep = Sweep(make_plan("good"), NumpyFactory(), folder / "a", plot=False)
            with pytest.raises(OSError, match="results cannot be written there") as caught:
                executed(sweep, tmp_path)
            assert str(folder) in str(caught.value)
            assert not hasattr(caught.value, "__notes__")  # there is nothing to go on from


def test_files_that_cannot_be_written_do_not_hide_why_a_sweep_ended(tmp_path: Path) -> None:
    (tmp_path / "a.txt").mkdir()
    sweep = Sweep(make_plan("good"), NumpyFactory(), tmp_path / "a", plot=False)
    with pytest.raises(IsADirectoryError, match=re.escape(str(tmp_path / "a.txt"))):
        executed(sweep, tmp_path)
    assert "BLER at Eb/N0" in (tmp_path / "log").read_text()
    broken = Sweep(make_plan("good"), unbuildable, tmp_path / "b", plot=False)
    (tmp_path / "b.txt").mkdir()
    with pytest.raises(SweepError, match="could not build"):
        executed(broken, tmp_path)


# Receivers and clocks


def test_receivers_that_return_no_counts_fail_with_how_many_slots(tmp_path: Path) -> None:
    plan = make_plan("nan", "good", "too_many", ebno_db=(4.0,))
    code, log = executed(Sweep(plan, NumpyFactory(), tmp_path / "a", plot=False), tmp_path)
    assert code == 1
    assert "failed: nan at 4 dB: ValueError: error counts of 3 of 16 slots" in log
    assert "the first of them, number 2, is nan" in log
    assert "failed: too_many at 4 dB: ValueError: error counts of 16 of 16 slots are no" in log
    ledger = Ledger(plan, read([tmp_path / "a.jsonl"]).rows)
    assert ledger.cells["good", 4.0].done and not ledger.cells["nan", 4.0].num_stored


def test_wall_clock_that_jumps_moves_neither_results_nor_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected: Result
) -> None:
    for path in [*(ROOT / "sims" / "sweep").glob("*.py"), *(ROOT / "sims" / "store").glob("*.py")]:
        assert not re.search(r"time\.time|datetime|time\.(local|gm)", path.read_text()), path
    jumps = iter(lambda: random.uniform(-1e9, 1e9), None)
    monkeypatch.setattr(time, "time", lambda: next(jumps))
    plan = make_plan("good", "poor")
    timing = Timing(plan.slots_per_chunk, 1)
    log = Log(timing=timing)
    assert results(swept(tmp_path / "r.jsonl", plan, log=log, seconds=0.01)) == expected
    assert 0 < timing.elapsed < 60 and 1 < timing.rate < 16 / 0.01
    assert all(0 <= row.seconds < 60 for row in read([tmp_path / "r.jsonl"]).rows)


# Same content, whatever happened


def test_files_of_all_ways_to_run_a_sweep_hold_the_same_counts(tmp_path: Path) -> None:
    plan = make_plan("good", "poor", ebno_db=(0.0, 4.0))
    used = {
        (plan.key(cell.contender, cell.ebno_db), chunk)
        for cell in in_process(plan).cells.values()
        for chunk in range(cell.taken)
    }
    one, many, killed, later = (tmp_path / f"{name}.jsonl" for name in "abcd")
    swept(one, plan)
    swept(many, plan, workers=3)
    swept(killed, plan, workers=2, log=Log(kill_every=7))
    swept(later, dataclasses.replace(plan, contenders=plan.contenders[1:]))
    swept(later, dataclasses.replace(plan, ebno_db=(4.0, 0.0)))
    first = counts(one)
    assert first.keys() == used  # a worker alone computes nothing in vain
    for path in (many, killed, later):
        content = counts(path)
        assert {place: content[place] for place in used} == first
        # Several workers run ahead of the stop, by at most a chunk each.
        assert len(content) <= len(used) + 3 * len(plan.contenders)


# Shards


@pytest.mark.parametrize("text", ["0/2", "3/2", "2", "a/b", "1/0", "-1/2", "1.5/2", ""])
def test_impossible_shards_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="shard must be i/n"):
        Shard.parse(text)


@pytest.mark.parametrize("count", [1, 2, 3, 8, 40])
def test_shards_share_all_chunks_among_them(count: int) -> None:
    plan = make_plan("good", "slow", rule=StoppingRule(10**6, 160, 32))
    ledgers = [Ledger(plan, owns=Shard(i + 1, count).owns) for i in range(count)]
    chunks = [
        [(unit.ebno_db, unit.chunk) for unit in iter(ledger.next_unit, None)] for ledger in ledgers
    ]
    assert sorted(sum(chunks, [])) == [(ebno, n) for ebno in plan.ebno_db for n in range(10)]
    assert max(map(len, chunks)) - min(map(len, chunks)) <= 1


@pytest.mark.parametrize("seed", range(20))
def test_shards_that_see_nothing_of_each_other_leave_little_to_do_and_the_exact_result(
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 9))
    plan = make_plan("good", "poor", seed=seed, rule=StoppingRule(60, 640, 32))
    evaluator, rows = NumpyEvaluator(0, "."), []
    for index in range(count):
        ledger = Ledger(plan, owns=Shard(index + 1, count).owns)
        rows += computed(ledger, evaluator)
    rng.shuffle(rows)
    whole = Ledger(plan, rows)
    extra = computed(whole, evaluator)
    alone = Ledger(plan)
    needed = computed(alone, evaluator)
    assert whole.done and results(whole) == results(alone)
    assert len(extra) <= 0.2 * len(needed)
    assert len(rows) <= 2.2 * len(needed) + 6 * count


def computed(ledger: Ledger, evaluator: NumpyEvaluator) -> list[Row]:
    """Do what a ledger hands out, in this process."""
    rows = []
    while (unit := ledger.next_unit()) is not None:
        for label in unit.labels:
            contender = ledger.cells[label, unit.ebno_db].contender
            rows.append(row_of(ledger.plan, evaluator, contender, unit.ebno_db, unit.chunk))
            ledger.add(rows[-1])
        ledger.release(unit)
    return rows


def test_shards_in_files_merge_into_a_sweep_that_is_complete(
    tmp_path: Path, expected: Result
) -> None:
    plan, log = make_plan("good", "poor"), Log()
    parts = []
    for index in (1, 2):
        shard = Shard(index, 2)
        out = tmp_path / f"x[1]{shard.suffix}"
        code, text = executed(Sweep(plan, NumpyFactory(), out, plot=False, shard=shard), tmp_path)
        assert code == 0 and f"shard {index} of 2 is done; once all are:" in text
        assert f"scripts/merge.py {tmp_path}/x[1].shard*of2.jsonl --out {tmp_path}/x[1]\n" in text
        parts.append(Path(f"{out}.jsonl"))
    assert not counts(parts[0]).keys() & counts(parts[1]).keys()
    needed = sum(cell.taken for cell in in_process(plan).cells.values())
    # The second one saw what the first had done, and neither went far beyond the stop.
    assert sum(len(counts(part)) for part in parts) <= 1.3 * needed
    merged = merge(parts, tmp_path / "x[1]")
    assert merged.path == tmp_path / "x[1].jsonl" and merged.num_new == merged.num_rows
    ledger = swept(merged.path, plan, log=log)
    assert results(ledger) == expected and log.counted <= 0.2 * needed
    # A shard finds what the whole has.
    again = Sweep(plan, NumpyFactory(), tmp_path / "x[1].shard1of3", plot=False, shard=Shard(1, 3))
    assert executed(again, tmp_path)[0] == 0
    assert not counts(tmp_path / "x[1].shard1of3.jsonl")


@pytest.mark.tensorflow_only
def test_shard_of_a_job_has_files_of_its_own_and_no_plots() -> None:
    from sims.sweep.job import Job, make_sweep

    job = Job("awgn", ["perfect_csi"], [0.0], out="results/snr1.5", shard="2/8")
    sweep = make_sweep(job)
    assert sweep.out == Path("results/snr1.5.shard2of8") and not sweep.plot
    assert sweep.shard == Shard(2, 8) and sweep.shard.whole(sweep.out).name == "snr1.5"
    with pytest.raises(ValueError, match="shard must be i/n"):
        make_sweep(dataclasses.replace(job, shard="9/8"))


def test_tail_reads_whole_rows_as_they_come(tmp_path: Path) -> None:
    rows, path = rows_of(make_plan("good")), tmp_path / "r.jsonl"
    tail = Tail(path)
    assert tail.new_rows() == []
    text = rows[0].to_line() + "\n" + rows[1].to_line()
    path.write_text(text)
    assert tail.new_rows() == [rows[0]]
    path.write_text(text + "\nnonsense\n" + rows[2].to_line() + "\n")
    assert tail.new_rows() == [rows[1], rows[2]] and tail.new_rows() == []
    path.write_text(rows[3].to_line() + "\n")
    assert tail.new_rows() == [rows[3]]


def test_merge_takes_each_chunk_once_and_reports_contradictions(tmp_path: Path) -> None:
    rows = rows_of(make_plan("good", ebno_db=(4.0,)))
    other = dataclasses.replace(rows[1], block_errors=[BLOCKS] * 16, bit_errors=[1] * 16)
    first, second, out = (tmp_path / f"{name}.jsonl" for name in "abc")
    for path, content in ((first, rows[:3]), (second, [other, *rows[2:5]])):
        with Store(path) as store:
            store.extend(content)
    merged = merge([first, second], out)
    assert (merged.num_rows, merged.num_new) == (5, 5) and read([out]).rows == rows[:5]
    assert len(merged.problems) == 1
    assert f"{second}, line 1: chunk 1 of good at 4 dB was stored before" in merged.problems[0]
    before = out.read_bytes()
    again = merge([second, first], tmp_path / "c")
    assert (again.num_rows, again.num_new) == (5, 0) and out.read_bytes() == before


def test_merge_refuses_what_is_not_there_or_no_result(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("my notes\n")
    with pytest.raises(FileNotFoundError, match=r"nowhere: no such file"):
        merge([tmp_path / "nowhere"], tmp_path / "c")
    with pytest.raises(ValueError, match=r"notes: holds no row of results"):
        merge([tmp_path / "notes"], tmp_path / "c")
    with pytest.raises(ValueError, match="at least one"):
        merge([], tmp_path / "c")
    assert not (tmp_path / "c.jsonl").exists()


def test_merge_as_a_command(tmp_path: Path) -> None:
    with Store(tmp_path / "a.jsonl") as store:
        store.extend(rows_of(make_plan("good"))[:4])
    command = [sys.executable, str(ROOT / "scripts" / "merge.py")]
    for words, code, text in (
        ([str(tmp_path / "a.jsonl"), "--out", str(tmp_path / "c")], 0, "4 chunks, 4 of them new"),
        ([str(tmp_path / "b.jsonl"), "--out", str(tmp_path / "c")], 2, "no such file of results"),
    ):
        done = subprocess.run([*command, *words], capture_output=True, text=True)
        assert done.returncode == code, done.stderr
        assert text in done.stdout + done.stderr


# Memory and speed


def resident(process: int) -> dict[str, float]:
    """MiB that a process and its largest child (the others only start processes) occupy."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    sizes = [rss(child) for child in children]
    return {"main process": rss(process), "worker": max(sizes)}


def rss(process: int | str) -> float:
    status = Path(f"/proc/{process}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0


def check_memory(process: subprocess.Popen[str], path: Path, rows_a_chunk: int, last: int) -> None:
    """What a sweep occupies after `last` chunks is what it does after 100, within 5 %."""
    found: dict[int, dict[str, float]] = {}
    try:
        for chunks in (100, last):
            while not path.exists() or path.read_bytes().count(b"\n") < chunks * rows_a_chunk:
                assert process.poll() is None
                time.sleep(0.05)
            found[chunks] = resident(process.pid)
    finally:
        process.kill()
        process.communicate()
    for who, early in found[100].items():
        late = found[last][who]
        print(
            f"{who}: {early:.1f} MiB after 100 chunks, {late:.1f} after {last}: {late / early:.3f}"
        )
    assert all(found[last][who] <= 1.05 * early for who, early in found[100].items())


@pytest.mark.slow
def test_memory_is_flat_over_2000_chunks(tmp_path: Path) -> None:
    options = ["--seconds", "0", "--target", str(10**9), "--max-slots", str(700 * 16)]
    process = started(tmp_path / "r", 1, *options)
    check_memory(process, tmp_path / "r.jsonl", rows_a_chunk=2, last=2000)


@pytest.mark.slow
@pytest.mark.tensorflow_only
def test_memory_of_a_real_sweep_is_flat(tmp_path: Path) -> None:
    words = "--scenario nominal_siso --receivers ls_lin --ebno-db 0 --slots-per-chunk 2 --workers 1"
    words += f" --max-slots 5000 --target-block-errors 999999 --out {tmp_path / 'r'}"
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), *words.split()], stdout=subprocess.DEVNULL, text=True
    )
    check_memory(process, tmp_path / "r.jsonl", rows_a_chunk=1, last=2000)


def warm_slots_per_second(folder: Path, workers: int, units: int) -> float:
    """Slots a second of a real sweep from when every worker has done its first unit."""
    from sims.sweep.job import Job, make_sweep

    sweep = make_sweep(
        Job(
            scenario="nominal_siso",
            receivers=["ls_lin", "fixed_pole"],
            ebno_db=[4.0],
            rule=StoppingRule(10**6, units * 32),
        )
    )
    finished: list[tuple[float, int]] = []

    class Clock(Log):
        def observe(self, worker: int, event: object) -> None:
            if isinstance(event, Finished):
                finished.append((time.monotonic(), worker))

    with Store(folder / f"{workers}.jsonl") as store:
        run(sweep.plan, store, sweep.factory, workers=workers, observer=Clock())
    begin = max(min(at for at, who in finished if who == one) for one in {w for _, w in finished})
    warm = [at for at, _ in finished if at > begin]
    return 32 * len(warm) / (warm[-1] - begin)


@pytest.mark.slow
@pytest.mark.tensorflow_only
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_second_worker_brings_slots_per_second(tmp_path: Path) -> None:
    """Meant for a machine that does nothing else."""
    one, two = (warm_slots_per_second(tmp_path, workers, 60 * workers) for workers in (1, 2))
    print(f"{one:.1f} slots/s with one worker, {two:.1f} with two: {two / one:.2f}")
    assert two >= 1.6 * one
