"""Files of results: read by anyone, each written by one process."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from sims.store.row import OtherFormat, Row

SHOWN = 10  # damaged lines of a file that are reported one by one


@dataclass(frozen=True)
class Contents:
    """What files of results hold.

    Args:
        rows: each (key, chunk) once.
        problems: what could not be used, in words.
        num_other: how many rows are of another format.
    """

    rows: list[Row]
    problems: list[str]
    num_other: int = 0


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
    shared: dict[str, Any] = {}
    problems: list[str] = []
    num_other = 0
    for path in map(Path, paths):
        if not path.exists():
            continue
        found = _Problems(path)
        for number, row in _lines(path, found, shared):
            first = rows.setdefault((row.key, row.chunk), row)
            if _counts(first) != _counts(row):
                found.lines.append(
                    f"{path}, line {number}: chunk {row.chunk} of {row.receiver} at "
                    f"{row.ebno_db:g} dB was stored before with other counts; the "
                    "first ones are used"
                )
        problems += found.in_words()
        num_other += sum(map(len, found.other.values()))
    return Contents(list(rows.values()), problems, num_other)


class Store:
    """The only writer of one file of results.

    Args:
        path: the file; it and its folder are made if missing.

    Raises:
        OSError: if the file cannot be written, another process writes it, or it has content
            and none of it is a row of results.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file = _open(self.path)
        self._torn = False
        try:
            self._lock()
            contents = read([self.path])
            if not (contents.rows or contents.num_other) and contents.problems:
                self._refuse_what_is_no_first_row()
            self._end_torn_line()
        except OSError:
            self._file.close()
            raise
        self.problems = contents.problems
        self._seen: dict[str, set[int]] = {}
        for row in contents.rows:
            self._note(row)

    @property
    def rows(self) -> list[Row]:
        """The rows that the file holds; read anew, as a long sweep has no room for them."""
        return read([self.path]).rows

    def append(self, row: Row) -> None:
        """Add a row and wait until the disk has it; a chunk already stored is not added again.

        Raises:
            OSError: if it cannot be written; the rows before it are kept.
        """
        self.extend([row])

    def extend(self, rows: Iterable[Row]) -> int:
        """Add rows as `append` does, wait for the disk once, and return how many were new."""
        added = 0
        try:
            for row in rows:
                if row.chunk in self._seen.get(row.key, ()):
                    continue
                self._write((row.to_line() + "\n").encode())
                self._note(row)
                added += 1
            if added:
                os.fsync(self._file.fileno())
        except OSError as error:
            raise OSError(
                error.errno,
                f"{error.strerror}: the result could not be stored; once there is room, the same "
                "command goes on",
                str(self.path),
            ) from error
        return added

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

    def _write(self, line: bytes) -> None:
        # What a failed write left of a row must not take the next one along.
        data = memoryview(b"\n" + line if self._torn else line)
        self._torn = True
        while data:
            data = data[self._file.write(data) :]
        self._torn = False

    def _note(self, row: Row) -> None:
        self._seen.setdefault(row.key, set()).add(row.chunk)

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

    def _refuse_what_is_no_first_row(self) -> None:
        """Raise FileExistsError unless the file is but the torn beginning of a first row."""
        start = b'{"bit_errors":'  # keys are sorted, so every row starts with it
        with open(self.path, "rb") as file:
            if not start.startswith(file.read(len(start))):
                raise FileExistsError(
                    errno.EEXIST,
                    "the file holds something else than results; give another output",
                    str(self.path),
                )

    def _end_torn_line(self) -> None:
        # Nothing is ever deleted: a torn line becomes a damaged one that readers step over.
        with open(self.path, "rb") as file:
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                if file.read() != b"\n":
                    self._file.write(b"\n")


class Tail:
    """The rows that another process adds to a file.

    Args:
        path: the file, which need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read = 0

    def new_rows(self) -> list[Row]:
        """Return the rows that came since the last call; the file's own writer reports damage."""
        try:
            with open(self.path, "rb") as file:
                if file.seek(0, os.SEEK_END) < self._read:
                    self._read = 0  # another file of that name; what was seen counts once
                file.seek(self._read)
                data = file.read()
        except OSError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        rows = []
        for line in whole.splitlines():
            try:
                rows.append(Row.from_line(line.decode("utf-8", errors="replace")))
            except (ValueError, TypeError):
                continue
        return rows


@dataclass
class _Problems:
    """What is wrong with a file: lines in words, and rows of other formats by their difference."""

    path: Path
    lines: list[str] = field(default_factory=list)
    other: dict[str, list[int]] = field(default_factory=dict)

    def in_words(self) -> list[str]:
        words = self.lines[:SHOWN]
        if len(self.lines) > SHOWN:
            words.append(f"{self.path}: and {len(self.lines) - SHOWN} more lines like these")
        words += [
            f"{self.path}, line {numbers[0]}: the first of {len(numbers)} rows that another "
            f"version of this program wrote ({difference}); they are kept but not used"
            for difference, numbers in self.other.items()
        ]
        return words


def _lines(path: Path, problems: _Problems, shared: dict[str, Any]) -> Iterator[tuple[int, Row]]:
    """Yield (number, row) of the lines that are rows, and take note of the others."""
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                yield number, Row.from_line(line.decode("utf-8", errors="replace"), shared)
            except OtherFormat as error:
                problems.other.setdefault(str(error), []).append(number)
            except (ValueError, TypeError, RecursionError) as error:
                torn = not line.endswith(b"\n")
                problems.lines.append(
                    f"{path}, line {number}: "
                    + (
                        "cut short; its chunk is computed again"
                        if torn
                        else f"not a row of results, left out ({error})"
                    )
                )


def _open(path: Path) -> Any:
    """Open a file for appending, made with its folder if missing and safe from a power cut."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Unbuffered, so that a row is one write and an interruption in Python cannot split it.
        file = open(path, "ab", buffering=0)
    except OSError as error:
        raise OSError(
            error.errno, f"{error.strerror}: results cannot be written there", error.filename
        ) from error
    # The name of a new file is on the disk only once its folder is; not all systems let one ask.
    with suppress(OSError):
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    return file


def _counts(row: Row) -> tuple[list[int], list[int]]:
    return row.bit_errors, row.block_errors
