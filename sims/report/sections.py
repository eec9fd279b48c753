"""Rows of result files, sorted by the slots that they share."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sims.statistics import Point
from sims.store import Row, canonical_json

QUANTITIES = ("bler", "ber")


@dataclass(frozen=True)
class Known:
    """What the laboratory knows of a receiver: label, defaults of its options, if it is a genie."""

    label: str
    defaults: Mapping[str, Any] = field(default_factory=dict)
    genie: bool = False


@dataclass(frozen=True)
class Series:
    """A receiver's errors at each Eb/N0.

    Args:
        name: its name in the registry.
        identity: name:option=value,... with the options that are not the default's.
        label: what tables and figures call it, unique in its section.
        options: all of them.
        revision: raised by its author when its results change.
        genie: whether it knows what no receiver can know.
        versions: name -> versions of the software that computed it.
        curves: "bler" or "ber" -> Eb/N0 [dB] -> errors, in slots that follow on from the first.
        unused: stored chunks that wait for one before them.
    """

    name: str
    identity: str
    label: str
    options: Mapping[str, Any]
    revision: int
    genie: bool
    versions: Mapping[str, tuple[str, ...]]
    curves: Mapping[str, Mapping[float, Point]]
    unused: int = 0

    @property
    def shown(self) -> str:
        """The label, with a mark if it is a bound and no receiver one could build."""
        return self.label + (" (genie)" if self.genie else "")


@dataclass(frozen=True)
class Section:
    """Receivers that count errors on the same slots.

    Slots depend on the scenario, the seed and the slots per chunk, and on the Sionna that
    simulates them; all of these are equal in a section.
    """

    scenario: Mapping[str, Any]
    seed: int
    slots_per_chunk: int
    sionna: str
    series: tuple[Series, ...]

    @property
    def name(self) -> str:
        """The scenario's name."""
        return str(self.scenario.get("name", "without a name"))

    @property
    def is_coded(self) -> bool:
        """Whether block errors say something."""
        return self.scenario.get("coderate", "a transport block's") is not None

    @property
    def quantities(self) -> tuple[str, ...]:
        """The error rates that say something, the leading one first."""
        return QUANTITIES if self.is_coded else ("ber",)

    def ebno_db(self) -> list[float]:
        """All simulated points [dB], ascending."""
        return sorted({ebno for one in self.series for ebno in one.curves["ber"]})


def sections(rows: Iterable[Row], known: Mapping[str, Known] | None = None) -> list[Section]:
    """Sort the rows of result files into sections and receivers, in order of their appearance.

    A file does not say when its points were to stop, so all chunks count that follow on from the
    first one without a gap.

    Args:
        rows: each (key, chunk) at most once, see `sims.store.read`.
        known: name -> what is known of a receiver; the options of the others are shown in full.

    Returns:
        One section for each set of shared slots.

    >>> sections([])
    []
    """
    known = known or {}
    by_slots: dict[tuple[str, int, int, str], dict[tuple[str, str, int], list[Row]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for row in rows:
        slots = (
            canonical_json(row.scenario),
            row.seed,
            len(row.bit_errors),
            row.versions.get("sionna", ""),
        )
        by_slots[slots][row.receiver, canonical_json(row.options), row.revision].append(row)
    return [
        Section(json.loads(scenario), seed, size, sionna, _labelled(tasks, known))
        for (scenario, seed, size, sionna), tasks in by_slots.items()
    ]


def identify(name: str, options: Mapping[str, Any], known: Known | None) -> str:
    """Write a receiver as the command line takes it.

    >>> identify("esn", {"window": 16, "leak": 1.0}, Known("tanh ESN", {"window": 8, "leak": 1.0}))
    'esn:window=16'
    """
    changed = _changed(options, known)
    return name + (f":{','.join(changed)}" if changed else "")


def _changed(options: Mapping[str, Any], known: Known | None) -> list[str]:
    defaults = {} if known is None else known.defaults
    return [
        f"{key}={value if isinstance(value, str) else canonical_json(value)}"
        for key, value in options.items()
        if key not in defaults or canonical_json(defaults[key]) != canonical_json(value)
    ]


def _labelled(
    tasks: Mapping[tuple[str, str, int], list[Row]], known: Mapping[str, Known]
) -> tuple[Series, ...]:
    """Make the series of a section; revisions appear in labels where there are several."""
    revisions: dict[tuple[str, str], int] = defaultdict(int)
    for name, options, _ in tasks:
        revisions[name, options] += 1
    series = []
    for (name, options, revision), rows in tasks.items():
        several = revisions[name, options] > 1
        suffix = f", revision {revision}" if several else ""
        series.append(_series(rows, known.get(name), suffix))
    return tuple(series)


def _series(rows: list[Row], known: Known | None, suffix: str) -> Series:
    first = rows[0]
    chunks: dict[float, dict[int, Row]] = defaultdict(dict)
    versions: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        chunks[row.ebno_db].setdefault(row.chunk, row)
        for software, version in row.versions.items():
            versions[software].add(version)
    changed = _changed(first.options, known)
    label = (first.receiver if known is None else known.label) + (
        f" ({', '.join(changed)})" if changed else ""
    )
    prefixes = {ebno: _prefix(chunks[ebno]) for ebno in sorted(chunks)}
    return Series(
        first.receiver,
        identify(first.receiver, first.options, known),
        label + suffix,
        first.options,
        first.revision,
        known is not None and known.genie,
        {software: tuple(sorted(found)) for software, found in sorted(versions.items())},
        {
            "bler": _points(prefixes, "block_errors", first.blocks),
            "ber": _points(prefixes, "bit_errors", first.bits),
        },
        sum(map(len, chunks.values())) - sum(map(len, prefixes.values())),
    )


def _prefix(chunks: Mapping[int, Row]) -> list[Row]:
    """The chunks from the first on, up to the first that is missing."""
    found: list[Row] = []
    while len(found) in chunks:
        found.append(chunks[len(found)])
    return found


def _points(prefixes: Mapping[float, list[Row]], counts: str, per_slot: int) -> dict[float, Point]:
    return {
        ebno: Point(np.concatenate([np.array(getattr(row, counts)) for row in rows]), per_slot)
        for ebno, rows in prefixes.items()
        if rows
    }
