"""Measure bars, tell what came of each, and keep it."""

from __future__ import annotations

import fnmatch
import importlib.metadata
import json
import platform
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sims.benchmark import BARS, Bar, Budget, Found, engine, naive
from sims.benchmark.machine import ceilings, describe
from sims.experiments.record import plain, replace, versions
from sims.sweep.results import aligned


def choose(patterns: Iterable[str]) -> dict[str, Bar]:
    """Return the bars whose label a pattern matches, or else whose title holds it; all without any.

    Raises:
        ValueError: for a pattern that matches nothing.
    """
    chosen: dict[str, Bar] = {}
    for pattern in patterns:
        found = {k: bar for k, bar in BARS.items() if fnmatch.fnmatch(k, pattern)} or {
            k: bar for k, bar in BARS.items() if pattern.lower() in bar.title.lower()
        }
        if not found:
            raise ValueError(f"no bar matches {pattern!r}; labels: {', '.join(BARS)}")
        chosen |= found
    return {label: BARS[label] for label in BARS if label in chosen} if chosen else dict(BARS)


def run(bars: Mapping[str, Bar], budget: Budget, out: Path | None) -> str:
    """Measure bars one after the other, telling each; return the table.

    Args:
        bars: label -> bar.
        budget: how much is measured.
        out: JSON file, written anew after every bar, so that an interruption loses one; None:
            nothing is kept.
    """
    began = time.time()
    with engine.on(budget.device):
        machine = describe(budget.device) | ceilings(budget.rounds)
        rows: dict[str, dict[str, Any]] = {}
        for label, bar in bars.items():
            bar = bar.on(budget.device)
            found = measure(bar, budget)
            rows[label] = {
                "title": bar.title, "sense": bar.sense, "limit": bar.limit,
                "verdict": bar.verdict(found.value), **vars(found),
            }  # fmt: skip
            value = "-" if found.value is None else f"{found.value:.3g}"
            print(f"{label:4} {bar.title}: {value} ({found.note})", flush=True)
            if out is not None:
                content = {
                    "machine": machine, "versions": _versions(), "budget": vars(budget),
                    "seconds": time.time() - began, "bars": rows,
                }  # fmt: skip
                replace(out, (json.dumps(plain(content), indent=1) + "\n").encode())
    return table(rows, machine, budget)


def _versions() -> dict[str, str]:
    """Versions of what numbers depend on."""
    if engine.NAME == "tensorflow":
        return versions()
    names = ("keras", "numpy", "scipy", engine.NAME)
    return {"python": platform.python_version()} | {
        name: importlib.metadata.version(name) for name in names
    }


def measure(bar: Bar, budget: Budget) -> Found:
    """Measure one bar; what fails is told, and the others go on."""
    try:
        return bar.measure(budget)
    except Exception as error:
        return Found(None, f"{type(error).__name__}: {error}")


def table(rows: Mapping[str, Mapping[str, Any]], machine: Mapping[str, Any], budget: Budget) -> str:
    """Return the table of ratios under a line about the machine."""
    lines = [["bar", "what", "value", "wanted", "", "how"]]
    for label, row in rows.items():
        wanted = "" if row["sense"] == "info" else f"{row['sense']} {row['limit']:g}"
        value = "-" if row["value"] is None else f"{row['value']:.3g}"
        lines.append([label, row["title"], value, wanted, row["verdict"], row["note"]])
    where = machine.get("gpu", machine["processor"])
    if engine.NAME != "tensorflow":
        where = f"{engine.TITLE} (naive form: a {naive.LOOP}), {where}"
    threads = "all" if budget.threads is None else budget.threads
    return (
        f"{where}, {machine['cores']} cores, {threads} threads; one complex matrix product "
        f"{machine['cgemm_gflops']:.0f} GFLOP/s, one copy {machine['copy_gbytes']:.0f} GB/s; "
        f"medians of {budget.rounds} rounds in turns\n\n{aligned(lines)}"
    )
