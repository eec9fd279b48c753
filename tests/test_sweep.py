"""The sweep engine on a NumPy link: results depend on the plan, not on what happened meanwhile."""

from __future__ import annotations

import csv
import dataclasses
import math
import os
import re
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from numpy_sweep import NumpyEvaluator, NumpyFactory, dying, make_plan, unbuildable

from sims.store import Row, Store, read
from sims.sweep import Contender, Ledger, Plan, StoppingRule, SweepError, run
from sims.sweep.execution import Sweep
from sims.sweep.pool import Died, single_threaded
from sims.sweep.worker import Broken, Counted
from tests.sweeps import (
    Log,
    Result,
    alive,
    executed,
    in_process,
    results,
    row_of,
    started,
    swept,
    wait_for_rows,
)


@pytest.fixture(scope="module")
def expected() -> Result:
    return results(in_process(make_plan("good", "poor", "slow")))


# The plan


def test_key_changes_with_all_that_changes_results_and_with_nothing_else() -> None:
    plan = make_plan("good", "poor")
    good = plan.contenders[0]
    key = plan.key(good, 4.0)
    others = [
        plan.key(good, 4.5),
        plan.key(plan.contenders[1], 4.0),
        plan.key(dataclasses.replace(good, options={"window": 2}), 4.0),
        plan.key(dataclasses.replace(good, revision=2), 4.0),
        *(
            dataclasses.replace(plan, **change).key(good, 4.0)
            for change in (
                {"scenario": {"name": "other"}},
                {"seed": 1},
                {"slots_per_chunk": 8},
                {"versions": {"sionna": "1.2.3"}},
            )
        ),
    ]
    assert len({key, *others}) == 9
    same = dataclasses.replace(
        plan, rule=StoppingRule(7, 7, 7), ebno_db=(4,), versions={"numpy": "9"}
    )
    assert same.key(dataclasses.replace(good, label="other", slow=True), 4.0) == key


def test_seeds_of_chunks_differ_and_do_not_depend_on_the_receivers() -> None:
    plan, other = make_plan("good"), make_plan("poor", "slow")
    seeds = {plan.chunk_seed(ebno, chunk) for ebno in (0.0, 4.0) for chunk in range(50)}
    assert len(seeds) == 100 and all(0 <= seed < 2**62 for seed in seeds)
    assert plan.chunk_seed(4.0, 3) == other.chunk_seed(4.0, 3)
    assert plan.chunk_seed(4.0, 3) != make_plan("good", seed=1).chunk_seed(4.0, 3)


@pytest.mark.parametrize(
    "change",
    [
        {"ebno_db": ()},
        {"ebno_db": (1.0, 1)},
        {"ebno_db": (math.nan,)},
        {"contenders": ()},
        {"contenders": (Contender("a"), Contender("a"))},
        {"seed": -1},
        {"slots_per_chunk": 0},
        {"slots_per_chunk": 1.5},
    ],
)
def test_impossible_plans_are_refused(change: dict[str, object]) -> None:
    with pytest.raises((ValueError, TypeError), match=next(iter(change))):
        dataclasses.replace(make_plan("good"), **change)


@pytest.mark.parametrize(
    "change", [{"target_block_errors": 0}, {"max_slots": 2.0}, {"max_slots_slow": True}]
)
def test_impossible_rules_are_refused(change: dict[str, object]) -> None:
    with pytest.raises((ValueError, TypeError), match=next(iter(change))):
        dataclasses.replace(StoppingRule(), **change)


# The ledger


@pytest.mark.parametrize("seed", range(5))
def test_result_does_not_depend_on_the_order_of_chunks(expected: Result, seed: int) -> None:
    plan = make_plan("good", "poor", "slow")
    assert results(in_process(plan, np.random.default_rng(seed))) == expected


def test_result_is_the_shortest_run_of_chunks_that_meets_the_rule(expected: Result) -> None:
    rule, size = make_plan("good").rule, 16
    for (label, _), (done, _, blocks) in expected.items():
        chunks = np.array(blocks).reshape(-1, size).sum(axis=1).cumsum()
        most = (rule.max_slots_slow if label == "slow" else rule.max_slots) // size
        assert done
        assert (chunks[:-1] < rule.target_block_errors).all()
        assert chunks[-1] >= rule.target_block_errors or chunks.size == most


def test_receivers_do_not_move_each_others_results(expected: Result) -> None:
    alone = results(in_process(make_plan("poor")))
    assert alone == {place: value for place, value in expected.items() if place[0] == "poor"}


