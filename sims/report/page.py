"""One self-contained HTML page from result files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
from plotly.offline import get_plotlyjs

from sims.report.figures import figure_html
from sims.report.sections import Section, Series
from sims.report.tables import table_rows
from sims.report.words import NAMES, crossing, pairs_in_words, percent
from sims.statistics import ebno_at


@dataclass(frozen=True)
class Origin:
    """Where a page comes from: the command, the files, what in them could not be used, and when."""

    command: str
    files: Sequence[str] = ()
    problems: Sequence[str] = ()
    made: str = ""


@dataclass(frozen=True)
class Targets:
    """The rates at which receivers are compared, between 0 and 1."""

    bler: float = 0.1
    ber: float = 0.01
    by_quantity: Mapping[str, float] = field(init=False)

    def __post_init__(self) -> None:
        for name in ("bler", "ber"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(
                    f"target_{name} must lie between 0 and 1, got {getattr(self, name)}"
                )
        object.__setattr__(self, "by_quantity", {"bler": self.bler, "ber": self.ber})


def page(
    sections: Sequence[Section],
    origin: Origin,
    *,
    targets: Targets | None = None,
    describe: Callable[[Mapping[str, Any]], str] | None = None,
) -> str:
    """Write a page that needs nothing but a browser.

    Args:
        sections: the results.
        origin: how the page came to be.
        targets: rates at which receivers are compared.
        describe: scenario -> one line about it.

    Returns:
        The HTML: a part for each section with its curves, differences in words, Eb/N0 at the
        target rates, counts, scenario and versions.
    """
    targets = targets or Targets()
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["rate"] = lambda value: f"{value:.3g}"
    parts = [
        _part(section, f"figure-{number}", targets, describe)
        for number, section in enumerate(sections, start=1)
    ]
    return environment.get_template("page.html").render(
        parts=parts, origin=origin, plotly=get_plotlyjs()
    )


def _part(
    section: Section,
    identifier: str,
    targets: Targets,
    describe: Callable[[Mapping[str, Any]], str] | None,
) -> dict[str, Any]:
    """Compute what the template shows of one section."""
    quantity = section.quantities[0]
    target = targets.by_quantity[quantity]
    pairs = pairs_in_words(section, quantity, target)
    return {
        "id": identifier,
        "section": section,
        "summary": "" if describe is None else describe(section.scenario),
        "figure": figure_html(section, identifier),
        "differ": [text for shown, text in pairs if shown],
        "alike": [text for shown, text in pairs if not shown],
        "levels": [f"{NAMES[q]} {percent(targets.by_quantity[q])}" for q in section.quantities],
        "crossings": [(one, _crossings(one, section, targets)) for one in section.series],
        "rows": table_rows([section]),
        "scenario": [(key, _shown(value)) for key, value in section.scenario.items()],
        "versions": _versions(section),
    }


def _crossings(one: Series, section: Section, targets: Targets) -> list[str]:
    return [
        crossing(ebno_at(targets.by_quantity[quantity], one.curves[quantity]))
        for quantity in section.quantities
    ]


def _versions(section: Section) -> list[tuple[str, str]]:
    found: dict[str, set[str]] = {}
    for one in section.series:
        for software, versions in one.versions.items():
            found.setdefault(software, set()).update(versions)
    return [(software, ", ".join(sorted(versions))) for software, versions in sorted(found.items())]


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.10g}"
    return value if isinstance(value, str) else json.dumps(value)
