"""The counts and rates of every receiver and point as CSV or JSON, and back."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from sims.report.sections import Section
from sims.statistics import error_rate

FORMATS = (".csv", ".json")


@dataclass(frozen=True)
class TableRow:
    """One receiver at one Eb/N0 [dB], rates with 95 % intervals over slots.

    The columns that a sweep's own .csv has too have the same names there.
    """

    scenario: str
    seed: int
    slots_per_chunk: int
    sionna: str
    receiver: str
    identity: str
    revision: int
    ebno_db: float
    slots: int
    blocks: int
    block_errors: int
    bler: float
    bler_low: float
    bler_high: float
    bits: int
    bit_errors: int
    ber: float
    ber_low: float
    ber_high: float


_KINDS = {"str": str, "int": int, "float": float}
_COLUMNS = {field.name: _KINDS[str(field.type)] for field in fields(TableRow)}


def table_rows(sections: Iterable[Section]) -> list[TableRow]:
    """Return one row for each receiver and Eb/N0 of the sections, in their order."""
    return [
        TableRow(
            section.name,
            section.seed,
            section.slots_per_chunk,
            section.sionna,
            one.label,
            one.identity,
            one.revision,
            ebno,
            one.curves["bler"][ebno].errors.size,
            *_totals(one.curves["bler"][ebno]),
            *_totals(one.curves["ber"][ebno]),
        )
        for section in sections
        for one in section.series
        for ebno in one.curves["bler"]
    ]


def write_table(rows: Sequence[TableRow], path: str | os.PathLike[str]) -> None:
    """Write a table in the form that the file's suffix names.

    Raises:
        ValueError: for another suffix than .csv and .json.
        OSError: if the file cannot be written.
    """
    path = _checked(path)
    contents = [asdict(row) for row in rows]
    with open(path, "w", newline="", encoding="utf-8") as file:
        if path.suffix == ".json":
            json.dump(contents, file, indent=1, allow_nan=False, ensure_ascii=False)
            file.write("\n")
            return
        writer = csv.DictWriter(file, list(_COLUMNS), lineterminator="\n")
        writer.writeheader()
        writer.writerows(contents)


def read_table(path: str | os.PathLike[str]) -> list[TableRow]:
    """Read what `write_table` wrote, in either form; the numbers are the same to the last bit.

    Raises:
        ValueError: for another suffix, or a file that holds something else.
        OSError: if the file cannot be read.
    """
    path = _checked(path)
    with open(path, newline="", encoding="utf-8") as file:
        contents = json.load(file) if path.suffix == ".json" else list(csv.DictReader(file))
    if not isinstance(contents, list):
        raise ValueError(f"{path}: expected a list of rows, got {type(contents).__name__}")
    return [_row(path, number, content) for number, content in enumerate(contents, start=1)]


def _row(path: Path, number: int, content: Any) -> TableRow:
    if not isinstance(content, dict) or set(content) != set(_COLUMNS):
        raise ValueError(f"{path}, row {number}: expected the columns {', '.join(_COLUMNS)}")
    try:
        return TableRow(**{name: kind(content[name]) for name, kind in _COLUMNS.items()})
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}, row {number}: {error}") from error


def _totals(point: Any) -> tuple[int, int, float, float, float]:
    estimate = error_rate(point.errors, point.per_slot)
    return (
        point.errors.size * point.per_slot,
        int(point.errors.sum()),
        estimate.value,
        estimate.low,
        estimate.high,
    )


def _checked(path: str | os.PathLike[str]) -> Path:
    path = Path(path)
    if path.suffix not in FORMATS:
        raise ValueError(f"path must end in {' or '.join(FORMATS)}, got {str(path)!r}")
    return path