def test_a_gap_ends_the_result_and_is_wanted_first() -> None:
    plan = make_plan("good", ebno_db=(8.0,))
    rows = [
        row_of(plan, NumpyEvaluator(0.0, "."), plan.contenders[0], 8.0, chunk)
        for chunk in (0, 2, 3)
    ]
    ledger = Ledger(plan, rows)
    assert len(ledger.cells["good", 8.0].block_errors) == 16
    assert [unit.chunk for unit in units(ledger, 3)] == [1, 4, 5]


def units(ledger: Ledger, number: int) -> list:
    found = [ledger.next_unit() for _ in range(number)]
    return [unit for unit in found if unit is not None]


def test_points_take_turns_and_a_unit_carries_all_who_need_it() -> None:
    ledger = Ledger(make_plan("good", "slow", ebno_db=(0.0, 4.0)))
    first = units(ledger, 4)
    assert [(unit.ebno_db, unit.chunk) for unit in first] == [(0, 0), (4, 0), (0, 1), (4, 1)]
    assert {unit.labels for unit in first} == {("good", "slow")}
    assert [unit.labels for unit in units(ledger, 1)] == [("good",)]  # two chunks for the slow one


def test_released_unit_is_wanted_again_and_a_failed_task_no_more() -> None:
    ledger = Ledger(make_plan("good", "poor", ebno_db=(0.0,)))
    unit = units(ledger, 1)[0]
    ledger.fail(unit, "poor", "why")
    ledger.release(unit)
    assert units(ledger, 1) == [dataclasses.replace(unit, labels=("good",))]
    assert len(units(ledger, 100)) == 9 and ledger.exhausted() and not ledger.done


# Processes


@pytest.mark.parametrize("workers", [1, 3])
def test_any_number_of_workers_gives_the_result_of_a_plain_loop(
    tmp_path: Path, workers: int, expected: Result
) -> None:
    path = tmp_path / "r.jsonl"
    ledger = swept(path, make_plan("good", "poor", "slow"), workers)
    assert results(ledger) == expected
    contents = read([path])
    assert contents.problems == []
    assert results(Ledger(ledger.plan, contents.rows)) == expected


def test_complete_sweep_starts_no_worker(tmp_path: Path) -> None:
    plan, log = make_plan("good"), Log()
    swept(tmp_path / "r.jsonl", plan)
    before = (tmp_path / "r.jsonl").read_bytes()
    assert swept(tmp_path / "r.jsonl", plan, log=log).done
    assert log.events == [] and (tmp_path / "r.jsonl").read_bytes() == before


def test_added_receiver_and_point_compute_only_what_is_missing_on_the_same_slots(
    tmp_path: Path, expected: Result
) -> None:
    path, log = tmp_path / "r.jsonl", Log()
    swept(path, make_plan("good", ebno_db=(0.0, 4.0)))
    ledger = swept(path, make_plan("good", "poor", "slow"), log=log)
    assert results(ledger) == expected
    assert not any(
        event.label == "good" and event.unit.ebno_db < 8.0
        for _, event in log.events
        if isinstance(event, Counted)
    )


def test_raised_limits_continue_where_the_sweep_stopped(tmp_path: Path) -> None:
    path, log = tmp_path / "r.jsonl", Log()
    short = make_plan("good")
    long = dataclasses.replace(short, rule=StoppingRule(60, 192, 192))
    first = results(swept(path, short))
    second = results(swept(path, long, log=log))
    assert second == results(in_process(long))
    assert all(second[place][1][: len(bits)] == bits for place, (_, bits, _) in first.items())
    assert log.counted == sum(len(second[p][1]) - len(first[p][1]) for p in first) // 16


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_workers_are_replaced_and_their_chunks_redone(
    tmp_path: Path, workers: int, expected: Result
) -> None:
    log = Log(kill_every=9)
    ledger = swept(
        tmp_path / "r.jsonl", make_plan("good", "poor", "slow"), workers, log, seconds=0.02
    )
    assert results(ledger) == expected
    assert sum(isinstance(event, Died) for _, event in log.events) >= 2


def test_receiver_that_fails_is_reported_with_its_task_and_the_others_go_on(
    tmp_path: Path, expected: Result
) -> None:
    ledger = swept(tmp_path / "r.jsonl", make_plan("raises", "good", "poor", "miscounts"), 2)
    found = results(ledger)
    assert {place: found[place] for place in found if place[0] in ("good", "poor")} == {
        place: value for place, value in expected.items() if place[0] != "slow"
    }
    failures = {place: cell.failure for place, cell in ledger.cells.items() if cell.failure}
    assert set(failures) == {
        ("raises", 4.0),
        ("raises", 8.0),
        ("miscounts", 0.0),
        ("miscounts", 4.0),
        ("miscounts", 8.0),
    }
    assert "RuntimeError: it is too bright" in failures["raises", 8.0]
    assert "one count for each of 16 slots" in failures["miscounts", 0.0]
    assert found["raises", 0.0][0]


