"""One experiment from its settings to its files, computed only if they are not there yet."""

from __future__ import annotations

import importlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, cast

from sims.experiments.record import (
    Parts,
    Presentation,
    Record,
    Result,
    plain,
    read,
    suffixed,
    versions,
    write_presentation,
    write_record,
)
from sims.sweep.quiet import quiet_stderr


class Module(Protocol):
    """What the file of an experiment, `sims/experiments/<name>.py`, must define."""

    def settings(self, *, quick: bool) -> dict[str, Any]:
        """Return all that decides the data but the seed: budgets, sizes, and a `revision`.

        The author raises the `revision` whenever the same settings come to give other data.
        """

    def compute(self, settings: Mapping[str, Any], *, seed: int, parts: Parts) -> Result:
        """Compute the data; `parts` keeps what is finished of a long experiment."""

    def present(self, record: Record) -> Presentation:
        """Show what is stored, and nothing else."""


@dataclass(frozen=True)
class Outcome:
    """What came of running an experiment.

    Args:
        record: the numbers.
        shown: their presentation.
        paths: the files that hold both.
        status: "computed"; "redrawn" if the numbers were there; "kept" if all files were.
        seconds: how long this run took.
    """

    record: Record
    shown: Presentation
    paths: list[Path]
    status: Literal["computed", "redrawn", "kept"]
    seconds: float


@dataclass(frozen=True)
class Experiment:
    """An entry of the registry.

    Args:
        name: of its module in this package and of its files.
        kind: whether it is a "figure" or a "table" in the first place.
        title: what it shows, in a line.
    """

    name: str
    kind: Literal["figure", "table"]
    title: str

    def load(self) -> Module:
        """Import the module, which may take TensorFlow's time."""
        with quiet_stderr():
            return cast(Module, importlib.import_module(f"sims.experiments.{self.name}"))

    def run(self, out: Path, *, quick: bool, seed: int, force: bool = False) -> Outcome:
        """Leave `<out>/<name>.json`, `.txt` and, with a figure, `.png` and `.svg`.

        Numbers that are there with the same settings (budgets, seed, versions) are not computed
        again, files that are missing are drawn from them.

        Args:
            out: folder, made if missing.
            quick: whether a smaller budget will do.
            seed: of all random numbers, at least 0.
            force: whether to compute and draw in any case.

        Returns:
            The record and how it is shown.

        Raises:
            OSError: if the files cannot be written.
        """
        start = time.perf_counter()
        out.mkdir(parents=True, exist_ok=True)  # found out now if it cannot be, not in an hour
        module, base = self.load(), out / self.name
        budget = module.settings(quick=quick)
        settings = plain({"quick": quick, "seed": seed, "versions": versions(), "budget": budget})
        stored = None if force else read(suffixed(base, "json"))
        if stored is not None and stored.settings == settings:
            record, computed = stored, False
        else:
            record, computed = self._compute(module, base, settings, fresh=force), True
        shown = module.present(record)
        kinds = ["txt"] if shown.figure is None else ["txt", "png", "svg"]
        there = all(suffixed(base, kind).exists() for kind in kinds)
        if not there:
            write_presentation(base, shown)
        return Outcome(
            record,
            shown,
            [suffixed(base, kind) for kind in ("json", *kinds)],
            "computed" if computed else "kept" if there else "redrawn",
            time.perf_counter() - start,
        )

    def _compute(
        self, module: Module, base: Path, settings: dict[str, Any], *, fresh: bool
    ) -> Record:
        """Compute and store; what showed older numbers goes first, lest it outlive them."""
        path = suffixed(base, "parts.jsonl")
        if fresh:
            path.unlink(missing_ok=True)
        parts, start = Parts(path, settings), time.perf_counter()
        result = module.compute(settings["budget"], seed=settings["seed"], parts=parts)
        times = {"seconds": time.perf_counter() - start, **result.times}
        record = Record(self.name, self.title, settings, plain(result.data), plain(times))
        for kind in ("txt", "png", "svg"):
            suffixed(base, kind).unlink(missing_ok=True)
        write_record(suffixed(base, "json"), record)
        parts.discard()
        return record
