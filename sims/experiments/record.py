"""What an experiment leaves: numbers as JSON, a figure, a caption; and what it needs to resume."""

from __future__ import annotations

import importlib.metadata
import io
import json
import math
import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from sims.store import canonical_json, digest


@dataclass(frozen=True)
class Result:
    """What an experiment computed.

    Args:
        data: numbers, texts, NumPy arrays, and lists and dicts of these; the same settings must
            give the same data, bit for bit.
        times: measured durations and all that derives from them, which may differ.
    """

    data: Mapping[str, Any]
    times: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """What the JSON file of an experiment holds, as JSON reads it: NaN is None."""

    name: str
    title: str
    settings: dict[str, Any]
    data: dict[str, Any]
    times: dict[str, Any]


@dataclass(frozen=True)
class Presentation:
    """How a record is shown.

    Args:
        caption: what is seen, for readers who know nothing of the paper.
        figure: the figure; an experiment of kind "figure" has one.
        table: the table in columns; an experiment of kind "table" has one.
    """

    caption: str
    figure: Figure | None = None
    table: str | None = None


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries on which numbers depend."""
    names = ("keras", "numpy", "scipy", "sionna", "tensorflow")
    return {"python": platform.python_version()} | {
        name: importlib.metadata.version(name) for name in names
    }


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it.

    Arrays become lists, NaN (no data) becomes None, and a complex number [real, imaginary part].

    Raises:
        TypeError: for a kind of value that has no such form.
        ValueError: for infinity, which JSON does not have.

    >>> plain({"poles": np.array([0.5, 1j]), "unknown": float("nan"), "count": np.int64(3)})
    {'poles': [[0.5, 0.0], [0.0, 1.0]], 'unknown': None, 'count': 3}
    """
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, complex):
        return [plain(value.real), plain(value.imag)]
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, float) and math.isinf(value):
        raise ValueError("infinity cannot be stored: leave it out, or store NaN")
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise TypeError(f"cannot be stored: {type(value).__name__}")


def read(path: Path) -> Record | None:
    """Return the record in a file; None if there is none, or a damaged one."""
    try:
        return Record(**json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def write_record(path: Path, record: Record) -> None:
    """Write a record, one line for each of its fields; equal records give equal bytes."""
    lines = [f'"{name}": {canonical_json(value)}' for name, value in vars(record).items()]
    replace(path, ("{\n" + ",\n".join(lines) + "\n}\n").encode())


def write_presentation(base: Path, shown: Presentation) -> None:
    """Write `<base>.txt`, and `<base>.png` and `.svg` if there is a figure."""
    files = {"txt": "\n\n".join(filter(None, [shown.table, shown.caption])).encode() + b"\n"}
    if shown.figure is not None:
        # Without this, SVG files differ from run to run in their identifiers and their date.
        with matplotlib.rc_context({"svg.hashsalt": base.name, "svg.fonttype": "path"}):
            for kind, metadata in (("png", None), ("svg", {"Date": None})):
                buffer = io.BytesIO()
                shown.figure.savefig(buffer, format=kind, dpi=150, metadata=metadata)
                files[kind] = buffer.getvalue()
    for kind, content in files.items():
        replace(suffixed(base, kind), content)


def suffixed(base: Path, kind: str) -> Path:
    """Return `<base>.<kind>`, whatever dots the name of the base has."""
    return base.with_name(f"{base.name}.{kind}")


def replace(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(draft, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


class Parts:
    """Finished parts of a long experiment, on disk, so that an interruption loses one at most.

    Args:
        path: JSON Lines file, made when the first part is finished.
        settings: under which the parts are computed; parts of other settings are not used.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path = path
        self._run = digest(plain(settings))
        self._known: dict[str, Any] = {}
        self._torn = False
        if path.exists():
            text = path.read_text(encoding="utf-8", errors="replace")
            self._torn = bool(text) and not text.endswith("\n")
            for line in text.splitlines():
                self._remember(line)

    def __contains__(self, key: Mapping[str, Any]) -> bool:
        """Whether a part is there; `key` is what tells it from the others of the experiment."""
        return digest(plain(key)) in self._known

    def __getitem__(self, key: Mapping[str, Any]) -> Any:
        """Return a part that is there, as JSON holds it."""
        return self._known[digest(plain(key))]

    def get(self, key: Mapping[str, Any], compute: Callable[[], Any]) -> Any:
        """Return a part: the stored one, or else what `compute()` returns."""
        if key not in self:
            self.put(key, compute())
        return self[key]

    def put(self, key: Mapping[str, Any], value: Any) -> None:
        """Store a part."""
        name, value = digest(plain(key)), plain(value)
        line = canonical_json({"run": self._run, "key": name, "value": value}) + "\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "ab") as file:
            file.write((("\n" if self._torn else "") + line).encode())
            file.flush()
            os.fsync(file.fileno())
        self._torn = False
        self._known[name] = value

    def discard(self) -> None:
        """Remove the file; for when the whole is stored."""
        self.path.unlink(missing_ok=True)

    def _remember(self, line: str) -> None:
        try:
            entry = json.loads(line)
            if entry["run"] == self._run:
                self._known[entry["key"]] = entry["value"]
        except (ValueError, KeyError, TypeError):
            return  # cut short, or damaged: it is computed again
