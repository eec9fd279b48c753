"""The store: rows survive what happens to files, and nothing is counted twice."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sims.store import Row, Store, canonical_json, digest, read


def row(chunk: int = 0, **changes: object) -> Row:
    values: dict[str, object] = {
        "key": "ab",
        "chunk": chunk,
        "scenario": {"name": "x"},
        "receiver": "r",
        "options": {"window": 3},
        "revision": 1,
        "ebno_db": 4.0,
        "seed": 0,
        "bits": 8,
        "blocks": 2,
        "bit_errors": [0, 3 + chunk % 5],
        "block_errors": [0, 2],
        "seconds": 0.5,
        "versions": {"sionna": "1"},
    }
    return Row.from_line(json.dumps(values | changes))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "results.jsonl"


def stored(path: Path, *rows: Row) -> None:
    with Store(path) as store:
        for one in rows:
            store.append(one)


def test_rows_come_back_as_they_were(path: Path) -> None:
    stored(path, row(0), row(1))
    stored(path, row(2))
    contents = read([path])
    assert contents.rows == [row(0), row(1), row(2)]
    assert contents.problems == []


def test_row_is_on_disk_before_append_returns(path: Path) -> None:
    with Store(path) as store:
        store.append(row(0))
        assert read([path]).rows == [row(0)]


def test_canonical_json_forgets_the_order_and_refuses_what_is_no_number() -> None:
    assert canonical_json({"b": [1, {"d": 1, "c": 2}], "a": None}) == (
        '{"a":null,"b":[1,{"c":2,"d":1}]}'
    )
    assert digest({"x": 1}) != digest({"x": 2})
    with pytest.raises(ValueError, match="JSON"):
        canonical_json(float("nan"))


@pytest.mark.parametrize("cut", range(1, len(row(1).to_line()), 37))
def test_torn_last_line_is_reported_and_its_chunk_stored_anew(path: Path, cut: int) -> None:
    stored(path, row(0), row(1))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - 1 - cut])
    with Store(path) as store:
        assert store.rows == [row(0)]
        assert "line 2: cut short" in store.problems[0]
        store.append(row(1))
    contents = read([path])
    assert contents.rows == [row(0), row(1)]
    assert len(contents.problems) == 1 and "line 2" in contents.problems[0]


def test_last_line_that_lacks_only_its_end_counts(path: Path) -> None:
    stored(path, row(0))
    path.write_bytes(path.read_bytes()[:-1])
    stored(path, row(1))
    assert read([path]).rows == [row(0), row(1)]


def test_file_with_nothing_but_a_torn_first_row_can_be_used_again(path: Path) -> None:
    stored(path, row(0))
    path.write_bytes(path.read_bytes()[:40])
    stored(path)
    stored(path, row(0))
    assert read([path]).rows == [row(0)]


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "[1]",
        '{"key": "ab"}',
        '"text"',
        json.dumps(dataclasses.asdict(row(1)) | {"unknown": 1}),
        json.dumps(dataclasses.asdict(row(1)) | {"block_errors": [0, 3]}),
        json.dumps(dataclasses.asdict(row(1)) | {"block_errors": [0]}),
        json.dumps(dataclasses.asdict(row(1)) | {"bit_errors": [0.5, 1]}),
        json.dumps(dataclasses.asdict(row(1)) | {"bit_errors": []}),
        json.dumps(dataclasses.asdict(row(1)) | {"bits": "8"}),
    ],
)
def test_damaged_row_is_reported_with_its_line_and_kept_in_the_file(path: Path, line: str) -> None:
    stored(path, row(0))
    with open(path, "a", encoding="utf-8") as file:
        file.write(line + "\n")
    stored(path, row(2))
    contents = read([path])
    assert contents.rows == [row(0), row(2)]
    assert len(contents.problems) == 1 and f"{path}, line 2" in contents.problems[0]
    assert line in path.read_text(encoding="utf-8")


def test_bytes_that_are_no_text_are_a_damaged_row(path: Path) -> None:
    stored(path, row(0))
    with open(path, "ab") as file:
        file.write(b"\x00\xff\xfe\x00\n")
    assert read([path]).rows == [row(0)]
    assert len(read([path]).problems) == 1


def test_chunk_stored_twice_counts_once_and_a_contradiction_is_reported(path: Path) -> None:
    stored(path, row(0), row(0))
    assert len(path.read_text().splitlines()) == 1
    with open(path, "a", encoding="utf-8") as file:
        file.write(dataclasses.replace(row(0), seconds=9.0).to_line() + "\n")
    assert read([path]).rows == [row(0)] and not read([path]).problems
    with open(path, "a", encoding="utf-8") as file:
        file.write(row(0, bit_errors=[1, 1]).to_line() + "\n")
    contents = read([path])
    assert contents.rows == [row(0)]
    assert "line 3" in contents.problems[0] and "other counts" in contents.problems[0]


def test_files_merge_by_reading_both_or_by_concatenation(tmp_path: Path) -> None:
    first, second, both = (tmp_path / name for name in ("a.jsonl", "b.jsonl", "c.jsonl"))
    stored(first, row(0), row(1))
    stored(second, row(1), row(2))
    both.write_bytes(first.read_bytes() + second.read_bytes())
    merged = read([first, second, tmp_path / "missing.jsonl"])
    assert merged.rows == read([both]).rows == [row(0), row(1), row(2)]


def test_second_writer_is_refused_and_the_end_of_a_process_frees_the_file(path: Path) -> None:
    code = (
        "import sys, time; from sims.store import Store; s = Store(sys.argv[1]); "
        "print('open', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
    )
    try:
        assert other.stdout is not None and other.stdout.readline() == b"open\n"
        with pytest.raises(OSError, match="another sweep is writing this file"):
            Store(path)
    finally:
        other.kill()
        other.communicate()
    stored(path, row(0))


def test_what_cannot_be_written_is_found_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        Store(tmp_path / "file" / "results.jsonl")
    (tmp_path / "notes.txt").write_text("my notes\n")
    with pytest.raises(FileExistsError, match="something else than results"):
        Store(tmp_path / "notes.txt")
    assert (tmp_path / "notes.txt").read_text() == "my notes\n"


def test_full_disk_is_an_error_and_loses_no_earlier_row(path: Path) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("needs a device that is always full")
    with Store(path) as store:
        store.append(row(0))
        with open("/dev/full", "ab", buffering=0) as full:
            os.dup2(full.fileno(), store._file.fileno())
            with pytest.raises(OSError, match="No space left"):
                store.append(row(1))
    stored(path, row(1))
    assert read([path]).rows == [row(0), row(1)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bit_errors": [0, 9]}, "bit_errors must be counts between 0 and 8"),
        ({"bit_errors": [0, -1]}, "bit_errors"),
        ({"block_errors": [0, True]}, "block_errors"),
        ({"block_errors": [0]}, "must agree"),
        ({"chunk": -1}, "count"),
    ],
)
def test_impossible_counts_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        row(**changes)