def test_point_that_cannot_be_simulated_fails_alone(tmp_path: Path) -> None:
    ledger = swept(tmp_path / "r.jsonl", make_plan("good", "poor", ebno_db=(0.0, 99.0)))
    assert [ledger.cells["good", ebno].done for ebno in (0.0, 99.0)] == [True, False]
    assert "no slots up there" in str(ledger.cells["poor", 99.0].failure)


def test_receiver_that_takes_its_worker_along_is_given_up(tmp_path: Path) -> None:
    ledger = swept(tmp_path / "r.jsonl", make_plan("good", "kills", ebno_db=(0.0,)))
    assert ledger.cells["good", 0.0].done
    assert "ended 3 times" in str(ledger.cells["kills", 0.0].failure)


def test_receiver_that_dies_once_completes(tmp_path: Path) -> None:
    log = Log()
    ledger = swept(tmp_path / "r.jsonl", make_plan("dies_once", ebno_db=(0.0,)), log=log)
    assert ledger.done
    assert [e.exit_code for _, e in log.events if isinstance(e, Died)] == [-signal.SIGKILL]


def test_worker_that_cannot_begin_ends_the_sweep_with_the_reason(tmp_path: Path) -> None:
    for factory, reason in ((unbuildable, "LookupError: no such link"), (dying, "exit code 7")):
        with Store(tmp_path / "r.jsonl") as store, pytest.raises(SweepError, match=reason):
            run(make_plan("good"), store, factory, workers=2)


def test_log_that_cannot_be_written_is_the_reason_given(tmp_path: Path) -> None:
    (tmp_path / "a.log").mkdir()
    with pytest.raises(IsADirectoryError, match=re.escape(str(tmp_path / "a.log"))):
        executed(Sweep(make_plan("good"), NumpyFactory(), tmp_path / "a", plot=False), tmp_path)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SweepError, OSError])
def test_what_stops_a_sweep_notes_whether_there_is_something_to_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: type[BaseException]
) -> None:
    def stopping(plan: Plan, store: Store, *arguments: object, **options: object) -> None:
        raise stop

    sweep = Sweep(make_plan("good"), NumpyFactory(), tmp_path / "a", plot=False)
    with monkeypatch.context() as patch:
        patch.setattr("sims.sweep.execution.run", stopping)
        with pytest.raises(stop) as nothing_yet:
            executed(sweep, tmp_path)
    executed(sweep, tmp_path)
    monkeypatch.setattr("sims.sweep.execution.run", stopping)
    with pytest.raises(stop) as something:
        executed(sweep, tmp_path)
    notes = [getattr(caught.value, "__notes__", []) for caught in (nothing_yet, something)]
    assert notes == [[], ["What was stored is kept."]]


