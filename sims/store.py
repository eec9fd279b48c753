"""Results of a sweep as per-slot counts in an append-only JSON Lines file.

One row is one chunk of slots of one task. Counts are kept slot by slot, never rates, so that
resuming and merging are concatenation and every interval can be taken over slots.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any


def canonical_json(value: Any) -> str:
    """Write a value as the one JSON text that equal values share.

    Args:
        value: anything JSON can hold; NaN and infinity are refused.

    Returns:
        The text: sorted keys, no spaces.

    Raises:
        TypeError, ValueError: if JSON cannot hold the value.

    >>> canonical_json({"b": 1, "a": [2.0, None]})
    '{"a":[2.0,null],"b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """Return the SHA-256 of a value's canonical JSON as 64 hexadecimal digits.

    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


@dataclass(frozen=True)
class Row:
    """The error counts of one chunk of slots of one task.

    Args:
        key: the task's identity, 64 hexadecimal digits.
        chunk: index of the chunk in its task, from 0.
        scenario: the scenario as JSON; receiver, options, revision, ebno_db [dB], seed: the rest
            of the task, readable.
        bits, blocks: how many of them one slot carries.
        bit_errors, block_errors: one count a slot, of equal length.
        seconds: what the receiver took for the chunk, the first call's compilation included.
        versions: name -> version of the software that computed it.

    Raises:
        ValueError, TypeError: if the counts are impossible.
    """

    key: str
    chunk: int
    scenario: dict[str, Any]
    receiver: str
    options: dict[str, Any]
    revision: int
    ebno_db: float
    seed: int
    bits: int
    blocks: int
    bit_errors: list[int]
    block_errors: list[int]
    seconds: float
    versions: dict[str, str]

    def __post_init__(self) -> None:
        if not isinstance(self.key, str) or not _is_count(self.chunk):
            raise ValueError(
                f"key and chunk must be a text and a count, got {self.key!r}, {self.chunk!r}"
            )
        for name, per_slot in (("bit_errors", self.bits), ("block_errors", self.blocks)):
            counts = getattr(self, name)
            if not isinstance(counts, list) or not counts:
                raise TypeError(f"{name} must be a list of one count a slot, got {counts!r}")
            if not all(_is_count(count) and count <= per_slot for count in counts):
                raise ValueError(f"{name} must be counts between 0 and {per_slot} a slot")
        if len(self.bit_errors) != len(self.block_errors):
            raise ValueError(
                f"bit_errors has {len(self.bit_errors)} slots and block_errors "
                f"{len(self.block_errors)}; they must agree"
            )

    def to_line(self) -> str:
        """Return the row as one line of JSON, without the line's end."""
        return canonical_json(asdict(self))

    @classmethod
    def from_line(cls, line: str) -> Row:
        """Read what `to_line` wrote; ValueError or TypeError say what is wrong with the line."""
        content = json.loads(line)
        if not isinstance(content, dict):
            raise TypeError(f"a row is a JSON object, got {type(content).__name__}")
        return cls(**content)


@dataclass(frozen=True)
class Contents:
    """What files of results hold: `rows`, each (key, chunk) once, and `problems`, in words."""

    rows: list[Row]
    problems: list[str]


def read(paths: Iterable[str | os.PathLike[str]]) -> Contents:
    """Read one or many files of results as if they were one.

    A row that was cut short (the machine stopped while it was written) or is damaged otherwise is
    reported and left out, so that its chunk is computed again; a chunk that occurs twice counts
    once.

    Args:
        paths: the files; those that do not exist hold nothing.

    Returns:
        The rows in the order of the files, and what could not be used.
    """
    rows: dict[tuple[str, int], Row] = {}
    problems: list[str] = []
    for path in map(Path, paths):
        if not path.exists():
            continue
        text = path.read_bytes().decode("utf-8", errors="replace")
        lines = text.split("\n")
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = Row.from_line(line)
            except (ValueError, TypeError) as error:
                problems.append(_describe(path, number, number == len(lines), error))
                continue
            first = rows.setdefault((row.key, row.chunk), row)
            if _counts(first) != _counts(row):
                problems.append(
                    f"{path}, line {number}: chunk {row.chunk} of {row.receiver} at "
                    f"{row.ebno_db:g} dB was stored before with other counts; the "
                    "first ones are used"
                )
    return Contents(list(rows.values()), problems)


class Store:
    """The only writer of one file of results.

    Args:
        path: the file; it and its folder are made if missing, and rows already there are read.

    Raises:
        OSError: if the file cannot be written, another process writes it, or it has content
            and none of it is a row of results.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Unbuffered, so that a row is one write and an interruption in Python cannot split it.
        self._file = open(self.path, "ab", buffering=0)
        try:
            self._lock()
            contents = read([self.path])
            if contents.problems and not contents.rows and not self._may_be_first_row():
                raise FileExistsError(
                    errno.EEXIST,
                    "the file holds something else than results; give another output",
                    str(self.path),
                )
            self._end_torn_line()
        except OSError:
            self._file.close()
            raise
        self.rows = contents.rows
        self.problems = contents.problems
        self._seen = {(row.key, row.chunk) for row in self.rows}

    def append(self, row: Row) -> None:
        """Add a row and wait until the disk has it; a chunk already stored is not added again."""
        if (row.key, row.chunk) in self._seen:
            return
        data = memoryview((row.to_line() + "\n").encode())
        while data:
            data = data[self._file.write(data) :]
        os.fsync(self._file.fileno())
        self._seen.add((row.key, row.chunk))
        self.rows.append(row)

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _lock(self) -> None:
        # The system drops this lock when the process ends, in whatever way it does.
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BlockingIOError(
                error.errno,
                "another sweep is writing this file; give this one "
                "another output, files can be merged",
                str(self.path),
            ) from error

    def _may_be_first_row(self) -> bool:
        """True for a file that holds nothing but the torn beginning of a first row."""
        start = b'{"bit_errors":'  # keys are sorted, so every row starts with it
        return start.startswith(self.path.read_bytes()[: len(start)])

    def _end_torn_line(self) -> None:
        # Nothing is ever deleted: a torn line becomes a damaged one that readers step over.
        content = self.path.read_bytes()
        if content and not content.endswith(b"\n"):
            self._file.write(b"\n")


def _counts(row: Row) -> tuple[list[int], list[int]]:
    return row.bit_errors, row.block_errors


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _describe(path: Path, number: int, last: bool, error: Exception) -> str:
    if last:
        return f"{path}, line {number}: cut short; its chunk is computed again"
    return f"{path}, line {number}: not a row of results, left out ({error})"