def test_a_row_that_was_written_but_not_yet_counted_can_be_resumed_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = Store.append

    def interrupted(store: Store, row: Row) -> None:
        append(store, row)
        raise KeyboardInterrupt

    monkeypatch.setattr(Store, "append", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        executed(Sweep(make_plan("good"), NumpyFactory(), tmp_path / "a", plot=False), tmp_path)
    assert caught.value.__notes__ == ["What was stored is kept."]


def test_workers_run_one_thread_and_the_environment_is_restored() -> None:
    before = dict(os.environ)
    with single_threaded():
        assert os.environ["OMP_NUM_THREADS"] == os.environ["TF_NUM_INTRAOP_THREADS"] == "1"
    assert dict(os.environ) == before


# The whole, as a process


def check_resumes(out: Path, expected: Result, interrupt: int) -> None:
    """Interrupt a sweep after some new chunks, and let another run finish it."""
    path = Path(f"{out}.jsonl")
    process = started(out, workers=2)
    wait_for_rows(process, path, 3)
    process.send_signal(interrupt)
    process.communicate()
    assert process.returncode != 0
    rows = len(read([path]).rows)
    assert 3 <= rows < 40
    last = started(out, workers=2)
    text, errors = last.communicate()
    assert last.returncode == 0, errors
    assert f"{rows} chunks are there already" in text
    plan = make_plan("good", "poor")
    assert results(Ledger(plan, read([path]).rows)) == {
        place: value for place, value in expected.items() if place[0] != "slow"
    }


def test_ctrl_c_keeps_what_is_done_and_leaves_the_files(tmp_path: Path, expected: Result) -> None:
    out = tmp_path / "interrupted"
    check_resumes(out, expected, signal.SIGINT)
    assert (tmp_path / "interrupted.csv").exists() and (tmp_path / "interrupted.txt").exists()


def test_orphaned_workers_end(tmp_path: Path) -> None:
    process = started(tmp_path / "orphans", workers=2)
    wait_for_rows(process, tmp_path / "orphans.jsonl", 1)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if not children.exists():
        pytest.skip("needs the list of children of a process")
    workers = [int(pid) for pid in children.read_text().split()]
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 20
    while any(alive(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert workers and not any(alive(pid) for pid in workers)


def test_files_hold_what_the_counts_say_and_nan_where_there_are_none(tmp_path: Path) -> None:
    plan = make_plan("good", "raises", ebno_db=(0.0, 8.0, 45.0))
    code, log = executed(Sweep(plan, NumpyFactory(), tmp_path / "a.b", reference="good"), tmp_path)
    assert "RuntimeError: it is too bright" in (tmp_path / "a.b.log").read_text()
    assert code == 1 and "raises failed at 8 dB, chunk 0; the others go on" in log
    assert "failed: raises at 8 dB, raises at 45 dB: RuntimeError: it is too bright\n" in log
    lines = list(csv.DictReader((tmp_path / "a.b.csv").open()))
    assert len(lines) == 6
    by_place = {(line["receiver"], float(line["ebno_db"])): line for line in lines}
    missing = by_place["raises", 8.0]
    assert (missing["bler"], missing["ber"], missing["slots"]) == ("nan", "nan", "0")
    assert missing["complete"] == "False"
    clean = by_place["good", 45.0]
    assert float(clean["bler"]) == 0.0 < float(clean["bler_high"])
    ledger = Ledger(plan, read([tmp_path / "a.b.jsonl"]).rows)
    errors = ledger.cells["good", 8.0].block_errors
    assert float(by_place["good", 8.0]["bler"]) == sum(errors) / (2 * len(errors))
    table = (tmp_path / "a.b.txt").read_text()
    assert table in log
    assert "<0.0" in next(line for line in table.splitlines() if line.startswith("good"))
    row = next(line for line in table.splitlines() if line.startswith("raises"))
    assert row.split()[2:4] == ["-", "-"]
    assert (tmp_path / "a.b.png").stat().st_size > 10000 and (tmp_path / "a.b.svg").exists()


def test_progress_says_what_is_done_how_fast_and_how_long(tmp_path: Path) -> None:
    plan = make_plan("good", "poor")
    code, log = executed(Sweep(plan, NumpyFactory(0.01), tmp_path / "a", plot=False), tmp_path)
    assert code == 0 and "of 6 points done" in log
    assert "time in a worker" in log and "then (ms/slot)" in log
    assert "a.{jsonl,csv,txt}" in log and not (tmp_path / "a.png").exists()


def test_time_left_counts_what_the_rule_still_asks_for(tmp_path: Path) -> None:
    from sims.sweep.timing import Timing, expected_slots

    plan = make_plan("good", ebno_db=(0.0,))
    log, timing = Log(), Timing(plan.slots_per_chunk, workers=1)
    ledger = Ledger(plan)
    assert math.isnan(timing.left(ledger))
    assert expected_slots(ledger, ledger.cells["good", 0.0]) == 160
    done = swept(tmp_path / "r.jsonl", plan, log=log, seconds=0.05)
    for worker, event in log.events:
        timing.observe(worker, event)
    assert timing.first["link"] >= 0.05 and timing.per_slot("link") >= 0.05 / 16
    assert timing.left(done) == 0.0
    half = Ledger(plan, [row_of(plan, NumpyEvaluator(0.0, "."), plan.contenders[0], 0.0, 0)])
    cell = half.cells["good", 0.0]
    assert expected_slots(half, cell) == min(144, (40 - cell.errors) * 16 / cell.errors)
    assert timing.left(half) > 0.9 * 0.05 * expected_slots(half, cell) / 16


def test_sequence_of_events_names_first_calls(tmp_path: Path) -> None:
    log = Log()
    swept(tmp_path / "r.jsonl", make_plan("good", ebno_db=(0.0,)), log=log)
    firsts = [event.first for _, event in log.events if isinstance(event, Counted)]
    assert firsts == [True] + [False] * (len(firsts) - 1)
    assert not any(isinstance(event, Broken) for _, event in log.events)
